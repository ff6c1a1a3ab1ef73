from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer._utils.errors import MissingDependencyError, VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.table.table import Table


@pytest.fixture
def copied(tmp_path: Path, data: Path) -> Path:
    return Path(shutil.copytree(data / "wheel", tmp_path / "wheel"))


def test_words_and_rows_belong_together(data: Path, tiny: Table) -> None:
    table = formats.read(data / "wheel")
    assert list(table.words) == list(tiny.words)
    assert table.words.find(["猫", "no"]).tolist() == [8, -1]
    assert table.matrix.flags.c_contiguous
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


def test_limit_takes_the_first_words(data: Path, tiny: Table) -> None:
    table = formats.read(data / "wheel", limit=3)
    assert list(table.words) == ["the", "cat", "sat"]
    np.testing.assert_array_equal(table.matrix, tiny.matrix[:3])


def test_without_pyarrow_the_extra_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r'pip install -e "\.\[glove\]"'):
        formats.read(data / "wheel")


def test_another_number_of_rows_is_an_error(copied: Path) -> None:
    np.save(copied / "tiny_emb.npy", np.zeros((11, 4), dtype=np.float32))
    with pytest.raises(VectorFormatError, match="found 12 words and 11 rows"):
        formats.read(copied)


@pytest.mark.parametrize(
    "matrix", [np.zeros(12, dtype=np.float32), np.zeros((12, 4), dtype=np.int8)]
)
def test_another_array_than_a_matrix_of_floats_is_an_error(
    copied: Path, matrix: np.ndarray
) -> None:
    np.save(copied / "tiny_emb.npy", matrix)
    with pytest.raises(VectorFormatError, match=r"tiny_emb.npy: expected a matrix of floats"):
        formats.read(copied)


@pytest.mark.parametrize("name", ["tiny_emb.npy", "tiny_index.parquet"])
def test_a_cut_file_is_named(copied: Path, name: str) -> None:
    (copied / name).write_bytes((copied / name).read_bytes()[:-1])
    with pytest.raises(VectorFormatError, match=f"{name}: cannot be (opened|read)"):
        formats.read(copied)


@pytest.mark.parametrize("name", ["tiny_emb.npy", "tiny_index.parquet"])
def test_damage_is_an_error_or_another_table(copied: Path, survive, name: str) -> None:
    for table in survive(copied / name, copied):
        assert table.matrix.ndim == 2
