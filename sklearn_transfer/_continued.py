"""ContinuedVectors: pretrained word vectors adapted to texts without labels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval, StrOptions

from ._utils.objects.cloning import VectorsEstimator
from ._utils.objects.state import State
from ._utils.random import draw_seed
from ._utils.texts import check_texts
from .persistence.model_files import SavesModel
from .sources import load_pretrained
from .text.tokenization.coverage import learn_tokenization
from .text.tokenization.tokens import TOKEN_PATTERN, Tokenization, split_for_vectors
from .vectors.continuation import Continuation, continue_training
from .vectors.pretrained_vectors import PretrainedVectors


class ContinuedVectors(SavesModel, VectorsEstimator):
    r"""Pretrained word vectors that are trained further on texts without labels.

    The vectors of words adapt to their use in the texts, and out-of-vocabulary words get vectors.
    If it is `pretrained` of another estimator, a clone is fitted on the training texts of that
    estimator.

    Parameters
    ----------
    pretrained : str, path, PretrainedVectors, gensim object, pair (words, matrix) or frame, \
            default="glove-wiki-gigaword-50"
        Initial vectors, see :func:`load_pretrained`.
    unlabelled : iterable of str, default=None
        More training texts, in addition to those of `fit`.
    epochs : int, default=5
        Number of passes over the texts.
    pull : float, default=0.1
        After every epoch, the vector of each pretrained word is moved towards its pretrained vector
        by this share of their distance.
    window : int, default=5
        Maximum distance in tokens between a word and a context word, on either side.
    negative : int, default=5
        Number of random (negative) words per context word.
    min_count : int, default=2
        Minimum number of occurrences. Rarer words keep their pretrained vector, or get none.
    lr : float, default=0.025
        Initial learning rate, at most 1; it decays linearly to zero over all epochs.
    tokenizer : callable, default=None
        Function from a text, or from a list of tokens as in `PretrainedEmbeddingTransformer`, to
        its tokens. None uses `token_pattern`.
    token_pattern : str, default=r"(?u)\b\w+\b"
        Regular expression of a token.
    lowercase : bool or "auto", default="auto"
        "auto" lower-cases texts. With cased vectors, it lower-cases only the words that the vectors
        do not contain as written.
    random_state : int, RandomState or None, default=None
        Seed of the initial vectors of new words, and of the negative words. No global generator is
        used. With one thread, the same seed gives bit-identical vectors.
    n_jobs : int, default=None
        Number of threads. None is 1, unless in a :class:`joblib.parallel_config` context; -1 is all
        processors. With several threads, results depend on their timing.

    Attributes
    ----------
    vectors_ : PretrainedVectors
        In memory, float32: all words of `pretrained` in their order, then new words by decreasing
        frequency. Vectors of words that do not occur in the texts are bit-identical to the
        pretrained ones. An estimator with `vectors_` as `pretrained` does not repeat the training.

    See Also
    --------
    FineTunedClassifier : Adapts vectors to labels; accepts this estimator as `pretrained`.
    PretrainedEmbeddingTransformer : Accepts this estimator as `pretrained`.

    Notes
    -----
    The method is skip-gram with negative sampling [1]_ by gensim, initialised from the pretrained
    vectors. Pretrained tables do not contain output vectors; these are trained alone for one epoch
    first. New words have small random initial vectors, because the mean of the context vectors was
    not better. Vectors with n-gram rows (fastText ``.bin``) keep these rows [2]_. The n-gram rows
    of words in the texts are trained and pulled as well, and give vectors to words outside the
    texts.

    `vectors_` is a copy as large as `pretrained`; reduce a large table by `subset` first. A pickle
    contains the trained rows, and a reference to `pretrained` for the others. Every fit trains
    again, even on the same texts. If a search varies other parameters, fit once on separate texts
    and use `vectors_`.

    There is no history of the loss, because gensim sums it in float32, which loses precision on
    long texts.

    References
    ----------
    .. [1] Mikolov, Sutskever, Chen, Corrado & Dean, "Distributed representations of words and
       phrases and their compositionality", NIPS 2013.
    .. [2] Bojanowski, Grave, Joulin & Mikolov, "Enriching word vectors with subword information",
       TACL 2017.

    Examples
    --------
    >>> from sklearn_transfer import ContinuedVectors, FineTunedClassifier, PretrainedVectors
    >>> vectors = PretrainedVectors(["good", "bad", "film"], [[1.0, 0.2], [-1.0, 0.2], [0.0, 1.0]])
    >>> texts = ["a good film", "good plot", "a bad film", "bad plot"]
    >>> continued = ContinuedVectors(vectors, random_state=0)
    >>> list(continued.fit(texts).vectors_.words)
    ['good', 'bad', 'film', 'a', 'plot']
    >>> model = FineTunedClassifier(continued).fit(texts, ["yes", "yes", "no", "no"])
    >>> model.pretrained_
    <PretrainedVectors 'vectors, continued': 5 words x 2, float32, in memory>
    """

    _shared: ClassVar[tuple[str, ...]] = ("unlabelled",)  # may be many, and is never changed

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "pretrained": "no_validation",  # load_pretrained validates it
        "unlabelled": "no_validation",  # check_texts validates it
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "pull": [Interval(Real, 0, 1, closed="both")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "negative": [Interval(Integral, 1, None, closed="left")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, 1, closed="right")],
        "tokenizer": [callable, None],
        "token_pattern": [str],
        "lowercase": ["boolean", StrOptions({"auto"})],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(  # noqa: PLR0913 (a public constructor)
        self,
        pretrained: Any = "glove-wiki-gigaword-50",
        *,
        unlabelled: Any = None,
        epochs: int = 5,
        pull: float = 0.1,
        window: int = 5,
        negative: int = 5,
        min_count: int = 2,
        lr: float = 0.025,
        tokenizer: Any = None,
        token_pattern: str = TOKEN_PATTERN,
        lowercase: Any = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.unlabelled = unlabelled
        self.epochs = epochs
        self.pull = pull
        self.window = window
        self.negative = negative
        self.min_count = min_count
        self.lr = lr
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.lowercase = lowercase
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> ContinuedVectors:  # noqa: ARG002 (as in scikit-learn)
        """Open the vectors and train them further.

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
            If X or `unlabelled` is empty or a bare string, a parameter has a value that is not
            allowed, no word occurs `min_count` times, or no such word has a pretrained vector.
        TypeError
            If an element of the texts is not a string; the message names its position.
        """
        # scikit-learn's decorator skips the check inside the fit of another estimator, which has
        # not checked these parameters.
        self._validate_params()
        name = type(self).__name__
        accept_tokens = self.tokenizer is not None
        texts = check_texts(X, estimator=name, accept_tokens=accept_tokens)
        if self.unlabelled is not None:
            texts = texts + check_texts(
                self.unlabelled, estimator=f"{name}.unlabelled", accept_tokens=accept_tokens
            )
        source = load_pretrained(self.pretrained)
        if not isinstance(source, PretrainedVectors):
            raise TypeError(
                f"Expected word vectors to train further, got a contextual model: {source!r}. "
                f"Train it with labels (FineTunedClassifier), or distil it first "
                f"(ContextualModel.distill)."
            )
        config = Continuation(
            epochs=int(self.epochs),
            pull=float(self.pull),
            window=int(self.window),
            negative=int(self.negative),
            min_count=int(self.min_count),
            lr=float(self.lr),
            seed=draw_seed(self.random_state),
            n_threads=effective_n_jobs(self.n_jobs),
        )
        tokenization = Tokenization(
            self.tokenizer, self.token_pattern, self.lowercase, as_pretrained=True
        )
        tokenization = learn_tokenization(texts, tokenization, [source])
        sentences = split_for_vectors(texts, source, tokenization)
        self.vectors_ = continue_training(source, sentences, config)
        return self

    def _saved_state(self) -> dict[str, Any]:
        return {"vectors_": self.vectors_} if hasattr(self, "vectors_") else {}

    def _restore(self, state: State) -> None:
        if "vectors_" in state:
            self.vectors_ = state.of("vectors_", PretrainedVectors)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags
