"""Counts of words, word n-grams and character n-grams, by arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from ..vectors.table.vocabulary import Vocabulary, character_ngrams, pack, pack_slices
from .tokens import TokenIds

Integers = NDArray[np.int64]


def as_index(array: Integers, size: int) -> NDArray[np.integer]:
    """An index array of the smallest type for `size` elements, which SciPy then keeps."""
    return array.astype(np.int32 if size < 2**31 else np.int64, copy=False)


def count_tokens(token_ids: TokenIds, n_tokens: int) -> csr_array:
    """How often each token occurs in each text, float32, shape (n_texts, n_tokens)."""
    ones = np.ones(len(token_ids.ids), dtype=np.float32)
    # Copies, because sum_duplicates works in place.
    arrays = (ones, token_ids.ids.copy(), as_index(token_ids.offsets.copy(), len(ones)))
    counts = csr_array(arrays, shape=(len(token_ids), n_tokens))
    counts.sum_duplicates()
    return counts


def document_frequency(
    counts: csr_array, sample_weight: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Number (or total weight) of the texts in which each column occurs, shape (n_columns,)."""
    weight = None
    if sample_weight is not None:
        weight = np.repeat(sample_weight, np.diff(counts.indptr))
    found = np.bincount(counts.indices, weights=weight, minlength=counts.shape[1])
    return found.astype(np.float64)


class WordNgrams:
    """The word n-grams of a collection of texts, as columns.

    An n-gram is an (n-1)-gram and one more token, so its key is the integer
    ``column * n_tokens + token``. One sort of the pairs of key and text gives the distinct n-grams,
    in how many texts they occur and how often.

    Parameters
    ----------
    n_tokens : int
        Known tokens have the ids 0 to ``n_tokens - 1``; others interrupt an n-gram.
    max_n : int
        Length of the longest n-grams, at least 2; the shortest are bigrams.
    """

    def __init__(self, n_tokens: int, max_n: int) -> None:
        self.n_tokens, self.max_n = n_tokens, max_n

    def fit_count(
        self, token_ids: TokenIds, sample_weight: NDArray[np.floating], min_df: float
    ) -> list[csr_array]:
        """Learn the n-grams of texts and count them.

        Parameters
        ----------
        token_ids : TokenIds, length n_texts
        sample_weight : ndarray of float, shape (n_texts,)
        min_df : float
            N-grams in texts of a smaller total weight are dropped, and longer ones with them.

        Returns
        -------
        list of csr_array of float32, shape (n_texts, n_columns)
            One for each length from 2 to `max_n`.
        """
        self._keys: list[Integers] = []
        counts = []
        grams = self._unigrams(token_ids)
        for n in range(2, self.max_n + 1):
            grams = self._lengthen(token_ids, grams, n)
            keys, text, times = _count_pairs(grams, token_ids)
            new = np.diff(keys, prepend=-1) != 0
            column = np.cumsum(new) - 1
            kept = np.bincount(column, weights=sample_weight[text]) >= min_df
            self._keys.append(keys[new][kept])
            column = np.where(kept, np.cumsum(kept) - 1, -1)[column]
            counts.append(self._matrix(column, text, times, len(token_ids), n))
            if n < self.max_n:
                grams = self._find(grams, n)
        return counts

    def count(self, token_ids: TokenIds) -> list[csr_array]:
        """Count the n-grams that were learned, as in `fit_count`."""
        counts = []
        grams = self._unigrams(token_ids)
        for n in range(2, self.max_n + 1):
            grams = self._lengthen(token_ids, grams, n)
            keys, text, times = _count_pairs(grams, token_ids)
            counts.append(self._matrix(self._find(keys, n), text, times, len(token_ids), n))
            if n < self.max_n:
                grams = self._find(grams, n)
        return counts

    def tokens_of(self, n: int) -> NDArray[np.int32]:
        """The token ids of every n-gram of length n, shape (n_columns, n)."""
        keys = self._keys[n - 2]
        last = (keys % self.n_tokens).astype(np.int32)[:, None]
        shorter = keys // self.n_tokens
        first = shorter[:, None] if n == 2 else self.tokens_of(n - 1)[shorter]
        return np.concatenate([first.astype(np.int32), last], axis=1)

    # What begins at each position of the texts, shape (n_positions,): a column or a key, or -1.

    def _unigrams(self, token_ids: TokenIds) -> Integers:
        return np.where(token_ids.ids < self.n_tokens, token_ids.ids, np.int64(-1))

    def _lengthen(self, token_ids: TokenIds, columns: Integers, n: int) -> Integers:
        """Keys of n-grams from the columns of the (n-1)-grams that they begin with."""
        last = token_ids.ids[n - 1 :]
        ends = np.ones(len(columns), dtype=bool)
        ends[: len(last)] = (columns[: len(last)] < 0) | (last >= self.n_tokens)
        for back in range(1, n):
            before = token_ids.offsets[1:] - back
            ends[before[before >= 0]] = True
        keys = columns * self.n_tokens
        keys[: len(last)] += last
        keys[ends] = -1
        return keys

    def _find(self, keys: Integers, n: int) -> Integers:
        """The column of each key; -1 where it was not learned."""
        known = self._keys[n - 2]
        column = np.searchsorted(known, keys)
        found = column < len(known)
        found[found] = known[column[found]] == keys[found]
        return np.where(found, column, -1)

    def _matrix(
        self, column: Integers, text: Integers, times: Integers, n_texts: int, n: int
    ) -> csr_array:
        """Counts from triples sorted by column, then text; column -1 is left out."""
        known = column >= 0
        column, text, times = column[known], text[known], times[known]
        n_columns = len(self._keys[n - 2])
        pointer = np.zeros(n_columns + 1, dtype=np.int64)
        np.cumsum(np.bincount(column, minlength=n_columns), out=pointer[1:])
        size = max(len(times), n_texts)
        arrays = (times.astype(np.float32), as_index(text, size), as_index(pointer, size))
        return csc_array(arrays, shape=(n_texts, n_columns)).tocsr()


def _count_pairs(keys: Integers, token_ids: TokenIds) -> tuple[Integers, Integers, Integers]:
    """The distinct pairs of a key and the text it is in, sorted, and how often each occurs.

    Parameters
    ----------
    keys : ndarray of int64, shape (n_positions,)
        Negative where there is none.
    token_ids : TokenIds
        Says which text a position is in.

    Returns
    -------
    keys, text, times : ndarray of int64, shape (n_pairs,)
    """
    used = keys >= 0
    text = np.repeat(np.arange(len(token_ids)), token_ids.lengths)[used]
    keys = keys[used]
    shift = len(token_ids).bit_length()
    if int(keys.max(initial=0)).bit_length() + shift <= 63:  # one number holds both
        keys <<= shift
        keys |= text
        keys.sort()
        start = np.flatnonzero(np.diff(keys, prepend=-1))
        times = np.diff(start, append=len(keys))
        keys = keys[start]
        return keys >> shift, keys & ((1 << shift) - 1), times
    order = np.lexsort((text, keys))
    keys, text = keys[order], text[order]
    start = np.flatnonzero(np.diff(keys, prepend=-1) | np.diff(text, prepend=-1))
    return keys[start], text[start], np.diff(start, append=len(keys))


class CharNgrams:
    """The character n-grams inside words, with a space at both ends, as columns.

    They are scikit-learn's ``analyzer="char_wb"``, found once for each distinct word: the counts of
    the texts are (texts x words) @ (words x n-grams).

    Parameters
    ----------
    min_n, max_n : int
        Lengths in characters.
    """

    def __init__(self, min_n: int, max_n: int) -> None:
        self.min_n, self.max_n = min_n, max_n

    def fit_count(
        self,
        words: Sequence[str],
        counts: csr_array,
        sample_weight: NDArray[np.floating],
        min_df: float,
    ) -> csr_array:
        """Learn the n-grams of texts and count them.

        Parameters
        ----------
        words : sequence of str, length n_words
        counts : csr_array, shape (n_texts, n_words)
            How often each word occurs in each text.
        sample_weight : ndarray of float, shape (n_texts,)
        min_df : float
            N-grams in texts of a smaller total weight are dropped.

        Returns
        -------
        csr_array of float32, shape (n_texts, n_columns)
        """
        text, offsets, word = self._ngrams(words)
        self.ngrams, column = Vocabulary.unique(text, offsets)
        found = counts @ self._spell(word, column, len(words))
        kept = np.flatnonzero(document_frequency(found, sample_weight) >= min_df)
        self.ngrams = self.ngrams.take(kept)
        return csr_array(found[:, kept])

    def count(self, words: Sequence[str], counts: csr_array) -> csr_array:
        """Count the n-grams that were learned, as in `fit_count`."""
        text, offsets, word = self._ngrams(words)
        column = self.ngrams.find_packed(text, offsets)
        known = column >= 0
        return csr_array(counts @ self._spell(word[known], column[known], len(words)))

    def _spell(self, word: Integers, column: Integers, n_words: int) -> csr_array:
        """How often each n-gram occurs in each word, shape (n_words, n_columns)."""
        pointer = np.zeros(n_words + 1, dtype=np.int64)
        np.cumsum(np.bincount(word, minlength=n_words), out=pointer[1:])
        column = column[np.argsort(word, kind="stable")]
        ones = np.ones(len(word), dtype=np.float32)
        size = max(len(word), n_words, len(self.ngrams))
        arrays = (ones, as_index(column, size), as_index(pointer, size))
        return csr_array(arrays, shape=(n_words, len(self.ngrams)))

    def _ngrams(self, words: Sequence[str]) -> tuple[NDArray[np.uint8], Integers, Integers]:
        """Every n-gram, packed, and the position of its word."""
        text, offsets = pack(f" {word} " for word in words)
        start, stop, word = character_ngrams(text, offsets, self.min_n, self.max_n)
        # As in scikit-learn, a word that is shorter than the shortest n-gram counts as a whole.
        short = np.flatnonzero(np.bincount(word, minlength=len(words)) == 0)
        start, stop = np.append(start, offsets[short]), np.append(stop, offsets[short + 1])
        word = np.append(word, short)
        return *pack_slices(text, start, stop), word
