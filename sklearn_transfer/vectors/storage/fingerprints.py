"""Fingerprints of files: hashes of their whole content, computed once per content.

Hashing takes about a second per gigabyte. A fingerprint is therefore remembered together with the
size, inode and times of change of each file: in the process, and for large files in the cache
folder. As long as these are the same, opening a file again reads nothing of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..._utils.atomic import make_private_folder, write_atomically
from ..._utils.hashing import hash_content, hash_stream
from ..._utils.objects.memo import register_memo
from .cache import FINGERPRINTS, find_root, is_digest
from .files import read_json, show_progress

# Hashing less takes a few milliseconds, as long as looking up a fingerprint in the cache folder.
_MIN_REMEMBERED = 4 << 20  # bytes
_BLOCK = 1 << 20
# A file that changed so recently may change again within the resolution of its clock.
_SETTLED = 2.0  # seconds

_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class _State:
    """Files and their stamps (inode, size, times of change), which differ after any change."""

    paths: tuple[Path, ...]
    stamps: tuple[_Stamp, ...]

    @classmethod
    def of(cls, files: Sequence[Path]) -> _State:
        status = [file.stat() for file in files]
        # Tools that copy files preserve or clamp the modification time, but not the other one.
        stamps = tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in status)
        return cls(tuple(file.resolve() for file in files), stamps)

    @property
    def is_settled(self) -> bool:
        """True if a later change would show in the stamps."""
        changed = max((max(stamp[2:]) for stamp in self.stamps), default=0)
        return changed < (time.time() - _SETTLED) * 1e9


_remembered: dict[tuple[Path, ...], tuple[tuple[_Stamp, ...], str]] = {}
register_memo(_remembered.clear)


def fingerprint_files(files: Sequence[Path]) -> str:
    """Hash the whole content of regular files: 32 hexadecimal digits, recalled if none changed."""
    state = _State.of(files)
    stamps, known = _remembered.get(state.paths) or _recall(state)
    if stamps != state.stamps:
        known = hash_stream(_read_blocks(state))
        if not state.is_settled or _State.of(files) != state:
            return known
        with suppress(OSError):
            _write_note(state, known)
    _remembered[state.paths] = (state.stamps, known)
    return known


def _read_blocks(state: _State) -> Iterator[bytes]:
    for path, (_, size, _, _) in zip(state.paths, state.stamps, strict=True):
        yield b"%d" % size
        with path.open("rb") as raw, show_progress(raw, path, size) as file:
            while block := file.read(_BLOCK):
                yield block


def _find_note(state: _State) -> Path | None:
    """Return the file in the cache folder that holds the fingerprint of files at these paths."""
    root = find_root()
    if root is None or sum(size for _, size, _, _ in state.stamps) < _MIN_REMEMBERED:
        return None
    return root / FINGERPRINTS / hash_content(*map(str, state.paths))


def _recall(state: _State) -> tuple[tuple[_Stamp, ...], str]:
    """Read the stamps and the fingerprint of a note; empty ones where there is none."""
    try:
        content = read_json(note) if (note := _find_note(state)) else {}
        stamps, known = tuple(map(tuple, content["stamps"])), content["fingerprint"]
    except (OSError, ValueError, TypeError, KeyError):
        return (), ""
    # It names an entry of the cache. A note that holds anything else is not ours.
    return (stamps, known) if is_digest(known) else ((), "")


def _write_note(state: _State, fingerprint: str) -> None:
    if (note := _find_note(state)) is not None:
        make_private_folder(note.parent)
        with write_atomically(note) as file:
            content = {"stamps": state.stamps, "fingerprint": fingerprint}
            file.write(json.dumps(content).encode())
