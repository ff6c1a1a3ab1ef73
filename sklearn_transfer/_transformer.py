"""PretrainedEmbeddingTransformer: raw texts to features with pretrained embeddings."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import gen_even_slices
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._utils.objects.cloning import CloneSharesPretrained
from ._utils.objects.state import State
from ._utils.texts import check_texts
from .persistence.model_files import SavesModel, restore_output
from .sources import RelocatesPretrained, are_several, load_sources
from .text.pooled_features import PooledFeatures
from .text.pooling import check_poolings
from .text.tokenization.tokens import TOKEN_PATTERN, Tokenization
from .text.weights import Weighting
from .vectors.pretrained_vectors import PretrainedVectors
from .vectors.table.lookup import OutOfVocabulary
from .vectors.table.vocabulary import Vocabulary


class PretrainedEmbeddingTransformer(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    RelocatesPretrained,
    SavesModel,
    CloneSharesPretrained,
):
    r"""Transform raw texts to features with pretrained word vectors or a sentence encoder.

    Each text is split into words, each word is replaced by its pretrained vector, and the vectors
    of a text are pooled into one. A contextual model encodes the text as a whole.

    Parameters
    ----------
    pretrained : str, path, PretrainedVectors, gensim object, pair (words, matrix), frame, \
            ContinuedVectors, ContextualModel, SentenceTransformer, or list of these, \
            default="glove-wiki-gigaword-50"
        Pretrained model, see :func:`load_pretrained`. It is opened in `fit`, once per process, and
        clones share it. The features of several sources are concatenated (meta-embeddings, Yin &
        Schuetze 2016). A clone of a `ContinuedVectors` is fitted on the texts of `fit`. A
        contextual model, for instance ``"sentence-transformers/all-MiniLM-L6-v2"``, splits and
        pools texts itself: it ignores the parameters from `pooling` to `oov`, except for
        `remove_components` and `norm`.
    pooling : {"mean", "sum", "max", "min"} or tuple of them, default="mean"
        Reduction of the vectors of a text to one. The results of a tuple are concatenated.
    weighting : {"idf", "sif"} or None, default=None
        Weight of each word vector in the pooling, learned in `fit`. "idf" is the smoothed inverse
        document frequency, "sif" the smooth inverse frequency ``a / (a + p(w))`` with
        ``a = 0.001``.
    remove_components : int, default=0
        Number of common directions of the training texts that are projected out.
    norm : {"l2"} or None, default=None
        "l2" scales the features of each text to length one; zeros stay zeros.
    tokenizer : callable, default=None
        Function from a text to its tokens, for instance ``jieba.lcut``. None uses
        `token_pattern`. It must be deterministic, because clones share it and its tokens are
        cached. It is pickled by its name, if its module has one for it. If X contains lists of
        tokens, the tokenizer gets these lists: ``lambda tokens: tokens`` returns them unchanged.
    token_pattern : str, default=r"(?u)\b\w+\b"
        Regular expression of a token. Vectors with a tokenizer of their own (Model2Vec) use that
        tokenizer, if they are the only source, and `tokenizer` and `token_pattern` have their
        defaults. Otherwise a word has the mean of the vectors of its tokens. Scripts without
        spaces between words are split into characters if most of their characters lie in tokens
        without a vector.
    lowercase : bool or "auto", default="auto"
        "auto" lower-cases texts if the vectors are lower-case. With cased vectors, it looks a word
        up as written, then in lower case. A tokenizer of the vectors gets unchanged texts.
    oov : {"ignore", "subword", "hash"}, default="ignore"
        Vector of an out-of-vocabulary word. "ignore" leaves the word out. "subword" is the mean of
        the vectors of its n-grams. fastText ``.bin`` files contain these; for other tables, they
        are fitted once to the words of the table (see :meth:`PretrainedVectors.look_up`). "hash" is
        a random vector that is the same in every process.
    dtype : {"float32", "float64"}, default="float32"
        Type of the features.
    n_jobs : int, default=None
        Number of processes that share the texts of a call. None is 1, unless in a
        :class:`joblib.parallel_config` context; -1 is all processors. A contextual model uses the
        threads of torch instead.

    Attributes
    ----------
    pretrained_ : PretrainedVectors, ContextualModel, or list of them
        The opened sources, in the form of `pretrained`.
    vocabulary_ : Vocabulary, length n_seen
        The tokens of the training texts; with `weighting`.
    idf_ : ndarray of float32, shape (n_seen,)
        The inverse document frequencies of these tokens; with ``weighting="idf"``.
    components_ : ndarray of float32, shape (remove_components, n_features_out_)
        The removed directions, orthonormal; fewer rows if there are fewer training texts.
    coverage_ : float
        Share of the tokens of the training texts with a pretrained vector in any source; 0 without
        tokens. With contextual models only, the share of tokens that are not truncated.
    token_unit_ : {"word", "character"} or None
        Unit of most tokens of the training texts; None with contextual models only.
    n_features_out_ : int
        Number of features: the dimension of the vectors, summed over the sources, times the number
        of poolings.

    See Also
    --------
    FineTunedClassifier : Trains the vectors together with a classifier.
    ContinuedVectors : Adapts the vectors to texts without labels.
    sklearn.feature_extraction.text.TfidfVectorizer : Features without pretraining; with many labels
        and a linear classifier, often better than frozen features.

    Notes
    -----
    Vectors are weighted before pooling. The mean with SIF weights and one removed component is the
    sentence embedding of Arora et al. 2017 [1]_ (equation 3 and algorithm 1). Removing several
    components follows Mu & Viswanath 2018 [2]_.

    The vectors are never copied: clones, estimators that name the same source, and worker processes
    share them. A pickle contains the path of their file and its fingerprint.

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
        "pretrained": "no_validation",  # load_pretrained validates it
        "pooling": [StrOptions({"mean", "sum", "max", "min"}), tuple, list],
        "weighting": [StrOptions({"idf", "sif"}), None],
        "remove_components": [Interval(Integral, 0, None, closed="left")],
        "norm": [StrOptions({"l2"}), None],
        "tokenizer": [callable, None],
        "token_pattern": [str],
        "lowercase": ["boolean", StrOptions({"auto"})],
        "oov": [StrOptions({"ignore", "subword", "hash"})],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
    }

    def __init__(  # noqa: PLR0913 (a public constructor)
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

    def fit(self, X: Any, y: Any = None) -> PretrainedEmbeddingTransformer:  # noqa: ARG002 (as in scikit-learn)
        """Open the vectors and learn token weights and common components.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Raw texts: a list, an array, a pandas or polars Series, or a frame of one column; or
            lists of tokens, with a `tokenizer`.
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
            If an element of X is not a string; the message names its position.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.floating]:  # noqa: ARG002 (as in scikit-learn)
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

    def _fit(self, X: Any) -> NDArray[np.float32]:
        self._validate_params()
        texts = self._check(X)
        features = PooledFeatures(
            load_sources(self.pretrained, texts),
            Tokenization(self.tokenizer, self.token_pattern, self.lowercase, as_pretrained=True),
            poolings=check_poolings(self.pooling),
            weighting=self.weighting,
            n_components=self.remove_components,
            oov=self.oov,
        )
        pooled = features.fit_transform(texts)
        self._set_features(features)
        return pooled

    def _set_features(self, features: PooledFeatures) -> None:
        self._features = features
        several = are_several(self.pretrained)
        self.pretrained_ = list(features.sources) if several else features.sources[0]
        self.coverage_, self.components_ = features.coverage, features.components
        self.token_unit_ = features.token_unit
        self.n_features_out_ = self._n_features_out = features.n_features

    def _saved_state(self) -> dict[str, Any]:
        if not hasattr(self, "_features"):
            return {}
        names = ("_features", "_sklearn_output_config")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def _restore(self, state: State) -> None:
        if "_features" in state:
            self._set_features(state.of("_features", PooledFeatures))
            restore_output(self, state)

    def _used_words(self, vectors: PretrainedVectors) -> list[str]:
        if self._features.weighting is None:
            return super()._used_words(vectors)
        return self._features.used_words(vectors)

    def transform(self, X: Any) -> NDArray[np.floating]:
        """Transform texts to features.

        Parameters
        ----------
        X : iterable of str, length n_texts

        Returns
        -------
        ndarray of `dtype`, shape (n_texts, n_features_out_)
            Zeros for a text without a known word.
        """
        check_is_fitted(self)
        texts = self._check(X)
        n_jobs = min(effective_n_jobs(self.n_jobs), len(texts))
        if n_jobs == 1 or len(self._features.tables) < len(self._features.sources):
            return self._finish(self._features.transform(texts))
        parts = Parallel(n_jobs=n_jobs)(
            delayed(self._features.transform)(texts[part])
            for part in gen_even_slices(len(texts), n_jobs)
        )
        return self._finish(np.concatenate(parts))

    def _check(self, X: Any) -> list[str]:
        accept_tokens = self.tokenizer is not None
        return check_texts(X, estimator=type(self).__name__, accept_tokens=accept_tokens)

    @property
    def vocabulary_(self) -> Vocabulary:
        """The tokens of the training texts, with `weighting`."""
        check_is_fitted(self)
        if self._features.weighting is None:
            raise AttributeError("vocabulary_ is learned with weighting='idf' or 'sif'.")
        return self._features.vocabulary

    @property
    def idf_(self) -> NDArray[np.float32]:
        """Inverse document frequencies, shape (n_seen,), with ``weighting="idf"``."""
        check_is_fitted(self)
        if self._features.weighting != "idf":
            raise AttributeError(f"idf_ is learned with weighting='idf', not {self.weighting!r}.")
        return self._features.term_weights[:-1]

    def _finish(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
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
