"""Vectors as text: word2vec text, which fastText calls ``.vec``, and GloVe, which has no header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError
from ..storage.files import Reader, Writer, content_size, opened, shown, written_whole
from ..table.table import Reading, Table
from ..table.vocabulary import Vocabulary
from .decimals import NUMBER, PADDING, parse, parse_between

BOM = b"\xef\xbb\xbf"
HEADER = re.compile(rb"[ \t]*([0-9]{1,18})[ \t]+([0-9]{1,18})[ \t]*\r?")
_VALUE = re.compile(rb"%b|[+-]?(?:nan|inf|infinity)" % NUMBER.pattern, re.IGNORECASE)

# Bytes that are parsed at once: enough lines to spread the cost of an array operation, and arrays
# small enough that the allocator keeps and reuses their memory (glibc: below 128 kB).
_BLOCK = 96 << 10
_LONGEST_LINE = 1 << 20  # that is looked at for the format
_N_SAMPLE = 100

# Without a header, a word and a single number on each line is a list of counts, not of vectors.
MIN_GLOVE_DIM = 2

Lines = list[bytes]


def read_word2vec(path: Path, options: Reading) -> Table:
    """Read word2vec text: a line ``n_words dim``, then a word and its values on each line.

    Parameters
    ----------
    path : Path
        May be gzip.
    options : Reading
        Text is always parsed into memory, whatever `mmap` says.

    Returns
    -------
    Table

    Raises
    ------
    VectorFormatError
        If a line is damaged, or the header does not agree with the lines that follow.
    """
    with opened(path) as file:
        header = HEADER.fullmatch(_first_line(file))
        if header is None:
            raise VectorFormatError(f"{path}, line 1: expected 'n_words dim'.")
        n_words, dim = int(header[1]), int(header[2])
        size = content_size(path)
        # A value is a digit and a separator at least; nothing is allocated before this is checked.
        if not n_words or not dim or n_words * dim * 2 > size:
            raise VectorFormatError(
                f"{path}, line 1: the header announces {n_words} words of {dim} dimensions, which "
                f"does not fit a file of {size} bytes."
            )
        wanted = min(n_words, options.limit or n_words)
        with shown(file, path, size) as reading:
            words, matrix, more = _read_rows(path, reading, dim, wanted, first_line=2)
    if len(matrix) < wanted or (more and wanted == n_words):
        raise VectorFormatError(
            f"{path}, line 1: the header announces {n_words} words, the file holds "
            f"{'more' if more else len(matrix)}."
        )
    return Table.from_rows(words, matrix, path)


def read_glove(path: Path, options: Reading) -> Table:
    """Read GloVe text: a word and its values on each line; a word may contain spaces.

    Parameters
    ----------
    path : Path
        May be gzip.
    options : Reading
        Text is always parsed into memory, whatever `mmap` says.

    Returns
    -------
    Table

    Raises
    ------
    VectorFormatError
        If a line is damaged. The dimension is what most of the first 100 lines have.
    """
    with opened(path) as file:
        dim = _dimension(path, file)
        size = content_size(path)
        most = size // (2 * dim) + 1  # a digit and a separator a value
        file.seek(0)
        if file.read(len(BOM)) != BOM:
            file.seek(0)
        wanted = min(most, options.limit or most)
        with shown(file, path, size) as reading:
            words, matrix, _ = _read_rows(path, reading, dim, wanted, first_line=1)
    return Table.from_rows(words, matrix, path)


def _first_line(file: Reader) -> bytes:
    return file.readline(_LONGEST_LINE).removeprefix(BOM).removesuffix(b"\n")


def n_values(line: bytes) -> int:
    """Number of values at the end of a line; its first field is a word, even if it is a number."""
    n, empty_word = 0, line[:1].isspace()
    for field in reversed(line.split()[not empty_word :]):
        if not _VALUE.fullmatch(field):
            break
        n += 1
    return n


def _dimension(path: Path, file: Reader) -> int:
    """The most frequent number of values in the first lines."""
    lines = [file.readline(_LONGEST_LINE) for _ in range(_N_SAMPLE)]
    counts = Counter(n for n in map(n_values, lines) if n >= MIN_GLOVE_DIM)
    if not counts:
        raise VectorFormatError(
            f"{path}, line 1: expected a word and its values, found {_shown(lines[0])}."
        )
    return counts.most_common(1)[0][0]


def _blocks(file: Reader) -> Iterator[bytes]:
    """The content from here on, in blocks of whole lines."""
    while block := file.read(_BLOCK):
        if not block.endswith(b"\n"):
            block += file.readline()
        yield block if block.endswith(b"\n") else block + b"\n"


def _read_rows(
    path: Path, file: Reader, dim: int, n_rows: int, *, first_line: int
) -> tuple[Vocabulary, NDArray[np.float32], bool]:
    """The first `n_rows` rows, or as many as there are, and whether there are more.

    Blank lines are left out in the end, and only there.
    """
    # Untouched memory costs nothing, so the array may be too large before the lines are counted.
    matrix = np.empty((n_rows, dim), dtype=np.float32)
    texts: Lines = []
    lengths: list[int] = []
    row, more, blank = 0, False, False
    for block in _blocks(file):
        found = None if blank else _read_plain_block(block, dim)
        if found is None or len(found[1]) > n_rows - row:
            lines = [line.rstrip() for line in block[:-1].split(b"\n")]
            n_lines = len(lines)
            while n_lines and not lines[n_lines - 1]:
                n_lines -= 1
            if not n_lines:
                blank = True
                continue
            blank, ended = n_lines < len(lines), blank
            lines = [b""] * ended + lines[:n_lines]
            more = len(lines) > n_rows - row
            taken = lines[: n_rows - row]
            found = _read_block(path, taken, dim, first_line + row) if taken else None
        if found is not None:
            words, values = found
            matrix[row : row + len(words)] = values
            texts.append(b"".join(words))
            lengths.extend(map(len, words))
            row += len(words)
        if more:
            break
    matrix.resize((row, dim), refcheck=False)
    return Vocabulary.from_encoded(texts, lengths), matrix, more


def _read_plain_block(block: bytes, dim: int) -> tuple[Lines, NDArray[np.float32]] | None:
    """The words and the values, if the lines are as programs write them, else None.

    That is: one space before each value, nothing else below 33, and at the end of a line a newline
    with at most a space or a carriage return before it.
    """
    if block[-2:-1] in (b" ", b"\r"):  # as the first lines end, so does the last
        block = block.replace(block[-2:], b"\n")
    characters = np.frombuffer(PADDING + block, dtype=np.uint8)
    gaps = np.flatnonzero(characters <= ord(" "))
    n_lines = np.count_nonzero(characters == ord("\n"))
    if len(gaps) != n_lines * (dim + 1):
        return None
    rows = gaps.reshape(n_lines, dim + 1)
    ends = rows[:, -1]
    n_spaces = np.count_nonzero(characters == ord(" "))
    if n_spaces != n_lines * dim or (characters[ends] != ord("\n")).any():
        return None
    starts = [0, *(ends[:-1] + 1 - len(PADDING)).tolist()]
    stops = (rows[:, 0] - len(PADDING)).tolist()
    words = [block[start:stop] for start, stop in zip(starts, stops, strict=True)]
    try:
        b"\n".join(words).decode()
        values = parse_between(characters, rows[:, :-1].ravel() + 1, rows[:, 1:].ravel())
    except ValueError:
        return None  # the slow way finds the line
    return None if values is None else (words, values.reshape(n_lines, dim))


def _read_block(
    path: Path, lines: Lines, dim: int, first_line: int
) -> tuple[Lines, NDArray[np.float32]]:
    """The words and the values, shape (n_lines, dim), of some lines."""
    rows = [line.partition(b" ") for line in lines]
    if {values.count(b" ") for _, _, values in rows} != {dim - 1}:
        rows = [_odd_row(path, line, dim, first_line + i) for i, line in enumerate(lines)]
    words = [word for word, _, _ in rows]
    try:
        b"\n".join(words).decode()
        if b"\0" in b"".join(words):
            raise ValueError("NUL byte in a word")
        return words, parse(b" ".join([row[2] for row in rows]), len(rows) * dim).reshape(-1, dim)
    except ValueError:
        pass
    return _read_slowly(path, lines, dim, first_line)


def _read_slowly(
    path: Path, lines: Lines, dim: int, first_line: int
) -> tuple[Lines, NDArray[np.float32]]:
    """The same, line by line: it finds the line that is damaged, if any is."""
    words, matrix = [], np.empty((len(lines), dim), dtype=np.float32)
    for i, line in enumerate(lines):
        word, _, values = _odd_row(path, line, dim, first_line + i)
        try:
            word.decode()
            if b"\0" in word:
                raise ValueError("expected a word, found a NUL byte")
            matrix[i] = parse(values, dim)
        except ValueError as error:
            reason = "invalid UTF-8" if isinstance(error, UnicodeDecodeError) else error
            raise VectorFormatError(
                f"{path}, line {first_line + i}: {reason}, in {_shown(line)}."
            ) from error
        words.append(word)
    return words, matrix


def _odd_row(path: Path, line: bytes, dim: int, number: int) -> tuple[bytes, bytes, bytes]:
    """Split a line from the right, at any whitespace, into word, space and values."""
    word, *values = line.rsplit(None, dim) if line else (b"",)
    if len(values) == dim - 1 and line[:1].isspace():
        word, values = b"", [word, *values]
    # Words may contain spaces, but a number inside one is more likely a value too many.
    if len(values) != dim or any(map(_VALUE.fullmatch, word.split()[1:])):
        raise VectorFormatError(
            f"{path}, line {number}: expected a word and {dim} values, found "
            f"{len(line.split())} fields, in {_shown(line)}."
        )
    return word, b" ", b" ".join(values)


def _shown(line: bytes) -> str:
    return repr(line if len(line) <= 60 else line[:40] + b"..." + line[-20:])


def write_word2vec(table: Table, path: Path) -> None:
    """Write word2vec text, as gensim and fastText read it.

    Parameters
    ----------
    table : Table
        Its n-gram rows are left out; float16 values become float32.
    path : Path
        Compressed where it ends in ``.gz``.

    Raises
    ------
    ValueError
        If a word contains whitespace or a NUL character; nothing is written then.
    """
    check_words(table.words, b" \t\n\v\f\r\0", "word2vec text")
    with written_whole(path) as file:
        file.write(b"%d %d\n" % (len(table.words), table.dim))
        _write_rows(table, file)


def write_glove(table: Table, path: Path) -> None:
    """Write GloVe text, which has no header; single spaces inside a word are allowed.

    Parameters
    ----------
    table : Table
        Its n-gram rows are left out; float16 values become float32.
    path : Path
        Compressed where it ends in ``.gz``.

    Raises
    ------
    ValueError
        If a word could not be told from the values again, or contains other whitespace or a NUL
        character; nothing is written then.
    """
    check_words(table.words, b"\t\n\v\f\r\0", "GloVe")
    if table.dim < MIN_GLOVE_DIM:
        raise ValueError(f"The GloVe format needs {MIN_GLOVE_DIM} dimensions at least.")
    for word in table.words if b" " in table.words.arrays()["text"].tobytes() else ():
        parts = word.encode().split(b" ")
        if len(parts) > 1 and (b"" in parts or any(map(_VALUE.fullmatch, parts[1:]))):
            raise ValueError(f"The GloVe format cannot hold the word {word!r}.")
    if len(table.words) and table.words[0].startswith("\ufeff"):
        raise ValueError(f"The GloVe format cannot begin with the word {table.words[0]!r}.")
    with written_whole(path) as file:
        _write_rows(table, file)


def check_words(words: Vocabulary, forbidden: bytes, format: str) -> None:
    """Refuse words that a format cannot hold, before anything is written.

    Parameters
    ----------
    words : Vocabulary
    forbidden : bytes
        Characters, all of them ASCII, that no word may contain.
    format : str
        Its name, for the message.

    Raises
    ------
    ValueError
        If there are no words, or one contains such a character or a lone surrogate.
    """
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
        # NumPy prints the shortest number that gives the same float32.
        values = table.vectors(slice(start, start + step)).astype(str).tolist()
        words = table.words[start : start + step]
        lines = [f"{word} {' '.join(row)}\n" for word, row in zip(words, values, strict=True)]
        file.write("".join(lines).encode())
