from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer._validation import VectorFormatError
from sklearn_transfer.pretrained.table import Table, check_finite
from sklearn_transfer.pretrained.vocabulary import Vocabulary

PATH = Path("some.file")


def test_the_first_row_of_a_repeated_word_wins_and_a_warning_counts() -> None:
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2)
    with pytest.warns(UserWarning, match=r"^some.file: 2 repeated word\(s\)"):
        table = Table.from_rows(["a", "b", "a", "b"], matrix, PATH)
    assert list(table.words) == ["a", "b"]
    assert table.matrix.tolist() == [[0, 1], [2, 3]]


def test_the_warning_points_at_the_caller_of_the_package() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Table.from_rows(["a", "a"], np.zeros((2, 1), dtype=np.float32), PATH)
    assert caught[0].filename == __file__


def test_distinct_rows_are_not_copied() -> None:
    matrix = np.zeros((2, 3), dtype=np.float32)
    assert Table.from_rows(["a", "b"], matrix, PATH).matrix is matrix


def test_a_vocabulary_that_was_not_checked_is_checked() -> None:
    words = Vocabulary.from_encoded([b"aa"], [1, 1])
    with pytest.warns(UserWarning, match="1 repeated"):
        assert len(Table.from_rows(words, np.zeros((2, 1), dtype=np.float32), PATH).words) == 1


def test_words_and_rows_must_be_as_many() -> None:
    with pytest.raises(VectorFormatError, match="found 1 words and 2 rows"):
        Table.from_rows(["a"], np.zeros((2, 1), dtype=np.float32), PATH)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 70_000])
def test_values_that_are_not_finite_are_named_by_row(value: float, row: int) -> None:
    matrix = np.zeros((70_001, 100), dtype=np.float16)
    matrix[row, 7] = value
    with pytest.raises(VectorFormatError, match=rf"some.file: row {row} \(counted from 0\)"):
        check_finite(matrix, PATH)


def test_head_is_a_view_of_the_first_rows(tiny: Table) -> None:
    head = tiny.head(3)
    assert list(head.words) == ["the", "cat", "sat"]
    assert np.shares_memory(head.matrix, tiny.matrix)


@pytest.mark.parametrize("n_words", [None, 12, 1000])
def test_head_of_everything_is_the_table_itself(tiny: Table, n_words: int | None) -> None:
    assert tiny.head(n_words) is tiny
