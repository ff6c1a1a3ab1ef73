"""PretrainedEmbeddingTransformer: raw texts to features with pretrained embeddings."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import gen_even_slices
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._utils.cloning import CloneSharesPretrained
from ._utils.texts import check_texts
from .sources import (
    are_several,
    find_contextual,
    find_tables,
    is_contextual,
    load_sources,
)
from .text.coverage import find_known, measure_coverage, measure_reading
from .text.pooling import Pooling, common_components, pool, remove_components
from .text.tokens import TOKEN_PATTERN, Splitting, TokenIds
from .text.weights import TokenWeights, Weighting
from .vectors.pretrained_vectors import PretrainedVectors
from .vectors.table.lookup import OutOfVocabulary
from .vectors.table.vocabulary import Vocabulary

_POOLINGS = ("mean", "sum", "max", "min")


class PretrainedEmbeddingTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, CloneSharesPretrained
):
    r"""Raw texts to features with pretrained word vectors, or a pretrained sentence encoder.

    Each text is split into words, each word takes its pretrained vector, and the vectors of a text
    are pooled into one. A contextual model reads the text as a whole.

    Parameters
    ----------
    pretrained : str, path, PretrainedVectors, gensim object, pair (words, matrix), frame, \
            ContinuedVectors, ContextualModel, SentenceTransformer, or list of these, \
            default="glove-wiki-gigaword-50"
        See :func:`load_pretrained`. Opened in `fit`, once in a process; clones share it. What
        several sources know of a text is concatenated (meta-embeddings, Yin & Schuetze 2016). Of a
        `ContinuedVectors` a clone is fitted on the texts of `fit`. A contextual model, for instance
        ``"sentence-transformers/all-MiniLM-L6-v2"``, splits, weights and pools on its own: for it,
        parameters from `pooling` to `oov` play no part, but for `remove_components` and `norm`.
    pooling : {"mean", "sum", "max", "min"} or tuple of them, default="mean"
        How the vectors of a text become one. The results of a tuple are concatenated.
    weighting : {"idf", "sif"} or None, default=None
        What each vector is multiplied by before pooling, learned in `fit`: the smoothed inverse
        document frequency of its word, or its smooth inverse frequency ``a / (a + p(w))`` with
        ``a = 0.001``.
    remove_components : int, default=0
        How many directions that the training texts have in common are projected out.
    norm : {"l2"} or None, default=None
        Scale each text's features to length one; zero stays zero.
    tokenizer : callable, default=None
        From a text to its tokens, for instance ``jieba.lcut``. None uses `token_pattern`.
    token_pattern : str, default=r"(?u)\b\w+\b"
        Regular expression of a token. With this and `tokenizer` left at their defaults, vectors
        that come with a tokenizer (Model2Vec) are used with that; beside others, or where one of
        the two is set, a word takes the mean of its tokens' vectors.
    lowercase : bool or "auto", default="auto"
        "auto" lower-cases texts where the vectors are lower-case; where they are cased, a word is
        looked up as it stands, then lower-cased. A tokenizer of the vectors sees texts as they are.
    oov : {"ignore", "subword", "hash"}, default="ignore"
        What becomes of words without a vector: they are left out; they take the mean of their
        n-grams' vectors, which fastText ``.bin`` files hold and which are fitted to the words of
        other tables, once (see :meth:`PretrainedVectors.look_up`); or they take a random vector
        that is the same in every process.
    dtype : {"float32", "float64"}, default="float32"
        Type of the features.
    n_jobs : int, default=None
        Processes among which the texts of a call are shared. None is one, unless in a
        :class:`joblib.parallel_config`; -1 is all processors. A contextual model uses the threads
        of torch instead.

    Attributes
    ----------
    pretrained_ : PretrainedVectors, ContextualModel, or list of them
        As `pretrained` names one or several.
    vocabulary_ : Vocabulary, length n_seen
        The tokens of the training texts; with `weighting`.
    idf_ : ndarray of float32, shape (n_seen,)
        Their inverse document frequencies; with ``weighting="idf"``.
    components_ : ndarray of float32, shape (remove_components, n_features_out_)
        The common directions, orthonormal; fewer rows where there were fewer training texts.
    coverage_ : float
        Share of the tokens of the training texts that have a pretrained vector, in any source; 0
        without tokens. Of contextual models alone, the share of tokens that were read: what is
        longer than their `max_tokens` is cut off.
    n_features_out_ : int
        Number of features: the dimension of the vectors, summed over the sources, times the number
        of poolings.

    See Also
    --------
    FineTunedClassifier : Trains the vectors together with a classifier.
    ContinuedVectors : Adapts the vectors to texts without labels.
    sklearn.feature_extraction.text.TfidfVectorizer : Learns from the training texts alone; with
        many labels and a linear classifier it is hard to beat by frozen features.

    Notes
    -----
    Weights are multiplied in before pooling, so that the mean with SIF weights and one removed
    component is the sentence embedding of Arora et al. 2017 [1]_ (equation 3 and algorithm 1).
    Removing several components follows Mu & Viswanath 2018 [2]_.

    The vectors are not copied: clones, estimators that name the same source, and worker processes
    share them, and a pickle holds the path of their file and its fingerprint.

    References
    ----------
    .. [1] Arora, Liang & Ma, "A simple but tough-to-beat baseline for sentence embeddings",
       ICLR 2017.
    .. [2] Mu & Viswanath, "All-but-the-top: simple and effective postprocessing for word
       representations", ICLR 2018.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors
    >>> vectors = PretrainedVectors(["good", "bad", "film"], [[1.0, 0.2], [-1.0, 0.2], [0.0, 1.0]])
    >>> embed = PretrainedEmbeddingTransformer(vectors)
    >>> embed.fit_transform(["A good film", "bad, bad film!", "?"]).round(2)
    array([[ 0.5 ,  0.6 ],
           [-0.67,  0.47],
           [ 0.  ,  0.  ]], dtype=float32)
    >>> round(embed.coverage_, 2)
    0.83
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "pretrained": "no_validation",  # load_pretrained says what it may be
        "pooling": [StrOptions(set(_POOLINGS)), tuple, list],
        "weighting": [StrOptions({"idf", "sif"}), None],
        "remove_components": [Interval(Integral, 0, None, closed="left")],
        "norm": [StrOptions({"l2"}), None],
        "tokenizer": [callable, None],
        "token_pattern": [str],
        "lowercase": ["boolean", StrOptions({"auto"})],
        "oov": [StrOptions({"ignore", "subword", "hash"})],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        pretrained: Any = "glove-wiki-gigaword-50",
        *,
        pooling: Any = "mean",
        weighting: Weighting = None,
        remove_components: int = 0,
        norm: str | None = None,
        tokenizer: Any = None,
        token_pattern: str = TOKEN_PATTERN,
        lowercase: Any = "auto",
        oov: OutOfVocabulary = "ignore",
        dtype: str = "float32",
        n_jobs: int | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.pooling = pooling
        self.weighting = weighting
        self.remove_components = remove_components
        self.norm = norm
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.lowercase = lowercase
        self.oov = oov
        self.dtype = dtype
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> PretrainedEmbeddingTransformer:
        """Open the vectors and learn token weights and common components.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Raw texts: a list, an array, a pandas or polars Series, or a frame of one column.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is empty or a bare string, or a parameter has a value that is not allowed.
        TypeError
            If something in X is not a string; its position is named.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.floating]:
        """Fit, and transform the same texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
        y : None
            Ignored.

        Returns
        -------
        ndarray of `dtype`, shape (n_texts, n_features_out_)
        """
        return self._finish(self._fit(X))

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X: Any) -> NDArray[np.float32]:
        """Learn everything; the pooled texts, before components are removed."""
        texts = check_texts(X, estimator=type(self).__name__)
        poolings = self._check_poolings()
        self._sources = load_sources(self.pretrained, texts)
        several = are_several(self.pretrained)
        self.pretrained_ = self._sources if several else self._sources[0]
        tokens, token_ids = self._split(texts)
        if self._tables:
            known = find_known(tokens, self._tables, **self._looking_up)
            self.coverage_ = measure_coverage(tokens, token_ids, known, self.oov)
        else:
            self.coverage_ = measure_reading(texts, find_contextual(self._sources))
        self._learn_weights(tokens, token_ids)
        n_blocks = [1 if is_contextual(source) else len(poolings) for source in self._sources]
        widths = [source.dim for source in self._sources]
        self.n_features_out_ = int(np.dot(n_blocks, widths))
        self._n_features_out = self.n_features_out_
        pooled = self._pool(texts, tokens, token_ids)
        self.components_ = common_components(pooled, self.remove_components)
        return pooled

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Texts to features.

        Parameters
        ----------
        X : iterable of str, length n_texts

        Returns
        -------
        ndarray of `dtype`, shape (n_texts, n_features_out_)
            Zero for a text without a known word.
        """
        check_is_fitted(self)
        texts = check_texts(X, estimator=type(self).__name__)
        n_jobs = min(effective_n_jobs(self.n_jobs), len(texts))
        if n_jobs == 1 or len(self._tables) < len(self._sources):
            return self._finish(self._pool(texts, *self._split(texts)))
        parts = Parallel(n_jobs=n_jobs)(
            delayed(_transform_part)(self, texts[part])
            for part in gen_even_slices(len(texts), n_jobs)
        )
        return np.concatenate(parts)

    @property
    def vocabulary_(self) -> Vocabulary:
        """The tokens of the training texts, with `weighting`."""
        check_is_fitted(self)
        if self._token_weights is None:
            raise AttributeError("vocabulary_ is learned with weighting='idf' or 'sif'.")
        return self._token_weights.vocabulary

    @property
    def idf_(self) -> NDArray[np.float32]:
        """Inverse document frequencies, shape (n_seen,), with ``weighting="idf"``."""
        check_is_fitted(self)
        if self._token_weights is None or self.weighting != "idf":
            raise AttributeError(f"idf_ is learned with weighting='idf', not {self.weighting!r}.")
        return self._token_weights.values[:-1]

    def _check_poolings(self) -> tuple[Pooling, ...]:
        poolings: tuple[Any, ...] = (
            (self.pooling,) if isinstance(self.pooling, str) else tuple(self.pooling)
        )
        if not poolings or not set(poolings) <= set(_POOLINGS):
            raise ValueError(
                f"The 'pooling' parameter must be one of {', '.join(map(repr, _POOLINGS))} or a "
                f"non-empty tuple of them, got {self.pooling!r}."
            )
        return poolings

    @property
    def _tables(self) -> list[PretrainedVectors]:
        """The sources that know words."""
        return find_tables(self._sources)

    @property
    def _splitting(self) -> Splitting:
        return Splitting(self.tokenizer, self.token_pattern, self.lowercase, as_pretrained=True)

    @property
    def _folds_case(self) -> bool:
        return self._splitting.folds_case(self._tables)

    @property
    def _looking_up(self) -> dict[str, bool]:
        """How tokens are looked up."""
        own = self._splitting.tokenizer_of(self._tables)
        return {"fold_case": self._folds_case, "are_tokens": own is not None}

    def _split(self, texts: list[str]) -> tuple[list[str], TokenIds]:
        return self._splitting(texts if self._tables else [], self._tables)

    def _learn_weights(self, tokens: list[str], token_ids: TokenIds) -> None:
        self._token_weights = None
        if self.weighting is not None:
            self._token_weights = TokenWeights(
                self.weighting, Vocabulary(tokens), token_ids, np.ones(len(token_ids))
            )

    def _pool(
        self, texts: list[str], tokens: list[str], token_ids: TokenIds
    ) -> NDArray[np.float32]:
        """Token ids to the used rows of each matrix to one vector a text; or texts to one each."""
        blocks = []
        for source in self._sources:
            if not isinstance(source, PretrainedVectors):
                blocks.append(source.encode(texts))
                continue
            index, vectors = source.look_up(tokens, oov=self.oov, **self._looking_up)
            weights = None
            if self._token_weights is not None:
                found = index >= 0
                weights = np.empty(len(vectors), dtype=np.float32)
                by_token = self._token_weights(tokens, fold_case=self._folds_case)
                weights[index[found]] = by_token[found]
            blocks.append(
                pool(token_ids.translate(index), vectors, self._check_poolings(), weights)
            )
        return np.concatenate(blocks, axis=1)

    def _finish(self, pooled: NDArray[np.float32]) -> NDArray[np.floating]:
        features: NDArray[np.floating] = pooled
        if len(self.components_):
            features = remove_components(pooled, self.components_)
        if self.norm == "l2":
            length = np.linalg.norm(features, axis=1, keepdims=True)
            features = features / np.where(length > 0, length, np.float32(1))
        return features.astype(self.dtype, copy=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _transform_part(
    transformer: PretrainedEmbeddingTransformer, texts: list[str]
) -> NDArray[np.floating]:
    return transformer._finish(transformer._pool(texts, *transformer._split(texts)))
