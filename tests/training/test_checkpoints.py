from __future__ import annotations

import copy
import io
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from toys import body, same, state_of

from sklearn_transfer import FineTunedClassifier, PretrainedVectors
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer.models.seeds import seeded
from sklearn_transfer.training.checkpoints import Checkpoint, stored_seed
from sklearn_transfer.training.policies import LinearProbing

X = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
TEXTS = [f"{'good' if i % 2 else 'bad'} film {'plot' if i % 3 else 'zork'}" for i in range(24)]
LABELS = [i % 2 for i in range(24)]


class Stopping(Callback):
    """Raises as an epoch begins."""

    def __init__(self, epoch: int, error: type[BaseException] = OSError) -> None:
        self.epoch, self.error = epoch, error

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > self.epoch:
            raise self.error("stopped")


def model(folder: Path | None, **settings: Any) -> FineTunedClassifier:
    usual = {"pretrained": body(), "max_epochs": 4, "random_state": 0, "checkpoint": folder}
    return FineTunedClassifier(**{**usual, **settings})


def state(estimator: FineTunedClassifier) -> dict[str, Any]:
    return {**state_of(estimator.module_), "temperature": torch.tensor(estimator.temperature_)}


def interrupted(folder: Path, epoch: int, *data: Any, **settings: Any) -> None:
    """A fit that is stopped after so many epochs."""
    with pytest.raises(OSError, match="stopped"):
        model(folder, callbacks=[Stopping(epoch)], **settings).fit(*data)


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
    interrupted(tmp_path, 2, X, Y, **settings)
    other = tmp_path / "other"
    other.mkdir()
    (other / "fit.checkpoint").write_bytes((tmp_path / "fit.checkpoint").read_bytes())
    first = model(tmp_path, **settings).fit(X, Y)
    assert same(state(first), state(model(other, **settings).fit(X, Y)))
    whole = model(None, dropout=0.3, random_state=stored_seed(other)).fit(X, Y)
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
    ("settings", "message"),
    [
        ({"lr": 0.02}, "is of another fit: lr was 0.01, and is 0.02. Fit with the same data and"),
        ({"random_state": 1}, "another fit: seed was 0, and is 1"),
        (
            {"adaptation": "gradual"},
            r"adaptation was Full\(\), and is Gradual\(epochs=1\)",
        ),
        ({"pretrained": other_body()}, "another fit: the initial network was .*, and is"),
        ({"optimizer": torch.optim.Adam}, "optimizer was 'auto', and is torch.optim.adam.Adam"),
    ],
)
def test_another_fit_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        model(tmp_path, **settings).fit(X, Y)


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
def test_other_data_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    with pytest.raises(ValueError, match="is of another fit: the data was"):
        model(tmp_path).fit(**{"X": X, "y": Y, **change})


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
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("checkpoint")
    model(folder, max_epochs=1).fit(X, Y)
    return (folder / "fit.checkpoint").read_bytes()


@pytest.fixture
def written(content: bytes, tmp_path: Path) -> Path:
    """The checkpoint of a fit of one epoch."""
    (tmp_path / "fit.checkpoint").write_bytes(content)
    return tmp_path / "fit.checkpoint"


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
        model(written.parent).fit(X, Y)


def test_a_file_runs_nothing(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    buffer = io.BytesIO()
    torch.save({"settings": Bomb()}, buffer)
    payload = buffer.getvalue()
    model(tmp_path, max_epochs=1).fit(X, Y)
    file = tmp_path / "fit.checkpoint"
    magic = file.read_bytes().partition(b"\n")[0] + b"\n"
    file.write_bytes(magic + hash_content(payload).encode() + payload)
    with pytest.raises(ValueError, match=r"got other objects; none of them was loaded"):
        model(tmp_path).fit(X, Y)
    assert not (tmp_path / "exploded").exists()


# ---- files ----


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    model(tmp_path).fit(X, Y)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.checkpoint"]


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    model(str(tmp_path / "a" / "b")).fit(X, Y)
    assert (tmp_path / "a" / "b" / "fit.checkpoint").exists()


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_state(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, 2, X, Y)
    before = (tmp_path / "fit.checkpoint").read_bytes()

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match="No space left"):
            model(tmp_path).fit(X, Y)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.checkpoint"]
    assert (tmp_path / "fit.checkpoint").read_bytes() == before
    assert same(state(model(tmp_path).fit(X, Y)), state(model(None).fit(X, Y)))


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".fit.checkpoint.abc").mkdir()
    (tmp_path / ".fit.checkpoint.abc" / "content").write_bytes(b"half")
    model(tmp_path).fit(X, Y)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.checkpoint"]


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    model(tmp_path).fit(X, Y)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_without_a_checkpoint_has_no_seed(tmp_path: Path) -> None:
    assert stored_seed(tmp_path) is None
    assert stored_seed(tmp_path / "missing") is None


def test_restoring_nothing_changes_nothing(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {}).restore(None)


def test_partial_fit_writes_no_checkpoint(tmp_path: Path) -> None:
    model(tmp_path).partial_fit(X, Y, classes=[0, 1])
    assert not list(tmp_path.iterdir())


# ---- attacks ----


def signed(payload: bytes) -> bytes:
    return b"sklearn_transfer checkpoint 3\n" + hash_content(payload).encode() + payload


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def deflated(payload: bytes) -> bytes:
    """The same archive, compressed."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(payload)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    return buffer.getvalue()


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The file of a fit that was stopped, and its state."""
    interrupted(tmp_path, 2, X, Y)
    (file,) = tmp_path.glob("*.checkpoint")
    payload = file.read_bytes().partition(b"\n")[2][32:]
    return file, torch.load(io.BytesIO(payload), weights_only=True)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": 7},
        {"settings": {}},
        {"history": 1},
        {"history": "[" * 100_000},
        {"history": "7"},
        {"module": []},
        {"module": {}},
        {"optimizer": {}},
        {"optimizer": {"state": 1, "param_groups": 2}},
        {"callbacks": 5},
        {"more": torch.zeros(1).expand(10**12)},
        {"more": [{"deeper": torch.zeros(1).expand(10**12)}]},
        {"more": bytearray(10)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_crafted_state_is_an_error_though_its_digest_agrees(
    checkpoint: tuple[Path, dict[str, Any]], change: dict[str, Any]
) -> None:
    file, before = checkpoint
    file.write_bytes(signed(saved({**before, **change})))
    with pytest.raises(ValueError, match=r"checkpoint .*Remove it to start anew"):
        model(file.parent).fit(X, Y)


def test_archives_that_would_expand_are_refused(checkpoint: tuple[Path, dict[str, Any]]) -> None:
    file, before = checkpoint
    archives = {
        "compressed": deflated(saved({**before, "more": torch.zeros(10**6)})),
        "no archive": b"\x80\x02}.",
        "other": saved([1]),
        "empty": b"",
    }
    for payload in archives.values():
        file.write_bytes(signed(payload))
        with pytest.raises(ValueError, match=r"checkpoint .*Remove it to start anew"):
            model(file.parent).fit(X, Y)


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_no_file_is_an_error_and_blocks_nothing(
    checkpoint: tuple[Path, dict[str, Any]], kind: str
) -> None:
    file, _ = checkpoint
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"cannot be opened"):
        model(file.parent).fit(X, Y)
