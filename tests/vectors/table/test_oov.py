from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from gensim.models.fasttext import FastTextKeyedVectors
from gensim.models.fasttext_inner import ft_hash_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_transfer.vectors.table.oov import Subwords, hashed_vectors

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def gensim_vectors(min_n: int, max_n: int, n_buckets: int = 50, dim: int = 3) -> Any:
    vectors = FastTextKeyedVectors(dim, min_n, max_n, n_buckets)
    rng = np.random.default_rng(0)
    vectors.vectors_ngrams = rng.standard_normal((n_buckets, dim)).astype(np.float32)
    return vectors


@settings(deadline=None)
@given(st.lists(texts, min_size=1), st.integers(1, 3), st.integers(0, 3))
def test_vectors_equal_those_of_gensim(words: list[str], min_n: int, more: int) -> None:
    theirs = gensim_vectors(min_n, min_n + more)
    ours = Subwords(theirs.vectors_ngrams, min_n, min_n + more).vectors(words)
    np.testing.assert_allclose(ours, [theirs[word] for word in words], rtol=1e-5, atol=1e-6)


def test_sums_agree_with_a_loop_over_the_ngrams() -> None:
    matrix = np.arange(14, dtype=np.float32).reshape(7, 2)
    sums, counts = Subwords(matrix, 3, 4).sums(["猫a", ""])
    ngrams = ["<猫a", "猫a>", "<猫a>"]
    expected = sum(matrix[ft_hash_bytes(ngram.encode()) % 7] for ngram in ngrams)
    assert sums.tolist() == [expected.tolist(), [0, 0]]
    assert counts.tolist() == [3, 0]


def test_a_word_too_short_for_ngrams_is_the_zero_vector() -> None:
    vectors = Subwords(np.ones((5, 2), dtype=np.float32), 5, 6).vectors(["", "a", "abc"])
    assert vectors.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_ngrams_longer_than_any_word_cost_nothing() -> None:
    matrix = np.ones((5, 2), dtype=np.float32)
    found, expected = (Subwords(matrix, 3, n).sums(["cat"])[1] for n in (2**31 - 1, 5))
    assert found.tolist() == expected.tolist() == [6]


def test_many_words_have_the_vectors_of_each() -> None:
    subwords = Subwords(np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32), 3, 6)
    words = ["ab" * 4000 + "c" * (i % 3) for i in range(40)]  # more than are looked up at a time
    together = subwords.vectors(words)
    assert together.shape == (40, 2)
    for i in (0, 31, 32, 39):
        np.testing.assert_array_equal(together[i], subwords.vectors([words[i]])[0])


def test_the_first_characters_of_a_long_word_are_read() -> None:
    subwords = Subwords(np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32), 3, 6)
    word = "ab" * 5000
    tracemalloc.start()
    vectors = subwords.vectors([word, word + "xyz" * 10**6, word[:-1]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])
    assert peak < 2 * 10**7


def test_no_words_give_no_vectors() -> None:
    assert Subwords(np.ones((5, 2), dtype=np.float32), 3, 6).vectors([]).shape == (0, 2)


def test_hashed_vectors_depend_on_the_word_alone() -> None:
    together = hashed_vectors(["cat", "dog", "cat"], 8, scale=0.5)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(together[1:2], hashed_vectors(["dog"], 8, scale=0.5))
    assert not np.array_equal(together[0], together[1])


def test_hashed_vectors_never_change_between_versions() -> None:
    # A head learned with them would silently lose what it knows.
    found = hashed_vectors(["cat"], 3, scale=1.0)
    mask, z = 2**64 - 1, 0
    for i, byte in enumerate(b"cat"):
        z = (z + (byte + 1) * pow(6364136223846793005, i + 1, 2**64)) & mask
    expected = []
    for k in range(1, 4):
        x = (z + k * 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        x ^= x >> 31
        expected.append(((x >> 40) / 2**24 * 2 - 1) * 3**0.5)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_hashed_vectors_have_the_scale_asked_for_and_no_direction() -> None:
    vectors = hashed_vectors([f"word{i}" for i in range(2000)], 50, scale=0.3)
    assert float(np.sqrt(np.mean(vectors**2))) == pytest.approx(0.3, rel=0.02)
    assert float(np.abs(vectors.mean(axis=0)).max()) < 0.03
    assert float(np.abs(np.corrcoef(vectors[:100])[np.triu_indices(100, 1)]).mean()) < 0.2
