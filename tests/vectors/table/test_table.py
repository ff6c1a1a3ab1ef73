from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.table.compression import quantise
from sklearn_transfer.vectors.table.table import Table, check_finite
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

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


WORDS = ["a", "b", "c", "d", "e"]


@pytest.fixture(params=["plain", "shared", "scaled", "both"])
def table(request: pytest.FixtureRequest) -> Table:
    """Five words over three or five rows."""
    rng = np.random.default_rng(0)
    rows = (
        np.array([2, 0, 0, 1, 2], dtype=np.int32) if request.param in ("shared", "both") else None
    )
    matrix = rng.normal(size=(5 if rows is None else 3, 4)).astype(np.float32)
    scales = rng.random(5, dtype=np.float32) if request.param in ("scaled", "both") else None
    return Table(Vocabulary(WORDS), matrix, rows=rows, scales=scales)


def naive(table: Table) -> NDArray[np.float32]:
    rows = range(len(table.words)) if table.rows is None else table.rows
    scales = np.ones(len(table.words)) if table.scales is None else table.scales
    return np.array(
        [
            np.float32(s) * table.matrix[r].astype(np.float32)
            for r, s in zip(rows, scales, strict=True)
        ]
    )


def test_vectors_are_scaled_rows(table: Table) -> None:
    expected = naive(table)
    np.testing.assert_array_equal(table.vectors(slice(None)), expected)
    np.testing.assert_array_equal(table.vectors(np.array([4, 0, 4])), expected[[4, 0, 4]])
    expanded = table.expanded()
    np.testing.assert_array_equal(expanded.matrix, expected)
    assert expanded.rows is None
    assert expanded.scales is None


def test_take_and_head_are_some_of_the_words(table: Table) -> None:
    chosen = table.take(np.array([3, 1, 0]))
    assert list(chosen.words) == ["d", "b", "a"]
    np.testing.assert_array_equal(naive(chosen), naive(table)[[3, 1, 0]])
    assert len(chosen.matrix) == 3
    np.testing.assert_array_equal(naive(table.head(2)), naive(table)[:2])


def test_int8_is_off_by_half_a_step_at_most(table: Table) -> None:
    small = quantise(table)
    assert small.matrix.dtype == np.int8
    assert small.matrix.shape == table.matrix.shape
    step = np.abs(naive(table)).max(axis=1, keepdims=True) / 127
    assert (np.abs(naive(small) - naive(table)) <= 0.5001 * step).all()


def test_int8_of_zeros_and_of_the_smallest_and_largest_numbers() -> None:
    matrix = np.array([[0, 0], [1e-45, 0], [3e38, -3e38]], dtype=np.float32)
    small = quantise(Table(Vocabulary(["a", "b", "c"]), matrix))
    np.testing.assert_allclose(small.vectors(slice(None)), [[0, 0], [0, 0], [3e38, -3e38]])


@pytest.mark.parametrize("rows", [[0, 1, 3], [-1, 0, 1]])
def test_rows_outside_the_matrix_are_refused(rows: list[int]) -> None:
    matrix = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(VectorFormatError, match=r"some.file: expected rows from 0 to 2, found"):
        Table.from_rows("abc", matrix, PATH, rows=np.array(rows, dtype=np.int32))


def test_repeated_words_lose_their_rows_and_factors() -> None:
    matrix, rows = np.eye(2, dtype=np.float32), np.array([1, 0, 0], dtype=np.int32)
    scales = np.array([1, 2, 3], dtype=np.float32)
    with pytest.warns(UserWarning, match="1 repeated"):
        table = Table.from_rows(["a", "a", "b"], matrix, PATH, rows=rows, scales=scales)
    assert table.vectors(slice(None)).tolist() == [[0, 1], [3, 0]]


def test_factors_that_are_not_finite_are_refused() -> None:
    scales = np.array([1, np.inf], dtype=np.float32)
    with pytest.raises(VectorFormatError, match=r"some.file: row 1 .* holds NaN or infinity"):
        Table.from_rows("ab", np.zeros((2, 1), dtype=np.float32), PATH, scales=scales)


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_factors_that_lead_beyond_float32_are_refused(dtype: type) -> None:
    scales = np.array([1, -3e38], dtype=np.float32)
    matrix = np.array([[1, -128], [2, 0]], dtype=dtype)
    with pytest.raises(VectorFormatError, match=r"some.file: word 1 .* too large for float32"):
        Table.from_rows("ab", matrix, PATH, scales=scales)
    shared = np.array([0, 1], dtype=np.int32)
    with pytest.raises(VectorFormatError, match="word 1 "):
        Table.from_rows("ab", matrix, PATH, rows=shared, scales=scales)
