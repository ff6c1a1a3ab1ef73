"""The cache of converted tables: a slow format is read once, and mapped from then on.

An entry is a folder in our own format, called by the digest of the whole content of the files that
it was read from. Which files have which content is remembered by path, size and time of change, so
that opening again reads none of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._utils.validation import VectorFormatError, levels_to_caller
from ..table.table import Reading, Table
from . import folder
from .cache import KNOWN, TABLES, VARIABLE, find_root, open_or_make
from .files import shown, written_whole

# Smaller files are read as fast as they are looked up.
_WORTH = 4 << 20  # bytes
_BLOCK = 1 << 20
# A file that changed so recently may change again within the resolution of its clock.
_SETTLED = 2.0  # seconds


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
    root, source = find_root(), _Source.of(files)
    if root is None or source.size < _WORTH:
        return read(options)
    try:
        table = _open(root, source, options, read)
    except OSError as error:
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

    def is_current(self, digest: str) -> bool:
        """Whether the files are still those of the digest."""
        same = _Source.of(self.files) == self
        return same and (self.settled or self.digest() == digest)

    def note(self, root: Path) -> Path:
        """Where it is written down which digest the files at these paths have."""
        paths = hashlib.sha256(b"\0".join(map(os.fsencode, self.files)))
        return root / KNOWN / paths.hexdigest()[:32]


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
    entry = root / TABLES / digest
    if options.limit is not None:
        try:
            return folder.read(entry, options)
        except VectorFormatError:  # not there, or damaged
            return None
    return open_or_make(
        entry,
        options,
        lambda: read(options),
        warn=lambda error: _warn(source, root, error),
        is_current=lambda: source.is_current(digest),
    )


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
