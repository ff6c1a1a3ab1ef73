"""The table of formats: recognised by content, read and written."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..._utils.errors import VectorFormatError
from ..storage import folder
from ..storage.converted_tables import read_converted
from ..storage.files import check_readable, open_decompressed, open_regular
from ..storage.fingerprints import fingerprint_files
from ..table.table import Reading, Table
from . import (
    fasttext,
    gensim_files,
    parquet,
    spacy_files,
    static_models,
    static_writers,
    text_files,
    wheels,
    word2vec_binary,
)

READERS: dict[str, Callable[[Path, Reading], Table]] = {
    "folder": folder.read,
    "kumo": wheels.read,
    "spacy": spacy_files.read,
    "static": static_models.read,
    "word2vec-text": text_files.read_word2vec,
    "word2vec-binary": word2vec_binary.read,
    "glove": text_files.read_glove,
    "fasttext": fasttext.read,
    "gensim": gensim_files.read,
    "parquet": parquet.read,
}

# The formats whose words may have another encoding than UTF-8.
_ENCODED = ("word2vec-text", "word2vec-binary", "glove")
# The formats that keep words with invalid bytes. The n-grams of fastText are those of UTF-8.
_WITH_ERRORS = (*_ENCODED, "fasttext")

# Of the formats that are folders: a function that lists the files, none in other folders.
_FOLDERS: dict[str, Callable[[Path], list[Path]]] = {
    "folder": folder.list_files,
    "kumo": wheels.list_files,
    "spacy": spacy_files.list_files,
    "static": static_models.list_files,
}

WRITERS: dict[str, Callable[[Table, Path], None]] = {
    "folder": folder.write,
    "word2vec-text": text_files.write_word2vec,
    "word2vec-binary": word2vec_binary.write,
    "glove": text_files.write_glove,
    "gensim": gensim_files.write,
    "parquet": parquet.write,
    "model2vec": static_writers.write_model2vec,
    "sentence-transformers": static_writers.write_sentence_transformers,
}

_SAMPLE = 1 << 16  # bytes

# A pickle of protocol 2 to 5 begins with these two bytes.
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))

_CONVERT = "Convert it first: iconv -f {} -t UTF-8 FILE > NEW"
_DECOMPRESS = "Decompress it first, or compress it with gzip"
# Files of other kinds that take the place of vectors: the position of their first bytes, these
# bytes, and what to say.
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    (
        257,
        b"ustar",
        "a tar archive",
        "Extract it, tar -xf FILE, and open the file of vectors in it",
    ),
    (0, b"\xff\xfe\0\0", "text in UTF-32", _CONVERT.format("UTF-32")),
    (0, b"\xff\xfe", "text in UTF-16", _CONVERT.format("UTF-16")),
    (0, b"\xfe\xff", "text in UTF-16", _CONVERT.format("UTF-16")),
    (0, b"\xfd7zXZ", "xz data", _DECOMPRESS),
    (0, b"\x28\xb5\x2f\xfd", "zstd data", _DECOMPRESS),
    (0, b"7z\xbc\xaf", "a 7z archive", "Extract it, and open the file of vectors in it"),
    (0, b"\x93NUMPY", "a NumPy array without words", "Pass a pair (words, matrix)"),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "Get the file itself: git lfs pull"),
    (0, b"<!DOCTYPE", "a web page", "Download the file itself"),
    (0, b"<html", "a web page", "Download the file itself"),
)


def read(path: str | os.PathLike[str], **options: Any) -> Table:
    """Read vectors from a file or folder of any format in the table.

    Parameters
    ----------
    path : str or path
    **options : dict
        See :class:`Reading`.

    Returns
    -------
    Table

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    VectorFormatError
        If it is damaged, of another format, or a pickle without `allow_pickle`.
    ValueError
        If an option has a value that is not allowed.
    """
    reading, path = Reading(**options), Path(path)
    format = detect_format(path)
    _check_encoding(path, format, reading)
    files = _list_files(path, format)
    # The reader rejects pickles without permission.
    if _is_mapped(format, files) or (format == "gensim" and not reading.allow_pickle):
        return READERS[format](path, reading)
    return read_converted(files, reading, partial(READERS[format], path))


def _check_encoding(path: Path, format: str, options: Reading) -> None:
    """Refuse an encoding, or a treatment of invalid bytes, that a format has no use for."""
    defaults = (("encoding", "utf-8", _ENCODED), ("errors", "strict", _WITH_ERRORS))
    for name, default, users in defaults:
        value = getattr(options, name)
        if value != default and format not in users:
            raise ValueError(
                f"{path}: {name}={value!r} has no effect on the format {format!r}, whose words are "
                f"UTF-8; it is for {', '.join(users)}. Leave it out."
            )


def _is_mapped(format: str, files: list[Path]) -> bool:
    """True for our folder and for the arrays next to a gensim file."""
    return format == "folder" or (format == "gensim" and len(files) > 1)


def list_mapped(path: str | os.PathLike[str], table: Table) -> list[Path]:
    """Return the files at a path that its open table depends on."""
    path = Path(path)
    format = detect_format(path)
    files = _list_files(path, format)
    if _is_mapped(format, files):
        return files
    mapped = table.mapped_files()  # none, or only those of the cache, after a conversion
    return [file for file in files if file.absolute() in mapped]


def write(table: Table, path: str | os.PathLike[str], format: str) -> None:
    """Write vectors. An existing file or folder is replaced when everything is written.

    Parameters
    ----------
    table : Table
    path : str or path
        With the suffix ``.gz`` the text and binary formats are compressed by gzip.
    format : str
        A key of `WRITERS`. Only ``"folder"`` keeps n-gram rows. It and ``"model2vec"`` keep
        float16, int8, shared rows and factors; ``"parquet"`` keeps float16. Otherwise vectors
        become float32.

    Raises
    ------
    ValueError
        If the format is unknown, or cannot hold a word of the table. Nothing is written then.
    MissingDependencyError
        If the format needs a library that is not installed.
    FileExistsError
        If the format is a folder and `path` holds anything that this package did not write.
    """
    if format not in WRITERS:
        formats = ", ".join(map(repr, WRITERS))
        raise ValueError(f"format must be one of {formats}, got {format!r}.")
    WRITERS[format](table, Path(path))


def detect_format(path: str | os.PathLike[str]) -> str:
    """Detect the format, a key of `READERS`, by the content; raise an error if none fits."""
    path = Path(path)
    check_readable(path)
    if path.is_dir():
        for name, files in _FOLDERS.items():
            if files(path):
                return name
        raise VectorFormatError(
            f"{path}: expected a folder of vectors, with {folder.METADATA}, with "
            f"{static_models.WEIGHTS} and {static_models.TOKENIZER}, with *_emb.npy and "
            f"*_index.parquet, or with one spaCy pipeline inside (vocab/vectors, vocab/key2row)."
        )
    with open_decompressed(path) as file:
        sample = file.read(_SAMPLE)
    _check_other(path, sample)
    if sample.startswith(fasttext.MAGIC):
        return "fasttext"
    if sample.startswith(parquet.MAGIC):
        return "parquet"
    if sample.startswith(_PICKLES):
        return "gensim"
    lines = sample.split(b"\n", 3)
    if text_files.HEADER.fullmatch(lines[0].removeprefix(text_files.BOM)):
        # Rows of a binary file do not end in numbers, and nearly always hold no valid text.
        if any(map(text_files.count_values, lines[1:3])) or _is_text(sample):
            return "word2vec-text"
        return "word2vec-binary"
    if _is_glove(sample):
        return "glove"
    if fasttext.is_first_version(sample):
        return "fasttext"
    if encoding := _find_wide_encoding(sample):
        raise VectorFormatError(
            f"{path}: expected one of the formats {', '.join(READERS)}, found text in {encoding} "
            f"without a byte order mark. {_CONVERT.format(encoding)}."
        )
    raise VectorFormatError(
        f"{path}: expected one of the formats {', '.join(READERS)}, found a file that begins with "
        f"{sample[:40]!r}."
    )


def _is_glove(sample: bytes) -> bool:
    most = max(map(text_files.count_values, sample.split(b"\n", 3)))
    return most >= text_files.MIN_GLOVE_DIM


def _find_wide_encoding(sample: bytes) -> str:
    """Find the encoding of vectors as text whose characters have two or four bytes, if they are."""
    for encoding in ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE"):
        text = sample.decode(encoding, errors="ignore").encode(errors="ignore")
        if _is_glove(text) or text_files.HEADER.fullmatch(text.split(b"\n", 1)[0]):
            return encoding
    return ""


def _check_other(path: Path, sample: bytes) -> None:
    """Raise an error that says what to do for files that take the place of vectors."""
    for start, magic, kind, remedy in _OTHERS:
        if sample[start : start + len(magic)].lower() == magic.lower():
            raise VectorFormatError(
                f"{path}: expected one of the formats {', '.join(READERS)}, found {kind}. {remedy}."
            )


def _is_text(sample: bytes) -> bool:
    """Return True for UTF-8 without control characters, which may be cut off at the end."""
    try:
        text = sample.decode()
    except UnicodeDecodeError as error:
        if error.end < len(sample):
            return False
        text = sample[: error.start].decode()
    return not any(ord(c) < 32 and not c.isspace() for c in text)


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Hash the whole content of vectors."""
    path = Path(path)
    return fingerprint_files(_list_files(path, detect_format(path)))


def _list_files(path: Path, format: str) -> list[Path]:
    """Return all files of the vectors at a path, which are regular files, in a fixed order."""
    if path.is_dir():
        files = _FOLDERS[format](path)
        for file in files:
            with open_regular(file):
                pass
        return files
    if format == "gensim":
        others = (file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}."))
        return [path, *sorted(file for file in others if file.is_file())]
    return [path]
