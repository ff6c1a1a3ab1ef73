"""The words of a table: a sequence of distinct strings with look-up of many words at once.

A Python ``dict`` of millions of words takes time and memory in every process. Here the words are
four NumPy arrays, which are saved, memory-mapped and shared like the matrix. A few array operations
look up thousands of words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..._utils.compact import Compact, opened
from ..._utils.hashing import hash_content
from ..._utils.objects.state import State, check_offsets
from .hashes import hash_packed, make_keys, word_blocks

# With "surrogatepass" every Python string can be encoded and decoded.
_ENCODING = ("utf-8", "surrogatepass")

# Of the public hash: odd, from Knuth's 64-bit LCG.
_MULTIPLIER = 6364136223846793005

# Words of one hash in the index of a file. 64-bit hashes of different words hardly ever agree.
_MAX_EQUAL = 8


def pack(words: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Encode words as bytes; word ``i`` is ``text[offsets[i]:offsets[i + 1]]``, in UTF-8."""
    encoded = [word.encode(*_ENCODING) for word in words]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), to_offsets(lengths)


def to_offsets(lengths: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the offsets of slices that follow one another: int64, shape (n + 1,)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    lengths.cumsum(out=offsets[1:])
    return offsets


def ragged_arange(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``concatenate([arange(s, s + n) for s, n in zip(starts, lengths)])``."""
    if len(starts) == 1:
        return np.arange(starts[0], starts[0] + lengths[0])
    offsets = to_offsets(lengths)
    positions: NDArray[np.int64] = np.arange(offsets[-1])
    positions += (starts - offsets[:-1]).repeat(lengths)
    return positions


def character_ngrams(
    text: NDArray[np.uint8], offsets: NDArray[np.int64], min_n: int, max_n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the character n-grams of packed words, as slices of their bytes.

    Parameters
    ----------
    text, offsets : ndarray
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
    # In UTF-8 a character begins at every byte that is not 10xxxxxx; the last bound is the end.
    is_bound = np.ones(len(text) + 1, dtype=bool)
    np.not_equal(text & 0xC0, 0x80, out=is_bound[:-1])
    bounds = is_bound.nonzero()[0]
    first = bounds.searchsorted(offsets)
    n_characters = first[1:] - first[:-1]
    word = np.arange(len(n_characters)).repeat(n_characters)
    here = np.arange(len(bounds) - 1)
    # From each character on, there is an n-gram of each length from min_n up to what remains.
    n_here = np.minimum(first[1:].repeat(n_characters) - here, max_n) - (min_n - 1)
    np.maximum(n_here, 0, out=n_here)
    start, stop = bounds[:-1].repeat(n_here), bounds[ragged_arange(here + min_n, n_here)]
    return start, stop, word.repeat(n_here)


def word_hashes(words: Iterable[str]) -> NDArray[np.uint64]:
    """Return a public 64-bit hash of each word, the same in every process: shape (n_words,)."""
    text, offsets = pack(words)
    powers = np.full(_longest(offsets), _MULTIPLIER, dtype=np.uint64).cumprod()
    return hash_packed(text, offsets, powers)


def _longest(offsets: NDArray[np.int64]) -> int:
    return int((offsets[1:] - offsets[:-1]).max(initial=0))


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
    gives a wrong row. The keys of the hash follow from the BLAKE2b digest of all words, so nobody
    can choose words that collide. The index (12 bytes per word) is built at the first look-up and
    not pickled.

    Examples
    --------
    >>> words = Vocabulary(["the", "cat", "sat"])
    >>> words[1], "cat" in words, len(words)
    ('cat', True, 3)
    >>> words.find(["sat", "dog"])
    array([ 2, -1])
    """

    __slots__ = ("_digests", "_hashes", "_keys", "_offsets", "_order", "_text")

    _text: NDArray[np.uint8]
    _offsets: NDArray[np.int64]
    _hashes: NDArray[np.uint64] | None
    _order: NDArray[np.int32] | None
    _keys: NDArray[np.uint64] | None
    _digests: tuple[str, str] | None

    def __init__(self, words: Iterable[str]) -> None:
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
        *,
        digests: tuple[str, str] | None = None,
    ) -> Vocabulary:
        """Wrap the arrays of :meth:`arrays`, which may be memory-mapped, without any check."""
        # The digests of text and offsets, where they are known, save hashing both.
        vocabulary = cls.__new__(cls)
        vocabulary.__setstate__((text, offsets, hashes, order))
        vocabulary._digests = digests  # noqa: SLF001
        return vocabulary

    @classmethod
    def from_encoded(cls, texts: Iterable[bytes], lengths: Sequence[int]) -> Vocabulary:
        """Join pieces of valid UTF-8 to words of these lengths in bytes, which may be repeated."""
        offsets = to_offsets(np.asarray(lengths, dtype=np.int64))
        return cls.from_arrays(np.frombuffer(b"".join(texts), dtype=np.uint8), offsets)

    @classmethod
    def distinct(cls, words: Iterable[str]) -> tuple[Vocabulary, NDArray[np.bool_]]:
        """Build a vocabulary of the distinct words, and say which are first occurrences."""
        everything = words if isinstance(words, cls) else cls.from_arrays(*pack(words))
        kept = everything.is_first()
        return (everything if kept.all() else everything.take(np.flatnonzero(kept))), kept

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of the vocabulary and its index, by the names of `from_arrays`."""
        hashes, order, _ = self._index()
        return {"text": self._text, "offsets": self._offsets, "hashes": hashes, "order": order}

    def to_state(self) -> dict[str, Any]:
        """Return the entries of a model file, without the index."""
        return {"text": np.asarray(self._text), "offsets": np.asarray(self._offsets)}

    @classmethod
    def from_state(cls, state: State) -> Vocabulary:
        """Make a vocabulary from these entries."""
        text, offsets = state.array("text", "uint8", None), state.array("offsets", "int64", None)
        check_offsets(offsets, len(text))
        words = cls.from_arrays(text, offsets)
        words.check()
        if not words.is_first().all():
            raise ValueError("expected distinct words")
        return words

    def check(self) -> None:
        """Raise `ValueError` unless the arrays, which come from a file, belong together."""
        text, offsets, hashes, order = self._text, self._offsets, self._hashes, self._order
        if offsets[0] or offsets[-1] != len(text) or (offsets[1:] < offsets[:-1]).any():
            raise ValueError(f"expected offsets that divide {len(text)} bytes into words")
        text.tobytes().decode(*_ENCODING)
        if (text[offsets[offsets < len(text)]] & 0xC0 == 0x80).any():
            raise ValueError("expected words in UTF-8, found one that begins within a character")
        if hashes is None or order is None or not len(self):
            return
        if not 0 <= order.min() <= order.max() < len(self):
            raise ValueError(f"expected the positions of {len(self)} words in the index")
        is_sorted = (hashes[1:] >= hashes[:-1]).all()
        if not is_sorted or (hashes[_MAX_EQUAL:] == hashes[:-_MAX_EQUAL]).any():
            raise ValueError("expected sorted hashes in the index, nearly all different")

    def _index(self) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint64]]:
        """Return sorted hashes and the positions of their words, shape (n_words,), and the keys."""
        if self._keys is None:
            digests = self._digests or (hash_content(self._text), hash_content(self._offsets))
            seed = int(hash_content(*digests)[:16], 16)
            self._keys = make_keys(seed, _longest(self._offsets))
        if self._hashes is None or self._order is None:
            hashes = hash_packed(self._text, self._offsets, self._keys)
            # A stable sort keeps the first of equal words first.
            order = np.argsort(hashes, kind="stable")
            self._order = order.astype(np.int32)
            self._hashes = hashes[order]
        return self._hashes, self._order, self._keys

    def is_first(self) -> NDArray[np.bool_]:
        """Return True for each word that equals no earlier one, shape (n_words,)."""
        position = self.find_packed(self._text, self._offsets)
        is_first: NDArray[np.bool_] = position == np.arange(len(self))
        return is_first

    def find(self, words: Sequence[str], *, fold_case: bool = False) -> NDArray[np.int64]:
        """Return the position of each word or its lower-cased form; -1 for others: shape (n,)."""
        # A word that is not there is looked for in the normal forms NFC and NFD.
        position = self.find_packed(*pack(words))
        missing = [i for i in np.flatnonzero(position < 0).tolist() if not words[i].isascii()]
        for form in ("NFC", "NFD") if missing else ():
            found = self.find_packed(*pack(unicodedata.normalize(form, words[i]) for i in missing))
            position[missing] = found
            missing = [i for i in missing if position[i] < 0]
        if fold_case:
            missing = np.flatnonzero(position < 0).tolist()
            position[missing] = self.find([words[i].lower() for i in missing])
        return position

    def find_packed(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up many words in the form of :func:`pack`; -1 for a word that is not there."""
        position = np.full(len(offsets) - 1, -1, dtype=np.int64)
        if not len(self):
            return position
        hashes, order, keys = self._index()
        wanted = hash_packed(text, offsets, keys)
        slot = hashes.searchsorted(wanted)
        candidates = (hashes.take(slot, mode="clip") == wanted).nonzero()[0]
        slot = slot[candidates]
        while len(candidates):
            mine = order[slot]
            same = self._equal(mine, text, offsets, candidates)
            if same.all():
                position[candidates] = mine
                break
            position[candidates[same]] = mine[same]
            # Where another word has the same hash, the next slot may hold the wanted word.
            again = ~same & (slot + 1 < len(hashes))
            candidates, slot = candidates[again], slot[again] + 1
            again = hashes[slot] == wanted[candidates]
            candidates, slot = candidates[again], slot[again]
        return position

    def _equal(
        self,
        mine: NDArray[np.integer],
        text: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        theirs: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Return True if own word ``mine[i]`` equals packed word ``theirs[i]``, shape (n,)."""
        start, my_start = offsets[theirs], self._offsets[mine]
        length = offsets[theirs + 1] - start
        same: NDArray[np.bool_] = self._offsets[mine + 1] - my_start == length
        if not same.all():
            start, my_start, length = start[same], my_start[same], length[same]
        equal = np.empty(len(length), dtype=bool)
        for words in word_blocks(to_offsets(length)):
            slices = start[words], my_start[words], length[words]
            equal[words] = self._equal_bytes(text, *slices)
        same[same] = equal
        return same

    def _equal_bytes(
        self,
        text: NDArray[np.uint8],
        start: NDArray[np.int64],
        my_start: NDArray[np.int64],
        length: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Compare slices of `text` with slices of the own one, shape (n,)."""
        if len(length) == 1:  # perhaps a long one
            (a, b, n), own = (start[0], my_start[0], length[0]), self._text
            return np.array([np.array_equal(text[a : a + n], own[b : b + n])])
        position = ragged_arange(start, length)
        differs = text[position] != self._text[position + (my_start - start).repeat(length)]
        if not differs.any():
            return np.ones(len(length), dtype=bool)
        n_different = np.diff(to_offsets(differs)[to_offsets(length)])
        same: NDArray[np.bool_] = n_different == 0
        return same

    def take(self, rows: NDArray[np.integer]) -> Vocabulary:
        """Return the vocabulary of the words at some distinct positions, in their order."""
        start = self._offsets[:-1][rows]
        lengths = self._offsets[1:][rows] - start
        offsets = to_offsets(lengths)
        text = np.empty(offsets[-1], dtype=np.uint8)
        for words in word_blocks(offsets):
            source = self._text[ragged_arange(start[words], lengths[words])]
            text[offsets[words.start] : offsets[words.stop]] = source
        return Vocabulary.from_arrays(text, offsets)

    def extended(self, words: Iterable[str]) -> Vocabulary:
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

    def __getstate__(self) -> tuple[Any, ...]:
        return np.asarray(self._text), Compact(np.asarray(self._offsets))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        parts = (*map(opened, state), None, None)[:4]
        self._text, self._offsets, self._hashes, self._order = parts
        self._keys = self._digests = None
