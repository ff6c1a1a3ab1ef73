"""Word n-grams and character n-grams of texts, counted by array operations."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, hstack

from .._utils.compact import open_state, pack_state
from .._utils.objects.state import State, check_bounds
from .._utils.texts import LONGEST_WORD, in_parts
from ..vectors.table.vocabulary import ragged_arange, to_offsets
from .tokenization.token_ids import TokenIds

Integers = NDArray[np.int64]
_Integer = TypeVar("_Integer", bound=np.integer)
_MAX_N = 1000  # tokens or characters of an n-gram in a model file
_PADDING = sys.maxunicode + 1  # no character
# Characters whose n-grams are searched at a time: it bounds memory, and the keys stay in the cache.
_CHARACTERS_AT_A_TIME = 1 << 18


def as_index(array: NDArray[np.integer], size: int) -> NDArray[np.integer]:
    """An index array of the smallest type for `size` elements, which SciPy then keeps."""
    return array.astype(np.int32 if size < 2**31 else np.int64, copy=False)


def count_keys(keys: NDArray[_Integer]) -> tuple[NDArray[_Integer], Integers]:
    """The distinct keys, sorted, and the number of times that each occurs; sorts `keys`."""
    keys.sort()
    is_first = np.ones(len(keys) + 1, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:-1])
    bounds = is_first.nonzero()[0]
    return keys[bounds[:-1]], bounds[1:] - bounds[:-1]


def add_counts(
    parts: Iterable[tuple[NDArray[_Integer], Integers]],
) -> tuple[NDArray[_Integer], Integers]:
    """The distinct keys of several results of `count_keys`, sorted, and their added counts."""
    keys, times = map(np.concatenate, zip(*parts, strict=True))
    order = keys.argsort(kind="stable")
    keys = keys[order]
    start = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[start], np.add.reduceat(times[order], start) if len(start) else times


def count_distinct(
    token_ids: TokenIds, n_tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.integer], NDArray[np.integer]]:
    """The data, indices and pointer of a CSR matrix of counts, shape (n_texts, n_tokens)."""
    size = max(len(token_ids.ids), len(token_ids) * n_tokens + 1)
    rows = as_index(np.arange(len(token_ids) + 1) * n_tokens, size)
    keys, times = count_keys(rows[:-1].repeat(token_ids.lengths) + token_ids.ids)
    pointer = keys.searchsorted(rows)
    token = keys - rows[:-1].repeat(pointer[1:] - pointer[:-1])
    size = max(len(keys), n_tokens)
    return times.astype(np.float32), as_index(token, size), as_index(pointer, size)


def count_tokens(token_ids: TokenIds, n_tokens: int) -> csr_array:
    """Counts of each token in each text, float32, shape (n_texts, n_tokens)."""
    return csr_array(count_distinct(token_ids, n_tokens), shape=(len(token_ids), n_tokens))


def document_frequency(
    counts: csr_array, sample_weight: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Number (or total weight) of the texts in which each column occurs, shape (n_columns,)."""
    weight = None
    if sample_weight is not None:
        weight = np.repeat(sample_weight, np.diff(counts.indptr))
    frequency = np.bincount(counts.indices, weights=weight, minlength=counts.shape[1])
    return frequency.astype(np.float64)


def _search(learned: NDArray[np.integer], keys: NDArray[np.integer]) -> Integers:
    """The position of each key among the learned ones, which are sorted; -1 if it is not there."""
    if not len(learned):
        return np.full(len(keys), -1)
    order = keys.argsort()  # in order, a search stays in the processor's cache
    position = np.empty(len(keys), dtype=np.int64)
    position[order] = learned.searchsorted(keys[order])
    return np.where(learned.take(position, mode="clip") == keys, position, -1)


def _lengthen(shorter: Integers, ids: Integers, n_ids: int, offsets: Integers, n: int) -> Integers:
    """Keys of the n-grams that begin at each id, given the columns of the (n-1)-grams; or -1."""
    last = ids[n - 1 :]
    keys = shorter * n_ids
    keys[: len(last)] += last
    keys[: len(last)][last < 0] = -1
    keys[shorter < 0] = -1
    # The longer n-gram, but not the shorter, reaches over the end of its text.
    before = offsets[1:] - (n - 1)
    keys[before[before >= 0]] = -1
    return keys


def _read_keys(state: State, n_lengths: int) -> list[Integers]:
    """The sorted keys of each length of n-grams, from a model file."""
    keys = state.items("keys", np.ndarray)
    if len(keys) != n_lengths or any(
        part.ndim != 1 or part.dtype not in (np.int64, np.int32) for part in keys
    ):
        raise state.error("keys", f"{n_lengths} arrays of integers", keys)
    return keys


class WordNgrams:
    """The word n-grams of a collection of texts, as columns.

    An n-gram is an (n-1)-gram and one more token, so its key is the integer
    ``column * n_tokens + token``. One sort of the pairs of key and text gives the distinct n-grams
    and their counts.

    Parameters
    ----------
    n_tokens : int
        Known tokens have the ids 0 to ``n_tokens - 1``; others interrupt an n-gram.
    max_n : int
        Length of the longest n-grams, at least 2; the shortest are bigrams.
    """

    def __init__(self, n_tokens: int, max_n: int) -> None:
        self.n_tokens, self.max_n = n_tokens, max_n

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "_keys")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "_keys")

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
        ids = shorter = self._unigrams(token_ids)
        for n in range(2, self.max_n + 1):
            grams = _lengthen(shorter, ids, self.n_tokens, token_ids.offsets, n)
            keys, text, times = _count_pairs(grams, token_ids)
            new = np.diff(keys, prepend=-1) != 0
            column = np.cumsum(new) - 1
            kept = np.bincount(column, weights=sample_weight[text]) >= min_df
            self._keys.append(keys[new][kept])
            column = np.where(kept, np.cumsum(kept) - 1, -1)[column]
            counts.append(_matrix(column, text, times, (len(token_ids), int(kept.sum()))))
            if n < self.max_n:
                shorter = _search(self._keys[-1], grams)
        return counts

    def find(self, token_ids: TokenIds) -> list[Integers]:
        """For each length, the column of the learned n-gram that begins at each token, or -1."""
        ids = self._unigrams(token_ids)
        columns = [ids]
        for n, keys in enumerate(self._keys, start=2):
            grams = _lengthen(columns[-1], ids, self.n_tokens, token_ids.offsets, n)
            columns.append(_search(keys, grams))
        return columns[1:]

    @property
    def sizes(self) -> list[int]:
        """Number of columns of each length, from 2 on."""
        return [len(keys) for keys in self._keys]

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return {"n_tokens": self.n_tokens, "max_n": self.max_n, "keys": self._keys}

    @classmethod
    def from_state(cls, state: State) -> WordNgrams:
        """The n-grams of these entries."""
        made = cls(state.integer("n_tokens"), state.integer("max_n", 2, _MAX_N))
        made._keys = _read_keys(state, made.max_n - 1)
        return made

    def name(self, n: int, column: int, words: Sequence[str]) -> str:
        """The words of a column of n-grams, joined by spaces."""
        if n == 1:
            return words[column]
        shorter, last = divmod(int(self._keys[n - 2][column]), self.n_tokens)
        return f"{self.name(n - 1, shorter, words)} {words[last]}"

    def _unigrams(self, token_ids: TokenIds) -> Integers:
        return np.where(token_ids.ids < self.n_tokens, token_ids.ids, np.int64(-1))


def _matrix(column: Integers, text: Integers, times: Integers, shape: tuple[int, int]) -> csr_array:
    """Counts from triples sorted by column, then text; column -1 is left out."""
    is_kept = column >= 0
    column, text, times = column[is_kept], text[is_kept], times[is_kept]
    pointer = to_offsets(np.bincount(column, minlength=shape[1]))
    size = max(len(times), shape[0])
    arrays = (times.astype(np.float32), as_index(text, size), as_index(pointer, size))
    return csc_array(arrays, shape=shape).tocsr()


def _count_pairs(keys: Integers, token_ids: TokenIds) -> tuple[Integers, Integers, Integers]:
    """The distinct pairs of a key and its text, sorted, and their counts, each shape (n_pairs,).

    Negative keys, shape (n_tokens,), are left out.
    """
    used = keys >= 0
    text = token_ids.text_index[used]
    keys = keys[used]
    shift = len(token_ids).bit_length()
    if int(keys.max(initial=0)).bit_length() + shift <= 63:  # one number holds both
        keys <<= shift
        keys |= text
        pairs, times = count_keys(keys)
        return pairs >> shift, pairs & ((1 << shift) - 1), times
    order = np.lexsort((text, keys))
    keys, text = keys[order], text[order]
    start = np.flatnonzero(np.diff(keys, prepend=-1) | np.diff(text, prepend=-1))
    return keys[start], text[start], np.diff(start, append=len(keys))


class CharNgrams:
    """The character n-grams inside words, with a space at both ends, as columns.

    They are those of scikit-learn's ``analyzer="char_wb"``, found once for each distinct word: the
    counts of the texts are (texts x words) @ (words x n-grams). Keys are those of `WordNgrams`,
    with characters in place of tokens. Of a word with more than 10,000 characters, the first ones
    are read.

    Parameters
    ----------
    min_n, max_n : int
        Lengths in characters.

    Attributes
    ----------
    spelling : TokenIds, length n_words
        The columns of the n-grams of each word that they were learned from.
    """

    def __init__(self, min_n: int, max_n: int) -> None:
        self.min_n, self.max_n = min_n, max_n

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "_keys")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "_keys")

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
            Counts of each word in each text.
        sample_weight : ndarray of float, shape (n_texts,)
        min_df : float
            N-grams in texts of a smaller total weight are dropped, and longer ones with them.

        Returns
        -------
        csr_array of float32, shape (n_texts, n_columns)
        """
        characters = self._spell(words)
        self._keys: list[Integers] = []
        blocks, columns = [], [characters.ids.astype(np.int64)]
        for n in range(1, self.max_n + 1):
            keys, column = np.unique(self._grams(columns, characters, n), return_inverse=True)
            if keys.size and keys[0] < 0:
                keys, column = keys[1:], column - 1
            kept = np.ones(len(keys), dtype=bool)
            if n >= self.min_n:
                found = TokenIds(column.astype(np.int32), characters.offsets).only(column >= 0)
                block = counts @ count_tokens(found, len(keys))
                kept = document_frequency(block, sample_weight) >= min_df
                blocks.append(block[:, np.flatnonzero(kept)])
            self._keys.append(keys[kept])
            # The last entry is for -1, no n-gram.
            columns.append(np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)[column])
        self.spelling = self._merge(columns[1:], characters)
        ngram_counts: csr_array = hstack(blocks, format="csr")
        return ngram_counts

    @property
    def size(self) -> int:
        """Number of columns."""
        return sum(len(keys) for keys in self._keys[self.min_n - 1 :])

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        keys, spelling = self._keys, self.spelling
        return {"min_n": self.min_n, "max_n": self.max_n, "keys": keys, "spelling": spelling}

    @classmethod
    def from_state(cls, state: State) -> CharNgrams:
        """The n-grams of these entries."""
        max_n = state.integer("max_n", 1, _MAX_N)
        made = cls(state.integer("min_n", 1, max_n), max_n)
        made._keys = _read_keys(state, max_n)
        made.spelling = state.of("spelling", TokenIds)
        check_bounds(made.spelling.ids, 0, made.size)
        return made

    def find(self, words: Sequence[str]) -> TokenIds:
        """The columns of the learned n-grams in each word, repeated where the word repeats one."""
        if not words:
            return TokenIds(np.zeros(0, np.int32), np.zeros(1, np.int64))
        parts = [self._find(part) for part in in_parts(words, _CHARACTERS_AT_A_TIME)]
        lengths = np.concatenate([part.lengths for part in parts])
        return TokenIds(np.concatenate([part.ids for part in parts]), to_offsets(lengths))

    def name(self, column: int) -> str:
        """The characters of a column; a space is the end of a word."""
        for n, keys in enumerate(self._keys[self.min_n - 1 :], start=self.min_n):
            if column < len(keys):
                return self._spell_column(n, column)
            column -= len(keys)
        raise IndexError(column)

    def _spell_column(self, n: int, column: int) -> str:
        key, shorter = int(self._keys[n - 1][column]), ""
        if n > 1:
            first, last = divmod(key, len(self._keys[0]))
            shorter, key = self._spell_column(n - 1, first), int(self._keys[0][last])
        return shorter + ("" if key == _PADDING else chr(key))

    def _find(self, words: Sequence[str]) -> TokenIds:
        characters = self._spell(words)
        columns = [characters.ids.astype(np.int64)]
        for n, keys in enumerate(self._keys, start=1):
            columns.append(_search(keys, self._grams(columns, characters, n)))
        return self._merge(columns[1:], characters)

    def _spell(self, words: Sequence[str]) -> TokenIds:
        """The code points of each word and its spaces.

        As in scikit-learn, a word that is shorter than the shortest n-gram counts as a whole:
        padding makes it an n-gram.
        """
        words = [word[:LONGEST_WORD] for word in words]
        text = "".join(f" {word} " for word in words)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        lengths = np.fromiter(map(len, words), np.int64, len(words)) + 2
        padded = np.maximum(lengths, self.min_n)
        offsets = to_offsets(padded)
        ids = np.full(offsets[-1], _PADDING, dtype=np.int32)
        ids[ragged_arange(offsets[:-1], lengths)] = codes
        return TokenIds(ids, offsets)

    def _grams(self, columns: list[Integers], characters: TokenIds, n: int) -> Integers:
        """Keys of the n-grams; `columns` has code points and the columns of shorter n-grams."""
        if n == 1:
            return columns[0]
        return _lengthen(columns[-1], columns[1], len(self._keys[0]), characters.offsets, n)

    def _merge(self, columns: list[Integers], characters: TokenIds) -> TokenIds:
        """One number for all columns, given those of each length from 1 on."""
        starts = to_offsets(np.array([len(keys) for keys in self._keys[self.min_n - 1 :]]))
        merged = np.stack(columns[self.min_n - 1 :], axis=1)
        is_column = merged >= 0
        ids = (merged + starts[:-1])[is_column].astype(np.int32)
        n_columns = to_offsets(is_column.sum(axis=1))
        return TokenIds(ids, n_columns[characters.offsets])
