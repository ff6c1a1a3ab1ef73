"""Smaller tables: fewer dimensions, smaller numbers, the words of some texts."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .table import Table, check_finite
from .tokenizer import TableTokenizer
from .unknown import Subwords

_BLOCK = 1 << 14  # rows that become float32 at once
_INT8 = 127
_WORD = re.compile(r"\w+")  # what the estimators take for a word by default


def words_of(texts: list[str], tokenizer: TableTokenizer | None) -> list[str]:
    """The tokens of texts, or their words as they stand and in lower case.

    Parameters
    ----------
    texts : list of str
    tokenizer : TableTokenizer or None

    Returns
    -------
    list of str
        Words may be repeated.
    """
    if tokenizer is not None:
        return list(dict.fromkeys(chain.from_iterable(tokenizer.split_all(texts))))
    found = dict.fromkeys(chain.from_iterable(map(_WORD.findall, texts)))
    return [*found, *(word.lower() for word in found)]


def reduce(table: Table, n_components: int, n_removed: int = 0) -> Table:
    """Project vectors on their principal components, all or all but the first.

    Parameters
    ----------
    table : Table
    n_components : int
    n_removed : int, default=0
        Components that are left out before (Mu & Viswanath 2018, algorithm 1).

    Returns
    -------
    Table
        Of float32, centred. Words that share a row still do, unless the table has factors.

    Raises
    ------
    ValueError
        Unless ``1 <= n_components <= dim - n_removed`` and ``n_removed >= 0``.
    """
    dim = table.dim
    if not 0 <= n_removed < dim:
        raise ValueError(f"n_removed must lie between 0 and dim - 1 = {dim - 1}, got {n_removed}.")
    if not 1 <= n_components <= dim - n_removed:
        left = "" if not n_removed else f" - n_removed={n_removed}"
        raise ValueError(
            f"n_components must lie between 1 and dim={dim}{left}, got {n_components}."
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
    """Each row as often as words have it."""
    if table.rows is None:
        return matrix
    times = np.bincount(table.rows, minlength=len(matrix)).astype(np.float32)
    weighted: NDArray[np.float32] = matrix * times[:, None]
    return weighted


def cast(table: Table, dtype: DTypeLike, name: str) -> Table:
    """The table with a matrix of another type.

    Parameters
    ----------
    table : Table
    dtype : {"float32", "float16", "int8"}
    name : str
        For the message.

    Returns
    -------
    Table
        The same object if the type is the same.

    Raises
    ------
    ValueError
        If the type is another, or cannot hold a value.
    """
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
    """The table with int8 rows, and factors that make them what they were, nearly.

    Parameters
    ----------
    table : Table

    Returns
    -------
    Table
        A row is divided by the 127th part of its largest absolute value, and rounded.
    """
    matrix = np.empty(table.matrix.shape, dtype=np.int8)
    factors = np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = table.matrix[block].astype(np.float32)
        # A row of zeros, or of numbers too small for the factor to be one, is zero.
        factors[block] = factor = np.abs(rows).max(axis=1) / np.float32(_INT8)
        scaled = rows / np.where(factor > 0, factor, np.float32(1))[:, None]
        matrix[block] = np.rint(np.clip(scaled, -_INT8, _INT8))
    scales = factors if table.rows is None else factors[table.rows]
    if table.scales is not None:
        scales = scales * table.scales
    return replace(table, matrix=matrix, scales=scales)
