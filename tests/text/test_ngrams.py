from __future__ import annotations

import tracemalloc
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer

from sklearn_transfer._utils.texts import LONGEST_WORD
from sklearn_transfer.text.ngrams import (
    CharNgrams,
    WordNgrams,
    _count_pairs,
    add_counts,
    as_index,
    count_keys,
    count_tokens,
    document_frequency,
)
from sklearn_transfer.text.tokenization.token_ids import TokenIds
from sklearn_transfer.text.tokenization.tokens import Tokenizer

TEXTS = ["a b a b c", "", "b a b", "c", "a a a a", "猫 naïve b c 猫", "c b a", "a b c b a"]
NEW = ["a b d b c", "d", "", "c b a a b", "x a b", "a b a x b a"]
SENTENCES = st.lists(
    st.lists(st.sampled_from(["a", "b", "naïve", "猫", "word"]), max_size=8).map(" ".join),
    min_size=1,
    max_size=6,
)
Weights = NDArray[np.float64]


def split(texts: list[str]) -> tuple[list[str], TokenIds]:
    return Tokenizer(partial(map, str.split))(texts)


def ones(texts: list[str]) -> Weights:
    return np.ones(len(texts))


def number(texts: list[str], tokens: list[str]) -> TokenIds:
    """Texts as positions in tokens; all others have the next number."""
    found, token_ids = split(texts)
    known = {token: i for i, token in enumerate(tokens)}
    new = np.array([known.get(token, len(tokens)) for token in found], dtype=np.int64)
    return token_ids.translate(new)


def names(ngrams: WordNgrams, tokens: list[str], token_ids: TokenIds, n: int) -> list[str]:
    """The n-gram of each column, from the texts that it was learned from."""
    columns = ngrams.find(token_ids)[n - 2].tolist()
    ids = token_ids.ids.tolist()
    name = {c: " ".join(tokens[j] for j in ids[i : i + n]) for i, c in enumerate(columns) if c >= 0}
    return [name[i] for i in range(len(name))]


def count_found(columns: NDArray[np.int64], token_ids: TokenIds, n_columns: int) -> csr_array:
    """Counts of the columns that were found at the tokens of texts."""
    ids = columns.astype(np.int32)
    return count_tokens(TokenIds(ids, token_ids.offsets).only(columns >= 0), n_columns)


def char_names(ngrams: CharNgrams, words: list[str]) -> list[str]:
    """The n-gram of each column, from the words that it was learned from."""
    name = {}
    for word in words:
        spaced = f" {word} "
        whole = [spaced] if len(spaced) < ngrams.min_n else []
        parts = [
            spaced[i : i + n]
            for n in range(ngrams.min_n, ngrams.max_n + 1)
            for i in range(len(spaced) - n + 1)
        ]
        name |= dict(zip(ngrams.find([word]).ids.tolist(), whole + parts, strict=True))
    return [name[i] for i in range(len(name))]


def vectorizer(n: int) -> CountVectorizer:
    return CountVectorizer(tokenizer=str.split, token_pattern=None, ngram_range=(n, n))


def by_name(counts: csr_array, columns: list[str]) -> list[dict[str, int]]:
    dense = counts.toarray().astype(int)
    return [{name: n for name, n in zip(columns, row, strict=True) if n} for row in dense.tolist()]


def reference(
    vectorizer: CountVectorizer, fit: list[str], texts: list[str]
) -> list[dict[str, int]]:
    try:
        vectorizer.fit(fit)
    except ValueError:  # scikit-learn refuses an empty vocabulary
        return [{} for _ in texts]
    return by_name(vectorizer.transform(texts), vectorizer.get_feature_names_out().tolist())


# ---- words ----


def test_count_tokens_is_count_vectorizer() -> None:
    tokens, token_ids = split(TEXTS)
    counts = count_tokens(token_ids, len(tokens))
    assert by_name(counts, tokens) == reference(vectorizer(1), TEXTS, TEXTS)


def test_count_tokens_leaves_the_tokens_as_they_are() -> None:
    tokens, token_ids = split(TEXTS)
    ids, offsets = token_ids.ids.copy(), token_ids.offsets.copy()
    count_tokens(token_ids, len(tokens))
    np.testing.assert_array_equal(token_ids.ids, ids)
    np.testing.assert_array_equal(token_ids.offsets, offsets)


def test_document_frequency_counts_texts() -> None:
    tokens, token_ids = split(TEXTS)
    found = document_frequency(count_tokens(token_ids, len(tokens)))
    expected = [sum(token in text.split() for text in TEXTS) for token in tokens]
    assert found.tolist() == expected


def test_document_frequency_of_weighted_texts_is_their_weight() -> None:
    tokens, token_ids = split(TEXTS)
    weight = np.arange(len(TEXTS)) + 0.5
    found = document_frequency(count_tokens(token_ids, len(tokens)), weight)
    expected = [
        sum(w for text, w in zip(TEXTS, weight, strict=True) if token in text.split())
        for token in tokens
    ]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("size", "dtype"), [(2**31 - 1, np.int32), (2**31, np.int64)])
def test_an_index_has_32_bits_where_they_suffice(size: int, dtype: type) -> None:
    for own in (np.int32, np.int64):
        array = np.arange(3, dtype=own)
        found = as_index(array, size)
        assert found.dtype == dtype
        assert np.shares_memory(found, array) == (own == dtype)


# ---- n-grams of words ----


@pytest.mark.parametrize("min_df", [1, 2, 3])
@settings(derandomize=True, max_examples=30, deadline=None)
@given(texts=SENTENCES)
def test_word_ngrams_are_those_of_count_vectorizer(min_df: int, texts: list[str]) -> None:
    tokens, token_ids = split(texts)
    ngrams = WordNgrams(len(tokens), 4)
    counted = ngrams.fit_count(token_ids, ones(texts), min_df)
    for n, counts in enumerate(counted, start=2):
        found = by_name(counts, names(ngrams, tokens, token_ids, n))
        whole = reference(vectorizer(n), texts, texts)
        frequent = [
            {
                gram: times
                for gram, times in row.items()
                if sum(gram in other for other in whole) >= min_df
            }
            for row in whole
        ]
        assert found == frequent


@pytest.mark.parametrize("n", [2, 3])
def test_counting_other_texts_is_transform(n: int) -> None:
    tokens, token_ids = split(TEXTS)
    ngrams = WordNgrams(len(tokens), 3)
    ngrams.fit_count(token_ids, ones(TEXTS), 1)
    columns = names(ngrams, tokens, token_ids, n)
    new = number(NEW, tokens)
    counts = count_found(ngrams.find(new)[n - 2], new, len(columns))
    assert by_name(counts, columns) == reference(vectorizer(n), TEXTS, NEW)


def test_counting_the_same_texts_gives_the_same() -> None:
    tokens, token_ids = split(TEXTS)
    ngrams = WordNgrams(len(tokens), 3)
    learned = ngrams.fit_count(token_ids, ones(TEXTS), 2)
    for first, columns in zip(learned, ngrams.find(token_ids), strict=True):
        again = count_found(columns, token_ids, first.shape[1])
        np.testing.assert_array_equal(again.toarray(), first.toarray())


def test_no_ngram_reaches_over_an_unknown_word() -> None:
    tokens, token_ids = split(["a b", "b c"])
    ngrams = WordNgrams(len(tokens), 2)
    ngrams.fit_count(token_ids, ones(["", ""]), 1)
    (columns,) = ngrams.find(number(["a x b", "a b x b c"], tokens))
    assert columns.tolist() == [-1, -1, -1, 0, -1, -1, 1, -1]


def test_no_ngram_reaches_over_the_end_of_a_text() -> None:
    tokens, token_ids = split(["a", "b", "", "a"])
    assert WordNgrams(len(tokens), 2).fit_count(token_ids, np.ones(4), 1)[0].shape == (4, 0)


def test_a_text_of_weight_two_counts_as_two() -> None:
    tokens, token_ids = split(["a b c", "b c d"])
    ngrams = WordNgrams(len(tokens), 2)
    ngrams.fit_count(token_ids, np.array([1.0, 2.0]), 2)
    assert names(ngrams, tokens, token_ids, 2) == ["b c", "c d"]


def test_word_counts_are_float32() -> None:
    tokens, token_ids = split(TEXTS)
    (counts,) = WordNgrams(len(tokens), 2).fit_count(token_ids, ones(TEXTS), 1)
    assert counts.dtype == np.float32


@settings(derandomize=True)
@given(st.lists(st.lists(st.one_of(st.integers(-1, 5), st.integers(0, 2**62)), max_size=9)))
def test_pairs_are_counted_in_63_bits_or_in_more(texts: list[list[int]]) -> None:
    keys = np.array([key for text in texts for key in text], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, texts)])
    counted = _count_pairs(keys, TokenIds(np.zeros(len(keys), dtype=np.int32), offsets))
    expected = Counter((key, i) for i, text in enumerate(texts) for key in text if key >= 0)
    assert [((key, i), n) for key, i, n in zip(*counted, strict=True)] == sorted(expected.items())


# ---- n-grams of characters ----


@pytest.mark.parametrize("ngram_range", [(1, 1), (2, 4), (3, 3), (4, 6), (9, 9)])
@settings(derandomize=True, max_examples=30, deadline=None)
@given(texts=SENTENCES, new=SENTENCES)
def test_character_ngrams_are_char_wb(
    ngram_range: tuple[int, int], texts: list[str], new: list[str]
) -> None:
    tokens, token_ids = split(texts)
    ngrams = CharNgrams(*ngram_range)
    learned = ngrams.fit_count(tokens, count_tokens(token_ids, len(tokens)), ones(texts), 1)
    char_wb = CountVectorizer(analyzer="char_wb", ngram_range=ngram_range, lowercase=False)
    columns = char_names(ngrams, tokens)
    assert by_name(learned, columns) == reference(char_wb, texts, texts)
    tokens, token_ids = split(new)
    counts = count_tokens(token_ids, len(tokens)) @ count_tokens(ngrams.find(tokens), len(columns))
    assert by_name(counts, columns) == reference(char_wb, texts, new)


def test_rare_character_ngrams_are_dropped_by_weight() -> None:
    texts = ["ab", "bc", "cd"]
    tokens, token_ids = split(texts)
    ngrams = CharNgrams(2, 2)
    counts = count_tokens(token_ids, 3)
    assert ngrams.fit_count(tokens, counts, np.array([1.0, 1.0, 2.0]), 2).shape == (3, 3)
    assert ngrams.find(["ab", "cd", "bc"]).lengths.tolist() == [0, 3, 0]


def test_columns_stay_in_step_where_rare_ones_are_dropped() -> None:
    texts = ["ab", "ab bc", "cd"]
    tokens, token_ids = split(texts)
    counts = count_tokens(token_ids, len(tokens))
    ngrams = CharNgrams(2, 3)
    learned = ngrams.fit_count(tokens, counts, np.ones(3), 2)
    again = counts @ count_tokens(ngrams.find(tokens), learned.shape[1])
    np.testing.assert_array_equal(again.toarray(), learned.toarray())


def test_texts_without_words_have_no_character_ngrams() -> None:
    tokens, token_ids = split(["", ""])
    ngrams = CharNgrams(2, 4)
    counts = count_tokens(token_ids, 0)
    assert ngrams.fit_count(tokens, counts, np.ones(2), 1).shape == (2, 0)
    assert len(ngrams.find(["new"]).ids) == 0


def test_character_counts_are_float32() -> None:
    tokens, token_ids = split(TEXTS)
    ngrams = CharNgrams(2, 3)
    counts = ngrams.fit_count(tokens, count_tokens(token_ids, len(tokens)), ones(TEXTS), 1)
    assert counts.dtype == np.float32


# ---- long words, and many ----


def learned(words: list[str]) -> CharNgrams:
    ngrams = CharNgrams(2, 4)
    ngrams.fit_count(words, csr_array(np.eye(len(words), dtype=np.float32)), ones(words), 0)
    return ngrams


def test_many_words_have_the_columns_of_each() -> None:
    ngrams = learned(["abcab", "bca", "é"])
    words = [("abc" * 3000)[: 100 * i] for i in range(80)]  # more than are searched at a time
    found = ngrams.find(words)
    assert len(found) == len(words)
    for i in (0, 1, 40, 79):
        alone = ngrams.find([words[i]]).ids
        np.testing.assert_array_equal(found[np.array([i])].ids, alone)


def test_the_first_characters_of_a_long_word_are_read() -> None:
    ngrams = learned(["aab", "abb"])
    start = ("aab" * LONGEST_WORD)[:LONGEST_WORD]
    expected, found = ngrams.find([start]), ngrams.find([start + "zb" * 10**6])
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert len(expected.ids) > LONGEST_WORD / 2
    assert ngrams.find([start[:-1] + "b"]).ids.tolist() != expected.ids.tolist()


def test_a_long_word_takes_little_memory() -> None:
    ngrams = learned(["aab", "abb"])
    words = ["ab" * 10**6]
    tracemalloc.start()
    ngrams.find(words)
    learned(words)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 10**7


@settings(derandomize=True)
@given(st.lists(st.lists(st.integers(0, 9)), min_size=1, max_size=4))
def test_counts_are_added(parts: list[list[int]]) -> None:
    keys, times = add_counts(count_keys(np.array(part, dtype=np.int64)) for part in parts)
    expected = Counter(key for part in parts for key in part)
    assert dict(zip(keys.tolist(), times.tolist(), strict=True)) == expected
    assert keys.tolist() == sorted(expected)
