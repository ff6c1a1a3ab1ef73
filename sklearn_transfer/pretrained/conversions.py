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

from .._validation import VectorFormatError
from . import folder
from .files import written_whole
from .table import Reading, Table, levels_to_caller

VARIABLE = "SKLEARN_TRANSFER_CACHE"

# Smaller files are read as fast as they are looked up.
_WORTH = 4 << 20  # bytes
_BLOCK = 1 << 20
# A file that changed so recently may change again within the resolution of its clock.
_SETTLED = 2.0  # seconds
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
    parts = [root / _TABLES, root / _KNOWN]
    sizes = [file.stat().st_size for part in parts for file in part.rglob("*") if file.is_file()]
    return CacheInfo(root, len(list(parts[0].glob(f"*/{folder.METADATA}"))), sum(sizes))


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
    digest = _recall(root, source)
    if digest is None and options.limit is None:
        digest = source.digest()
        with suppress(OSError):
            _remember(root, source, digest)
    if digest is None:
        return read(options)
    entry = root / _TABLES / digest
    try:
        return folder.read(entry, options)
    except VectorFormatError:  # not there, or damaged
        return read(options) if options.limit else _convert(entry, source, options, read)


@dataclass(frozen=True)
class _Source:
    """Files, and their sizes and times of change as they were looked at."""

    files: tuple[Path, ...]
    stamps: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, files: Sequence[Path]) -> _Source:
        status = [file.stat() for file in files]
        stamps = tuple((file.st_size, file.st_mtime_ns) for file in status)
        return cls(tuple(file.resolve() for file in files), stamps)

    @property
    def size(self) -> int:
        return sum(size for size, _ in self.stamps)

    @property
    def settled(self) -> bool:
        """Whether a change would show in the stamps: clocks tick slowly."""
        return max(changed for _, changed in self.stamps) < (time.time() - _SETTLED) * 1e9

    def digest(self) -> str:
        """Of the sizes and the whole content."""
        digest = hashlib.sha256()
        for path, (size, _) in zip(self.files, self.stamps, strict=True):
            digest.update(b"%d " % size)
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        return digest.hexdigest()[:32]

    def note(self, root: Path) -> Path:
        """Where it is written down which digest the files at these paths have."""
        paths = hashlib.sha256(b"\0".join(map(os.fsencode, self.files)))
        return root / _KNOWN / paths.hexdigest()[:32]


def _convert(
    entry: Path, source: _Source, options: Reading, read: Callable[[Reading], Table]
) -> Table:
    """Make an entry, unless another process is faster, and open it."""
    table = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_suffix(".lock")):
            try:
                return folder.read(entry, options)
            except VectorFormatError:
                for remains in (entry, *entry.parent.glob(f".{entry.name}.*")):
                    shutil.rmtree(remains, ignore_errors=True)
            table = read(options)
            if _Source.of(source.files) != source:
                return table  # the files are changing: nothing to keep
            folder.write(table, entry)
            return folder.read(entry, options)
    except OSError as error:
        warnings.warn(
            f"{source.files[0]}: the converted table cannot be kept in {entry.parent}: {error}. "
            f"The file is read anew each time; set {VARIABLE} to a folder with room, or to '' for "
            f"no cache.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
        return read(options) if table is None else table


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
