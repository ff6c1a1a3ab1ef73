"""What a reader returns and a writer takes: the parts of a vector table, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError, levels_to_caller
from ..storage.mapping import take_rows
from .tokenizer import TableTokenizer
from .unknown import Subwords
from .vocabulary import Vocabulary

Matrix = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]

_BLOCK = 1 << 14  # rows that become float32 at once


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
    """Words and their vectors: that of word ``i`` is ``scales[i] * matrix[rows[i]]``.

    Attributes
    ----------
    words : Vocabulary, length n_words
    matrix : ndarray of float32, float16 or int8, shape (n_rows, dim)
        May be memory-mapped.
    subwords : Subwords or None, default=None
        The n-gram rows of a fastText model.
    rows : ndarray of int32, shape (n_words,), or None, default=None
        The row of each word, where words share rows; None: word ``i`` has row ``i``.
    scales : ndarray of float32, shape (n_words,), or None, default=None
        What each word's row is multiplied by: the weights of tokens, or what makes int8 values
        small numbers again; None: 1.
    tokenizer : TableTokenizer or None, default=None
        What splits texts into the words, where these are not words but pieces of such.
    """

    words: Vocabulary
    matrix: Matrix
    subwords: Subwords | None = None
    rows: NDArray[np.int32] | None = None
    scales: NDArray[np.float32] | None = None
    tokenizer: TableTokenizer | None = None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.matrix.shape[1])

    @property
    def cased(self) -> bool:
        """Whether the words tell upper from lower case, judged by 10,000 of them."""
        sample = self.words[:: max(1, len(self.words) // 10_000)]
        return sum(word != word.lower() for word in sample) > 0.01 * len(sample)

    def vectors(self, words: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """The vectors of some words.

        Parameters
        ----------
        words : ndarray of int, shape (n,), or slice
            Their positions.

        Returns
        -------
        ndarray of float32, shape (n, dim)
            Only these become float32. A slice of a plain float32 table is a view, which may be
            memory-mapped and read-only.
        """
        rows = words if self.rows is None else self.rows[words]
        found = self.matrix[rows] if isinstance(rows, slice) else take_rows(self.matrix, rows)
        vectors: NDArray[np.float32] = found.astype(np.float32, copy=False)
        if self.scales is not None:
            vectors = vectors * self.scales[words][:, None]
        return vectors

    def expanded(self) -> Table:
        """The same with a matrix that holds the vectors themselves, one a word."""
        if self.rows is None and self.scales is None:
            return self
        dtype = np.float16 if self.matrix.dtype == np.float16 else np.float32
        matrix = np.empty((len(self.words), self.dim), dtype=dtype)
        for start in range(0, len(matrix), _BLOCK):
            block = slice(start, start + _BLOCK)
            matrix[block] = self.vectors(block)
        return Table(self.words, matrix, self.subwords, tokenizer=self.tokenizer)

    @classmethod
    def from_rows(
        cls,
        words: Iterable[str],
        matrix: Matrix,
        path: Path,
        subwords: Subwords | None = None,
        *,
        rows: NDArray[np.int32] | None = None,
        scales: NDArray[np.float32] | None = None,
        tokenizer: TableTokenizer | None = None,
    ) -> Table:
        """Build a table from what a reader found, where the first of repeated words wins.

        Parameters
        ----------
        words : iterable of str or Vocabulary, length n
            A vocabulary may hold repeated words.
        matrix : ndarray, shape (n_rows, dim)
            The rows, in the order of the words unless `rows` says which belongs to which.
        path : Path
            The file, for the messages.
        subwords : Subwords or None, default=None
        rows : ndarray of int32, shape (n,), or None, default=None
            Within the matrix.
        scales : ndarray of float32, shape (n,), or None, default=None
        tokenizer : TableTokenizer or None, default=None

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
        n_rows = len(matrix if rows is None else rows)
        if len(kept) != n_rows or (scales is not None and len(kept) != len(scales)):
            raise VectorFormatError(
                f"{path}: expected a row for each word, found {len(kept)} words and {n_rows} rows."
            )
        if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < len(matrix):
            raise VectorFormatError(
                f"{path}: expected rows from 0 to {len(matrix) - 1}, found {rows.min()} to "
                f"{rows.max()}."
            )
        if not kept.all():
            repeated = len(kept) - len(vocabulary)
            warnings.warn(
                f"{path}: {repeated} repeated word(s); the first row of each word is kept.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )
            matrix, rows = (matrix[kept], None) if rows is None else (matrix, rows[kept])
            scales = None if scales is None else scales[kept]
        if scales is not None:
            _check_products(matrix, rows, scales, path)
        return cls(vocabulary, matrix, subwords, rows, scales, tokenizer)

    def take(self, words: NDArray[np.integer]) -> Table:
        """The table of some words by their positions, all different."""
        rows, scales = self.rows, None if self.scales is None else self.scales[words]
        if rows is None:
            matrix = self.matrix[words]
        else:
            used, inverse = np.unique(rows[words], return_inverse=True)
            matrix, rows = self.matrix[used], inverse.astype(np.int32)
        words_taken = self.words.take(words)
        return replace(self, words=words_taken, matrix=matrix, rows=rows, scales=scales)

    def head(self, n_words: int | None) -> Table:
        """The table of the first `n_words` words; the same table if it has no more."""
        if n_words is None or n_words >= len(self.words):
            return self
        words, scales = self.words.take(np.arange(n_words)), self.scales
        scales = None if scales is None else scales[:n_words]
        matrix, rows = self.matrix, self.rows
        matrix, rows = (matrix[:n_words], None) if rows is None else (matrix, rows[:n_words])
        return Table(words, matrix, self.subwords, rows, scales, self.tokenizer)


def _check_products(
    matrix: Matrix, rows: NDArray[np.int32] | None, scales: NDArray[np.float32], path: Path
) -> None:
    """Refuse factors that are not finite, or make a row too large for float32."""
    check_finite(scales[:, None], path)
    # As float64, which no product leaves; the absolute value of int8's -128 is no int8.
    largest = np.maximum(matrix.max(axis=1).astype(float), -matrix.min(axis=1).astype(float))
    products = (largest if rows is None else largest[rows]) * np.abs(scales.astype(float))
    over = np.flatnonzero(products > np.finfo(np.float32).max)
    if len(over):
        raise VectorFormatError(
            f"{path}: word {over[0]} (counted from 0) has a factor that makes its vector too large "
            f"for float32."
        )


def check_finite(matrix: Matrix, path: Path | str) -> None:
    """Refuse NaN and infinite values, naming the first row; looks at 16 MB at a time."""
    if matrix.dtype.kind != "f":
        return
    rows = max(1, (4 << 20) // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), rows):
        finite = np.isfinite(matrix[start : start + rows]).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise VectorFormatError(
                f"{path}: row {row} (counted from 0) holds NaN or infinity; expected finite values."
            )
