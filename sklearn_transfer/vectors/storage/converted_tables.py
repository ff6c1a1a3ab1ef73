"""Converted tables: a slow format is read once, and mapped from the cache from then on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ..._utils.errors import VectorFormatError, levels_to_caller
from ..table.table import Reading, Table
from . import folder
from .cache import TABLES, VARIABLE, find_entry, find_root, open_or_make
from .fingerprints import fingerprint_files

# Smaller files are read as fast as a converted table is opened.
_MIN_CONVERTED = 4 << 20  # bytes


def read_converted(
    files: Sequence[Path], options: Reading, read: Callable[[Reading], Table]
) -> Table:
    """Read a table through the cache; warn if the cache cannot be written.

    Parameters
    ----------
    files : sequence of Path
        All files that the table is read from.
    options : Reading
        With a limit, an existing entry is used and none is made.
    read : callable
        Reads the files themselves.

    Returns
    -------
    Table
        Memory-mapped if `options` allow it and the cache can be written.
    """
    root = find_root()
    if root is None or sum(file.stat().st_size for file in files) < _MIN_CONVERTED:
        return read(options)

    def warn(error: Exception) -> None:
        warnings.warn(
            f"{files[0]}: the converted table cannot be kept in {root}: {error}. The file is read "
            f"again each time; set {VARIABLE} to a folder with room, or to '' for no cache.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )

    content = fingerprint_files(files)
    entry = find_entry(root, TABLES, options.identify(content))
    if options.limit is not None:
        try:
            return folder.read(entry, options)
        except (VectorFormatError, OSError):  # missing, damaged, or not readable
            return read(options)
    return open_or_make(
        entry,
        options,
        lambda: read(options),
        warn=warn,
        is_current=lambda: fingerprint_files(files) == content,
    )
