"""Files and objects of gensim; its import takes a second and happens on use.

Large arrays lie next to a file, in files whose names begin with its name. They can be mapped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.atomic import temporary_folder
from ..._utils.errors import VectorFormatError
from ..storage.files import detect_compression
from ..table.oov import Subwords
from ..table.table import Reading, Table, as_float_matrix


def read(path: Path, options: Reading) -> Table:
    """Open a ``.kv`` or ``.model`` file of any version that gensim opens."""
    if not options.allow_pickle:
        raise VectorFormatError(
            f"{path} is a gensim file, which is a pickle: opening it runs any code that its "
            f"author put inside. If you trust the source, pass allow_pickle=True; or convert it "
            f"once, with gensim's save_word2vec_format or with PretrainedVectors.save."
        )
    from gensim.utils import SaveLoad

    # gensim cannot map compressed arrays.
    mode = "r" if options.mmap and detect_compression(path) is None else None
    try:
        model = SaveLoad.load(os.fspath(path), mmap=mode)
    except Exception as error:  # a pickle may raise anything
        raise VectorFormatError(f"{path}: gensim cannot open it: {error!r}") from error
    return from_keyed_vectors(model, path).head(options.limit)


def from_keyed_vectors(model: Any, path: Path | None = None) -> Table:
    """Wrap the words and vectors of a gensim object; a float32 matrix is not copied.

    Parameters
    ----------
    model : gensim KeyedVectors, or a model that has them as ``wv``
    path : Path or None, default=None
        The file, for the messages.

    Returns
    -------
    Table
        With n-gram rows, if the object has any.

    Raises
    ------
    VectorFormatError
        If it has no words and vectors, not one row per word, keys that are not strings, or values
        that are not finite.
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
    subwords = None
    ngrams = getattr(vectors, "vectors_ngrams", None)
    if ngrams is not None and len(ngrams) and vectors.bucket and vectors.max_n:
        ngrams = np.asarray(ngrams, dtype=np.float32)
        subwords = Subwords(ngrams, int(vectors.min_n), int(vectors.max_n))
    return Table.from_rows(words, as_float_matrix(matrix, origin), origin, subwords=subwords)


def to_gensim(table: Table) -> Any:
    """Convert to gensim ``KeyedVectors`` without n-gram rows; a float32 matrix is not copied."""
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(table.dim)
    vectors.index_to_key = list(table.words)
    vectors.key_to_index = {word: i for i, word in enumerate(vectors.index_to_key)}
    vectors.next_index = len(table.words)
    vectors.vectors = table.expanded().matrix.astype(np.float32, copy=False)
    return vectors


def write(table: Table, path: Path) -> None:
    """Write a ``.kv`` file, and next to it the matrix if it is large, as gensim does."""
    with temporary_folder(path) as folder:
        to_gensim(table).save(os.fspath(folder / path.name))
        # The file that refers to the others is moved last.
        for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
            file.replace(path.parent / file.name)
