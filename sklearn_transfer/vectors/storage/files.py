"""Files that are read whole or not at all, and written whole or not at all."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..._utils.validation import VectorFormatError

Reader = IO[bytes]
Writer = BufferedWriter | gzip.GzipFile

_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "zip": b"PK\x03\x04"}

_PATIENCE = 2.0  # seconds without a progress bar
# What of a file tells whether it is the same: so many blocks, in bytes.
_N_BLOCKS, _BLOCK = 64, 4096

# What the libraries raise on damaged data. RuntimeError: an encrypted member of an archive, or a
# method of compression that is not known.
_DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, struct.error, OverflowError)


# Nothing is there, or no file; the last is what a socket answers.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO}

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def check_readable(path: Path) -> None:
    """Refuse what is not there, and what is neither a folder nor a regular file (it may block).

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    VectorFormatError
        If it is a socket, a device or a named pipe, a link in a circle, or an empty file.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"No pretrained vectors at {str(path)!r}: expected a file or a folder."
        ) from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise VectorFormatError(f"{path}: the symbolic link leads in a circle.") from None
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise VectorFormatError(f"{path}: expected a regular file or a folder, found neither.")
    if status.st_size == 0:
        raise VectorFormatError(f"{path}: expected vectors, found an empty file.")


@contextmanager
def open_member(file: Path) -> Iterator[Reader]:
    """Open a file of a folder of vectors for reading, if it is a regular file.

    Parameters
    ----------
    file : Path

    Yields
    ------
    binary file

    Raises
    ------
    VectorFormatError
        If nothing is there, or a folder, a socket, a device or a named pipe.
    """
    try:
        # A named pipe without a writer would be waited for.
        descriptor = os.open(file, os.O_RDONLY | _AT_ONCE)
    except OSError as error:
        if error.errno not in _NO_FILE:  # too many are open, or no memory is left
            raise
        raise VectorFormatError(f"{file}: cannot be opened: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VectorFormatError(f"{file}: cannot be opened: expected a regular file.")
    with os.fdopen(descriptor, "rb") as content:
        yield content


def compression(path: Path) -> str | None:
    """How a file is compressed, by its content and not its name.

    Parameters
    ----------
    path : Path

    Returns
    -------
    {"gzip", "bzip2", "zip"} or None
    """
    with path.open("rb") as file:
        start = file.read(4)
    return next((how for how, magic in _MAGIC.items() if start.startswith(magic)), None)


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """Open a file for reading, decompressing it if it is compressed.

    Parameters
    ----------
    path : Path
        A zip archive must hold one file.

    Yields
    ------
    binary file

    Raises
    ------
    VectorFormatError
        In the body, if the compressed data are damaged or end too early.
    """
    how = compression(path)
    if how is None:
        with path.open("rb") as file:
            yield file
        return
    try:
        with _decompressed(path, how) as content:
            yield content
    except (*_DAMAGED, OSError) as error:
        # Those of the libraries themselves have no number; archives send them to odd places.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise VectorFormatError(
            f"{path}: the {how} data are damaged or cut off: {error}"
        ) from error


def _decompressed(path: Path, how: str) -> Any:
    if how == "zip":
        return _open_only_member(path)
    return (gzip.open if how == "gzip" else bz2.open)(path)


@contextmanager
def _open_only_member(path: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        # Not is_dir(): an entry may be without a name.
        names = [entry.filename for entry in archive.infolist() if entry.filename[-1:] != "/"]
        if len(names) != 1:
            raise VectorFormatError(
                f"{path}: expected a zip archive of one file, found {len(names)}: "
                f"{', '.join(names[:5])}. Extract the one that you want."
            )
        try:
            file = archive.open(names[0])
        except UnicodeDecodeError as error:  # the name, once more, before the content
            raise zipfile.BadZipFile(str(error)) from error
        with file:
            yield file


def content_size(path: Path) -> int:
    """Number of bytes in a file, after decompression.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int
        A compressed file is decompressed for it: what it says of its size may be a lie.

    Raises
    ------
    VectorFormatError
        If the compressed data are damaged or end too early.
    """
    if compression(path) is None:
        return path.stat().st_size
    size = 0
    with opened(path) as file:
        while block := file.read(1 << 20):
            size += len(block)
    return size


def digest_files(paths: Iterable[Path]) -> str:
    """Tell whether files are the same as before, without reading all of them.

    Parameters
    ----------
    paths : iterable of Path
        Regular files, in a fixed order.

    Returns
    -------
    str
        32 hexadecimal digits: BLAKE2b of the size and of 64 blocks of 4 kB, evenly spaced, of each.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        size = path.stat().st_size
        digest.update(b"%d " % size)
        with path.open("rb") as content:
            for start in np.linspace(0, max(size - _BLOCK, 0), _N_BLOCKS, dtype=np.int64).tolist():
                content.seek(start)
                digest.update(content.read(_BLOCK))
    return digest.hexdigest()


@contextmanager
def shown(file: Reader, path: Path, size: int) -> Iterator[Reader]:
    """Show on stderr how far a file has been read, once that has taken two seconds.

    Parameters
    ----------
    file : binary file
        Read in blocks; lines are not counted.
    path : Path
        Whose name stands before the bar.
    size : int
        Bytes that the file holds.

    Yields
    ------
    binary file
        The same. The bar goes when the body ends; there is none where stderr is no terminal.
    """
    from tqdm import tqdm

    with tqdm.wrapattr(
        file, "read", total=size, desc=path.name, delay=_PATIENCE, leave=False, disable=None
    ) as reading:
        yield reading


@contextmanager
def written_whole(path: Path) -> Iterator[Writer]:
    """Open a file that takes its place only when the body has succeeded.

    Parameters
    ----------
    path : Path
        Compressed where it ends in ``.gz``.

    Yields
    ------
    binary file
    """
    with temporary_folder(path) as folder:
        with (folder / "content").open("wb") as raw:
            if path.suffix == ".gz":
                # No name and no time inside: the same table gives the same bytes.
                with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
                    yield file
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        (folder / "content").replace(path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, so that what is made in it can be renamed; removed in the end."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write {str(path)!r}: there is no folder {path.parent}.")
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def written_folder(
    path: Path, names: Collection[str], is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """A new folder that takes the place of `path` only when the body has succeeded.

    Parameters
    ----------
    path : Path
        A folder that is there is removed in the end, if it is one of ours.
    names : collection of str
        All that such a folder may hold.
    is_ours : callable
        Tells whether a folder that holds nothing else is one of ours.

    Yields
    ------
    Path

    Raises
    ------
    FileExistsError
        If a file, or a folder with anything else, is there; before the body.
    """
    path = path.resolve()
    if path.exists():
        found = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
        if found and not (path.is_dir() and found <= set(names) and is_ours(path)):
            raise FileExistsError(
                f"{path} holds something else than what this package wrote; it is not "
                f"overwritten. Choose a new folder, or remove it yourself."
            )
    with temporary_folder(path) as temporary:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
