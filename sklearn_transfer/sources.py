"""load_pretrained: a name, a path or an object to a pretrained model, once a process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ._utils.cloning import VectorsEstimator, is_frame, is_pair
from ._utils.memo import ObjectCache
from .contextual.model import ContextualModel
from .contextual.safety import is_contextual_folder, is_library_model
from .vectors.catalog import locate
from .vectors.formats.frames import from_frame
from .vectors.pretrained_vectors import PretrainedVectors

# gensim objects that were wrapped before, with what tells whether they have changed since: the
# number of words and the matrix (not its id, which the next matrix may have).
_wrapped: WeakKeyDictionary[Any, tuple[int, Any, PretrainedVectors]] = WeakKeyDictionary()

# Models of sentence-transformers that were wrapped before, by what tells whether they have changed.
_models: ObjectCache[ContextualModel] = ObjectCache(n_recent=2)

# What sources come to.
Source = PretrainedVectors | ContextualModel

# Pairs whose matrix is used as it is, as long as anybody holds the vectors: the matrix, and a copy
# of the list of words, which tells whether that has changed since.
_paired: WeakKeyDictionary[PretrainedVectors, tuple[ref[Any], Any]] = WeakKeyDictionary()


def load_pretrained(source: Any, *, allow_pickle: bool = False) -> Source:
    """Turn what a user names into pretrained vectors, or a contextual model.

    Parameters
    ----------
    source : str, path, PretrainedVectors, ContextualModel, gensim object, SentenceTransformer, \
            pair, or frame
        - ``"glove-wiki-gigaword-50"``: the 400,000 words by 50 of GloVe 6B, from the installed
          wheel (extra ``glove``), else through gensim's downloader;
        - ``"wordllama"`` and ``"tokenlearn-static-model"``, from the installed wheels of these
          names;
        - any other model name of gensim-data, through gensim's downloader;
        - ``"org/name"``, ``"hf://org/name"`` or ``"hf://org/name@revision"``: a Model2Vec model, a
          static model of sentence-transformers, a fastText ``model.bin``, a folder of ours, or a
          contextual model on the Hugging Face hub (extras ``static``, ``contextual``). What lies in
          the hub's local cache is used as it is, without asking;
        - a path of any format that :meth:`PretrainedVectors.load` reads, or the folder of a
          contextual model;
        - a `SentenceTransformer`, see :class:`ContextualModel`;
        - a gensim ``KeyedVectors``, ``Word2Vec`` or ``FastText``, whose matrix is not copied;
        - a pair ``(words, matrix)`` of distinct strings and a 2-D array, shape (n_words, dim),
          which is not copied if it is float32 or float16 in C order;
        - a pandas frame whose index holds the words, or with the default index a column, beside
          columns of numbers or one of arrays; or a polars frame with such columns. A frame is
          read at each call: where several estimators or a search use one, load it before;
        - a `PretrainedVectors` or a `ContextualModel`, which is returned.
    allow_pickle : bool, default=False
        Open gensim's own files, which are pickles and run whatever their author put inside.

    Returns
    -------
    PretrainedVectors or ContextualModel
        The same object for the same source, as long as the source has not changed; for a pair,
        as long as its matrix is used as it is and somebody holds the vectors. Contextual models
        of the same name or folder are objects of their own that share all that is opened.

    Raises
    ------
    TypeError
        If the source is of another type, words are no strings, or columns no numbers.
    ValueError
        If words are repeated, or do not belong to a row each.
    FileNotFoundError, VectorFormatError, MissingDependencyError
        See :meth:`PretrainedVectors.load`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_transfer import PretrainedVectors, load_pretrained
    >>> vectors = PretrainedVectors(["cat", "dog"], [[1.0, 0.0], [0.8, 0.6]])
    >>> load_pretrained(vectors) is vectors
    True
    >>> load_pretrained((["cat", "dog"], np.eye(2)))["dog"]
    array([0., 1.], dtype=float32)
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str | os.PathLike):
        if is_contextual(source):
            return ContextualModel(source)
        return PretrainedVectors.load(source, allow_pickle=allow_pickle)
    if is_library_model(source):
        return _from_library(source)
    if is_pair(source):
        return _from_pair(*source)
    if is_frame(source):
        return PretrainedVectors(*from_frame(source))
    vectors = getattr(source, "wv", source)
    if hasattr(vectors, "index_to_key") and hasattr(vectors, "vectors"):
        n_words, matrix = len(vectors.index_to_key), vectors.vectors
        known = _wrapped.get(vectors)
        if known is None or known[0] != n_words or known[1] is not matrix:
            known = _wrapped[vectors] = (n_words, matrix, PretrainedVectors.from_gensim(vectors))
        return known[2]
    raise TypeError(
        f"pretrained must be a name, a path, a PretrainedVectors, a ContextualModel, gensim "
        f"vectors, a SentenceTransformer, a pair (words, matrix) or a frame, got "
        f"{type(source).__name__}: {source!r:.80}"
    )


def is_contextual(source: Any) -> bool:
    """Whether a source is one contextual model; a name is looked up, nothing is opened."""
    if isinstance(source, ContextualModel) or is_library_model(source):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    path = locate(source)
    return path.is_dir() and is_contextual_folder(path)


def find_tables(sources: Sequence[Source]) -> list[PretrainedVectors]:
    """Those of several sources that are tables of words."""
    return [source for source in sources if isinstance(source, PretrainedVectors)]


def find_contextual(sources: Sequence[Source]) -> list[ContextualModel]:
    """Those of several sources that are contextual models."""
    return [source for source in sources if isinstance(source, ContextualModel)]


def _from_library(library: Any) -> ContextualModel:
    """A model that was opened by its library, until somebody trains it."""
    versions = tuple(parameter._version for parameter in library.parameters())
    # Whoever holds the one holds the other, so that no other object has its id.
    return _models.get((id(library), versions), lambda: ContextualModel(library))


def _from_pair(words: Any, matrix: NDArray[Any]) -> PretrainedVectors:
    """Words and their matrix, whose values are not copied where they can be used as they are."""
    dtype = np.asarray(matrix[:0]).dtype
    if dtype.kind not in "fiu":
        raise TypeError(
            f"A pair (words, matrix) must have a matrix of numbers, got {dtype}. Convert it first: "
            f"matrix.astype('float32')."
        )
    words = list(words) if isinstance(words, list | tuple) else words
    for vectors, (held, known) in list(_paired.items()):
        same = held() is matrix and vectors.matrix.shape == matrix.shape
        if same and (words is known or (isinstance(words, list) and words == known)):
            return vectors
    if hasattr(words, "to_numpy"):  # a Series, an Index
        words = words.to_numpy()
    vectors = PretrainedVectors(words.tolist() if isinstance(words, np.ndarray) else words, matrix)
    # Values that were copied do not follow the matrix where that is changed.
    if isinstance(matrix, np.ndarray) and np.may_share_memory(vectors.matrix, matrix):
        _paired[vectors] = (ref(matrix), words)
    return vectors


def are_several(pretrained: Any) -> bool:
    """Whether this is a list or tuple of sources, which a pair is not."""
    return isinstance(pretrained, list | tuple) and not is_pair(pretrained)


def load_sources(pretrained: Any, texts: Sequence[str] = ()) -> list[Source]:
    """One or several sources, as a list.

    Parameters
    ----------
    pretrained : source, or list or tuple of sources
        See :func:`load_pretrained`; or estimators of vectors, of which clones are fitted.
    texts : sequence of str, length n_texts, default=()
        What estimators are fitted on.

    Returns
    -------
    list of PretrainedVectors and ContextualModel

    Raises
    ------
    ValueError
        If the list is empty.
    """
    if not are_several(pretrained):
        return [_learn(pretrained, texts)]
    if not pretrained:
        raise ValueError("pretrained must name at least one source; got an empty list.")
    return [_learn(source, texts) for source in pretrained]


def _learn(source: Any, texts: Sequence[str]) -> Source:
    if isinstance(source, VectorsEstimator):
        source = clone(source).fit(texts).vectors_
    return load_pretrained(source)
