from __future__ import annotations

import copy
import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_toys import Stopping, X, Y, interrupted, model
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn
from toys import body, same, state_of

from sklearn_transfer import FineTunedClassifier, PretrainedVectors
from sklearn_transfer._utils.atomic import temporary_folder
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer.models.seeds import seeded
from sklearn_transfer.training.checkpoints import Checkpoint, claim_seed
from sklearn_transfer.training.policies import LinearProbing

TEXTS = [f"{'good' if i % 2 else 'bad'} film {'plot' if i % 3 else 'zork'}" for i in range(24)]
LABELS = [i % 2 for i in range(24)]


def state(estimator: FineTunedClassifier) -> dict[str, Any]:
    return {**state_of(estimator.module_), "temperature": torch.tensor(estimator.temperature_)}


def checkpoints(folder: Path) -> list[Path]:
    """The files of the fits in a folder."""
    return sorted(folder.glob("fit-*.checkpoint"))


def norm() -> nn.Sequential:
    with seeded(0, seed_global=True):
        return nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 3))


FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"hidden_layer_sizes": (5,), "dropout": 0.3, "pretrained": norm()},
    "early-stopping": {"early_stopping": True, "n_iter_no_change": 2, "lr": 0.3, "max_epochs": 5},
    "average": {"average_last": 3},
    "gradual": {"adaptation": "gradual"},
    "lp-ft": {"adaptation": LinearProbing(max_probing=3), "max_epochs": 2},
    "frozen": {"adaptation": "frozen", "hidden_layer_sizes": (3,)},
    "schedule": {"schedule": "one-cycle", "warmup": 0.3},
    "adamw": {"optimizer": "adamw"},
    "rmsprop": {"optimizer": torch.optim.RMSprop},
}


@pytest.mark.parametrize("name", FITS)
def test_a_fit_that_goes_on_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    settings = FITS[name]
    whole = model(None, **settings).fit(X, Y)
    for epoch in (1, len(whole.history_) - 1):
        interrupted(tmp_path, epoch, X, Y, **settings)
    gone_on = model(tmp_path, **settings).fit(X, Y)
    assert same(state(gone_on), state(whole))
    assert gone_on.history_[:, "train_loss"] == whole.history_[:, "train_loss"]


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": (3,), "token_dropout": 0.3, "l2_sp": 0.1},
        {"encoder": "cnn", "encoder_params": {"multichannel": True, "filters": 2}},
        {"encoder": "rnn", "adaptation": "gradual", "optimizer": "sgd"},
    ],
    ids=["bag", "cnn", "rnn"],
)
def test_a_fit_of_texts_goes_on(
    settings: dict[str, Any], tmp_path: Path, vectors: PretrainedVectors
) -> None:
    settings = {**settings, "pretrained": vectors}
    whole = model(None, **settings).fit(TEXTS, LABELS)
    interrupted(tmp_path, 2, TEXTS, LABELS, **settings)
    assert same(state(model(tmp_path, **settings).fit(TEXTS, LABELS)), state(whole))


def test_a_fit_of_numbers_goes_on(tmp_path: Path) -> None:
    settings = {"pretrained": None, "hidden_layer_sizes": (3,)}
    whole = model(None, **settings).fit(X, Y)
    interrupted(tmp_path, 2, X, Y, **settings)
    assert same(state(model(tmp_path, **settings).fit(X, Y)), state(whole))


def test_a_fit_without_a_seed_goes_on_with_its_own(tmp_path: Path) -> None:
    settings = {"random_state": None, "dropout": 0.3}
    folder, other = tmp_path / "a", tmp_path / "b"
    interrupted(folder, 2, X, Y, **settings)
    shutil.copytree(folder, other)
    first = model(folder, **settings).fit(X, Y)
    assert len(checkpoints(folder)) == 1
    assert same(state(first), state(model(other, **settings).fit(X, Y)))
    whole = model(None, dropout=0.3, random_state=claim_seed(folder, 0)).fit(X, Y)
    assert same(state(first), state(whole))


def test_a_fit_that_is_done_is_not_trained_again(tmp_path: Path) -> None:
    first = model(tmp_path).fit(X, Y)
    again = model(tmp_path, callbacks=[Stopping(-1)]).fit(X, Y)
    assert same(state(again), state(first))


def test_a_fit_may_be_stopped_many_times(tmp_path: Path) -> None:
    for epoch in range(4):
        interrupted(tmp_path, epoch, X, Y)
    assert same(state(model(tmp_path).fit(X, Y)), state(model(None).fit(X, Y)))


def test_a_policy_of_the_users_goes_on_in_another_object(tmp_path: Path) -> None:
    class Own:
        def rates(self, epoch: int, n_layers: int, history: Any) -> list[float]:
            return [1.0] * n_layers

    interrupted(tmp_path, 2, X, Y, adaptation=Own())
    gone_on = model(tmp_path, adaptation=Own()).fit(X, Y)
    assert same(state(gone_on), state(model(None, adaptation="full").fit(X, Y)))


def test_numbers_of_a_callback_are_kept(tmp_path: Path) -> None:
    class Counting(Callback):
        n_epochs_ = 0

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            self.n_epochs_ += 1

    with pytest.raises(OSError, match="stopped"):
        model(tmp_path, callbacks=[("n", Counting()), Stopping(2)]).fit(X, Y)
    gone_on = model(tmp_path, callbacks=[("n", Counting())]).fit(X, Y)
    assert dict(gone_on.net_.callbacks_)["n"].n_epochs_ == 4


def test_the_fitted_state_of_a_callback_is_kept_but_not_its_settings(tmp_path: Path) -> None:
    fitted = {
        "best_": None,
        "rate_": 0.5,
        "name_": "a",
        "weights_": torch.arange(3.0),
        "scores_": {"a": 1, "inner": {"b": None}},
    }

    class Holding(Callback):
        def __init__(self, limit: int) -> None:
            self.limit, self.seen_, self.best_ = limit, ["no number"], 7

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            vars(self).update(copy.deepcopy(fitted), limit=0, seen_=["changed"])

    with pytest.raises(OSError, match="stopped"):
        model(tmp_path, callbacks=[Holding(5), Stopping(2)]).fit(X, Y)
    again = Holding(9)
    with pytest.raises(OSError, match="stopped"):
        model(tmp_path, callbacks=[again, Stopping(-1)]).fit(X, Y)
    kept = dict(vars(again))
    assert torch.equal(kept.pop("weights_"), torch.arange(3.0))
    del fitted["weights_"]
    assert kept == {**fitted, "limit": 9, "seen_": ["no number"]}


def test_a_killed_process_goes_on(tmp_path: Path) -> None:
    code = f"""
        import os, signal, sys
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
        from skorch.callbacks import Callback
        from test_checkpoints import X, Y, model

        class Killing(Callback):
            def on_batch_end(self, net, **kwargs):
                if len(net.history) == 3:
                    os.kill(os.getpid(), signal.SIGKILL)

        model({str(tmp_path)!r}, callbacks=[Killing()]).fit(X, Y)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert same(state(model(tmp_path).fit(X, Y)), state(model(None).fit(X, Y)))


# ---- other fits ----


def other_body() -> nn.Sequential:
    module = copy.deepcopy(body())
    with torch.no_grad():
        module[0].bias[0] += 1e-3
    return module


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.02},
        {"random_state": 1},
        {"adaptation": "gradual"},
        {"pretrained": other_body()},
        {"optimizer": torch.optim.Adam},
        {"class_weight": {0: 1.0, 1: 2.0}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_another_fit_has_a_file_of_its_own(settings: dict[str, Any], tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    other = model(tmp_path, **settings).fit(X, Y)
    assert len(checkpoints(tmp_path)) == 2
    assert same(state(other), state(model(None, **settings).fit(X, Y)))


@pytest.mark.parametrize(
    "change",
    [
        {"X": X + np.float32(1e-3)},
        {"X": X[::-1]},
        {"y": 1 - Y},
        {"sample_weight": np.linspace(1, 2, 24)},
        {"X_val": X[:4], "y_val": Y[:4]},
    ],
    ids=["X", "order", "y", "weights", "validation"],
)
def test_a_fit_of_other_data_has_a_file_of_its_own(change: dict[str, Any], tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    other = model(tmp_path).fit(**{"X": X, "y": Y, **change})
    assert len(checkpoints(tmp_path)) == 2
    assert same(state(other), state(model(None).fit(**{"X": X, "y": Y, **change})))


def test_a_fit_of_other_frozen_features_has_a_file_of_its_own(
    tmp_path: Path, vectors: PretrainedVectors
) -> None:
    settings = {"adaptation": "frozen", "hidden_layer_sizes": (3,)}
    other = PretrainedVectors(list(vectors.words), -vectors.matrix)  # of the same shape
    model(tmp_path, pretrained=vectors, **settings).fit(TEXTS, LABELS)
    second = model(tmp_path, pretrained=other, **settings).fit(TEXTS, LABELS)
    whole = model(None, pretrained=other, **settings).fit(TEXTS, LABELS)
    assert same(state(second), state(whole))


def test_a_search_that_is_stopped_goes_on(tmp_path: Path) -> None:
    class Stop(Callback):
        n_epochs, limit = 0, 5

        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            if Stop.n_epochs == Stop.limit:
                raise KeyboardInterrupt
            Stop.n_epochs += 1

    def search(folder: Path | None) -> GridSearchCV:
        estimator = model(folder, callbacks=[Stop()], max_epochs=2, hidden_layer_sizes=(3,))
        return GridSearchCV(estimator, {"lr": [0.01, 0.1]}, cv=2)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path).fit(X, Y)
    Stop.n_epochs, Stop.limit = 0, 99
    gone_on = search(tmp_path).fit(X, Y)
    assert Stop.n_epochs == 5  # of the ten epochs of five fits
    whole = search(None).fit(X, Y)
    assert same(state(gone_on.best_estimator_), state(whole.best_estimator_))
    np.testing.assert_array_equal(
        gone_on.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"]
    )


def test_a_file_with_the_name_of_another_fit_is_refused(tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    (first,) = checkpoints(tmp_path)
    model(tmp_path, lr=0.02).fit(X, Y)
    (second,) = set(checkpoints(tmp_path)) - {first}
    second.replace(first)
    with pytest.raises(ValueError, match=r"is of another fit: it was renamed\. Remove it to start"):
        model(tmp_path).fit(X, Y)


@pytest.mark.parametrize("settings", [{"verbose": 1}, {"device": "cpu"}])
def test_what_changes_no_bit_may_change(settings: dict[str, Any], tmp_path: Path) -> None:
    first = model(tmp_path).fit(X, Y)
    assert same(state(model(tmp_path, **settings).fit(X, Y)), state(first))


def test_the_convex_solver_has_no_checkpoint(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no effect: checkpoint"):
        FineTunedClassifier(checkpoint=tmp_path).fit(X.reshape(len(X), -1), Y)
    assert not list(tmp_path.iterdir())


# ---- damaged files ----


@pytest.fixture(scope="module")
def folder_of_one_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    model(folder, max_epochs=1).fit(X, Y)
    return folder


@pytest.fixture
def written(folder_of_one_epoch: Path, tmp_path: Path) -> Path:
    """The checkpoint of a fit of one epoch."""
    (file,) = checkpoints(folder_of_one_epoch)
    return Path(shutil.copy(file, tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no checkpoint",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:-99] + bytes([content[-99] ^ 1]) + content[-98:],
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: content + b"\0",
    ],
    ids=["empty", "other", "head", "truncated", "flipped", "digest", "longer"],
)
def test_a_damaged_file_is_refused(damage: Any, written: Path) -> None:
    written.write_bytes(damage(written.read_bytes()))
    with pytest.raises(ValueError, match=r"is damaged, or no checkpoint\. Remove it to start"):
        model(written.parent, max_epochs=1).fit(X, Y)


def test_a_file_runs_nothing(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    buffer = io.BytesIO()
    torch.save({"settings": Bomb()}, buffer)
    payload = buffer.getvalue()
    model(tmp_path).fit(X, Y)
    (file,) = checkpoints(tmp_path)
    magic = file.read_bytes().partition(b"\n")[0] + b"\n"
    file.write_bytes(magic + hash_content(payload).encode() + payload)
    with pytest.raises(ValueError, match=r"got other objects; none of them was loaded"):
        model(tmp_path).fit(X, Y)
    assert not (tmp_path / "exploded").exists()


# ---- files ----


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    assert list(tmp_path.iterdir()) == checkpoints(tmp_path)


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    model(str(tmp_path / "a" / "b")).fit(X, Y)
    assert checkpoints(tmp_path / "a" / "b")


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_state(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, 2, X, Y)
    (file,) = checkpoints(tmp_path)
    before = file.read_bytes()

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match="No space left"):
            model(tmp_path).fit(X, Y)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before
    assert same(state(model(tmp_path).fit(X, Y)), state(model(None).fit(X, Y)))


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    others = ["unfinished-thesis.txt", "fit.checkpoint", ".fit.checkpoint.abc", "fit-1.checkpoint"]
    for name in others:
        (tmp_path / name).write_text("mine")
    model(tmp_path).fit(X, Y)
    assert [(tmp_path / name).read_text() for name in others] == ["mine"] * 4


def test_a_fit_leaves_the_unfinished_file_of_another_process(written: Path) -> None:
    with temporary_folder(written) as folder:  # a writer that is running
        model(written.parent, max_epochs=1).fit(X, Y)
        assert folder.is_dir()


# ---- seeds ----


def test_the_first_seed_of_a_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert [claim_seed(folder, seed) for seed in (2**32 - 1, 7)] == [2**32 - 1] * 2
    assert [path.name for path in folder.iterdir()] == ["fit.seed"]


def test_threads_agree_on_the_seed_of_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        seeds = set(pool.map(lambda seed: claim_seed(tmp_path, seed), range(16)))
    assert len(seeds) == 1


@pytest.mark.parametrize("content", [b"", b"x", b"1" * 99])
def test_a_damaged_seed_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "fit.seed").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a seed in the file .*fit.seed, got .* Remove"):
        model(tmp_path, random_state=None).fit(X, Y)


def test_restoring_nothing_changes_nothing(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {}).restore(None)


def test_partial_fit_writes_no_checkpoint(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"checkpoint \(used by mini-batch training by `fit`"):
        model(tmp_path).partial_fit(X, Y, classes=[0, 1])
    assert not list(tmp_path.iterdir())
