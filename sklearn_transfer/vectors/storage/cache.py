"""The cache folder: content that is slow to make is made once, and mapped from then on.

An entry is a folder in our own format; its name is a hash of everything that it was made from.
There are two kinds: tables converted from a slow format, and n-gram models fitted to tables. The
cache folder also holds fingerprints of files, and the features that contextual models computed,
which `contextual.embedding_cache` reads and writes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from ..._utils.atomic import make_private_folder
from ..._utils.errors import VectorFormatError, levels_to_caller
from ..._utils.locks import hold_lock
from ..._utils.objects.memo import clear_memos, register_memo
from ..table.table import Reading, Table
from . import folder
from .files import expand_user

VARIABLE = "SKLEARN_TRANSFER_CACHE"

# The numbers grow whenever the same content gives another table or model, or opens more slowly.
TABLES, FINGERPRINTS = "tables-2", "fingerprints-1"
MODELS, ENCODINGS = "subwords-1", "encodings-1"
_PARTS = (TABLES, FINGERPRINTS, MODELS, ENCODINGS)
_OLD_PARTS = ("tables-1",)

_DIGEST = re.compile(r"[0-9a-f]{32}")  # of `hash_content`

_refused: set[Path] = set()  # folders that a warning has named
register_memo(_refused.clear)


@dataclass(frozen=True)
class CacheInfo:
    """Content of the cache of converted tables, fitted n-gram models and encoded texts.

    Attributes
    ----------
    folder : Path or None
        None if the cache is switched off.
    n_tables : int
        Number of converted tables.
    n_bytes : int
        Size of the whole cache.
    n_models : int, default=0
        Number of n-gram models that were fitted to tables for ``oov="subword"``.
    n_encoders : int, default=0
        Number of contextual models, by their settings, whose features of texts are kept.
    """

    folder: Path | None
    n_tables: int
    n_bytes: int
    n_models: int = 0
    n_encoders: int = 0


def cache_info() -> CacheInfo:
    """Return the folder, the content and the size of the cache.

    The cache contains

    - vectors in slow formats, converted so that they open memory-mapped in milliseconds;
    - n-gram models that ``oov="subword"`` fits to vectors without n-grams;
    - features of texts from a :class:`ContextualModel` with ``cache="disk"``.

    It is in the cache folder of the platform, or in the folder that the environment variable
    ``SKLEARN_TRANSFER_CACHE`` names. If the variable is empty, the cache is switched off.

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
    """Remove all entries of the cache, on disk and in this process.

    The process releases models and vectors that are not in use. Those in use stay usable.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    clear_memos()
    root = find_root()
    for part in (*_PARTS, *_OLD_PARTS):
        if root is not None and (root / part).exists():
            shutil.rmtree(root / part)


def find_root() -> Path | None:
    """Return the cache folder, which need not exist; None if it is off, or others may change it."""
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        return None
    root = expand_user(chosen) if chosen else user_cache_path("sklearn_transfer", appauthor=False)
    danger = _find_danger(root)
    if not danger:
        return root
    if root not in _refused:
        _refused.add(root)
        warnings.warn(
            f"The cache folder {root} is not used: {danger}. Set {VARIABLE} to a folder of your "
            f"own, or to '' for no cache.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
    return None


def _find_danger(root: Path) -> str:
    """Return the reason why others may change what a folder holds; "" if there is none."""
    if root.parts[:1] and root.parts[0].startswith("~"):
        return "nobody has that home folder"
    if not hasattr(os, "getuid"):
        return ""
    for path in (root, *(root / part for part in _PARTS)):
        try:
            status = path.stat()
        except OSError:  # most often there is no such folder yet
            continue
        if status.st_uid != os.getuid():
            return f"{path} belongs to another user (uid {status.st_uid})"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"other users may write to {path} (chmod go-w would end that)"
    return ""


def find_entry(root: Path, part: str, digest: str) -> Path:
    """Return the path of an entry of the cache; `ValueError` unless it is named by a digest."""
    if not is_digest(digest):
        raise ValueError(f"expected a digest of 32 hexadecimal digits, got {digest!r}.")
    return root / part / digest


def is_digest(text: object) -> bool:
    """Return whether a text is a hash of content; anything else must not become a path."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def open_or_make(
    entry: Path,
    options: Reading,
    make: Callable[[], Table],
    *,
    warn: Callable[[Exception], None],
    is_current: Callable[[], bool] = lambda: True,
) -> Table:
    """Open an entry; if there is none, one process makes it while others wait.

    Parameters
    ----------
    entry : Path
        See :func:`find_entry`; its name is a hash of everything that determines the result of
        `make`.
    options : Reading
        Options for opening the entry.
    make : callable
        Returns the table to keep.
    warn : callable
        Called with the error if the entry cannot be kept.
    is_current : callable, default=lambda: True
        Called after everything is written; if it returns False, the entry is not kept.

    Returns
    -------
    Table
        Memory-mapped if `options` allow it; the result of `make` if the entry cannot be kept.
    """
    try:
        try:
            return folder.read(entry, options)
        except VectorFormatError:  # missing or damaged
            make_private_folder(entry.parent)
        with hold_lock(entry.with_suffix(".lock")):
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
    """Make an entry, after removing the remains of earlier attempts."""
    for remains in (entry, *entry.parent.glob(f".*{entry.name}.*")):
        shutil.rmtree(remains, ignore_errors=True)
    table = make()
    draft = entry.with_name(f".{entry.name}.draft")
    try:
        folder.write(table, draft)
        _protect(draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        warn(error)
        return table
    # The source may be mapped and is then read until here.
    if not is_current():
        shutil.rmtree(draft, ignore_errors=True)
        return table
    draft.rename(entry)
    try:
        return folder.read(entry, options) if options.mmap else table
    except VectorFormatError:  # the cache has been cleared meanwhile
        return table


def _protect(entry: Path) -> None:
    """Make the files of an entry read-only: whoever shortens a mapped file ends its readers."""
    if os.name == "posix":  # elsewhere a read-only file cannot be removed
        for file in entry.iterdir():
            file.chmod(0o400)
