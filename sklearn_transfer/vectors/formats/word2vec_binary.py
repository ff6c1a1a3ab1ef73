"""Vectors as word2vec binary: a header line, then for each word its text, a space and float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._utils.atomic import write_atomically
from ..._utils.errors import VectorFormatError
from ..storage.files import Reader, content_size, open_decompressed, show_progress
from ..table.table import Reading, Table
from ..table.vocabulary import Vocabulary
from .text_files import check_words, read_header, undecodable

_BLOCK = 1 << 18  # bytes: a block is copied while it is still in the processor's cache
_MAX_WORD = 1 << 20  # bytes; a longer word means a damaged file
_FLOAT = np.dtype("<f4")


def read(path: Path, options: Reading) -> Table:
    """Read word2vec binary, with or without the newline that the C program puts after each row."""
    with open_decompressed(path) as file:
        size = content_size(path)
        n_words, dim = read_header(path, file, size, bytes_per_value=_FLOAT.itemsize)
        wanted = min(n_words, options.limit or n_words)
        matrix = np.empty((wanted, dim), dtype=_FLOAT)
        texts: list[bytes] = []
        lengths: list[int] = []
        with show_progress(file, path, size) as reading:
            row = 0
            for found in _read_rows(path, reading, matrix, exactly=wanted == n_words):
                words = _decode(path, found, row, options)
                row += len(words)
                texts.append(b"".join(words))
                lengths.extend(map(len, words))
    vocabulary = Vocabulary.from_encoded(texts, lengths)
    return Table.from_rows(vocabulary, matrix.astype(np.float32, copy=False), path)


def _read_rows(
    path: Path, file: Reader, matrix: NDArray[np.float32], *, exactly: bool
) -> Iterator[list[bytes]]:
    """Yield the words of the first rows, block by block, and copy the values into the matrix."""
    n_rows, row_size = len(matrix), matrix.strides[0]
    values = matrix.reshape(-1).view(np.uint8).data
    buffer, start, row = b"", 0, 0
    newline: int | None = None  # bytes after each row; None before the first row
    while row < n_rows:
        block = file.read(_BLOCK + row_size)
        buffer, start = buffer[start:] + block, 0
        view = memoryview(buffer)
        words: list[bytes] = []
        while row + len(words) < n_rows:
            space = buffer.find(b" ", start, start + _MAX_WORD)
            end = space + 1 + row_size
            # The byte after a row is needed, too, unless the file ends there.
            if space < 0 or end > len(buffer) or (end == len(buffer) and block):
                break
            after = buffer[end : end + 1]
            if newline is None:
                newline = int(after == b"\n")
            if newline and after not in (b"\n", b""):
                raise VectorFormatError(
                    f"{path}, row {row + len(words) + 1}: expected a newline after the values as "
                    f"after the first row, found {after!r}."
                )
            place = (row + len(words)) * row_size
            values[place : place + row_size] = view[space + 1 : end]
            words.append(buffer[start:space])
            start = end + newline
        if not words and (not block or len(buffer) - start >= _MAX_WORD + row_size):
            raise VectorFormatError(
                f"{path}, row {row + 1} of {n_rows}: expected a word, a space and {row_size} bytes "
                f"of values, found {len(buffer) - start} bytes."
            )
        yield words
        row += len(words)
    if exactly and (start < len(buffer) or file.read(1)):
        raise VectorFormatError(
            f"{path}, line 1: the header announces {n_rows} words, the file holds more."
        )


def _decode(path: Path, words: list[bytes], first_row: int, options: Reading) -> list[bytes]:
    """Convert words to UTF-8; raise an error for words that can only come from a damaged file."""
    joined = b"".join(words)
    if b"\0" in joined or b"\n" in joined:
        i, word = next((i, w) for i, w in enumerate(words) if b"\0" in w or b"\n" in w)
        raise VectorFormatError(
            f"{path}, row {first_row + i + 1}: expected a word in {options.encoding.upper()}, "
            f"found {word[:60]!r}."
        )
    try:
        return options.decode(words)
    except UnicodeDecodeError:
        pass
    decoded: list[bytes] = []
    for i, word in enumerate(words):
        try:
            decoded += options.decode([word])
        except UnicodeDecodeError as error:
            raise undecodable(f"{path}, row {first_row + i + 1}", word, options) from error
    return decoded


def write(table: Table, path: Path) -> None:
    """Write word2vec binary, with a newline after each row as the C program does."""
    check_words(table.words, b" \n\0", "word2vec binary")
    step = 10_000
    with write_atomically(path) as file:
        file.write(b"%d %d\n" % (len(table.words), table.dim))
        for start in range(0, len(table.words), step):
            values = np.ascontiguousarray(table.vectors(slice(start, start + step)), dtype=_FLOAT)
            words = table.words[start : start + step]
            rows = [
                b"%b %b\n" % (word.encode(), row.tobytes())
                for word, row in zip(words, values, strict=True)
            ]
            file.write(b"".join(rows))
