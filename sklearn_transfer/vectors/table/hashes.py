"""Hashes of many words at once, with array operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Bytes of words that are processed at once: arrays of numbers take many times the memory.
_BLOCK = 1 << 18


def word_blocks(offsets: NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of words that follow one another: up to `_BLOCK` bytes, or one longer word."""
    start, n_words = 0, len(offsets) - 1
    while start < n_words:
        stop = int(offsets.searchsorted(offsets[start] + _BLOCK, side="right")) - 1
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop


def random_numbers(seeds: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Return `n` numbers of SplitMix64 (Steele, Lea & Flood 2014) per seed: shape (n_seeds, n)."""
    step = np.uint64(0x9E3779B97F4A7C15)
    z: NDArray[np.uint64] = seeds[:, None] + step * np.arange(1, n + 1, dtype=np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def make_keys(seed: int, n: int) -> NDArray[np.uint64]:
    """Return the keys of words of up to `n` bytes, for :func:`hash_packed`: shape (n + 1,)."""
    keys = np.empty(n + 1, dtype=np.uint64)
    step = 0x9E3779B97F4A7C15
    for start in range(0, n + 1, _BLOCK):
        seeds = np.array([(seed + start * step) % 2**64], dtype=np.uint64)
        keys[start : start + _BLOCK] = random_numbers(seeds, min(_BLOCK, n + 1 - start))[0]
    return keys


def hash_packed(
    text: NDArray[np.uint8], offsets: NDArray[np.int64], keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Hash packed words as ``sum(keys[i] * (byte[i] + 1))`` modulo 2**64, shape (n_words,).

    Whoever chooses two different words without knowing the keys makes them collide with a
    probability of at most 2**-56 (multilinear hashing, Lemire & Kaser 2014). A polynomial has no
    such bound: some words collide for each multiplier.

    Parameters
    ----------
    text, offsets : ndarray
        Words in the form of `vocabulary.pack`.
    keys : ndarray of uint64
        Bytes beyond their number share the last one.

    Returns
    -------
    ndarray of uint64, shape (n_words,)
    """
    hashes = np.zeros(len(offsets) - 1, dtype=np.uint64)
    for words in word_blocks(offsets):
        first, last = offsets[words.start], offsets[words.stop]
        if last - first <= _BLOCK:
            bounds = offsets[words.start : words.stop + 1] - first
            hashes[words] = _hash_block(text[first:last], bounds, keys)
            continue
        for start in range(0, int(last - first), _BLOCK):  # the hash of a word is a sum
            piece = text[first:last][start : start + _BLOCK]
            part = keys[start:] if start < len(keys) else keys[-1:]
            hashes[words] += _hash_block(piece, np.array([0, len(piece)]), part)
    return hashes


def _hash_block(
    text: NDArray[np.uint8], offsets: NDArray[np.int64], keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    position = np.arange(len(text))
    position -= offsets[:-1].repeat(offsets[1:] - offsets[:-1])
    terms = keys.take(position, mode="clip")
    terms *= np.add(text, 1, dtype=np.uint64)
    running = np.zeros(len(text) + 1, dtype=np.uint64)
    terms.cumsum(out=running[1:])
    running = running[offsets]
    return running[1:] - running[:-1]
