r"""fastText ``.bin``: words and the rows of their n-grams, read without gensim.

The layout is that of ``FastText::saveModel`` in fastText 0.9.2, file format 12: magic number and
version, the arguments, the dictionary, the input matrix, the output matrix. Until 2017 files began
with the arguments, and had neither pruned dictionaries nor quantised matrices.

The vector of a word is the mean of its own row and its n-gram rows, as in gensim. The n-gram rows,
which are most of the file, can be mapped. Words that are not UTF-8 occur in the models that
Facebook published, because fastText cuts long words between bytes; as in gensim, the bytes in
question are written as ``\xhh``.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..._utils.errors import VectorFormatError
from ..storage.files import check_not_compressed
from ..table.oov import Subwords
from ..table.table import Reading, Table, check_finite

MAGIC = struct.pack("<i", 793712314)

# dim, ws, epoch, min_count, neg, word_ngrams, loss, model, bucket, minn, maxn, lr_update_rate, t;
# size of the dictionary, n_words, n_labels, n_tokens. Magic and version precede, n_pruned follows.
_HEAD = struct.Struct("<2i12id3i2q")
_FIRST_HEAD = struct.Struct("<12id3iq")
_ENTRY = struct.Struct("<qb")  # count and type, after a word and its NUL
_MATRIX = struct.Struct("<?2q")  # is_quantised, rows, columns
_FIRST_MATRIX = struct.Struct("<2q")
_FLOAT = np.dtype("<f4")

# Version 11 has the same layout, but its supervised models use no character n-grams.
_FIRST, _OLD, _NEW = 0, 11, 12
_SUPERVISED = 3

# n-grams that are gathered at once, some hundred bytes each. A word with more means a damaged file.
_MAX_NGRAMS = 1 << 18


def is_first_version(sample: bytes) -> bool:
    """Return True if a file without a magic number begins like one of fastText before 2017."""
    if len(sample) < _FIRST_HEAD.size:
        return False
    dim, ws, epoch, *counts, rate, t, n_entries, n_words, n_labels, _ = _FIRST_HEAD.unpack_from(
        sample
    )
    loss, model, bucket, min_n, max_n = counts[3:8]
    return (
        all(0 < number < 100_000 for number in (dim, ws, epoch, rate))
        and loss in (1, 2, 3)
        and model in (1, 2, 3)
        and bucket >= 0
        and 0 <= min_n <= max_n < 1000
        and 0 < t < 1
        and 0 < n_words <= n_entries == n_words + n_labels
    )


def read(path: Path, options: Reading) -> Table:
    """Read the words and n-grams of a fastText model, supervised or not."""
    check_not_compressed(path, "fastText model, which is mapped")
    # Words and rows come from one opened file, because the path may be replaced meanwhile.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        head = _read_head(path, content)
        # fastText itself cuts words between bytes, so that these are no sign of a damaged file.
        errors = "backslashreplace" if options.errors == "strict" else options.errors
        words, position = _read_words(path, content, head, errors)
        n_rows, start = _read_shape(path, content, position, head)
        output = start + n_rows * head.dim * _FLOAT.itemsize
        n_outputs, last = _read_shape(path, content, output, head)
        end = last + n_outputs * head.dim * _FLOAT.itemsize
        if end != len(content):
            raise VectorFormatError(
                f"{path}, byte {end}: expected the end of the file, found {len(content) - end} "
                f"bytes more."
            )
        if n_rows != head.n_words + head.bucket:
            raise VectorFormatError(
                f"{path}, byte {position}: expected {head.n_words} words and {head.bucket} "
                f"buckets, found {n_rows} rows."
            )
        mapped = np.asarray(np.memmap(file, _FLOAT, "r", start, (n_rows, head.dim)))
    rows, ngrams = mapped[: head.n_words], mapped[head.n_words :]
    if not head.has_ngrams:
        return Table.from_rows(words, np.array(rows, dtype=np.float32), path).head(options.limit)
    subwords = Subwords(ngrams if options.mmap else np.array(ngrams), head.min_n, head.max_n)
    check_finite(rows, path)
    words = words[: options.limit]
    matrix = np.empty((len(words), head.dim), dtype=np.float32)
    for chunk in _chunks(path, words, head.min_n, head.max_n):
        sums, counts = subwords.sums(words[chunk])
        with np.errstate(over="ignore", invalid="ignore"):  # from_rows finds what is not finite
            matrix[chunk] = (rows[chunk] + sums) / (counts + 1).astype(np.float32)[:, None]
    return Table.from_rows(words, matrix, path, subwords=subwords)


class _Head(NamedTuple):
    """The arguments of a model that matter for its vectors."""

    size: int  # of the head, in bytes
    dim: int
    n_entries: int
    n_words: int
    bucket: int
    min_n: int
    max_n: int
    has_ngrams: bool
    matrix: struct.Struct  # layout of the head of a matrix


def _read_head(path: Path, content: mmap.mmap) -> _Head:
    size, is_first = len(content), content[: len(MAGIC)] != MAGIC
    head = _FIRST_HEAD if is_first else _HEAD
    if size < head.size:
        raise VectorFormatError(f"{path}: cut off at byte {size}, within the head.")
    numbers = head.unpack_from(content)
    _, version, dim, *arguments = (0, _FIRST, *numbers, 0) if is_first else numbers
    model, bucket, min_n, max_n = arguments[6:10]
    n_entries, n_words, _, _, n_pruned = arguments[12:]
    if not is_first and version not in (_OLD, _NEW):
        raise VectorFormatError(
            f"{path}: expected version {_OLD} or {_NEW} of fastText's format, found {version}."
        )
    if n_pruned > 0:
        raise _quantised_error(path)
    if not (0 < n_words <= n_entries <= size // _ENTRY.size and dim > 0 and bucket >= 0):
        raise VectorFormatError(
            f"{path}: the head announces {n_words} words of {dim} dimensions and {bucket} "
            f"buckets, which does not fit a file of {size} bytes."
        )
    has_ngrams = bucket > 0 and max_n > 0 and (version == _NEW or model != _SUPERVISED)
    if has_ngrams and not 0 <= min_n <= max_n <= size:
        raise VectorFormatError(f"{path}: found n-grams of {min_n} to {max_n} characters.")
    matrix = _FIRST_MATRIX if is_first else _MATRIX
    return _Head(head.size, dim, n_entries, n_words, bucket, min_n, max_n, has_ngrams, matrix)


def _chunks(path: Path, words: list[str], min_n: int, max_n: int) -> Iterator[slice]:
    """Yield slices of words with few enough n-grams to be gathered at once."""
    first = total = 0
    for i, word in enumerate(words):
        length = len(word) + 2  # with "<" and ">"
        n_ngrams = length * max(min(max_n, length) - min_n + 1, 0)
        if n_ngrams > _MAX_NGRAMS:
            raise VectorFormatError(
                f"{path}: word {i + 1} has {len(word)} characters and thus {n_ngrams} n-grams of "
                f"{min_n} to {max_n} characters; expected at most {_MAX_NGRAMS}."
            )
        total += n_ngrams
        if total > _MAX_NGRAMS:
            yield slice(first, i)
            first, total = i, n_ngrams
    yield slice(first, len(words))


def _quantised_error(path: Path) -> VectorFormatError:
    return VectorFormatError(
        f"{path}: the model is quantised (.ftz), so its vectors are not in the file. Use the .bin "
        f"file that it was made from."
    )


def _read_words(path: Path, content: mmap.mmap, head: _Head, errors: str) -> tuple[list[str], int]:
    """Read the words, which precede the labels; return them and the end of the dictionary."""
    words, position = [], head.size
    for i in range(head.n_entries):
        end = content.find(b"\0", position)
        if end < 0 or end + 1 + _ENTRY.size > len(content):
            raise VectorFormatError(
                f"{path}, byte {position}: cut off in entry {i + 1} of {head.n_entries} of the "
                f"dictionary."
            )
        _, kind = _ENTRY.unpack_from(content, end + 1)
        if kind != (i >= head.n_words):
            raise VectorFormatError(
                f"{path}, byte {position}: expected {head.n_words} words and then the labels, "
                f"found type {kind} for entry {i + 1}."
            )
        if i < head.n_words:
            words.append(content[position:end].decode(errors=errors))
        position = end + 1 + _ENTRY.size
    return words, position


def _read_shape(path: Path, content: mmap.mmap, position: int, head: _Head) -> tuple[int, int]:
    """Read the number of rows of a matrix, and the byte where they start."""
    start = position + head.matrix.size
    if start > len(content):
        raise VectorFormatError(f"{path}: cut off at byte {len(content)}, before a matrix.")
    *quantised, n_rows, n_columns = head.matrix.unpack_from(content, position)
    if any(quantised):
        raise _quantised_error(path)
    most = (len(content) - start) // (head.dim * _FLOAT.itemsize)
    if n_columns != head.dim or not 0 <= n_rows <= most:
        raise VectorFormatError(
            f"{path}, byte {position}: expected a matrix of {head.dim} columns within the "
            f"{len(content) - start} bytes that are left, found {n_rows} x {n_columns}."
        )
    return n_rows, start
