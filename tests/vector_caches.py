"""Inspection of the cache of converted tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sklearn_transfer.vectors.table.table import Table


def is_mapped(table: Table) -> bool:
    array: object = table.matrix
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def entries(cache_folder: Path) -> dict[str, int]:
    """The converted tables in a cache: name of the folder to inode of its metadata."""
    files = (cache_folder / "tables-1").glob("*/vectors.json")
    return {file.parent.name: file.stat().st_ino for file in files}
