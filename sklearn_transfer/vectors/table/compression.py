"""Smaller tables: fewer dimensions, smaller number types, the words of some texts."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .oov import Subwords
from .table import Table, check_finite
from .tokenizer import TableTokenizer

_BLOCK = 1 << 14  # rows that are converted at once
_INT8 = 127
_WORD = re.compile(r"\w+")  # the default of the estimators


def find_words(texts: list[str], tokenizer: TableTokenizer | None) -> list[str]:
    """Find the tokens of texts, or their words and these in lower case; words may be repeated."""
    if tokenizer is not None:
        return list(dict.fromkeys(chain.from_iterable(tokenizer.split_all(texts))))
    words = dict.fromkeys(chain.from_iterable(map(_WORD.findall, texts)))
    return [*words, *(word.lower() for word in words)]


def reduce(table: Table, n_components: int, n_removed: int = 0) -> Table:
    """Project vectors on their principal components. See :meth:`PretrainedVectors.reduce`."""
    dim = table.dim
    if not 0 <= n_removed < dim:
        raise ValueError(f"n_removed must lie between 0 and dim - 1 = {dim - 1}, got {n_removed}.")
    if not 1 <= n_components <= dim - n_removed:
        removed = "" if not n_removed else f" - n_removed={n_removed}"
        raise ValueError(
            f"n_components must lie between 1 and dim={dim}{removed}, got {n_components}."
        )
    if table.scales is not None:
        table = table.expanded()
    matrix = table.matrix.astype(np.float32)
    mean = (
        _by_word(table, matrix).sum(axis=0, dtype=np.float64) / max(1, len(table.words))
    ).astype(np.float32)
    matrix -= mean
    _, axes = np.linalg.eigh((matrix.T @ _by_word(table, matrix)).astype(np.float64))
    axes = axes[:, ::-1][:, n_removed : n_removed + n_components].astype(np.float32)
    subwords = table.subwords
    if subwords is not None:
        subwords = Subwords((subwords.matrix - mean) @ axes, subwords.min_n, subwords.max_n)
    return replace(table, matrix=matrix @ axes, subwords=subwords)


def _by_word(table: Table, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each row times the number of words that have it."""
    if table.rows is None:
        return matrix
    times = np.bincount(table.rows, minlength=len(matrix)).astype(np.float32)
    weighted: NDArray[np.float32] = matrix * times[:, None]
    return weighted


def cast(table: Table, dtype: DTypeLike, name: str) -> Table:
    """Convert the matrix to another type. See :meth:`PretrainedVectors.astype`."""
    if np.dtype(dtype) not in (np.float32, np.float16, np.int8):
        raise ValueError(f"dtype must be 'float32', 'float16' or 'int8', got {dtype!r}.")
    if table.matrix.dtype == dtype:
        return table
    if np.dtype(dtype) == np.int8:
        return quantise(table)
    if table.matrix.dtype == np.int8:
        table = table.expanded()
    with np.errstate(over="ignore"):
        matrix = table.matrix.astype(dtype)
    check_finite(matrix, f"{name} as {np.dtype(dtype)}")
    return replace(table, matrix=matrix)


def quantise(table: Table) -> Table:
    """Convert rows to int8: each is divided by 1/127 of its largest absolute value."""
    matrix = np.empty(table.matrix.shape, dtype=np.int8)
    factors = np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = table.matrix[block].astype(np.float32)
        # A row of zeros, or of numbers that are too small for a factor, becomes zero.
        factors[block] = factor = np.abs(rows).max(axis=1) / np.float32(_INT8)
        scaled = rows / np.where(factor > 0, factor, np.float32(1))[:, None]
        matrix[block] = np.rint(np.clip(scaled, -_INT8, _INT8))
    scales = factors if table.rows is None else factors[table.rows]
    if table.scales is not None:
        scales = scales * table.scales
    return replace(table, matrix=matrix, scales=scales)
