"""Rows of memory-mapped matrices, read without keeping their pages in the process.

Linux maps a neighbourhood of each page that is touched, as far as the page cache holds it.
Scattered rows would soon make most of a table count as memory of every process. Releasing a page
and reading it again takes some microseconds, so that small matrices are left alone.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 8  # between two releases; each may bring a folio of 2 MB into the process


def take_rows(
    array: NDArray[Any], rows: NDArray[np.integer], *, min_released: int = 256 << 20
) -> NDArray[Any]:
    """Take rows of a matrix; pages of a large read-only memory map are released at once."""
    mapping = _find_mmap(array) if array.nbytes >= min_released else None
    if mapping is None:
        return np.asarray(array[rows])
    taken = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        taken[part] = array[rows[part]]
        mapping.madvise(mmap.MADV_DONTNEED)
    return taken


def _find_mmap(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the memory map under an array, or None if its pages must not be released."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    # A private map would lose what was written to it.
    if not isinstance(base, np.memmap) or base.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
