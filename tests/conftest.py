"""What all tests share: a table of 12 words in 4 dimensions, and the same table as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer.pretrained.table import Table
from sklearn_transfer.pretrained.vocabulary import Vocabulary

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
