"""The difference of a table from the one that its training began with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .oov import Subwords
from .table import Table
from .vocabulary import Vocabulary

_BLOCK = 1 << 16  # rows that are compared at once


@dataclass(frozen=True)
class Difference:
    """Rows of a float32 table that differ from another table, and the words that it adds.

    Attributes
    ----------
    words : Vocabulary
        Words after those of the other table.
    positions : ndarray of int64, shape (n_changed,)
        Positions of words of the other table with another vector.
    rows : ndarray of float32, shape (n_changed + n_added, dim)
        The vectors of both, in this order.
    buckets, ngrams : ndarray
        Positions and values of the n-gram rows that differ.
    """

    words: Vocabulary
    positions: NDArray[np.int64]
    rows: NDArray[np.float32]
    buckets: NDArray[np.int64]
    ngrams: NDArray[np.float32]

    @classmethod
    def between(cls, before: Table, after: Table) -> Self:
        """Find the difference; the first words of `after` are those of `before`."""
        n_words = len(before.words)
        start = before.expanded()
        positions = _changed(start.matrix, after.matrix)
        added = np.arange(n_words, len(after.words))
        buckets = np.zeros(0, dtype=np.int64)
        ngrams = np.zeros((0, after.dim), dtype=np.float32)
        if before.subwords is not None and after.subwords is not None:
            buckets = _changed(before.subwords.matrix, after.subwords.matrix)
            ngrams = np.asarray(after.subwords.matrix[buckets], dtype=np.float32)
        rows = np.asarray(after.matrix[np.concatenate([positions, added])], dtype=np.float32)
        return cls(after.words.take(added), positions, rows, buckets, ngrams)

    def apply(self, before: Table) -> Table:
        """Make the table again, with the same bits."""
        start = before.expanded()
        n_changed = len(self.positions)
        matrix = np.concatenate([start.matrix.astype(np.float32), self.rows[n_changed:]])
        matrix[self.positions] = self.rows[:n_changed]
        subwords = before.subwords
        if subwords is not None:
            ngrams = np.array(subwords.matrix, dtype=np.float32)
            ngrams[self.buckets] = self.ngrams
            subwords = Subwords(ngrams, subwords.min_n, subwords.max_n)
        words = before.words.extended(self.words)
        return replace(start, words=words, matrix=matrix, subwords=subwords)


def _changed(before: NDArray[np.generic], after: NDArray[np.generic]) -> NDArray[np.int64]:
    """Positions of the rows of `before` that have other bits, as float32, in `after`."""
    parts = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(before), _BLOCK):
        one, other = (
            np.asarray(rows[start : start + _BLOCK], dtype=np.float32).view(np.int32)
            for rows in (before, after[: len(before)])
        )
        parts.append(start + np.flatnonzero((one != other).any(axis=1)))
    return np.concatenate(parts)
