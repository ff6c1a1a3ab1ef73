"""The cache of converted tables: a slow format is read once, and mapped from then on.

An entry is a folder in our own format, called by the digest of the whole content of the files that
it was read from. Which files have which content is remembered by path, size and time of change, so
that opening again reads none of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from .._validation import VectorFormatError, levels_to_caller
from . import folder
from .files import shown, written_whole
from .table import Reading, Table

VARIABLE = "SKLEARN_TRANSFER_CACHE"

# Smaller files are read as fast as they are looked up.
_WORTH = 4 << 20  # bytes
_BLOCK = 1 << 20
# A file that changed so recently may change again within the resolution of its clock.
_SETTLED = 2.0  # seconds
# Longer than any conversion takes: then a lock is taken for broken.
_PATIENCE = 3600.0  # seconds
# The number grows whenever a reader comes to give something else for the same file.
_TABLES, _KNOWN = "tables-1", "known-1"


@dataclass(frozen=True)
class CacheInfo:
    """What the cache of converted tables holds.

    Attributes
    ----------
    folder : Path or None
        None where there is no cache.
    n_tables : int
    n_bytes : int
    """

    folder: Path | None
    n_tables: int
    n_bytes: int


def cache_info() -> CacheInfo:
    """Where converted vector tables are kept, how many and how large.

    Vectors that come in a slow format are converted once into a form that opens memory-mapped in
    milliseconds. The conversions lie in the platform's cache folder, or where the environment
    variable ``SKLEARN_TRANSFER_CACHE`` points; empty, it switches the cache off.

    Returns
    -------
    CacheInfo
        With the attributes `folder`, `n_tables` and `n_bytes`.

    Examples
    --------
    >>> from sklearn_transfer import cache_info
    >>> info = cache_info()
    >>> info.n_tables >= 0 and info.n_bytes >= 0
    True
    """
    root = _root()
    if root is None:
        return CacheInfo(None, 0, 0)
    n_bytes = 0
    for part in (_TABLES, _KNOWN):
        for path, _, files in os.walk(root / part):
            for file in files:
                with suppress(FileNotFoundError):  # another process is at work
                    n_bytes += Path(path, file).stat().st_size
    return CacheInfo(root, len(list((root / _TABLES).glob(f"[!.]*/{folder.METADATA}"))), n_bytes)


def clear_cache() -> None:
    """Remove all converted vector tables; those that are open stay usable.

    Raises
    ------
    OSError
        If something cannot be removed.
    """
    root = _root()
    for part in (_TABLES, _KNOWN):
        if root is not None and (root / part).exists():
            shutil.rmtree(root / part)


def read_converted(
    files: Sequence[Path], options: Reading, read: Callable[[Reading], Table]
) -> Table:
    """Read a table through the cache.

    Parameters
    ----------
    files : sequence of Path
        All that the table is read from.
    options : Reading
        With a limit nothing is converted, but what was is used.
    read : callable
        Reads the files themselves.

    Returns
    -------
    Table
        Memory-mapped where `options` allow it.

    Warns
    -----
    UserWarning
        If the cache cannot be written; the table is then the one in memory.
    """
    root, source = _root(), _Source.of(files)
    if root is None or source.size < _WORTH:
        return read(options)
    try:
        table = _open(root, source, options, read)
    except (OSError, NotImplementedError) as error:  # the second: a system without file locks
        _warn(source, root, error)
        table = None
    return read(options) if table is None else table


@dataclass(frozen=True)
class _Source:
    """Files, and what tells whether they have changed: inode, size, times of change."""

    files: tuple[Path, ...]
    stamps: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def of(cls, files: Sequence[Path]) -> _Source:
        status = [file.stat() for file in files]
        # Copying tools preserve or clamp the second time, but not the third.
        stamps = tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in status)
        return cls(tuple(file.resolve() for file in files), stamps)

    @property
    def size(self) -> int:
        return sum(size for _, size, _, _ in self.stamps)

    @property
    def settled(self) -> bool:
        """Whether a change would show in the stamps: clocks tick slowly."""
        changed = max(max(mtime, ctime) for _, _, mtime, ctime in self.stamps)
        return changed < (time.time() - _SETTLED) * 1e9

    def digest(self) -> str:
        """Of the sizes and the whole content."""
        digest = hashlib.sha256()
        for path, (_, size, _, _) in zip(self.files, self.stamps, strict=True):
            digest.update(b"%d " % size)
            with path.open("rb") as raw, shown(raw, path, size) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        return digest.hexdigest()[:32]

    def note(self, root: Path) -> Path:
        """Where it is written down which digest the files at these paths have."""
        paths = hashlib.sha256(b"\0".join(map(os.fsencode, self.files)))
        return root / _KNOWN / paths.hexdigest()[:32]


def _open(
    root: Path, source: _Source, options: Reading, read: Callable[[Reading], Table]
) -> Table | None:
    """The table of an entry, which is made where there is none; None if it cannot be kept."""
    digest = _recall(root, source)
    if digest is None:
        if options.limit is not None:
            return None
        digest = source.digest()
        with suppress(OSError):
            _remember(root, source, digest)
    entry = root / _TABLES / digest
    try:
        return folder.read(entry, options)
    except VectorFormatError:  # not there, or damaged
        if options.limit is not None:
            return None
    entry.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.with_suffix(".lock"), timeout=_PATIENCE):
        try:  # another process may have been faster
            return folder.read(entry, options)
        except VectorFormatError:
            return _convert(entry, source, options, read)


def _convert(
    entry: Path, source: _Source, options: Reading, read: Callable[[Reading], Table]
) -> Table:
    """Make an entry; what an earlier attempt left is removed."""
    for remains in (entry, *entry.parent.glob(f".*{entry.name}.*")):
        shutil.rmtree(remains, ignore_errors=True)
    table = read(options)
    draft = entry.with_name(f".{entry.name}.draft")
    try:
        folder.write(table, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        _warn(source, entry.parent, error)
        return table
    # A reader may map the file, so that it is read until here.
    if _Source.of(source.files) != source or not (source.settled or source.digest() == entry.name):
        shutil.rmtree(draft, ignore_errors=True)
        return table
    draft.rename(entry)
    try:
        return folder.read(entry, options) if options.mmap else table
    except VectorFormatError:  # the cache has been cleared meanwhile
        return table


def _warn(source: _Source, root: Path, error: Exception) -> None:
    warnings.warn(
        f"{source.files[0]}: the converted table cannot be kept in {root}: {error}. The file is "
        f"read anew each time; set {VARIABLE} to a folder with room, or to '' for no cache.",
        UserWarning,
        stacklevel=levels_to_caller(),
    )


def _recall(root: Path, source: _Source) -> str | None:
    """The digest of files that have not changed since it was taken."""
    try:
        known: Any = json.loads(source.note(root).read_text(encoding="utf-8"))
        same = known["stamps"] == [list(stamp) for stamp in source.stamps]
        return str(known["digest"]) if same else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(root: Path, source: _Source, digest: str) -> None:
    if source.settled and _Source.of(source.files) == source:
        note = source.note(root)
        note.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(note) as file:
            file.write(json.dumps({"stamps": source.stamps, "digest": digest}).encode())


def _root() -> Path | None:
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        return None
    return Path(chosen).expanduser() if chosen else user_cache_path("sklearn_transfer", False)
