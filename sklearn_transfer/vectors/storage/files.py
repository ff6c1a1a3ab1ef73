"""Files to read: regular, compressed, JSON, and memory-mapped arrays."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import os
import re
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.errors import VectorFormatError

Reader = IO[bytes]

_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "zip": b"PK\x03\x04"}

# Files that macOS and Windows add to archives.
_OF_SYSTEM = re.compile(r"^__MACOSX/|(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini)$")

_MAX_ARRAY_HEADER = 1000  # bytes, of a .npy file

# Errors of the libraries on damaged data. RuntimeError: an encrypted member of an archive, or an
# unknown compression method.
_DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, struct.error, OverflowError)

# Errors of os.open for a missing file, a folder, a circular link, a socket and too long a name.
_NO_FILE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG),
}

# Vectors as text compress to a tenth. More than this is a bomb, unless it is small.
_MAX_EXPANSION, _SMALL = 200, 4 << 20  # times the size of the file; bytes

# Metadata; lists of words and tokenizers, which may be larger, are read without this limit.
_MAX_JSON = 4 << 20  # bytes

_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def check_readable(path: Path) -> None:
    """Raise an error unless a path is a folder or a regular file that is not empty."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", errno.ENOENT)  # ValueError: a NUL in the path
        if number not in _NO_FILE:
            raise
        if number == errno.ELOOP:
            raise VectorFormatError(f"{path}: the symbolic link is circular.") from None
        raise FileNotFoundError(
            f"No pretrained vectors at {str(path)!r}: expected a file or a folder."
        ) from None
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise VectorFormatError(f"{path}: expected a regular file or a folder, found neither.")
    if status.st_size == 0:
        raise VectorFormatError(f"{path}: expected vectors, found an empty file.")


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Replace ``~`` and ``~name`` by a home folder; a name that nobody has stays as it is."""
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def exists(path: Path) -> bool:
    """Return whether anything is at a path; nothing is at a path that cannot be."""
    try:
        path.stat()
    except ValueError:  # a NUL
        return False
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return False
    return True


@contextmanager
def open_regular(file: Path) -> Iterator[Reader]:
    """Open a file for reading; `VectorFormatError` if it is missing or no regular file."""
    try:
        # Without the flag, a named pipe without a writer blocks.
        descriptor = os.open(file, os.O_RDONLY | _NON_BLOCKING)
    except OSError as error:
        if error.errno not in _NO_FILE:  # too many open files, no memory
            raise
        raise VectorFormatError(f"{file}: cannot be opened: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VectorFormatError(f"{file}: cannot be opened: expected a regular file.")
    with os.fdopen(descriptor, "rb") as content:
        yield content


def detect_compression(path: Path) -> str | None:
    """Return ``"gzip"``, ``"bzip2"``, ``"zip"`` or None, detected by the content of a file."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for name, magic in _MAGIC.items() if start.startswith(magic)), None)


def check_not_compressed(path: Path, format: str) -> None:
    """Raise an error for a compressed file of a format that is read in place."""
    compression = detect_compression(path)
    if compression is not None:
        raise VectorFormatError(
            f"{path}: found {compression} data, expected a {format}. Decompress it first."
        )


@contextmanager
def open_decompressed(path: Path) -> Iterator[Reader]:
    """Open a file, decompressed; damaged data raise `VectorFormatError` in the body."""
    kind = detect_compression(path)
    if kind is None:
        with path.open("rb") as file:
            yield file
        return
    try:
        open_content: Any = {"zip": _open_only_member, "gzip": gzip.open, "bzip2": bz2.open}[kind]
        with open_content(path) as content:
            yield content
    except (*_DAMAGED, OSError) as error:
        # Errors of the libraries have no number; damaged archives lead to invalid positions.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise VectorFormatError(
            f"{path}: the {kind} data are damaged or cut off: {error}"
        ) from error


@contextmanager
def _open_only_member(path: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        # Not is_dir(), which fails for an entry without a name.
        names = [entry.filename for entry in archive.infolist() if entry.filename[-1:] != "/"]
        names = [name for name in names if not _OF_SYSTEM.search(name)]
        if len(names) != 1:
            raise VectorFormatError(
                f"{path}: expected a zip archive of one file, found {len(names)}: "
                f"{', '.join(names[:5])}. Extract the right one."
            )
        try:
            file = archive.open(names[0])
        except UnicodeDecodeError as error:  # in the second copy of the name
            raise zipfile.BadZipFile(str(error)) from error
        with file:
            yield file


def content_size(path: Path) -> int:
    """Return the number of bytes after decompression, counted, because headers may be damaged."""
    if detect_compression(path) is None:
        return path.stat().st_size
    size = 0
    with open_decompressed(path) as file:
        while block := file.read(1 << 20):
            size += len(block)
            check_expansion(path, size)
    return size


def check_expansion(path: Path, n_bytes: int) -> None:
    """Raise an error if a file expands to more bytes than vectors ever do."""
    size = path.stat().st_size
    if n_bytes > max(_SMALL, _MAX_EXPANSION * size):
        raise VectorFormatError(
            f"{path}: the {size} bytes of the file expand to {n_bytes} bytes or more, expected at "
            f"most {_MAX_EXPANSION} times its size. If you trust the file, decompress it first, "
            f"or write it again without compression."
        )


@contextmanager
def show_progress(file: Reader, path: Path, size: int, *, delay: float = 2.0) -> Iterator[Reader]:
    """Show a progress bar on stderr once reading `size` bytes lasts `delay` seconds."""
    from tqdm import tqdm

    with tqdm.wrapattr(
        file, "read", total=size, desc=path.name, delay=delay, leave=False, disable=None
    ) as reading:
        yield reading


def read_json(file: Path, *, max_bytes: int | None = _MAX_JSON) -> Any:
    """Read a JSON file; `VectorFormatError` if it is missing, damaged or too large."""
    # Objects in memory take up to thirty times as many bytes as their text.
    try:
        with open_regular(file) as content:
            text = content.read(-1 if max_bytes is None else max_bytes + 1)
        if max_bytes is not None and len(text) > max_bytes:
            raise VectorFormatError(f"{file}: expected at most {max_bytes} bytes of JSON.")
        return json.loads(text)
    except VectorFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise VectorFormatError(f"{file}: expected JSON, found: {error}") from error


def map_array(file: Path) -> NDArray[Any]:
    """Memory-map an array of numbers, read-only; its header must agree with the file's size."""
    with open_regular(file) as content:
        start = content.read(12)
    if start[:6] != b"\x93NUMPY":
        raise VectorFormatError(f"{file}: expected a NumPy array, found {start[:6]!r}.")
    # NumPy takes the memory of the header before it reads it: from version 2 on up to 4 GB.
    if start[6:7] > b"\x01" and int.from_bytes(start[8:], "little") > _MAX_ARRAY_HEADER:
        raise VectorFormatError(
            f"{file}: expected a NumPy array with a header of at most {_MAX_ARRAY_HEADER} bytes, "
            f"found {int.from_bytes(start[8:], 'little')} bytes."
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python on a damaged header
            array = np.load(file, "r", allow_pickle=False, max_header_size=_MAX_ARRAY_HEADER)
    except OSError:
        raise
    except Exception as error:  # of all types: NumPy parses the header as Python
        raise VectorFormatError(f"{file}: cannot be opened as a NumPy array: {error!r}") from None
    if array.dtype.kind not in "biuf":
        raise VectorFormatError(f"{file}: expected an array of numbers, found {array.dtype}.")
    expected, size = array.offset + array.nbytes, file.stat().st_size
    if expected != size:
        raise VectorFormatError(
            f"{file}: cannot be opened: the header announces an array of shape {array.shape}, "
            f"which makes {expected} bytes, found {size}."
        )
    # A plain array on the same memory: slices of memmap are slower.
    return np.asarray(array)
