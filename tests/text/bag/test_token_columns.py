from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from sklearn_transfer._utils.objects.state import State
from sklearn_transfer.text.bag.token_columns import TokenColumns
from sklearn_transfer.text.ngrams import count_tokens
from sklearn_transfer.text.tokenization.token_ids import TokenIds


def test_a_long_text_has_the_columns_of_the_fit() -> None:
    # More n-grams than are counted at a time.
    words = [("abcd"[i % 4 :] + "ab" * (i + 1)) * 2500 for i in range(6)]
    lengths = np.array([60, 2, 0, 3])
    ids = np.random.default_rng(0).integers(0, 6, lengths.sum()).astype(np.int32)
    texts = TokenIds(ids, np.append(0, np.cumsum(lengths)))
    columns = TokenColumns((1, 2), (2, 4), 1.0)
    fitted = columns.fit_transform(words, count_tokens(texts, 6), texts, None, np.ones(4))
    transformed = columns.transform(words, np.arange(6), texts)
    np.testing.assert_allclose(transformed.toarray(), fitted.toarray(), rtol=1e-5)


def test_a_long_text_of_unknown_words_is_counted_in_parts() -> None:
    columns = TokenColumns((1, 1), (2, 4), 1.0)
    texts = TokenIds(np.array([0, 1], dtype=np.int32), np.array([0, 1, 2]))
    columns.fit_transform(["abab", "c"], csr_array(np.eye(2)), texts, None, np.ones(2))
    long, short = (
        columns.transform(
            ["ab" * 10_000] * n,
            np.full(n, -1),
            TokenIds(np.arange(n, dtype=np.int32), np.array([0, n])),
        )
        for n in (40, 1)
    )
    np.testing.assert_array_equal(long.indices, short.indices)
    # The weights of n-grams that occur equally often do not change with their number.
    np.testing.assert_allclose(np.linalg.norm(long.toarray()), np.linalg.norm(short.toarray()))


# ---- blocks ----

WORDS = ["aa", "b", "cc"]
BLOCKS = {
    # lengths of word n-grams, of character n-grams, columns by block, norms of the blocks
    "words": ((1, 1), None, [3], [1]),
    "bigrams": ((1, 2), None, [3, 3], [1, 0.7]),
    "bigrams alone": ((2, 2), None, [3], [0.7]),
    "2-3-grams": ((2, 3), None, [3, 3], [0.7, 0.7]),
    "3-grams alone": ((3, 3), None, [3], [0.7]),
    "characters": ((1, 1), (2, 2), [3, 8], [1, 0.7]),
    "all": ((1, 3), (2, 2), [3, 3, 3, 8], [1, 0.7, 0.7, 0.7]),
}


def token_ids(*texts: list[int]) -> TokenIds:
    ids = np.array([i for text in texts for i in text], dtype=np.int32)
    return TokenIds(ids, np.cumsum([0, *map(len, texts)]))


def fit(columns: TokenColumns, texts: TokenIds, weight: np.ndarray | None = None) -> csr_array:
    counts = count_tokens(texts, len(WORDS))
    weight = np.ones(len(texts)) if weight is None else weight
    return columns.fit_transform(WORDS, counts, texts, None, weight)


@pytest.mark.parametrize(("ngrams", "chars", "sizes", "norms"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_has_its_columns_and_its_norm(
    ngrams: tuple[int, int], chars: tuple[int, int] | None, sizes: list[int], norms: list[float]
) -> None:
    texts = token_ids([0, 1, 2, 0, 1], [])
    columns = TokenColumns(ngrams, chars, 2.0)
    fitted = fit(columns, texts)
    assert np.diff(columns.bounds).tolist() == sizes
    for found in (fitted, columns.transform(WORDS, np.arange(3), texts)):
        row, empty = found.toarray()
        parts = np.split(row, columns.bounds[1:-1])
        np.testing.assert_allclose([np.linalg.norm(p) for p in parts], 2 * np.array(norms))
        assert all(part.all() for part in parts)
        assert not empty.any()


def test_a_block_without_an_entry_stays_at_zero() -> None:
    columns = TokenColumns((1, 2), (2, 2), 1.0)
    fitted = fit(columns, token_ids([0], [1, 2]))
    assert np.isfinite(fitted.data).all()
    assert fitted.toarray()[0, columns.bounds[1] : columns.bounds[2]].tolist() == [0]


@pytest.mark.parametrize(("more", "n_columns"), [(0.0, 2), (1.0, 1)])
def test_ngrams_of_more_than_1000_texts_must_occur_in_two(more: float, n_columns: int) -> None:
    columns = TokenColumns((2, 2), None, 1.0)
    found = fit(columns, token_ids([0, 1], [1, 2]), np.array([1.0, 999 + more]))
    assert found.shape[1] == n_columns


@pytest.mark.parametrize(
    ("lengths", "weight", "has"),
    [
        ([60, 60], [1, 1], True),
        ([60, 61], [1, 1], False),
        ([30, 3], [1, 1], True),
        ([100, 10], [1, 3], True),  # on average, by weight
        ([100, 10], [3, 1], False),
    ],
)
def test_automatic_character_ngrams_are_for_texts_of_up_to_60_tokens(
    lengths: list[int], weight: list[int], has: bool
) -> None:
    columns = TokenColumns((1, 1), "auto", 1.0)
    texts = token_ids(*(([0, 1, 2] * 40)[:n] for n in lengths))
    fit(columns, texts, np.array(weight, dtype=float))
    assert len(columns.bounds) == (3 if has else 2)
    assert not has or columns.bounds[-1] == 3 + 15  # the 2-, 3- and 4-grams of the words


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2), (2, 3)])
def test_unknown_words_have_no_columns_and_end_ngrams(ngrams: tuple[int, int]) -> None:
    columns = TokenColumns(ngrams, None, 1.0)
    fit(columns, token_ids([0, 1, 2, 0, 1, 2]))
    known = columns.transform(WORDS, np.arange(3), token_ids([0, 1], [2, 0], [1]))
    words, word = [*WORDS, "x", "y"], np.array([0, 1, 2, -1, -1])
    mixed = columns.transform(words, word, token_ids([3, 0, 1, 4], [2, 0, 3], [4, 1], [3, 4, 4]))
    np.testing.assert_allclose(mixed.toarray()[:3], known.toarray(), rtol=1e-6)
    assert not mixed.toarray()[3].any()


def test_unknown_words_have_the_characters_of_known_ones() -> None:
    columns = TokenColumns((1, 1), (2, 2), 1.0)
    fit(columns, token_ids([0, 1, 2]))
    found = columns.transform(["aac", "zz", "cc"], np.array([-1, -1, 2]), token_ids([1, 0], [2]))
    rows = found.toarray()
    assert not rows[0, :3].any()
    assert np.count_nonzero(rows[0, 3:]) == 3  # " a", "aa" and "c ", but not "ac"
    np.testing.assert_allclose(np.linalg.norm(rows[:, 3:], axis=1), 0.7, rtol=1e-6)
    columns = TokenColumns((1, 1), None, 1.0)
    fit(columns, token_ids([0, 1, 2]))
    assert columns.transform(["aac"], np.array([-1]), token_ids([0])).nnz == 0


def test_long_and_short_unknown_words_are_counted_together() -> None:
    columns = TokenColumns((1, 1), (2, 2), 1.0)
    fit(columns, token_ids([0, 1, 2]))
    words = ["ac" * 5000, "aa", "ca" * 5000]
    # In parts of about a million n-grams.
    texts = [[0, 1, 2] * 80, [1], [2, 0] * 60, [], [0]]
    found = columns.transform(words, np.full(3, -1), token_ids(*texts)).toarray()
    alone = [
        columns.transform(words, np.full(3, -1), token_ids(text)).toarray()[0] for text in texts
    ]
    np.testing.assert_allclose(found, alone, rtol=1e-6)


def test_no_texts_have_no_rows() -> None:
    columns = TokenColumns((1, 2), (2, 2), 1.0)
    fit(columns, token_ids([0, 1, 2]))
    found = columns.transform([], np.zeros(0, dtype=np.int64), token_ids())
    assert found.shape == (0, columns.bounds[-1])


def test_a_long_text_of_long_unknown_words_takes_little_memory() -> None:
    columns = TokenColumns((1, 1), (2, 4), 1.0)
    fit(columns, token_ids([0, 1, 2]))
    text = token_ids([0] * 160)  # about five million n-grams
    tracemalloc.start()
    columns.transform(["ac" * 5000], np.array([-1]), text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4.5e7  # 64 MB at once


def test_more_cells_than_32_bits_can_number() -> None:
    n_words, n_texts = 3000, 750_000
    words = [str(i) for i in range(n_words)]
    columns = TokenColumns((1, 1), None, 1.0)
    every = token_ids(list(range(n_words)))
    columns.fit_transform(words, count_tokens(every, n_words), every, None, np.ones(1))
    offsets = np.append(np.zeros(n_texts, dtype=np.int64), 2)
    last = TokenIds(np.array([0, n_words - 1], dtype=np.int32), offsets)
    found = columns.transform(words, np.arange(n_words), last)
    assert found.shape == (n_texts, n_words)
    assert found.nonzero()[0].tolist() == [n_texts - 1] * 2
    assert found.indices.tolist() == [0, n_words - 1]


# ---- characters as tokens ----

LETTERS = list("abcde")


def fit_letters(columns: TokenColumns, texts: TokenIds) -> csr_array:
    counts = count_tokens(texts, len(LETTERS))
    return columns.fit_transform(LETTERS, counts, texts, None, np.ones(len(texts)))


@pytest.mark.parametrize(
    ("ngrams", "chars", "n_blocks"),
    [("auto", "auto", 1), ((1, 1), "auto", 1), ((2, 3), None, 1), ((1, 2), (2, 2), 2)],
)
def test_ngrams_of_characters_of_all_lengths_are_one_block(
    ngrams: Any, chars: Any, n_blocks: int
) -> None:
    columns = TokenColumns(ngrams, chars, 2.0)
    texts = token_ids([0, 1, 2, 3, 4, 0], [2, 1], [3])
    fitted = fit_letters(columns, texts)
    assert columns.unit.name == "character"
    assert len(columns.bounds) == n_blocks + 1
    length = np.sqrt(np.square(fitted[:, : columns.bounds[1]].toarray()).sum(axis=1))
    np.testing.assert_allclose(length[:2], 2.0, rtol=1e-6)
    found = columns.transform(LETTERS, np.arange(5), texts)
    np.testing.assert_allclose(found.toarray(), fitted.toarray(), rtol=1e-6)
    spread = columns.spread(LETTERS, np.arange(5), texts)
    sums = [part.sum(axis=0) for part in np.split(spread.toarray(), texts.offsets[1:-1])]
    np.testing.assert_allclose(sums, fitted.toarray(), rtol=1e-6)


def test_characters_have_ngrams_of_up_to_four_and_no_character_ngrams() -> None:
    columns = TokenColumns("auto", "auto", 1.0)
    fit_letters(columns, token_ids([0, 1, 2, 3, 4]))
    names = [columns.name(i, LETTERS) for i in range(columns.bounds[-1])]
    assert names == [
        *LETTERS,
        *("a b", "b c", "c d", "d e"),
        *("a b c", "b c d", "c d e"),
        *("a b c d", "b c d e"),
    ]


def test_words_have_pairs_and_character_ngrams() -> None:
    columns = TokenColumns("auto", "auto", 1.0)
    counts = count_tokens(texts := token_ids([0, 1]), 2)
    columns.fit_transform(["good", "food"], counts, texts, None, np.ones(1))
    assert columns.ngram_range == (1, 2)
    assert len(columns.bounds) == 4


def test_a_model_file_keeps_the_norms_of_its_fit() -> None:
    columns, texts = TokenColumns((1, 2), (2, 2), 1.0), token_ids([0, 1, 2])
    fitted = fit(columns, texts)
    state = {**columns.to_state(), "norms": np.array([1.0, 1.4, 0.5])}
    del state["token_unit"]  # a file of an older version
    made = TokenColumns.from_state(State("columns", state))
    found = made.transform(WORDS, np.arange(3), texts).toarray()[0]
    parts = np.split(found, columns.bounds[1:-1])
    np.testing.assert_allclose([np.linalg.norm(p) for p in parts], [1, 1.4, 0.5], rtol=1e-6)
    assert fitted.shape[1] == len(found)
