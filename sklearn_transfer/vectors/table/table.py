"""The parts of a vector table, which readers return and writers take."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.errors import VectorFormatError, levels_to_caller
from ..._utils.hashing import hash_content
from .memory_maps import find_file, take_rows
from .oov import Subwords
from .tokenizer import TableTokenizer
from .vocabulary import Vocabulary

Matrix = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]

_BLOCK = 1 << 14  # rows that are converted to float32 at once

# Treatments of invalid bytes that give valid text.
ERRORS = ("strict", "ignore", "replace", "backslashreplace")
_ASCII = bytes(range(128))


@dataclass(frozen=True)
class Reading:
    """Options for reading a file; a reader ignores those without a meaning for its format.

    See :meth:`PretrainedVectors.load`.
    """

    allow_pickle: bool = False
    mmap: bool = True
    limit: int | None = None
    encoding: str = "utf-8"
    errors: str = "strict"

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be a positive number of words or None, got {self.limit}.")
        if self.errors not in ERRORS:
            raise ValueError(f"errors must be one of {ERRORS}, got {self.errors!r}.")
        try:
            if _ASCII.decode(self.encoding) != _ASCII.decode():
                raise LookupError
        except (LookupError, UnicodeError):
            raise ValueError(
                f"encoding must be a codec of Python that contains ASCII, such as 'utf-8' or "
                f"'latin-1', got {self.encoding!r}. Convert other files first, with iconv."
            ) from None
        object.__setattr__(self, "encoding", codecs.lookup(self.encoding).name)

    def identify(self, fingerprint: str) -> str:
        """Return the hash of all words and vectors of a file, which differ by the encoding."""
        if (self.encoding, self.errors) == ("utf-8", "strict"):
            return fingerprint
        return hash_content(fingerprint, self.encoding, self.errors)

    def decode(self, words: list[bytes]) -> list[bytes]:
        """Convert words to UTF-8; a `UnicodeDecodeError` for bytes that `errors` does not allow."""
        if self.encoding == "utf-8":
            # All words at once: most files have no invalid byte.
            with suppress(UnicodeDecodeError):
                b"\n".join(words).decode()
                return words
        return [word.decode(self.encoding, self.errors).encode() for word in words]


@dataclass(frozen=True)
class Table:
    """Words and their vectors: the vector of word ``i`` is ``scales[i] * matrix[rows[i]]``.

    The attributes are those of :class:`PretrainedVectors`. A scale is the weight of a token, or the
    factor of a row of int8.
    """

    words: Vocabulary
    matrix: Matrix
    subwords: Subwords | None = None
    rows: NDArray[np.int32] | None = None
    scales: NDArray[np.float32] | None = None
    tokenizer: TableTokenizer | None = None
    known_case: bool | None = None  # `cased`, where it is known

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.matrix.shape[1])

    @cached_property
    def cased(self) -> bool:
        """True if more than 1 % of the words, judged by 10,000, have an upper-case letter."""
        if self.known_case is not None:
            return self.known_case
        sample = self.words[:: max(1, len(self.words) // 10_000)]
        return sum(word != word.lower() for word in sample) > 0.01 * len(sample)

    def mapped_files(self) -> set[Path]:
        """The files to which the rows of the words and n-grams are mapped."""
        arrays = [self.matrix, *([] if self.subwords is None else [self.subwords.matrix])]
        return {file for array in arrays if (file := find_file(array)) is not None}

    def vectors(self, words: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Return the float32 vectors of the words at some positions: shape (n, dim)."""
        # A slice of a plain float32 table stays a view, memory-mapped or not.
        rows = words if self.rows is None else self.rows[words]
        taken = self.matrix[rows] if isinstance(rows, slice) else take_rows(self.matrix, rows)
        vectors: NDArray[np.float32] = taken.astype(np.float32, copy=False)
        if self.scales is not None:
            vectors = vectors * self.scales[words][:, None]
        return vectors

    def expanded(self) -> Table:
        """Return an equal table whose matrix holds one vector per word."""
        if self.rows is None and self.scales is None:
            return self
        dtype = np.float16 if self.matrix.dtype == np.float16 else np.float32
        matrix = np.empty((len(self.words), self.dim), dtype=dtype)
        for start in range(0, len(matrix), _BLOCK):
            block = slice(start, start + _BLOCK)
            matrix[block] = self.vectors(block)
        return Table(self.words, matrix, self.subwords, tokenizer=self.tokenizer)

    @classmethod
    def from_rows(cls, words: Iterable[str], matrix: Matrix, path: Path, **others: Any) -> Table:
        """Build a table from the parts that a reader read; of repeated words the first counts.

        Parameters
        ----------
        words : iterable of str or Vocabulary, length n
            A vocabulary may hold repeated words.
        matrix : ndarray, shape (n_rows, dim)
            Rows in the order of the words, unless `rows` is given.
        path : Path
            The file, for the messages.
        **others : dict
            Other attributes: `subwords`, `rows` (integers of any type), `scales`, `tokenizer`.

        Returns
        -------
        Table

        Raises
        ------
        VectorFormatError
            If a value is NaN or infinite, or words and rows do not correspond.

        Warns
        -----
        UserWarning
            If words are repeated; says how many.
        """
        table = cls(Vocabulary([]), matrix, **others)
        rows, scales = table.rows, table.scales
        check_finite(matrix, path)
        if table.subwords is not None:
            check_finite(table.subwords.matrix, path)
        vocabulary, kept = Vocabulary.distinct(words)
        n_rows = len(matrix if rows is None else rows)
        if len(kept) != n_rows or (scales is not None and len(kept) != len(scales)):
            raise VectorFormatError(
                f"{path}: expected a row for each word, found {len(kept)} words and {n_rows} rows."
            )
        if rows is not None:
            check_rows(rows, len(matrix), path)
            rows = rows.astype(np.int32, copy=False)
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
        return replace(table, words=vocabulary, matrix=matrix, rows=rows, scales=scales)

    def take(self, words: NDArray[np.integer]) -> Table:
        """Return the table of some words, by their positions, all different."""
        rows, scales = self.rows, None if self.scales is None else self.scales[words]
        if rows is None:
            matrix = self.matrix[words]
        else:
            used, inverse = np.unique(rows[words], return_inverse=True)
            matrix, rows = self.matrix[used], inverse.astype(np.int32)
        words_taken = self.words.take(words)
        taken = replace(self, words=words_taken, matrix=matrix, rows=rows, scales=scales)
        return replace(taken, known_case=None)

    def head(self, n_words: int | None) -> Table:
        """Return the table of the first `n_words` words; this table if it has no more."""
        if n_words is None or n_words >= len(self.words):
            return self
        words, scales = self.words.take(np.arange(n_words)), self.scales
        scales = None if scales is None else scales[:n_words]
        matrix, rows = self.matrix, self.rows
        matrix, rows = (matrix[:n_words], None) if rows is None else (matrix, rows[:n_words])
        taken = replace(self, words=words, matrix=matrix, rows=rows, scales=scales)
        return replace(taken, known_case=None)


def _check_products(
    matrix: Matrix, rows: NDArray[np.int32] | None, scales: NDArray[np.float32], path: Path
) -> None:
    """Raise an error for factors that are not finite, or give values too large for float32."""
    check_finite(scales[:, None], path)
    # In float64, which no product exceeds; the absolute value of int8's -128 is no int8.
    largest = np.maximum(matrix.max(axis=1).astype(float), -matrix.min(axis=1).astype(float))
    products = (largest if rows is None else largest[rows]) * np.abs(scales.astype(float))
    over = np.flatnonzero(products > np.finfo(np.float32).max)
    if len(over):
        raise VectorFormatError(
            f"{path}: word {over[0]} (counted from 0) has a factor that makes its vector too large "
            f"for float32."
        )


def check_finite(matrix: Matrix, path: Path | str) -> None:
    """Raise an error that names the first row with NaN or infinity; reads 16 MB at a time."""
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


def check_rows(rows: NDArray[np.integer] | None, n_rows: int, path: Path) -> None:
    """Raise an error unless all rows that words refer to are in a matrix of `n_rows`."""
    if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < n_rows:
        raise VectorFormatError(
            f"{path}: expected rows from 0 to {n_rows - 1}, found {rows.min()} to {rows.max()}."
        )


def as_float_matrix(values: NDArray[Any], path: Path) -> Matrix:
    """Return a matrix of floats as float32 or float16 in C order; copy only if needed."""
    if values.ndim != 2 or not values.shape[1] or values.dtype.kind != "f":
        raise VectorFormatError(
            f"{path}: expected a matrix of floats, found {values.dtype} of shape {values.shape}."
        )
    dtype = values.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # from_rows finds infinite values
        matrix: Matrix = np.ascontiguousarray(
            values, dtype if dtype in (np.float32, np.float16) else np.float32
        )
    return matrix
