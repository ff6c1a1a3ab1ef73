"""The cache on disk: what is slow to make is made once, and mapped from then on.

An entry is a folder in our own format, called by a digest of what it was made from. There are two
kinds: tables that were converted from a slow format, and n-gram models that were fitted to tables.
The features that contextual models have given lie beside them; `encodings` writes and reads those.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from ..._utils.validation import VectorFormatError
from ..table.table import Reading, Table
from . import folder

VARIABLE = "SKLEARN_TRANSFER_CACHE"

# The numbers grow whenever another table or model comes to be made of the same content.
TABLES, KNOWN, MODELS, ENCODINGS = "tables-1", "known-1", "subwords-1", "encodings-1"
_PARTS = (TABLES, KNOWN, MODELS, ENCODINGS)

# Longer than any conversion takes: then a lock is taken for broken.
_PATIENCE = 3600.0  # seconds


@dataclass(frozen=True)
class CacheInfo:
    """What the cache of converted tables, fitted n-gram models and encoded texts holds.

    Attributes
    ----------
    folder : Path or None
        None where there is no cache.
    n_tables : int
    n_bytes : int
        Of all that is in it.
    n_models : int, default=0
        The n-gram models that were fitted to tables for ``oov="subword"``.
    n_encoders : int, default=0
        Contextual models, by their settings, of which features of texts are kept.
    """

    folder: Path | None
    n_tables: int
    n_bytes: int
    n_models: int = 0
    n_encoders: int = 0


def cache_info() -> CacheInfo:
    """Where converted vector tables, fitted models and encoded texts are kept, and how large.

    Vectors that come in a slow format are converted once into a form that opens memory-mapped in
    milliseconds, and so is the n-gram model that ``oov="subword"`` fits to vectors without n-grams.
    The features of texts are kept for a :class:`ContextualModel` with ``cache="disk"``.
    They lie in the platform's cache folder, or where the environment variable
    ``SKLEARN_TRANSFER_CACHE`` points; empty, it switches the cache off.

    Returns
    -------
    CacheInfo
        With the attributes `folder`, `n_tables`, `n_bytes`, `n_models` and `n_encoders`.

    Examples
    --------
    >>> from sklearn_transfer import cache_info
    >>> info = cache_info()
    >>> info.n_tables >= 0 and info.n_models >= 0 and info.n_bytes >= 0
    True
    """
    root = find_root()
    if root is None:
        return CacheInfo(None, 0, 0)
    n_bytes = 0
    for part in _PARTS:
        for path, _, files in os.walk(root / part):
            for file in files:
                with suppress(FileNotFoundError):  # another process is at work
                    n_bytes += Path(path, file).stat().st_size
    n_tables, n_models = (
        len(list((root / part).glob(f"[!.]*/{folder.METADATA}"))) for part in (TABLES, MODELS)
    )
    n_encoders = len(list((root / ENCODINGS).glob("*/")))
    return CacheInfo(root, n_tables, n_bytes, n_models, n_encoders)


def clear_cache() -> None:
    """Remove all converted tables, fitted models and encoded texts; what is open stays usable.

    Raises
    ------
    OSError
        If something cannot be removed.
    """
    root = find_root()
    for part in _PARTS:
        if root is not None and (root / part).exists():
            shutil.rmtree(root / part)


def find_root() -> Path | None:
    """The folder of the cache, which need not exist; None where it is switched off."""
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        return None
    return Path(chosen).expanduser() if chosen else user_cache_path("sklearn_transfer", False)


def open_or_make(
    entry: Path,
    options: Reading,
    make: Callable[[], Table],
    *,
    warn: Callable[[Exception], None],
    is_current: Callable[[], bool] = lambda: True,
) -> Table:
    """Open an entry, which one process makes where there is none while others wait for it.

    Parameters
    ----------
    entry : Path
        Called by all that decides what `make` gives.
    options : Reading
        How the entry is opened.
    make : callable
        Gives the table that is to be kept.
    warn : callable
        Says that the entry cannot be kept, and why.
    is_current : callable, default=lambda: True
        Asked once all is written; what was made is not kept where it says no.

    Returns
    -------
    Table
        Memory-mapped where `options` allow it; the one that `make` gave where it cannot be kept.
    """
    try:
        try:
            return folder.read(entry, options)
        except VectorFormatError:  # not there, or damaged
            entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_suffix(".lock"), timeout=_PATIENCE):
            try:  # another process may have been faster
                return folder.read(entry, options)
            except VectorFormatError:
                return _make(entry, options, make, warn, is_current)
    except (OSError, NotImplementedError) as error:  # the second: a system without file locks
        warn(error)
        return make()


def _make(
    entry: Path,
    options: Reading,
    make: Callable[[], Table],
    warn: Callable[[Exception], None],
    is_current: Callable[[], bool],
) -> Table:
    """Make an entry; what an earlier attempt left is removed."""
    for remains in (entry, *entry.parent.glob(f".*{entry.name}.*")):
        shutil.rmtree(remains, ignore_errors=True)
    table = make()
    draft = entry.with_name(f".{entry.name}.draft")
    try:
        folder.write(table, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        warn(error)
        return table
    # What it was made from may be mapped, so that it is read until here.
    if not is_current():
        shutil.rmtree(draft, ignore_errors=True)
        return table
    draft.rename(entry)
    try:
        return folder.read(entry, options) if options.mmap else table
    except VectorFormatError:  # the cache has been cleared meanwhile
        return table
