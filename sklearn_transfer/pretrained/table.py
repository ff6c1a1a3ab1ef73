"""What a reader returns and a writer takes: the parts of a vector table, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._validation import VectorFormatError, levels_to_caller
from .unknown import Subwords
from .vocabulary import Vocabulary

Matrix = NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True)
class Reading:
    """How a file is to be read; a reader heeds what its format has a use for.

    Attributes
    ----------
    allow_pickle : bool, default=False
        Open pickles, which run whatever their author put inside.
    mmap : bool, default=True
        Map the matrix into memory where the file holds it as it is needed.
    limit : int or None, default=None
        Only the first words, at most so many.
    """

    allow_pickle: bool = False
    mmap: bool = True
    limit: int | None = None


@dataclass(frozen=True)
class Table:
    """Words and their vectors.

    Attributes
    ----------
    words : Vocabulary, length n_words
    matrix : ndarray of float32 or float16, shape (n_words, dim)
        May be memory-mapped.
    subwords : Subwords or None, default=None
        The n-gram rows of a fastText model.
    """

    words: Vocabulary
    matrix: Matrix
    subwords: Subwords | None = None

    @classmethod
    def from_rows(
        cls, words: Iterable[str], matrix: Matrix, path: Path, subwords: Subwords | None = None
    ) -> Table:
        """Build a table from what a reader found, where the first of repeated words wins.

        Parameters
        ----------
        words : iterable of str or Vocabulary, length n
            A vocabulary may hold repeated words.
        matrix : ndarray, shape (n, dim)
            The rows, in the order of the words.
        path : Path
            The file, for the messages.
        subwords : Subwords or None, default=None

        Returns
        -------
        Table

        Raises
        ------
        VectorFormatError
            If a value is NaN or infinite, or there are not as many rows as words.

        Warns
        -----
        UserWarning
            If words are repeated; says how many.
        """
        check_finite(matrix, path)
        if subwords is not None:
            check_finite(subwords.matrix, path)
        vocabulary, kept = Vocabulary.distinct(words)
        if len(kept) != len(matrix):
            raise VectorFormatError(
                f"{path}: expected a row for each word, found {len(kept)} words and {len(matrix)} "
                f"rows."
            )
        if not kept.all():
            repeated = len(kept) - len(vocabulary)
            warnings.warn(
                f"{path}: {repeated} repeated word(s); the first row of each word is kept.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )
            matrix = matrix[kept]
        return cls(vocabulary, matrix, subwords)

    def head(self, n_words: int | None) -> Table:
        """The table of the first `n_words` words; the same table if it has no more."""
        if n_words is None or n_words >= len(self.words):
            return self
        words = self.words.take(np.arange(n_words))
        return Table(words, self.matrix[:n_words], self.subwords)


def check_finite(matrix: Matrix, path: Path | str) -> None:
    """Refuse NaN and infinite values, naming the first row; looks at 16 MB at a time."""
    rows = max(1, (4 << 20) // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), rows):
        finite = np.isfinite(matrix[start : start + rows]).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise VectorFormatError(
                f"{path}: row {row} (counted from 0) holds NaN or infinity; expected finite values."
            )
