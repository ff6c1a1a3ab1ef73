"""Fitted n-gram models of tables, kept in the cache."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from ..._utils.errors import levels_to_caller
from ..._utils.hashing import Content, hash_stream
from ..table.oov import Subwords
from ..table.subword_fit import SubwordFit, fit_subwords
from ..table.table import Reading, Table
from ..table.vocabulary import Vocabulary
from .cache import MODELS, VARIABLE, find_entry, find_root, open_or_make

_FIT = SubwordFit()
# The model of a smaller table is fitted as fast as it is looked up.
_MIN_KEPT = 1 << 20  # bytes
_BLOCK = 1 << 15  # rows


def open_subwords(table: Table, name: str, fingerprint: str | None) -> Subwords:
    """Open the n-gram model of a table, fitted by the first process that needs it.

    Parameters
    ----------
    table : Table
    name : str
        Name of the table, for the warning that the cache cannot be written.
    fingerprint : str or None
        Identifies the content of a table that comes from a file. None: its content is hashed.

    Returns
    -------
    Subwords
        Memory-mapped if it is in the cache.
    """
    root = find_root()
    n_words = min(len(table.words), _FIT.max_words)
    if root is None or n_words * table.dim * np.dtype(np.float32).itemsize < _MIN_KEPT:
        return fit_subwords(table)

    def make() -> Table:
        nothing = np.zeros((0, table.dim), dtype=np.float32)
        return Table(Vocabulary([]), nothing, fit_subwords(table))

    def warn(error: Exception) -> None:
        warnings.warn(
            f"{name}: the n-gram model for oov='subword' cannot be kept in {root}: {error}. It is "
            f"fitted again in each process; set {VARIABLE} to a folder with room.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )

    entry = find_entry(root, MODELS, hash_stream(_content(table, n_words, fingerprint)))
    subwords = open_or_make(entry, Reading(), make, warn=warn).subwords
    return fit_subwords(table) if subwords is None else subwords


def _content(table: Table, n_words: int, fingerprint: str | None) -> Iterator[Content]:
    """Yield everything that a fitted model depends on."""
    yield repr((_FIT, table.dim))
    if fingerprint is not None:
        yield fingerprint
        return
    words = table.words.arrays()
    offsets = words["offsets"][: n_words + 1]
    yield offsets
    yield words["text"][: offsets[-1]]
    for start in range(0, n_words, _BLOCK):
        yield table.vectors(slice(start, min(start + _BLOCK, n_words)))
