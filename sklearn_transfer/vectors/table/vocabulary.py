"""The words of a table: a sequence of distinct strings with look-up of many words at once.

A Python ``dict`` of millions of words takes time and memory in every process. Here the words are
four NumPy arrays, which are saved, memory-mapped and shared like the matrix. A few array operations
look up thousands of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

# With "surrogatepass" every Python string can be encoded and decoded.
_ENCODING = ("utf-8", "surrogatepass")

# Odd (from Knuth's 64-bit LCG), so that its powers never vanish modulo 2**64.
_MULTIPLIER = np.uint64(6364136223846793005)

Words = Iterable[str]


def pack(words: Words) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Encode strings as one byte array and offsets.

    Parameters
    ----------
    words : iterable of str

    Returns
    -------
    text : ndarray of uint8, shape (n_bytes,)
        The concatenated words in UTF-8.
    offsets : ndarray of int64, shape (n_words + 1,)
        Word ``i`` is ``text[offsets[i]:offsets[i + 1]]``.
    """
    encoded = [word.encode(*_ENCODING) for word in words]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def ragged_arange(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of many slices of one array, concatenated.

    Parameters
    ----------
    starts, lengths : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of int64, shape (lengths.sum(),)
        ``concatenate([arange(s, s + n) for s, n in zip(starts, lengths)])``.
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - ends + lengths, lengths)


def character_ngrams(
    text: NDArray[np.uint8], offsets: NDArray[np.int64], min_n: int, max_n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the character n-grams of packed words, as slices of their bytes.

    Parameters
    ----------
    text : ndarray of uint8, shape (n_bytes,)
    offsets : ndarray of int64, shape (n_words + 1,)
        Words in the form of :func:`pack`.
    min_n, max_n : int
        Lengths in characters (code points).

    Returns
    -------
    start, stop : ndarray of int64, shape (n_ngrams,)
        Each n-gram is ``text[start:stop]``.
    word : ndarray of int64, shape (n_ngrams,)
        Position of the word of each n-gram.
    """
    # In UTF-8 a character begins at every byte that is not 10xxxxxx.
    begins = np.flatnonzero((text & 0xC0) != 0x80)
    bounds = np.append(begins, len(text))
    word = np.searchsorted(offsets, begins, side="right") - 1
    end = np.searchsorted(begins, offsets[word + 1])
    here = np.arange(len(begins))
    starts, stops, words = [], [], []
    for n in range(min_n, max_n + 1):
        fits = here + n <= end
        if not fits.any():  # nor do longer ones; a damaged file may give any max_n
            break
        starts.append(begins[fits])
        stops.append(bounds[here[fits] + n])
        words.append(word[fits])
    if not starts:
        return (np.zeros(0, dtype=np.int64),) * 3
    return np.concatenate(starts), np.concatenate(stops), np.concatenate(words)


def pack_slices(
    text: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return slices ``text[start:stop]`` in the form of :func:`pack`."""
    offsets = np.zeros(len(start) + 1, dtype=np.int64)
    np.cumsum(stop - start, out=offsets[1:])
    return text[ragged_arange(start, stop - start)], offsets


def _hashes(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash each word as ``sum((byte + 1) * M ** (i + 1))`` modulo 2**64, by one cumulative sum."""
    lengths = np.diff(offsets)
    powers = np.full(int(lengths.max(initial=0)) + 1, _MULTIPLIER, dtype=np.uint64)
    np.cumprod(powers, out=powers)
    position = ragged_arange(np.zeros_like(lengths), lengths)
    running = np.zeros(len(text) + 1, dtype=np.uint64)
    np.cumsum((text.astype(np.uint64) + np.uint64(1)) * powers[position], out=running[1:])
    return running[offsets[1:]] - running[offsets[:-1]]


def word_hashes(words: Words) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each word, the same in every process: shape (n_words,)."""
    return _hashes(*pack(words))


def as_list_of_words(words: Sequence[str]) -> list[str]:
    """Return words as a list; raise `TypeError` unless they are strings in a fixed order."""
    if isinstance(words, str | set | frozenset):
        raise TypeError(
            f"words must be a sequence of str, in order, such as a list; got "
            f"{type(words).__name__}: {words!r:.60}"
        )
    words = list(words)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"words must be strings, got {type(word).__name__}: {word!r:.60}")
    return words


class Vocabulary(Sequence[str]):
    """Distinct words, in order, with look-up of many words at once.

    Parameters
    ----------
    words : iterable of str
        Distinct words.

    Raises
    ------
    ValueError
        If a word occurs twice; :meth:`distinct` keeps the first of each instead.

    Notes
    -----
    A look-up hashes the queries with array operations, finds the hashes by binary search among the
    sorted hashes of the words, and compares the bytes. A collision therefore costs time, but never
    gives a wrong row. The index (12 bytes per word) is built at the first look-up and not pickled.

    Examples
    --------
    >>> words = Vocabulary(["the", "cat", "sat"])
    >>> words[1], "cat" in words, len(words)
    ('cat', True, 3)
    >>> words.find(["sat", "dog"])
    array([ 2, -1])
    """

    __slots__ = ("_hashes", "_offsets", "_order", "_text")

    _text: NDArray[np.uint8]
    _offsets: NDArray[np.int64]
    _hashes: NDArray[np.uint64] | None
    _order: NDArray[np.int32] | None

    def __init__(self, words: Words) -> None:
        self.__setstate__(pack(words))
        repeated = ~self.is_first()
        if repeated.any():
            word = self[int(np.flatnonzero(repeated)[0])]
            raise ValueError(
                f"The words of a table must be distinct: {word!r} occurs more than once "
                f"({int(repeated.sum())} repeated in all)."
            )

    @classmethod
    def from_arrays(
        cls,
        text: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        hashes: NDArray[np.uint64] | None = None,
        order: NDArray[np.int32] | None = None,
    ) -> Vocabulary:
        """Wrap the arrays of :meth:`arrays`, which may be memory-mapped, without any check."""
        vocabulary = cls.__new__(cls)
        vocabulary.__setstate__((text, offsets, hashes, order))
        return vocabulary

    @classmethod
    def from_encoded(cls, texts: Iterable[bytes], lengths: Sequence[int]) -> Vocabulary:
        """Build a vocabulary from valid UTF-8, without checking that words are distinct.

        Parameters
        ----------
        texts : iterable of bytes
            The concatenated words, in any number of pieces.
        lengths : sequence of int, length n_words
            The length of each word in bytes.

        Returns
        -------
        Vocabulary
        """
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(np.asarray(lengths, dtype=np.int64), out=offsets[1:])
        return cls.from_arrays(np.frombuffer(b"".join(texts), dtype=np.uint8), offsets)

    @classmethod
    def distinct(cls, words: Words) -> tuple[Vocabulary, NDArray[np.bool_]]:
        """Build a vocabulary of words that may be repeated.

        Parameters
        ----------
        words : iterable of str, or a Vocabulary that was not checked

        Returns
        -------
        vocabulary : Vocabulary
        kept : ndarray of bool, shape (n_given,)
            True for the first occurrence of each word.
        """
        everything = words if isinstance(words, cls) else cls.from_arrays(*pack(words))
        kept = everything.is_first()
        return (everything if kept.all() else everything.take(np.flatnonzero(kept))), kept

    @classmethod
    def unique(
        cls, text: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[Vocabulary, NDArray[np.int64]]:
        """Find the distinct words among packed words, and the position of each word among them.

        Parameters
        ----------
        text : ndarray of uint8, shape (n_bytes,)
        offsets : ndarray of int64, shape (n_words + 1,)
            Words in the form of :func:`pack`.

        Returns
        -------
        vocabulary : Vocabulary
            In the order of first occurrence.
        inverse : ndarray of int64, shape (n_given,)
        """
        everything = cls.from_arrays(text, offsets)
        first = everything.find_packed(text, offsets)
        kept = first == np.arange(len(first))
        return everything.take(np.flatnonzero(kept)), (np.cumsum(kept) - 1)[first]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of the vocabulary and its index, by the names of `from_arrays`."""
        hashes, order = self._index()
        return {"text": self._text, "offsets": self._offsets, "hashes": hashes, "order": order}

    def _index(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Return the sorted hashes, shape (n_words,), and the position of the word of each."""
        if self._hashes is None or self._order is None:
            hashes = _hashes(self._text, self._offsets)
            # A stable sort keeps the first of equal words first.
            order = np.argsort(hashes, kind="stable")
            self._order = order.astype(np.int32)
            self._hashes = hashes[order]
        return self._hashes, self._order

    def is_first(self) -> NDArray[np.bool_]:
        """Return True for each word that equals no earlier one, shape (n_words,)."""
        position = self.find_packed(self._text, self._offsets)
        is_first: NDArray[np.bool_] = position == np.arange(len(self))
        return is_first

    def find(self, words: Sequence[str], *, fold_case: bool = False) -> NDArray[np.int64]:
        """Look up many words.

        Parameters
        ----------
        words : sequence of str, length n
        fold_case : bool, default=False
            Look for the lower-cased form of words that are not there.

        Returns
        -------
        ndarray of int64, shape (n,)
            The position of each word; -1 for a word that is not in the vocabulary.
        """
        if not len(words) or not len(self):
            return np.full(len(words), -1, dtype=np.int64)
        position = self.find_packed(*pack(words))
        if fold_case:
            missing = np.flatnonzero(position < 0)
            position[missing] = self.find([words[i].lower() for i in missing.tolist()])
        return position

    def find_packed(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up many words in the form of :func:`pack`; -1 for a word that is not there."""
        hashes, order = self._index()
        wanted = _hashes(text, offsets)
        position = np.full(len(wanted), -1, dtype=np.int64)
        slot = np.searchsorted(hashes, wanted)
        pending = np.arange(len(wanted))
        while len(pending):
            # A word is absent if no further hash equals its own.
            inside = slot < len(hashes)
            inside[inside] = hashes[slot[inside]] == wanted[pending[inside]]
            pending, slot = pending[inside], slot[inside]
            candidate = order[slot].astype(np.int64)
            same = self._equal(candidate, text, offsets, pending)
            position[pending[same]] = candidate[same]
            pending, slot = pending[~same], slot[~same] + 1
        return position

    def _equal(
        self,
        mine: NDArray[np.int64],
        text: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        theirs: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Return True if own word ``mine[i]`` equals packed word ``theirs[i]``, shape (n,)."""
        start, length = offsets[theirs], offsets[theirs + 1] - offsets[theirs]
        my_start = np.asarray(self._offsets[mine])
        same: NDArray[np.bool_] = self._offsets[mine + 1] - my_start == length
        start, my_start, length = start[same], my_start[same], length[same]
        differs = self._text[ragged_arange(my_start, length)] != text[ragged_arange(start, length)]
        wrong = np.concatenate([[0], np.cumsum(differs)])
        end = np.cumsum(length)
        same[same] = wrong[end] == wrong[end - length]
        return same

    def take(self, rows: NDArray[np.integer]) -> Vocabulary:
        """Return the vocabulary of the words at some distinct positions, in their order."""
        start, stop = self._offsets[:-1][rows], self._offsets[1:][rows]
        return Vocabulary.from_arrays(*pack_slices(self._text, start, stop))

    def extended(self, words: Words) -> Vocabulary:
        """Append other words, without checking that all are distinct."""
        text, offsets = pack(words)
        return Vocabulary.from_arrays(
            np.concatenate([self._text, text]),
            np.concatenate([self._offsets, self._offsets[-1] + offsets[1:]]),
        )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start, stop = self._offsets[position], self._offsets[position + 1]
        return self._text[start:stop].tobytes().decode(*_ENCODING)

    def __iter__(self) -> Iterator[str]:
        text, offsets = self._text.tobytes(), self._offsets.tolist()
        for start, stop in pairwise(offsets):
            yield text[start:stop].decode(*_ENCODING)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and bool(self.find([word])[0] >= 0)

    def index(self, word: object, start: int = 0, stop: int | None = None) -> int:
        """Return the position of a word; raise ValueError if it is not there."""
        position = int(self.find([word])[0]) if isinstance(word, str) else -1
        if position not in range(*slice(start, stop).indices(len(self))):
            raise ValueError(f"{word!r} is not in the vocabulary")
        return position

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} words>"

    def __getstate__(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        return np.asarray(self._text), np.asarray(self._offsets)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._text, self._offsets, self._hashes, self._order = (*state, None, None)[:4]
