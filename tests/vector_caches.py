"""Inspection of the cache of converted tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_transfer.vectors.table.table import Table


def is_mapped(table: Table | NDArray[Any]) -> bool:
    array: object = table.matrix if isinstance(table, Table) else table
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def entries(cache_folder: Path) -> dict[str, int]:
    """The converted tables in a cache: name of the folder to the time of its metadata."""
    files = (cache_folder / "tables-2").glob("*/vectors.json")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}
