"""Accelerators; without one, only the opening of pickles on the CPU is tested."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler
from toys import Recurrent, body

from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedEmbeddingTransformer
from sklearn_transfer._utils.devices import device_or_cpu, lacks_memory, resolve_device
from sklearn_transfer.models.seeds import seeded
from sklearn_transfer.training.policies import Contrastive

CUDA = torch.cuda.is_available()
on_cuda = pytest.mark.skipif(not CUDA, reason="needs CUDA")
X = np.random.default_rng(0).standard_normal((48, 8)).astype(np.float32)
Y = np.array(["down", "up"])[(X[:, 0] > 0).astype(int)]
ON_CUDA = {"random_state": 0, "device": "cuda"}
BATCHES = {"max_epochs": 4, "batch_size": 16, "lr": 0.02}
PAIRS = Contrastive(n_steps=5, lr=0.01)
RECURRENT_PAIRS = Contrastive(n_steps=5, lr=0.01, n_layers=None)


def recurrent() -> Recurrent:
    """A pretrained module with LSTM layers."""
    with seeded(0, seed_global=True):
        return Recurrent()


MODULES: dict[str | None, Any] = {None: None, "module": body, "recurrent": recurrent}
# Pretrained model (None: numbers; in MODULES: a module over arrays), and the other parameters.
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "numbers": (None, {}),
    "numbers in batches": (None, {"optimizer": "adam", "hidden_layer_sizes": (5,)}),
    "words": ("vectors", {}),
    "words, char n-grams": ("vectors", {"char_ngram_range": (2, 3), "criterion": "cross_entropy"}),
    "words in batches": ("vectors", {"hidden_layer_sizes": (3,), "token_dropout": 0.2}),
    "words, averaged": ("vectors", {"optimizer": "adam", "average_last": 2}),
    "words, mixed": ("vectors", {"optimizer": "adam", "mixed_precision": True}),
    "attention": ("vectors", {"encoder": "attention"}),
    "cnn": ("vectors", {"encoder": "cnn", "encoder_params": {"filters": 4}, "l2_sp": 0.1}),
    "rnn": ("vectors", {"encoder": "rnn", "encoder_params": {"units": 4}}),
    "module, frozen": ("module", {"adaptation": "frozen"}),
    "module, full": ("module", {"early_stopping": True, "schedule": "linear"}),
    "module, gradual": ("module", {"adaptation": "gradual"}),
    "module, contrastive": ("module", {"adaptation": PAIRS}),
    "recurrent, contrastive": ("recurrent", {"adaptation": RECURRENT_PAIRS}),
    "words, scheduled": (
        "vectors",
        {"optimizer": "adam", "callbacks": [("rate", LRScheduler("StepLR", step_size=1))]},
    ),
    "sentences, frozen": ("sentences", {"adaptation": "frozen"}),
    "stored sentences, frozen": ("stored sentences", {"adaptation": "frozen"}),
    "sentences, top-1": ("sentences", {"adaptation": "top-1", "embedding_lr": 0.01}),
    "sentences, full": (
        "sentences",
        {
            "lr": 0.05,
            "embedding_lr": 0.003,
            "max_epochs": 8,
            "l2_sp": 0.1,
            "mixed_precision": True,
        },
    ),
    "sentences, contrastive": ("sentences", {"adaptation": PAIRS}),
}
SOLVED = {
    *("numbers", "words", "words, char n-grams"),
    *(kind for kind in KINDS if kind.endswith((", frozen", ", contrastive"))),
}
LOOSE = {"words, mixed", "sentences, full"}  # multiplied in bfloat16, here as float32


@pytest.fixture
def make(request: pytest.FixtureRequest, vectors, reviews):
    """An unfitted classifier of a kind, and its data."""

    def make(kind: str, **settings: Any) -> tuple[FineTunedClassifier, Any, Any]:
        given, how = KINDS[kind]
        usual = ON_CUDA if kind in SOLVED else {**ON_CUDA, **BATCHES}
        settings = {**usual, **copy.deepcopy(how), **settings}  # a callback belongs to one fit
        if given in MODULES:
            module = MODULES[given]
            return FineTunedClassifier(module() if module else None, **settings), X, Y
        if given in ("sentences", "stored sentences"):
            stored = given == "stored sentences"
            given = ContextualModel(
                request.getfixturevalue("tiny_model"),
                device="auto" if stored else "cpu",
                pickle_weights=stored,
            )
        else:
            given = vectors
        return FineTunedClassifier(given, **settings), *reviews

    return make


def without_cuda(path: Path) -> Any:
    """Logits that a process without CUDA computes with a pickled model."""
    code = (
        "import pickle, sys; import numpy as np; from pathlib import Path\n"
        "model, data = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "Path(sys.argv[1] + '.said').write_bytes(pickle.dumps(model.decision_function(data)))"
    )
    # The tests' folder, for classes that are pickled by reference.
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    options = {"env": {**os.environ, **environment}, "capture_output": True}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, str(path)], text=True, **options
    )
    assert done.returncode == 0, done.stderr
    return pickle.loads(path.with_name(path.name + ".said").read_bytes())


@pytest.mark.parametrize(("name", "found"), [("cpu", "cpu"), ("cuda:99", "cpu"), ("abacus", "cpu")])
def test_a_device_or_the_cpu(name: str, found: str):
    assert device_or_cpu(torch.device(name) if name != "abacus" else name) == found


@pytest.mark.parametrize(
    "device", ["mps", "meta", "xla", "vulkan", "hpu", "privateuseone", "xpu", "abacus", "cuda:99"]
)
def test_a_device_that_is_not_here_is_refused_in_two_lines(device: str):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("mps is here")
    with pytest.raises(ValueError, match=rf"device='{device}' cannot be used.*'cpu'") as raised:
        resolve_device(device)
    assert len(str(raised.value)) < 400
    assert "Facebook" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_memory_that_does_not_suffice_is_told_by_the_message(error: Exception, expected: bool):
    assert lacks_memory(error) is expected


@on_cuda
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_on_cuda_learns_repeats_and_is_opened_on_the_cpu(make, kind: str, tmp_path: Path):
    model, data, labels = make(kind)
    model.fit(data, labels)
    assert model.net_.device.type == "cuda"
    losses = [row["train_loss"] for row in model.history_]
    assert np.isfinite(losses).all()
    assert min(losses[1:], default=losses[0]) <= losses[0]
    said = model.decision_function(data)
    again, *_ = make(kind)
    np.testing.assert_allclose(again.fit(data, labels).decision_function(data), said, atol=1e-3)
    pickled = pickle.dumps((model, list(data) if isinstance(data, list) else data))
    (tmp_path / "model").write_bytes(pickled)
    tolerance = 0.05 * max(1.0, float(np.abs(said).max())) if kind in LOOSE else 1e-3
    np.testing.assert_allclose(without_cuda(tmp_path / "model"), said, atol=tolerance)
    here, _ = pickle.loads(pickled)
    np.testing.assert_allclose(here.decision_function(data), said, atol=1e-5)
    assert here.net_.device.type == "cuda"
    np.testing.assert_allclose(model.decision_function(data), said, atol=1e-5)  # as it was
    assert np.isfinite(model.transform(data)).all()
    assert np.isfinite(here.predict_proba(data)).all()


@on_cuda
@pytest.mark.parametrize("kind", ["numbers", "words", "module, frozen", "sentences, frozen"])
def test_the_solver_finds_the_same_on_cuda(make, kind: str):
    model, data, labels = make(kind)
    said = model.fit(data, labels).decision_function(data)
    on_cpu = make(kind, device="cpu")[0].fit(data, labels)
    other = on_cpu.decision_function(data)
    np.testing.assert_allclose(said, other, atol=1e-3)
    assert model.temperature_ == pytest.approx(on_cpu.temperature_, rel=0.01)


class Counting(Callback):
    """Counts the epochs of a fit."""

    n_epochs = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n_epochs += 1


class Stopping(Callback):
    """Raises as the third epoch begins."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > 2:
            raise OSError("stopped")


@on_cuda
@pytest.mark.parametrize("kind", ["words in batches", "cnn", "module, full", "sentences, top-1"])
def test_a_fit_on_cuda_goes_on(make, kind: str, tmp_path: Path):
    """By checkpoint, after a pickle, and in parts."""
    model, data, labels = make(kind, checkpoint=tmp_path / "c", early_stopping=False)
    whole = model.fit(data, labels).decision_function(data)
    short, *_ = make(kind, checkpoint=tmp_path / "d", early_stopping=False)
    with pytest.raises(OSError, match="stopped"):
        clone(short).set_params(callbacks=[Stopping()]).fit(data, labels)
    counting = Counting()
    short.set_params(callbacks=[counting]).fit(data, labels)
    assert counting.n_epochs == 2
    np.testing.assert_allclose(short.decision_function(data), whole, atol=1e-3)
    parts, *_ = make(kind, early_stopping=False)
    parts.set_params(schedule="constant").partial_fit(data, labels, classes=np.unique(labels))
    before = parts.decision_function(data)
    again = pickle.loads(pickle.dumps(parts)).partial_fit(data, labels).decision_function(data)
    assert not np.allclose(again, before)
    found = parts.partial_fit(data, labels).decision_function(data)
    np.testing.assert_allclose(found, again, atol=1e-3)


@on_cuda
@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 0.02), ("bfloat16", 0.1)])
def test_features_of_sentences_on_cuda(tiny_model: Path, reviews, precision, tolerance):
    texts = list(reviews[0])
    expected = ContextualModel(tiny_model, device="cpu").encode(texts)
    found = ContextualModel(tiny_model, device="cuda").encode(texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    lower = ContextualModel(tiny_model, device="cuda", precision=precision)
    np.testing.assert_allclose(lower.encode(texts), expected, atol=tolerance)
    embed = PretrainedEmbeddingTransformer(ContextualModel(tiny_model, device="cuda"))
    again = pickle.loads(pickle.dumps(embed.fit(texts)))
    np.testing.assert_allclose(again.transform(texts), expected, atol=1e-5)


@on_cuda
def test_a_batch_too_large_for_the_memory_is_halved(tiny_model: Path, reviews):
    texts = [f"{text} {i}" for i in range(2000) for text in reviews[0]]
    model = ContextualModel(tiny_model, device="cuda", batch_tokens=1 << 30, cache=None)
    model.encode(texts[:60])
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    room = torch.cuda.memory_reserved() + (100 << 20)
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        with pytest.warns(UserWarning, match="memory"):
            found = model.encode(texts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(found[:60], model.encode(texts[:60]), atol=1e-5)


@pytest.mark.skipif(CUDA, reason="needs a machine without CUDA")
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_of_a_device_that_is_not_here(make, kind: str):
    model, data, labels = make(kind, device="cpu")
    said = model.fit(data, labels).decision_function(data)
    net = model.net_
    net.device = net.iterator_train__device = net.iterator_valid__device = torch.device("cuda")
    features = model._fitted.representation.features
    if hasattr(features, "encoder"):
        features.device = torch.device("cuda")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(data), said)
    assert again.net_.device.type == "cpu"
    assert again.module_ is again.net_.module_
