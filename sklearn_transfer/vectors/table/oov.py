"""Vectors of out-of-vocabulary words, from their n-grams or from a hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..._utils.texts import LONGEST_WORD, in_parts
from .hashes import random_numbers
from .vocabulary import character_ngrams, pack, word_hashes

# Characters whose n-grams are looked up at a time: it bounds memory.
_CHARACTERS_AT_A_TIME = 1 << 18
_FNV_OFFSET, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)


@dataclass(frozen=True)
class Subwords:
    """The n-gram rows of a fastText model (Bojanowski et al. 2017, section 3.2).

    Attributes
    ----------
    matrix : ndarray of float32, shape (n_buckets, dim)
        One row per bucket of hashed n-grams.
    min_n, max_n : int
        Lengths of the n-grams, in characters, of the word between ``<`` and ``>``. Of a word with
        more than 10,000 characters, the first ones are read.
    """

    matrix: NDArray[np.float32]
    min_n: int
    max_n: int

    def vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean of the n-gram rows of each word, zero without n-grams: shape (n, dim)."""
        sums, counts = self.sums(words)
        means: NDArray[np.float32] = sums / np.maximum(counts, 1).astype(np.float32)[:, None]
        return means

    def sums(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the sum of the n-gram rows of each word, (n, dim), and their number, (n,)."""
        parts = map(self._sums, in_parts(words, _CHARACTERS_AT_A_TIME))
        sums, counts = map(np.concatenate, zip(*parts, strict=True))
        return sums, counts

    def _sums(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        word, bucket = self.ngrams(words)
        used, column = np.unique(bucket, return_inverse=True)
        once = np.ones(len(word), dtype=np.float32)
        incidence = csr_array((once, (word, column)), shape=(len(words), len(used)))
        rows = np.asarray(self.matrix[used], dtype=np.float32)
        return np.asarray(incidence @ rows), np.bincount(word, minlength=len(words))

    def ngrams(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the position of the word and the bucket of each n-gram, each shape (n_ngrams,)."""
        text, offsets = pack(f"<{word[:LONGEST_WORD]}>" for word in words)
        start, stop, word = character_ngrams(text, offsets, max(self.min_n, 1), self.max_n)
        # fastText leaves out "<" and ">" on their own.
        edge = (start == offsets[word]) | (stop == offsets[word + 1])
        kept = ~edge | (stop - start > 1)
        hashes = _fnv1a(text, start[kept], stop[kept])
        return word[kept], (hashes % np.uint32(len(self.matrix))).astype(np.int64)


def _fnv1a(
    text: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Compute FNV-1a of many slices; as in fastText, bytes are sign-extended first."""
    signed = text.view(np.int8).astype(np.int32).view(np.uint32)
    hashes = np.full(len(start), _FNV_OFFSET, dtype=np.uint32)
    going = np.arange(len(start))
    position = start.copy()
    while len(going):
        going = going[position[going] < stop[going]]
        hashes[going] = (hashes[going] ^ signed[position[going]]) * _FNV_PRIME
        position[going] += 1
    return hashes


def hashed_vectors(words: Sequence[str], dim: int, *, scale: float) -> NDArray[np.float32]:
    """Return random vectors of root mean square `scale`, the same in every process: (n, dim)."""
    # Uniform values, from random numbers that start at the hash of a word.
    z = random_numbers(word_hashes(words), dim)
    uniform = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    vectors: NDArray[np.float32] = (uniform * 2 - 1) * np.float32(np.sqrt(3) * scale)
    return vectors
