"""Which format a file has, and who reads and writes it: one table for each."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..._utils.validation import VectorFormatError
from ..storage import folder
from ..storage.conversions import read_converted
from ..storage.files import check_readable, digest_files, open_member, opened
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

_READERS: dict[str, Callable[[Path, Reading], Table]] = {
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

# The files of a table that a folder holds; none where it holds no such.
_FOLDERS: dict[str, Callable[[Path], list[Path]]] = {
    "folder": folder.files,
    "kumo": wheels.files,
    "spacy": spacy_files.files,
    "static": static_models.files,
}

_WRITERS: dict[str, Callable[[Table, Path], None]] = {
    "folder": folder.write,
    "word2vec-text": text_files.write_word2vec,
    "word2vec-binary": word2vec_binary.write,
    "glove": text_files.write_glove,
    "gensim": gensim_files.write,
    "parquet": parquet.write,
    "model2vec": static_writers.write_model2vec,
    "sentence-transformers": static_writers.write_sentence_transformers,
}

_SAMPLE = 1 << 16

# A pickle of protocol 2 to 5 begins with these two bytes.
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def read(
    path: str | os.PathLike[str],
    *,
    allow_pickle: bool = False,
    mmap: bool = True,
    limit: int | None = None,
) -> Table:
    """Read vectors from a file or folder of any known format.

    Parameters
    ----------
    path : str or path
    allow_pickle : bool, default=False
        Open gensim's own files, which are pickles and run whatever their author put inside.
    mmap : bool, default=True
        Map the matrix into memory where the format allows it.
    limit : int, default=None
        Only the first words, at most so many.

    Returns
    -------
    Table

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    VectorFormatError
        If it is damaged, of no known format, or a pickle without `allow_pickle`.
    ValueError
        If `limit` is not positive.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be a positive number of words or None, got {limit}.")
    path = Path(path)
    found, options = kind(path), Reading(allow_pickle, mmap, limit)
    files = _files(path, found)
    # Our folder is mapped as it is, and so are the arrays beside a gensim file. A pickle is refused
    # or opened before anything else.
    if found == "folder" or (found == "gensim" and (len(files) > 1 or not allow_pickle)):
        return _READERS[found](path, options)
    return read_converted(files, options, partial(_READERS[found], path))


def write(table: Table, path: str | os.PathLike[str], format: str) -> None:
    """Write vectors; what was at the path before stays there until all is written.

    Parameters
    ----------
    table : Table
    path : str or path
        With the suffix ``.gz`` the text and binary formats are compressed.
    format : {"folder", "word2vec-text", "word2vec-binary", "glove", "gensim", "parquet", \
"model2vec", "sentence-transformers"}
        Only ``"folder"`` keeps n-gram rows; it and ``"model2vec"`` keep float16, int8, shared rows
        and factors, ``"parquet"`` float16.

    Raises
    ------
    ValueError
        If the format is unknown, or cannot hold a word of the table.
    MissingDependencyError
        If the format needs a library that is not installed.
    FileExistsError
        If a folder is to be written over something that is not ours.
    """
    if format not in _WRITERS:
        known = ", ".join(map(repr, _WRITERS))
        raise ValueError(f"format must be one of {known}, got {format!r}.")
    _WRITERS[format](table, Path(path))


def kind(path: str | os.PathLike[str]) -> str:
    """Recognise the format by the content.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    {"folder", "kumo", "spacy", "static", "word2vec-text", "word2vec-binary", "glove", "fasttext", \
"gensim", "parquet"}

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    VectorFormatError
        If it is none of these.
    """
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
    with opened(path) as file:
        sample = file.read(_SAMPLE)
    if sample.startswith(fasttext.MAGIC):
        return "fasttext"
    if sample.startswith(parquet.MAGIC):
        return "parquet"
    if sample.startswith(_PICKLES):
        return "gensim"
    lines = sample.split(b"\n", 3)
    if text_files.HEADER.fullmatch(lines[0].removeprefix(text_files.BOM)):
        # In a binary file rows do not end in written numbers, but nearly always hold odd bytes.
        if any(map(text_files.n_values, lines[1:3])) or _is_text(sample):
            return "word2vec-text"
        return "word2vec-binary"
    if max(map(text_files.n_values, lines)) >= text_files.MIN_GLOVE_DIM:
        return "glove"
    if fasttext.is_first_version(sample):
        return "fasttext"
    raise VectorFormatError(
        f"{path}: no format that this package knows ({', '.join(_READERS)}); it begins with "
        f"{sample[:40]!r}."
    )


def _is_text(sample: bytes) -> bool:
    """Whether this is UTF-8, perhaps cut off at the end, without control characters."""
    try:
        text = sample.decode()
    except UnicodeDecodeError as error:
        if error.end < len(sample):
            return False
        text = sample[: error.start].decode()
    return not any(ord(c) < 32 and not c.isspace() for c in text)


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Tell whether vectors are the same as before, without reading all of them.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str
        32 hexadecimal digits: BLAKE2b of the size and of 64 blocks of 4 kB, evenly spaced, of each
        file; for our own folder, of its metadata, which hold digests of the whole content.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    VectorFormatError
        If the format is unknown.
    """
    path = Path(path)
    found = kind(path)
    return digest_files(_files(path, found))


def _files(path: Path, found: str) -> list[Path]:
    """What belongs to the vectors at a path, all regular files, in a fixed order."""
    if path.is_dir():
        files = _FOLDERS[found](path)
        for file in files:
            with open_member(file):
                pass
        return files
    if found == "gensim":
        beside = (file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}."))
        return [path, *sorted(file for file in beside if file.is_file())]
    return [path]
