"""Our own folder: NumPy arrays that open memory-mapped in milliseconds.

``vectors.json`` describes the content and holds a digest of every array and of itself. The arrays
of the vocabulary are small and are checked at every opening, the matrix only when it is read into
memory.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.atomic import replace_folder
from ..._utils.errors import VectorFormatError
from ..._utils.hashing import hash_content
from ..table.oov import Subwords
from ..table.table import Reading, Table, check_finite, check_rows
from ..table.tokenizer import TableTokenizer
from ..table.vocabulary import Vocabulary
from .files import map_array, read_json

METADATA = "vectors.json"
_FORMAT, _VERSION = "sklearn_transfer.vectors", 3
# Older folders hold an index of another hash, which is not used.
_INDEXED = 3
_INDEX = {"text": "|u1", "offsets": "<i8", "hashes": "<u8", "order": "<i4"}
_OPTIONAL = {"rows": "<i4", "scales": "<f4"}
_TOKENIZER = "tokenizer.json"
_ARRAYS = (*_INDEX, *_OPTIONAL, "matrix", "subwords")
_NAMES = {METADATA, _TOKENIZER, *(f"{name}.npy" for name in _ARRAYS)}
_DTYPES = ("<f4", "<f2", "|i1")  # of the matrix
_MAX_N = 1000  # characters of an n-gram, as in fastText


def list_files(path: Path) -> list[Path]:
    """Return all files of a folder of ours; empty if it is none."""
    if not (path / METADATA).exists():
        return []
    return sorted(file for file in path.iterdir() if file.name in _NAMES)


def read(path: Path, options: Reading) -> Table:
    """Open a folder that :func:`write` wrote.

    Parameters
    ----------
    path : Path
    options : Reading
        With ``mmap=False`` the arrays are read into memory and checked against their digests.

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
        version = int(about["version"])
        n_words, dim, dtype = int(about["n_words"]), int(about["dim"]), str(about["dtype"])
        digests = dict(about["digests"])
        min_n, max_n = int(about.get("min_n", 0)), int(about.get("max_n", 0))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise VectorFormatError(
            f"{path / METADATA}: an entry is missing or damaged: {error!r}."
        ) from None
    if dtype not in _DTYPES or n_words < 0 or dim < 1:
        raise VectorFormatError(
            f"{path / METADATA}: expected a dtype of {', '.join(map(repr, _DTYPES))}, n_words >= 0 "
            f"and dim >= 1, found {dtype!r}, {n_words} and {dim}."
        )
    types = {**_INDEX, **_OPTIONAL, "matrix": dtype, "subwords": "<f4"}
    shapes: dict[str, tuple[int | None, ...]] = {
        "text": (None,),
        "offsets": (n_words + 1,),
        "matrix": (None if "rows" in digests else n_words, dim),
        "subwords": (None, dim),
    }
    needed = {*_INDEX, "matrix", *digests}
    arrays: dict[str, Any] = {
        name: _load(path, name, types[name], shapes.get(name, (n_words,)))
        for name in _ARRAYS
        if name in needed
    }
    for name, array in arrays.items():
        is_checked = not options.mmap or name not in ("matrix", "subwords")
        if is_checked and hash_content(array) != digests.get(name):
            raise _damaged(path / f"{name}.npy")
        if is_checked and name in ("matrix", "subwords"):
            check_finite(array, path / f"{name}.npy")
    words = _wrap_words(path, arrays, digests, is_indexed=version >= _INDEXED)
    subwords = Subwords(arrays["subwords"], min_n, max_n) if "subwords" in arrays else None
    if subwords is not None and not (len(subwords.matrix) and 0 <= min_n <= max_n <= _MAX_N):
        raise VectorFormatError(
            f"{path / METADATA}: expected rows for n-grams of at most {_MAX_N} characters, found "
            f"{len(subwords.matrix)} rows for n-grams of {min_n} to {max_n}."
        )
    rows, scales = arrays.get("rows"), arrays.get("scales")
    check_rows(rows, len(arrays["matrix"]), path / "rows.npy")
    if scales is not None:
        check_finite(scales[:, None], path / "scales.npy")
    tokenizer = _read_tokenizer(path, digests) if "tokenizer" in digests else None
    # A folder is replaced as a whole. If it was replaced meanwhile, words of the old table may have
    # been combined with vectors of the new one; the metadata hold digests of everything.
    if read_metadata(path) != about:
        raise VectorFormatError(f"{path}: the folder changed while it was read; open it again.")
    table = Table(words, arrays["matrix"], subwords, rows, scales, tokenizer)
    if isinstance(cased := about.get("cased"), bool):
        table = replace(table, known_case=cased)
    table = table.head(options.limit)
    return table if options.mmap else _copy_to_memory(table)


def _wrap_words(
    path: Path, arrays: dict[str, Any], digests: dict[str, Any], *, is_indexed: bool
) -> Vocabulary:
    index = [arrays[name] for name in ("hashes", "order")] if is_indexed else []
    words = Vocabulary.from_arrays(
        arrays["text"], arrays["offsets"], *index, digests=(digests["text"], digests["offsets"])
    )
    try:
        words.check()
    except ValueError as error:
        raise VectorFormatError(f"{path}: the words are damaged: {error}.") from error
    return words


def _damaged(file: Path) -> VectorFormatError:
    return VectorFormatError(
        f"{file}: the content does not agree with its digest in {METADATA}; the folder is damaged."
    )


def _read_tokenizer(path: Path, digests: dict[str, Any]) -> TableTokenizer:
    file = path / _TOKENIZER
    parts = read_json(file, max_bytes=None)
    try:
        content, skipped, *prompt = parts
        tokens = [str(token) for token in skipped]
        tokenizer = TableTokenizer(str(content), tokens, *map(str, prompt))
    except (ValueError, TypeError) as error:
        raise VectorFormatError(f"{file}: cannot be read: {error}") from error
    if tokenizer.digest != digests["tokenizer"]:
        raise _damaged(file)
    return tokenizer


def read_metadata(path: Path) -> dict[str, Any]:
    """Read ``vectors.json``; `VectorFormatError` if it is missing, damaged, not ours or too new."""
    file = path / METADATA
    about = read_json(file)
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise VectorFormatError(f"{file}: expected an object with 'format': {_FORMAT!r}.")
    version = about.get("version")
    if not isinstance(version, int) or version < 1:
        raise VectorFormatError(f"{file}: expected a version number, found {version!r}.")
    if version > _VERSION:
        raise VectorFormatError(
            f"{file}: the folder has version {version} of the format, this package reads up to "
            f"version {_VERSION}. Upgrade: git pull in the clone of sklearn-transfer."
        )
    if about.pop("digest", None) != _hash_metadata(about):
        raise VectorFormatError(f"{file}: the content does not agree with its own digest.")
    return about


def _hash_metadata(about: dict[str, Any]) -> str:
    return hash_content(json.dumps(about, sort_keys=True))


def _load(path: Path, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Map an array, and check that its type and shape are those in the metadata."""
    file = path / f"{name}.npy"
    array = map_array(file)
    fits = len(shape) == array.ndim and all(
        expected in (None, n) for expected, n in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.str != dtype or not array.flags.c_contiguous:
        raise VectorFormatError(
            f"{file}: expected {dtype} of shape {shape} in C order, found {array.dtype.str} of "
            f"shape {array.shape}."
        )
    return array


def _copy_to_memory(table: Table) -> Table:
    words: Any = {name: array.copy() for name, array in table.words.arrays().items()}
    parts: dict[str, Any] = {
        "words": Vocabulary.from_arrays(**words),
        "matrix": table.matrix.copy(),
    }
    for name in _OPTIONAL:
        array = getattr(table, name)
        parts[name] = None if array is None else array.copy()
    if table.subwords is not None:
        parts["subwords"] = replace(table.subwords, matrix=table.subwords.matrix.copy())
    return replace(table, **parts)


def write(table: Table, path: Path) -> None:
    """Write the folder; it replaces an earlier one of ours, and nothing else, in one step."""
    arrays: dict[str, NDArray[Any]] = {**table.words.arrays(), "matrix": table.matrix}
    about: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "n_words": len(table.words),
        "dim": int(table.matrix.shape[1]),
        "dtype": next(kind for kind in _DTYPES if np.dtype(kind) == table.matrix.dtype),
        "cased": bool(table.cased),
    }
    dtypes = {**_INDEX, **_OPTIONAL, "matrix": about["dtype"], "subwords": "<f4"}
    for name in _OPTIONAL:
        if (array := getattr(table, name)) is not None:
            arrays[name] = array
    if table.subwords is not None:
        arrays["subwords"] = table.subwords.matrix
        about |= {"min_n": table.subwords.min_n, "max_n": table.subwords.max_n}
    with (
        replace_folder(path, _NAMES, lambda old: bool(list_files(old))) as new,
        ThreadPoolExecutor(1) as thread,
    ):
        digests = {}
        for name, array in arrays.items():
            array = np.ascontiguousarray(array, dtype=dtypes[name])
            with (new / f"{name}.npy").open("wb") as file:
                digest = thread.submit(hash_content, array)  # takes as long as writing does
                np.save(file, array, allow_pickle=False)
            digests[name] = digest.result()
        if table.tokenizer is not None:
            digests["tokenizer"] = table.tokenizer.digest
            (new / _TOKENIZER).write_text(json.dumps(table.tokenizer.parts), encoding="utf-8")
        about["digests"] = digests
        about["digest"] = _hash_metadata(about)
        (new / METADATA).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
