"""Files that are read whole or not at all, and written whole or not at all."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path

from .._validation import VectorFormatError

_GZIP_MAGIC = b"\x1f\x8b"

Reader = BufferedReader | gzip.GzipFile
Writer = BufferedWriter | gzip.GzipFile


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
        If it is a socket, a device or a named pipe, or an empty file.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"No pretrained vectors at {str(path)!r}: expected a file or a folder."
        ) from None
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise VectorFormatError(f"{path}: expected a regular file or a folder, found neither.")
    if status.st_size == 0:
        raise VectorFormatError(f"{path}: expected vectors, found an empty file.")


def is_gzip(path: Path) -> bool:
    """Whether the content, not the name, says gzip."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """Open a file for reading, decompressing it if it is gzip.

    Parameters
    ----------
    path : Path

    Yields
    ------
    binary file

    Raises
    ------
    VectorFormatError
        In the body, if the compressed data are damaged or end too early.
    """
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise VectorFormatError(f"{path}: the gzip data are damaged or cut off: {error}") from error


def content_size(path: Path) -> int:
    """Number of bytes in a file, after decompression.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int
        A gzip file is decompressed for it: its trailer has the size modulo 4 GB, or a lie.

    Raises
    ------
    VectorFormatError
        If the compressed data are damaged or end too early.
    """
    if not is_gzip(path):
        return path.stat().st_size
    size = 0
    with opened(path) as file:
        while block := file.read(1 << 20):
            size += len(block)
    return size


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
