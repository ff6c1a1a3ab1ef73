"""gensim's own files and objects; gensim is imported on use, as that takes a second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.validation import VectorFormatError
from ..storage.files import compression, temporary_folder
from ..table.table import Reading, Table
from ..table.unknown import Subwords


def read(path: Path, options: Reading) -> Table:
    """Open a ``.kv`` or ``.model`` file that gensim saved, of any version that gensim opens.

    Parameters
    ----------
    path : Path
        Large arrays lie beside it, in files whose names begin with its name.
    options : Reading
        `allow_pickle` must be true; with `mmap` the arrays beside the file are mapped.

    Returns
    -------
    Table

    Raises
    ------
    VectorFormatError
        Without `allow_pickle`; or if the file is damaged, or holds something else than vectors.
    """
    if not options.allow_pickle:
        raise VectorFormatError(
            f"{path} is a gensim file, which is a pickle: opening it runs whatever its author put "
            f"inside. If you trust the source, pass allow_pickle=True; or convert it once, with "
            f"gensim's save_word2vec_format or with PretrainedVectors.save."
        )
    from gensim.utils import SaveLoad

    # gensim cannot map compressed arrays.
    mode = "r" if options.mmap and compression(path) is None else None
    try:
        model = SaveLoad.load(os.fspath(path), mmap=mode)
    except Exception as error:  # a pickle may raise anything
        raise VectorFormatError(f"{path}: gensim cannot open it: {error!r}") from error
    return from_keyed_vectors(model, path).head(options.limit)


def from_keyed_vectors(model: Any, path: Path | None = None) -> Table:
    """Take the words and vectors of a gensim object; a float32 matrix is used, not copied.

    Parameters
    ----------
    model : gensim KeyedVectors, or a model that has them as ``wv``
    path : Path or None, default=None
        The file, for the messages.

    Returns
    -------
    Table
        With the n-gram rows, where the object has any.

    Raises
    ------
    VectorFormatError
        If it has no words and vectors, not a row for each word, keys that are no strings, or
        values that are not finite.
    """
    vectors = getattr(model, "wv", model)
    origin = path or Path(f"<{type(model).__name__}>")
    try:
        words, matrix = vectors.index_to_key, np.asarray(vectors.vectors)
    except AttributeError:
        raise VectorFormatError(
            f"{origin}: expected gensim word vectors, found {type(model).__name__}."
        ) from None
    if not set(map(type, words)) <= {str}:
        other = next(word for word in words if type(word) is not str)
        raise VectorFormatError(f"{origin}: expected keys that are strings, found {other!r}.")
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind != "f":
        raise VectorFormatError(
            f"{origin}: expected a matrix of floats, found {matrix.dtype} of shape {matrix.shape}."
        )
    if matrix.dtype not in (np.float32, np.float16):
        matrix = matrix.astype(np.float32)
    subwords = None
    ngrams = getattr(vectors, "vectors_ngrams", None)
    if ngrams is not None and len(ngrams) and vectors.bucket and vectors.max_n:
        ngrams = np.asarray(ngrams, dtype=np.float32)
        subwords = Subwords(ngrams, int(vectors.min_n), int(vectors.max_n))
    return Table.from_rows(words, np.ascontiguousarray(matrix), origin, subwords)


def to_gensim(table: Table) -> Any:
    """Make a gensim ``KeyedVectors``.

    Parameters
    ----------
    table : Table
        A float32 matrix is used, not copied, so that a memory-mapped one stays mapped.

    Returns
    -------
    gensim.models.KeyedVectors
        Without n-gram rows: gensim keeps those only together with the training weights.
    """
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(table.dim)
    vectors.index_to_key = list(table.words)
    vectors.key_to_index = {word: i for i, word in enumerate(vectors.index_to_key)}
    vectors.next_index = len(table.words)
    vectors.vectors = table.expanded().matrix.astype(np.float32, copy=False)
    return vectors


def write(table: Table, path: Path) -> None:
    """Write a ``.kv`` file, and beside it the matrix if it is large, as gensim does.

    Parameters
    ----------
    table : Table
        Its n-gram rows are left out; float16 values become float32.
    path : Path
    """
    with temporary_folder(path) as folder:
        to_gensim(table).save(os.fspath(folder / path.name))
        # The file that refers to the others comes last.
        for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
            file.replace(path.parent / file.name)
