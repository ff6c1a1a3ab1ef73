"""What all tests share: a table of 12 words in 4 dimensions, and the same table as files."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification

from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

OPINIONS = ["good", "great", "fine", "bad", "awful", "poor", "film", "plot", "the", "a"]
WORDS = ["the", "cat", "sat", "on", "mat", "The", "Paris", "naïve", "猫", "don't", "3.14", "</s>"]


@pytest.fixture(scope="session")
def tiny() -> Table:
    """The table that the files in tests/data hold."""
    values = (np.arange(48) * 37 % 97 - 48) / 97
    matrix = values.astype(np.float32).reshape(12, 4)
    matrix.flags.writeable = False
    return Table(Vocabulary(WORDS), matrix)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with a tiny file of each format."""
    return Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Converted tables of a test lie in a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def only_the_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where results repeat bit for bit; what tests accelerators is in test_devices."""
    if request.path.name != "test_devices.py":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


@pytest.fixture(autouse=True, scope="module")
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for tests of tiny modules: more would only wait for each other."""
    n_threads = torch.get_num_threads()
    if request.path.parent.name in ("contextual", "explanation", "models", "training"):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads, which the code under test must restore."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def pyplot() -> Iterator[ModuleType]:
    """matplotlib.pyplot without a screen, of the extra plot."""
    matplotlib = pytest.importorskip("matplotlib", exc_type=ImportError)
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="session")
def vectors() -> PretrainedVectors:
    """Words of opinions, whose first dimension is whether they are good."""
    values = np.random.default_rng(1).normal(0, 0.3, (len(OPINIONS), 4)).astype(np.float32)
    values[:3, 0] += 1
    values[3:6, 0] -= 1
    return PretrainedVectors(OPINIONS, values)


@pytest.fixture(scope="session")
def reviews() -> tuple[list[str], np.ndarray]:
    """60 texts, and whether they are favourable."""
    generator = np.random.default_rng(0)
    texts, labels = [], []
    for i in range(60):
        tone = ["good", "great"] if i % 2 else ["bad", "awful"]
        filler = generator.choice(["film", "plot", "the", "a", "zork"], 5)
        texts.append(" ".join([*generator.choice(tone, 2), *filler]))
        labels.append("yes" if i % 2 else "no")
    return texts, np.array(labels)


@pytest.fixture(scope="session")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    """120 samples of 8 features, and their three classes."""
    return make_classification(120, 8, n_informative=5, n_classes=3, random_state=0, class_sep=2.0)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny sentence encoder; of the extra contextual."""
    toys = pytest.importorskip("contextual_toys", exc_type=ImportError)
    return toys.save_tiny(tmp_path_factory.mktemp("contextual"))
