"""Files that are read whole or not at all, and written whole or not at all."""

from __future__ import annotations

import bz2
import errno
import gzip
import math
import mmap
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .._validation import VectorFormatError

Reader = IO[bytes]
Writer = BufferedWriter | gzip.GzipFile

_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "zip": b"PK\x03\x04"}

_PATIENCE = 2.0  # seconds without a progress bar

# A page that was let go costs some microseconds when it is wanted again.
_LARGE = 256 << 20  # bytes
_ROWS = 8  # after which they are; each may bring a folio of 2 MB into the process

# What the libraries raise on damaged data. RuntimeError: an encrypted member of an archive, or a
# method of compression that is not known.
_DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, struct.error, OverflowError)


# Nothing is there, or no file; the last is what a socket answers.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO}

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

# What numpy.save writes before the numbers of an array. numpy.load evaluates it as Python, which is
# slow on nonsense and warns of some.
_ARRAY = re.compile(
    rb"\{'descr': *'([<>|][biuf][0-9]{1,2})', *'fortran_order': *(True|False), *"
    rb"'shape': *\((|(?:0|[1-9][0-9]*),|(?:0|[1-9][0-9]*)(?:, *(?:0|[1-9][0-9]*))+,?)\),? *\} *\n?"
)
_ARRAY_VERSIONS = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4, b"\x93NUMPY\3\0": 4}
_MAX_ARRAY_HEAD = 1000  # bytes


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


def map_array(file: Path) -> NDArray[Any]:
    """Map an array that ``numpy.save`` wrote.

    Parameters
    ----------
    file : Path

    Returns
    -------
    ndarray of numbers
        Memory-mapped and read-only.

    Raises
    ------
    VectorFormatError
        If nothing or no regular file is there; if it is no array of numbers, or has another size
        than its head says.
    """
    with open_member(file) as content:
        start = content.read(12)
        n_bytes = _ARRAY_VERSIONS.get(start[:8], 2)  # of the length of the head
        offset = 8 + n_bytes + int.from_bytes(start[8 : 8 + n_bytes], "little")
        content.seek(8 + n_bytes)
        head = content.read(offset - content.tell()) if offset <= _MAX_ARRAY_HEAD else b""
        found = _ARRAY.fullmatch(head)
        if start[:8] not in _ARRAY_VERSIONS or found is None:
            raise VectorFormatError(
                f"{file}: cannot be opened: expected the head of a NumPy array of numbers, found "
                f"{start + head[:60]!r}."
            )
        descr, fortran, lengths = found.groups()
        try:
            dtype = np.dtype(descr.decode())
            shape = tuple(map(int, lengths.rstrip(b",").split(b","))) if lengths else ()
        except (TypeError, ValueError) as error:
            raise VectorFormatError(f"{file}: cannot be opened: {error}") from None
        expected = offset + math.prod(shape) * dtype.itemsize
        size = os.fstat(content.fileno()).st_size
        if expected != size:
            raise VectorFormatError(
                f"{file}: cannot be opened: the head announces an array of shape {shape}, which "
                f"makes {expected} bytes, found {size}."
            )
        order: Any = "F" if fortran == b"True" else "C"
        return np.memmap(content, dtype, "r", offset, shape, order)


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


def take_rows(array: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    """Rows of a matrix; of a large read-only memory map, none of its pages stays in this process.

    Linux maps a neighbourhood of each page that is touched, as far as the system's cache holds it,
    so that rows here and there would soon make most of a table count as memory of every process.

    Parameters
    ----------
    array : ndarray, shape (n, dim)
    rows : ndarray of int, shape (n_rows,)

    Returns
    -------
    ndarray, shape (n_rows, dim)
    """
    mapping = _mapping(array) if array.nbytes >= _LARGE else None
    if mapping is None:
        return np.asarray(array[rows])
    taken = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        taken[part] = array[rows[part]]
        mapping.madvise(mmap.MADV_DONTNEED)
    return taken


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    """The memory map that an array is a view of, if its pages may be let go."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    # A map that can be written to privately would lose what was written.
    if not isinstance(base, np.memmap) or base.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


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
def written_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of `path` only when the body has succeeded.

    Parameters
    ----------
    path : Path
        What is there is removed in the end, whatever it holds.

    Yields
    ------
    Path
    """
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
