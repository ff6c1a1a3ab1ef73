"""Our own folder: NumPy arrays that open memory-mapped in milliseconds.

``vectors.json`` says what the folder holds, with a digest of every array and of itself. The arrays
of the vocabulary are small and checked at every opening; the matrix, where it is read anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError
from ..table.table import Reading, Table, check_finite
from ..table.tokenizer import TableTokenizer
from ..table.unknown import Subwords
from ..table.vocabulary import Vocabulary
from .files import open_member, written_folder
from .mapping import map_array

METADATA = "vectors.json"
_FORMAT, _VERSION = "sklearn_transfer.vectors", 2
_INDEX = ("text", "offsets", "hashes", "order")
_OPTIONAL = {"rows": "<i4", "scales": "<f4"}
_MATRICES = ("matrix", "subwords")
_TOKENIZER = "tokenizer.json"
_NAMES = {METADATA, _TOKENIZER, *(f"{name}.npy" for name in (*_INDEX, *_OPTIONAL, *_MATRICES))}
_DTYPES = ("<f4", "<f2", "|i1")
_INDEX_DTYPES = {"text": "|u1", "offsets": "<i8", "hashes": "<u8", "order": "<i4"}


def files(path: Path) -> list[Path]:
    """The file that tells whether a folder has changed: it holds digests of the others."""
    return [path / METADATA] if (path / METADATA).exists() else []


def read(path: Path, options: Reading) -> Table:
    """Open a folder that :func:`write` wrote.

    Parameters
    ----------
    path : Path
    options : Reading
        With ``mmap=False`` the arrays are read into memory, and the matrix is checked against its
        digest.

    Returns
    -------
    Table

    Raises
    ------
    VectorFormatError
        If a file is missing or damaged, or comes from a newer version of this package.
    """
    about = read_metadata(path)
    try:
        n_words, dim, dtype = int(about["n_words"]), int(about["dim"]), str(about["dtype"])
        digests = dict(about["digests"])
        min_n, max_n = int(about.get("min_n", 0)), int(about.get("max_n", 0))
    except (KeyError, TypeError, ValueError) as error:
        raise VectorFormatError(
            f"{path / METADATA}: an entry is missing or damaged: {error!r}."
        ) from None
    if dtype not in _DTYPES or n_words < 0 or dim < 1:
        raise VectorFormatError(
            f"{path / METADATA}: expected a dtype of {', '.join(map(repr, _DTYPES))}, n_words >= 0 "
            f"and dim >= 1, found {dtype!r}, {n_words} and {dim}."
        )
    shapes = {"offsets": (n_words + 1,), "hashes": (n_words,), "order": (n_words,)}
    arrays = {
        name: _load(path, name, _INDEX_DTYPES[name], shapes.get(name, (None,))) for name in _INDEX
    }
    for name, kind in _OPTIONAL.items():
        if name in digests:
            arrays[name] = _load(path, name, kind, (n_words,))
    small = list(arrays)
    arrays["matrix"] = _load(path, "matrix", dtype, (None if "rows" in digests else n_words, dim))
    if "subwords" in digests:
        arrays["subwords"] = _load(path, "subwords", "<f4", (None, dim))
    for name in small if options.mmap else arrays:
        if _digest(arrays[name]) != digests.get(name):
            raise VectorFormatError(
                f"{path / name}.npy: the content does not agree with its digest in {METADATA}; the "
                f"folder is damaged."
            )
    if not options.mmap:
        check_finite(arrays["matrix"], path)
    words = Vocabulary.from_arrays(*(arrays[name] for name in _INDEX))
    subwords = Subwords(arrays["subwords"], min_n, max_n) if "subwords" in digests else None
    rows, scales = arrays.get("rows"), arrays.get("scales")
    if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < len(arrays["matrix"]):
        raise VectorFormatError(f"{path / 'rows'}.npy: a row is not in the matrix.")
    tokenizer = _read_tokenizer(path, digests) if "tokenizer" in digests else None
    # A folder is replaced as a whole. If that happened meanwhile, words of the old table may have
    # come together with vectors of the new one; the metadata hold digests of everything.
    if read_metadata(path) != about:
        raise VectorFormatError(f"{path}: the folder changed while it was read; open it again.")
    table = Table(words, arrays["matrix"], subwords, rows, scales, tokenizer).head(options.limit)
    return table if options.mmap else _in_memory(table)


def _read_tokenizer(path: Path, digests: dict[str, Any]) -> TableTokenizer:
    file = path / _TOKENIZER
    try:
        with open_member(file) as opened:
            content, skipped = json.loads(opened.read())
        tokenizer = TableTokenizer(str(content), [str(token) for token in skipped])
    except (ValueError, TypeError, RecursionError) as error:
        raise VectorFormatError(f"{file}: cannot be read: {error}") from error
    if tokenizer.digest != digests["tokenizer"]:
        raise VectorFormatError(
            f"{file}: the content does not agree with its digest in {METADATA}; the folder is "
            f"damaged."
        )
    return tokenizer


def read_metadata(path: Path) -> dict[str, Any]:
    """What ``vectors.json`` says, if it is ours and of a version that this package reads.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    dict

    Raises
    ------
    VectorFormatError
        If it is not.
    """
    file = path / METADATA
    try:
        with open_member(file) as opened:
            about = json.loads(opened.read().decode())
    except (ValueError, RecursionError) as error:
        raise VectorFormatError(f"{file}: expected JSON, found: {error}") from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise VectorFormatError(f"{file}: expected an object with 'format': {_FORMAT!r}.")
    version = about.get("version")
    if not isinstance(version, int) or version < 1:
        raise VectorFormatError(f"{file}: expected a version number, found {version!r}.")
    if version > _VERSION:
        raise VectorFormatError(
            f"{file}: the folder has version {version} of the format, this package reads up to "
            f"version {_VERSION}. Upgrade: pip install --upgrade sklearn-transfer."
        )
    if about.pop("digest", None) != _digest_of(about):
        raise VectorFormatError(f"{file}: the content does not agree with its own digest.")
    return about


def _load(path: Path, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Open one array, which must have the type and shape that the metadata promise."""
    file = path / f"{name}.npy"
    array = map_array(file)
    fits = len(shape) == array.ndim and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.str != dtype or not array.flags.c_contiguous:
        raise VectorFormatError(
            f"{file}: expected {dtype} of shape {shape} in C order, found {array.dtype.str} of "
            f"shape {array.shape}."
        )
    # The same mapping as a plain array: memmap carries a cost into every slice.
    return np.asarray(array)


def _in_memory(table: Table) -> Table:
    words: Any = {name: array.copy() for name, array in table.words.arrays().items()}
    subwords = table.subwords
    if subwords is not None:
        subwords = Subwords(subwords.matrix.copy(), subwords.min_n, subwords.max_n)
    copied: Any = {
        name: None if (array := getattr(table, name)) is None else array.copy()
        for name in _OPTIONAL
    }
    vocabulary = Vocabulary.from_arrays(**words)
    return replace(table, words=vocabulary, matrix=table.matrix.copy(), subwords=subwords, **copied)


def _digest(array: NDArray[Any]) -> str:
    return hashlib.blake2b(np.ravel(array).view(np.uint8).data, digest_size=16).hexdigest()


def _digest_of(about: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()


def write(table: Table, path: Path) -> None:
    """Write the folder; it takes its place in one step, and an earlier one of ours is replaced.

    Parameters
    ----------
    table : Table
    path : Path

    Raises
    ------
    FileExistsError
        If a file, or a folder that holds anything else, is there.
    """
    arrays: dict[str, NDArray[Any]] = {**table.words.arrays(), "matrix": table.matrix}
    about: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "n_words": len(table.words),
        "dim": int(table.matrix.shape[1]),
        "dtype": next(kind for kind in _DTYPES if np.dtype(kind) == table.matrix.dtype),
    }
    dtypes = {**_INDEX_DTYPES, **_OPTIONAL, "matrix": about["dtype"], "subwords": "<f4"}
    for name in _OPTIONAL:
        if (array := getattr(table, name)) is not None:
            arrays[name] = array
    if table.subwords is not None:
        arrays["subwords"] = table.subwords.matrix
        about |= {"min_n": table.subwords.min_n, "max_n": table.subwords.max_n}
    with written_folder(path, _NAMES, _has_metadata) as new, ThreadPoolExecutor(1) as thread:
        digests = {}
        for name, array in arrays.items():
            array = np.ascontiguousarray(array, dtype=dtypes[name])
            with (new / f"{name}.npy").open("wb") as file:
                digest = thread.submit(_digest, array)  # takes as long as writing does
                np.save(file, array, allow_pickle=False)
                os.fsync(file.fileno())
            digests[name] = digest.result()
        if table.tokenizer is not None:
            digests["tokenizer"] = table.tokenizer.digest
            content = [table.tokenizer.content, sorted(table.tokenizer.skipped)]
            with (new / _TOKENIZER).open("w", encoding="utf-8") as text:
                json.dump(content, text)
                text.flush()
                os.fsync(text.fileno())
        about["digests"] = digests
        about["digest"] = _digest_of(about)
        (new / METADATA).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _has_metadata(path: Path) -> bool:
    return (path / METADATA).exists()
