"""Rows of memory-mapped matrices, read without keeping their pages in the process.

Linux maps a neighbourhood of each page that is touched, as far as the page cache holds it.
Scattered rows would soon make most of a table count as memory of every process. Releasing a page
and reading it again takes some microseconds, so that small matrices are left alone.
"""

from __future__ import annotations

import mmap
from pathlib import Path
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


def find_file(array: NDArray[Any]) -> Path | None:
    """Return the absolute path of the file to which an array was mapped, or None."""
    mapped = _find_memmap(array)
    return None if mapped is None or mapped.filename is None else Path(mapped.filename).absolute()


def _find_memmap(array: NDArray[Any]) -> np.memmap[Any, Any] | None:
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return base if isinstance(base, np.memmap) else None


def _find_mmap(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the memory map under an array, or None if its pages must not be released."""
    base = _find_memmap(array)
    # A private map would lose what was written to it.
    if base is None or base.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    while isinstance(base, np.ndarray):
        base = base.base  # type: ignore[assignment]
    return base if isinstance(base, mmap.mmap) else None
