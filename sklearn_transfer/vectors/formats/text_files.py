"""Vectors as text: word2vec text, which fastText calls ``.vec``, and GloVe, which has no header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._utils.atomic import Writer, write_atomically
from ..._utils.errors import VectorFormatError
from ..storage.files import Reader, content_size, open_decompressed, show_progress
from ..table.table import Reading, Table
from ..table.vocabulary import Vocabulary
from .decimals import NUMBER, PADDING, parse_fields, parse_plain

BOM = b"\xef\xbb\xbf"
HEADER = re.compile(rb"[ \t]*([0-9]{1,18})[ \t]+([0-9]{1,18})[ \t]*\r?")
_VALUE = re.compile(rb"%b|[+-]?(?:nan|inf|infinity)" % NUMBER.pattern, re.IGNORECASE)

# Bytes that are parsed at once: enough lines to spread the cost of an array operation, and arrays
# small enough that the allocator keeps and reuses their memory (glibc: below 128 kB).
_BLOCK = 96 << 10
_LONGEST_LINE = 1 << 20  # bytes
_N_SAMPLE = 100

# Without a header, a word and a single number on each line is a list of counts, not of vectors.
MIN_GLOVE_DIM = 2

Rows = tuple[list[bytes], NDArray[np.float32]]  # words, and their values: shape (n_words, dim)


def read_word2vec(path: Path, options: Reading) -> Table:
    """Read word2vec text: a line ``n_words dim``, then a word and its values on each line."""
    with open_decompressed(path) as file:
        size = content_size(path)
        n_words, dim = read_header(path, file, size, bytes_per_value=2)  # a digit and a separator
        wanted = min(n_words, options.limit or n_words)
        with show_progress(file, path, size) as reading:
            words, matrix, has_more = _read_rows(path, reading, dim, wanted, 2, options)
    if len(matrix) < wanted or (has_more and wanted == n_words):
        raise VectorFormatError(
            f"{path}, line 1: the header announces {n_words} words, the file holds "
            f"{'more' if has_more else len(matrix)}."
        )
    return Table.from_rows(words, matrix, path)


def read_header(path: Path, file: Reader, size: int, *, bytes_per_value: int) -> tuple[int, int]:
    """Read `n_words` and `dim` in the first line, which must fit a file of `size` bytes."""
    header = HEADER.fullmatch(_first_line(file))
    if header is None:
        raise VectorFormatError(f"{path}, line 1: expected 'n_words dim'.")
    n_words, dim = int(header[1]), int(header[2])
    if not n_words or not dim or n_words * dim * bytes_per_value > size:
        raise VectorFormatError(
            f"{path}, line 1: the header announces {n_words} words of {dim} dimensions, which "
            f"does not fit a file of {size} bytes."
        )
    return n_words, dim


def read_glove(path: Path, options: Reading) -> Table:
    """Read GloVe text: a word, which may contain spaces, and its values on each line."""
    with open_decompressed(path) as file:
        size = content_size(path)
        dim = _find_dim(path, file)
        most = size // (2 * dim) + 1  # a digit and a separator per value
        file.seek(0)
        if file.read(len(BOM)) != BOM:
            file.seek(0)
        wanted = min(most, options.limit or most)
        with show_progress(file, path, size) as reading:
            words, matrix, _ = _read_rows(path, reading, dim, wanted, 1, options)
    return Table.from_rows(words, matrix, path)


def _first_line(file: Reader) -> bytes:
    return file.readline(_LONGEST_LINE).removeprefix(BOM).removesuffix(b"\n")


def count_values(line: bytes) -> int:
    """Count the values at the end of a line; its first field is a word, even if it is a number."""
    n, has_empty_word = 0, line[:1].isspace()
    for field in reversed(line.split()[not has_empty_word :]):
        if not _VALUE.fullmatch(field):
            break
        n += 1
    return n


def _find_dim(path: Path, file: Reader) -> int:
    """Return the most frequent number of values in the first lines: a hundred, or a megabyte."""
    lines: list[bytes] = []
    while len(lines) < _N_SAMPLE and sum(map(len, lines)) < _LONGEST_LINE:
        lines.append(_read_line(path, file))
    counts = Counter(n for n in map(count_values, lines) if n >= MIN_GLOVE_DIM)
    if not counts:
        raise VectorFormatError(
            f"{path}, line 1: expected a word and its values, found {_quote(lines[0])}."
        )
    return counts.most_common(1)[0][0]


def _read_line(path: Path, file: Reader) -> bytes:
    line = file.readline(_LONGEST_LINE)
    if len(line) >= _LONGEST_LINE and not line.endswith(b"\n"):
        raise VectorFormatError(
            f"{path}: expected lines of at most {_LONGEST_LINE} bytes, found a longer one, with "
            f"{_quote(line)}."
        )
    return line


def _read_blocks(path: Path, file: Reader) -> Iterator[bytes]:
    """Yield the rest of a file in blocks of whole lines, each of which ends in a newline."""
    while block := file.read(_BLOCK):
        if not block.endswith(b"\n"):
            block += _read_line(path, file)
        yield block if block.endswith(b"\n") else block + b"\n"


def _read_rows(  # noqa: PLR0913 (a reader)
    path: Path, file: Reader, dim: int, n_rows: int, first_line: int, options: Reading
) -> tuple[Vocabulary, NDArray[np.float32], bool]:
    """Read the first `n_rows` rows, or as many as there are; True if there are more.

    Blank lines are allowed only at the end.
    """
    # Untouched memory costs nothing, so the array may be too large.
    matrix = np.empty((n_rows, dim), dtype=np.float32)
    texts: list[bytes] = []
    lengths: list[int] = []
    row, has_more, after_blank = 0, False, False
    for block in _read_blocks(path, file):
        rows = None if after_blank else _parse_block(block, dim, options)
        if rows is None or len(rows[0]) > n_rows - row:
            content = block.rstrip()
            if not content:
                after_blank = True
                continue
            lines = [b""] * after_blank + content.split(b"\n")
            has_more = len(lines) > n_rows - row
            rows = _parse_lines(path, lines[: n_rows - row], dim, first_line + row, options)
            after_blank = b"\n" in block[len(content) : -1]
        words, values = rows
        matrix[row : row + len(words)] = values
        texts.append(b"".join(words))
        lengths.extend(map(len, words))
        row += len(words)
        if has_more:
            break
    matrix.resize((row, dim), refcheck=False)
    return Vocabulary.from_encoded(texts, lengths), matrix, has_more


def _parse_block(block: bytes, dim: int, options: Reading) -> Rows | None:
    """Parse lines at once if they have the form in which programs write them, else return None.

    This form has one space before each value, no other character below 33, and a newline at the end
    of each line, with at most a space or a carriage return before it.
    """
    if block[-2:-1] in (b" ", b"\r"):  # all lines end like the last one
        block = block.replace(block[-2:], b"\n")
    characters = np.frombuffer(PADDING + block, dtype=np.uint8)
    gaps = np.flatnonzero(characters <= ord(" "))
    n_lines = np.count_nonzero(characters == ord("\n"))
    if len(gaps) != n_lines * (dim + 1):
        return None
    bounds = gaps.reshape(n_lines, dim + 1)
    ends = bounds[:, -1]
    n_spaces = np.count_nonzero(characters == ord(" "))
    if n_spaces != n_lines * dim or (characters[ends] != ord("\n")).any():
        return None
    starts = [0, *(ends[:-1] + 1 - len(PADDING)).tolist()]
    stops = (bounds[:, 0] - len(PADDING)).tolist()
    words = [block[start:stop] for start, stop in zip(starts, stops, strict=True)]
    try:
        words = options.decode(words)
        values = parse_plain(characters, bounds[:, :-1].ravel() + 1, bounds[:, 1:].ravel())
    except ValueError:
        return None  # line by line, the error names the line
    return None if values is None else (words, values.reshape(n_lines, dim))


def _parse_lines(
    path: Path, lines: list[bytes], dim: int, first_line: int, options: Reading
) -> Rows:
    """Parse lines one by one, separated by any whitespace; an error names the line."""
    words: list[bytes] = []
    matrix = np.empty((len(lines), dim), dtype=np.float32)
    for i, line in enumerate(lines):
        try:
            word, values = _split_line(line, dim)
            matrix[i] = parse_fields(values)
            words += options.decode([word])
        except UnicodeDecodeError as error:
            raise undecodable(f"{path}, line {first_line + i}", word, options) from error
        except ValueError as error:
            raise VectorFormatError(
                f"{path}, line {first_line + i}: {error}, in {_quote(line.rstrip())}."
            ) from error
    return words, matrix


def undecodable(place: str, word: bytes, options: Reading) -> VectorFormatError:
    """Make the error for a word of invalid bytes, which names the parameters."""
    return VectorFormatError(
        f"{place}: expected a word in {options.encoding.upper()}, found {_quote(word)}. Name the "
        f"encoding of the file, PretrainedVectors.load(path, encoding='latin-1') for instance; or "
        f"pass errors='replace', which keeps such words with a replacement character."
    )


def _split_line(line: bytes, dim: int) -> tuple[bytes, list[bytes]]:
    """Split a line from the right into a word, which may contain spaces, and its values."""
    word, *values = line.rsplit(None, dim) or (b"",)
    if len(values) == dim - 1 and line[:1].isspace():
        word, values = b"", [word, *values]
    # A number after a space in a word is more likely one value too many.
    if len(values) != dim or any(map(_VALUE.fullmatch, word.split()[1:])):
        raise ValueError(f"expected a word and {dim} values, found {len(line.split())} fields")
    if b"\0" in word:
        raise ValueError("expected a word, found a NUL byte")
    return word, values


def _quote(line: bytes) -> str:
    return repr(line if len(line) <= 60 else line[:40] + b"..." + line[-20:])


def write_word2vec(table: Table, path: Path) -> None:
    """Write word2vec text, as gensim and fastText read it; words must not contain whitespace."""
    check_words(table.words, b" \t\n\v\f\r\0", "word2vec text")
    with write_atomically(path) as file:
        file.write(b"%d %d\n" % (len(table.words), table.dim))
        _write_rows(table, file)


def write_glove(table: Table, path: Path) -> None:
    """Write GloVe text, which has no header; a word may contain single spaces."""
    check_words(table.words, b"\t\n\v\f\r\0", "GloVe")
    if table.dim < MIN_GLOVE_DIM:
        raise ValueError(
            f"The GloVe format needs at least {MIN_GLOVE_DIM} dimensions, got {table.dim}."
        )
    for word in table.words if b" " in table.words.arrays()["text"].tobytes() else ():
        parts = word.encode().split(b" ")
        if len(parts) > 1 and (b"" in parts or any(map(_VALUE.fullmatch, parts[1:]))):
            raise ValueError(f"The GloVe format cannot hold the word {word!r}.")
    if len(table.words) and table.words[0].startswith("\ufeff"):
        raise ValueError(f"The GloVe format cannot begin with the word {table.words[0]!r}.")
    with write_atomically(path) as file:
        _write_rows(table, file)


def check_words(words: Vocabulary, forbidden: bytes, format: str) -> None:
    """Raise `ValueError` for no words, or for one with a forbidden byte or lone surrogate."""
    if not len(words):
        raise ValueError(f"The {format} format cannot hold a table without words.")
    arrays = words.arrays()
    text, offsets = arrays["text"], arrays["offsets"]
    places = np.flatnonzero(np.isin(text, np.frombuffer(forbidden, dtype=np.uint8)))
    if len(places):
        word = words[int(np.searchsorted(offsets, places[0], side="right")) - 1]
        raise ValueError(f"The {format} format cannot hold the word {word!r}.")
    try:
        text.tobytes().decode()
    except UnicodeDecodeError as error:
        word = words[int(np.searchsorted(offsets, error.start, side="right")) - 1]
        raise ValueError(f"The {format} format cannot hold the word {word!r}.") from None


def _write_rows(table: Table, file: Writer) -> None:
    step = 1000
    for start in range(0, len(table.words), step):
        # NumPy writes the shortest number that gives the same float32.
        values = table.vectors(slice(start, start + step)).astype(str).tolist()
        words = table.words[start : start + step]
        lines = [f"{word} {' '.join(row)}\n" for word, row in zip(words, values, strict=True)]
        file.write("".join(lines).encode())
