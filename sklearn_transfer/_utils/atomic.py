"""Files and folders that are written as a whole or not at all."""

from __future__ import annotations

import glob
import gzip
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

from .hashing import hash_content

Writer = BufferedWriter | gzip.GzipFile

_NAMESPACE = "/proc/self/ns/pid"
_FORGOTTEN = 7 * 24 * 3600.0  # seconds
# Process, host and random characters: the end of a temporary name.
_ENDING = re.compile(r"([0-9]{1,30})-([0-9a-f]{8})-[a-z0-9_]{8}")
_PREFIX = 50  # characters of a name that a temporary name repeats, at most 200 bytes of 255


def make_private_folder(folder: Path) -> None:
    """Create a folder, and the folders above it, that only their owner can enter."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        with suppress(FileExistsError):  # another process was faster, or there is a file
            folder.mkdir(0o700)


@contextmanager
def write_atomically(path: Path) -> Iterator[Writer]:
    """Open a binary file that replaces `path` only if the body succeeds; ``.gz`` is compressed."""
    with temporary_folder(path) as folder:
        with (folder / "content").open("wb") as raw:
            if path.suffix == ".gz":
                # Without name and time, the same content gives the same bytes.
                with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
                    yield file
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        (folder / "content").replace(path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Create a folder next to `path`, from which files can be renamed; it is removed at the end."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write {str(path)!r}: there is no folder {path.parent}.")
    prefix = f"{_beginning(path)}{os.getpid()}-{_host()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_remains(path: Path) -> None:
    """Remove the temporary folders of `path` whose process was killed."""
    # A process of another container or machine, or before a restart, cannot be looked up: its
    # folders are removed when nothing in them has changed for a week.
    beginning, host = _beginning(path), _host()
    for folder in path.parent.glob(f"{glob.escape(beginning)}*"):
        made = _ENDING.fullmatch(folder.name.removeprefix(beginning))
        if made is None:
            continue
        is_used = _is_running(int(made[1])) if made[2] == host else _is_recent(folder)
        if not is_used:
            shutil.rmtree(folder, ignore_errors=True)


def _beginning(path: Path) -> str:
    """The beginning of the names of the temporary folders of a path."""
    return f".{path.name[:_PREFIX]}."


def _host() -> str:
    """Hash of what a process number belongs to: containers may share the name of a machine."""
    place = [platform.node()]
    with suppress(OSError):  # of Linux
        place += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink(_NAMESPACE)]
    return hash_content(*place)[:8]


def _is_recent(folder: Path) -> bool:
    try:
        changed = max(entry.lstat().st_mtime for entry in [folder, *folder.rglob("*")])
    except OSError:  # it is in use, or of another user
        return True
    return time.time() - changed < _FORGOTTEN


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere, signal 0 ends a process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user; no process of ours
        return True
    return True


@contextmanager
def replace_folder(
    path: Path, names: Collection[str], is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """Create a new folder that replaces `path` only if the body succeeds.

    Parameters
    ----------
    path : Path
        An existing folder is removed at the end, if `is_ours` accepts it.
    names : collection of str
        Names of all entries that such a folder may hold.
    is_ours : callable
        Called with an existing folder that holds no other names; True if this package wrote it.

    Raises
    ------
    FileExistsError
        If `path` is a file or another folder; raised before the body.
    """
    path = path.resolve()
    if path.exists():
        found = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
        if found and not (path.is_dir() and found <= set(names) and is_ours(path)):
            raise FileExistsError(
                f"{path} was not written by this package and is not overwritten. Choose a new "
                f"folder, or remove it first."
            )
    with temporary_folder(path) as temporary:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                with file.open("rb+") as content:
                    os.fsync(content.fileno())
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
