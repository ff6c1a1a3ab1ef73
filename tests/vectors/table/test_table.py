from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.table.compression import quantise
from sklearn_transfer.vectors.table.oov import Subwords
from sklearn_transfer.vectors.table.table import Reading, Table, as_float_matrix, check_finite
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer
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


@pytest.mark.parametrize("n_words", [1, 3])
def test_words_and_rows_must_be_as_many(n_words: int) -> None:
    with pytest.raises(VectorFormatError, match=f"found {n_words} words and 2 rows"):
        Table.from_rows("abc"[:n_words], np.zeros((2, 1), dtype=np.float32), PATH)


def test_the_first_row_that_is_not_finite_is_named() -> None:
    matrix = np.zeros((9, 2), dtype=np.float32)
    matrix[[3, 5, 8]] = np.nan
    with pytest.raises(VectorFormatError, match=r"row 3 \(counted"):
        check_finite(matrix, PATH)


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


def test_rows_of_any_integers_become_int32() -> None:
    rows = np.array([1, 0], dtype=np.int64)
    table = Table.from_rows("ab", np.eye(2, dtype=np.float32), PATH, rows=rows)
    assert table.rows is not None
    assert table.rows.dtype == np.int32


@pytest.mark.parametrize("n_scales", [1, 3])
def test_factors_must_be_as_many_as_words(n_scales: int) -> None:
    scales = np.ones(n_scales, dtype=np.float32)
    with pytest.raises(VectorFormatError, match="expected a row for each word"):
        Table.from_rows("ab", np.eye(2, dtype=np.float32), PATH, scales=scales)


def test_ngram_rows_that_are_not_finite_are_refused() -> None:
    subwords = Subwords(np.array([[0], [np.nan]], dtype=np.float32), 3, 6)
    with pytest.raises(VectorFormatError, match=r"some.file: row 1 .* holds NaN or infinity"):
        Table.from_rows("ab", np.zeros((2, 1), dtype=np.float32), PATH, subwords=subwords)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_a_table_that_is_expanded_keeps_all_but_shared_rows(dtype: type) -> None:
    n = 40_000
    subwords, tokenizer = Subwords(np.ones((1, 1), dtype=np.float32), 3, 6), TableTokenizer("{}")
    rows = (np.arange(n) % 100).astype(np.int32)
    matrix = np.arange(100)[:, None].astype(dtype)
    words = Vocabulary(map(str, range(n)))
    table = Table(words, matrix, subwords, rows, tokenizer=tokenizer)
    expanded = table.expanded()
    assert expanded.matrix.dtype == (np.float16 if dtype == np.float16 else np.float32)
    assert expanded.matrix[:, 0].tolist() == rows.tolist()
    assert (expanded.subwords, expanded.tokenizer) == (subwords, tokenizer)
    assert expanded.words is words
    assert expanded.expanded() is expanded


@pytest.mark.parametrize(("n_upper", "cased"), [(0, False), (2, False), (3, True)])
@pytest.mark.parametrize("step", [1, 100])
def test_more_than_one_word_in_a_hundred_in_upper_case_is_cased(
    n_upper: int, cased: bool, step: int
) -> None:
    words = [f"w{i}" for i in range(200)]
    words[5 : 5 + n_upper] = [f"W{i}" for i in range(n_upper)]
    if step > 1:  # of 20,000 words every second one is judged
        words = [f"{word}x{i}" for word in words for i in range(step)]
    assert Table(Vocabulary(words), np.zeros((len(words), 1), dtype=np.float32)).cased == cased


# ---- options ----


def test_options_are_checked_and_encodings_have_one_name() -> None:
    assert Reading(limit=1).limit == 1
    assert Reading(encoding="UTF8") == Reading()
    assert Reading(encoding="Latin-1").encoding == Reading(encoding="iso-8859-1").encoding
    for options, message in (
        ({"limit": 0}, "limit must be a positive number of words or None, got 0"),
        ({"errors": "surrogatepass"}, r"errors must be one of .*'strict'.*, got 'surrogatepass'"),
        ({"encoding": "utf-16"}, "encoding must be a codec of Python that contains ASCII"),
        ({"encoding": "no-such"}, "such as 'utf-8' or 'latin-1', got 'no-such'"),
    ):
        with pytest.raises(ValueError, match=message):
            Reading(**options)


def test_options_that_change_words_change_the_identity_of_a_table() -> None:
    assert Reading(limit=3, mmap=False, allow_pickle=True).identify("abc") == "abc"
    options = [Reading(encoding="latin-1"), Reading(errors="ignore"), Reading(errors="replace")]
    identities = {reading.identify(name) for reading in options for name in ("abc", "abd")}
    assert len(identities | {"abc", "abd"}) == 8


def test_words_are_decoded_as_the_options_say() -> None:
    words = [b"cat", "caf\u00e9".encode("latin-1"), "\u732b".encode()]
    assert Reading().decode(words[::2]) == words[::2]
    assert Reading(encoding="latin-1").decode(words[:2]) == [b"cat", "caf\u00e9".encode()]
    assert Reading(errors="ignore").decode(words) == [b"cat", b"caf", "\u732b".encode()]
    with pytest.raises(UnicodeDecodeError):
        Reading().decode(words)
    # Each word for itself: the bytes of a character are not in two words.
    assert Reading(errors="ignore").decode([b"\xc3", b"\xa9"]) == [b"", b""]


# ---- matrices ----


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", ">f2", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_become_float32_but_for_float16(dtype: str, order: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(dtype, order=order)
    matrix = as_float_matrix(values, PATH)
    assert matrix.dtype == (np.float16 if dtype.endswith("f2") else np.float32)
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, values)
    assert np.shares_memory(as_float_matrix(matrix, PATH), matrix)
    assert (as_float_matrix(np.array([[1e300]]), PATH) == np.inf).all()


@pytest.mark.parametrize("shape", [(6,), (2, 3, 1), (2, 0)])
def test_a_matrix_has_rows_and_columns(shape: tuple[int, ...]) -> None:
    with pytest.raises(VectorFormatError, match=r"some.file: expected a matrix of floats, found"):
        as_float_matrix(np.zeros(shape), PATH)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, bool, np.complex64])
def test_a_matrix_holds_floats(dtype: type) -> None:
    with pytest.raises(VectorFormatError, match=r"some.file: expected a matrix of floats, found"):
        as_float_matrix(np.zeros((2, 2), dtype=dtype), PATH)
