"""Arrays that lie in files: mapped, and taken from without keeping their pages."""

from __future__ import annotations

import math
import mmap
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError
from .files import open_member

# A page that was let go costs some microseconds when it is wanted again.
_LARGE = 256 << 20  # bytes
_ROWS = 8  # after which they are; each may bring a folio of 2 MB into the process

# What numpy.save writes before the numbers of an array. numpy.load evaluates it as Python, which is
# slow on nonsense and warns of some.
_ARRAY = re.compile(
    rb"\{'descr': *'([<>|][biuf][0-9]{1,2})', *'fortran_order': *(True|False), *"
    rb"'shape': *\((|(?:0|[1-9][0-9]*),|(?:0|[1-9][0-9]*)(?:, *(?:0|[1-9][0-9]*))+,?)\),? *\} *\n?"
)
_ARRAY_VERSIONS = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4, b"\x93NUMPY\3\0": 4}
_MAX_ARRAY_HEAD = 1000  # bytes


def map_array(file: Path) -> NDArray[Any]:
    """Map an array that ``numpy.save`` wrote.

    Parameters
    ----------
    file : Path

    Returns
    -------
    ndarray of numbers
        Memory-mapped and read-only.

    Raises
    ------
    VectorFormatError
        If nothing or no regular file is there; if it is no array of numbers, or has another size
        than its head says.
    """
    with open_member(file) as content:
        start = content.read(12)
        n_bytes = _ARRAY_VERSIONS.get(start[:8], 2)  # of the length of the head
        offset = 8 + n_bytes + int.from_bytes(start[8 : 8 + n_bytes], "little")
        content.seek(8 + n_bytes)
        head = content.read(offset - content.tell()) if offset <= _MAX_ARRAY_HEAD else b""
        found = _ARRAY.fullmatch(head)
        if start[:8] not in _ARRAY_VERSIONS or found is None:
            raise VectorFormatError(
                f"{file}: cannot be opened: expected the head of a NumPy array of numbers, found "
                f"{start + head[:60]!r}."
            )
        descr, fortran, lengths = found.groups()
        try:
            dtype = np.dtype(descr.decode())
            shape = tuple(map(int, lengths.rstrip(b",").split(b","))) if lengths else ()
        except (TypeError, ValueError) as error:
            raise VectorFormatError(f"{file}: cannot be opened: {error}") from None
        expected = offset + math.prod(shape) * dtype.itemsize
        size = os.fstat(content.fileno()).st_size
        if expected != size:
            raise VectorFormatError(
                f"{file}: cannot be opened: the head announces an array of shape {shape}, which "
                f"makes {expected} bytes, found {size}."
            )
        order: Any = "F" if fortran == b"True" else "C"
        return np.memmap(content, dtype, "r", offset, shape, order)


def take_rows(array: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    """Rows of a matrix; of a large read-only memory map, none of its pages stays in this process.

    Linux maps a neighbourhood of each page that is touched, as far as the system's cache holds it,
    so that rows here and there would soon make most of a table count as memory of every process.

    Parameters
    ----------
    array : ndarray, shape (n, dim)
    rows : ndarray of int, shape (n_rows,)

    Returns
    -------
    ndarray, shape (n_rows, dim)
    """
    mapping = _mapping(array) if array.nbytes >= _LARGE else None
    if mapping is None:
        return np.asarray(array[rows])
    taken = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        taken[part] = array[rows[part]]
        mapping.madvise(mmap.MADV_DONTNEED)
    return taken


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    """The memory map that an array is a view of, if its pages may be let go."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    # A map that can be written to privately would lose what was written.
    if not isinstance(base, np.memmap) or base.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
