"""ContinuedVectors: pretrained word vectors adapted to texts without labels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval, StrOptions

from ._utils.cloning import VectorsEstimator
from ._utils.random import draw_seed
from ._utils.texts import check_texts
from .sources import load_pretrained
from .text.tokens import TOKEN_PATTERN, Splitting
from .vectors.continuation import Continuation, continue_training
from .vectors.pretrained_vectors import PretrainedVectors


class ContinuedVectors(VectorsEstimator):
    r"""Pretrained word vectors, trained further on texts without labels.

    Words of the texts move to where the texts use them, and new words get vectors. It is given as
    `pretrained` to the other estimators, which fit a clone of it on their training texts.

    Parameters
    ----------
    pretrained : str, path, PretrainedVectors, gensim object, pair (words, matrix) or frame, \
            default="glove-wiki-gigaword-50"
        See :func:`load_pretrained`.
    unlabelled : iterable of str, default=None
        More texts to train on, beside those of `fit`.
    epochs : int, default=5
        Passes over the texts.
    pull : float, default=0.1
        How far each word that was known before is pulled back to where it started, after every
        epoch, as a share of the distance.
    window : int, default=5
        Most tokens between a word and one of its context, on either side.
    negative : int, default=5
        Random words for each word of a context.
    min_count : int, default=2
        Words that occur less often are left out: the known ones stay as they are, the others get no
        vector.
    lr : float, default=0.025
        Learning rate at the start, at most 1; it falls linearly to zero over all epochs.
    tokenizer : callable, default=None
        From a text to its tokens. None uses `token_pattern`.
    token_pattern : str, default=r"(?u)\b\w+\b"
        Regular expression of a token.
    lowercase : bool or "auto", default="auto"
        "auto" lower-cases texts where the vectors are lower-case; where they are cased, it
        lower-cases the words that they do not have as they stand.
    random_state : int, RandomState or None, default=None
        Vectors of new words and random words. No global generator is touched; the same seed gives
        the same vectors, bit for bit, with one thread.
    n_jobs : int, default=None
        Threads. None is one, unless in a :class:`joblib.parallel_config`; -1 is all processors. The
        result of several depends on their timing.

    Attributes
    ----------
    vectors_ : PretrainedVectors
        In memory, float32: all words of `pretrained` in their order, then the new ones by falling
        frequency. The rows of words that do not occur in the texts are as they were, bit for bit.
        An estimator that takes these vectors does not train them anew.

    See Also
    --------
    FineTunedClassifier : Takes it as `pretrained`, and adapts the vectors to labels.
    PretrainedEmbeddingTransformer : Takes it as `pretrained`.

    Notes
    -----
    Skip-gram with negative sampling [1]_, trained by gensim from the pretrained vectors on. The
    output vectors, which such tables do not hold, are trained alone for one epoch before. New words
    start at small random vectors: the mean of the vectors around them did no better. Vectors with
    n-gram rows (fastText ``.bin``) are continued as such [2]_: the n-grams of the texts' words move
    and are pulled back, too, and words that nobody has seen are made of them.

    `vectors_` is a copy, as large as `pretrained`, and is pickled as such; `subset` makes a large
    table smaller before. Every fit trains anew, also on texts that it was fitted on before: where a
    search varies other things, fit it once on texts apart and give `vectors_`.

    There is no history of the loss: gensim sums it in float32, which stops growing on long texts.

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
        "pretrained": "no_validation",  # load_pretrained says what it may be
        "unlabelled": "no_validation",  # check_texts says the same of it
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

    def __init__(
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

    def fit(self, X: Any, y: Any = None) -> ContinuedVectors:
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
            allowed, no word occurs `min_count` times, or none that does has a pretrained vector.
        TypeError
            If something among the texts is not a string; its position is named.
        """
        # Not by scikit-learn's decorator, which skips the check inside the fit of another estimator
        # though that one has not looked.
        self._validate_params()
        name = type(self).__name__
        texts = check_texts(X, estimator=name)
        if self.unlabelled is not None:
            texts = texts + check_texts(self.unlabelled, estimator=f"{name}.unlabelled")
        source = load_pretrained(self.pretrained)
        if not isinstance(source, PretrainedVectors):
            raise TypeError(
                f"{name} trains word vectors further, got a contextual model: {source!r}. Train it "
                f"with labels (FineTunedClassifier), or distil it first (ContextualModel.distill)."
            )
        how = Continuation(
            epochs=self.epochs,
            pull=self.pull,
            window=self.window,
            negative=self.negative,
            min_count=self.min_count,
            lr=self.lr,
            seed=draw_seed(self.random_state),
            n_threads=effective_n_jobs(self.n_jobs),
        )
        self.vectors_ = continue_training(source, self._split(texts, source), how)
        return self

    def _split(self, texts: list[str], source: PretrainedVectors) -> list[list[str]]:
        """The tokens of each text, as the source writes them."""
        splitting = Splitting(
            self.tokenizer, self.token_pattern, self.lowercase, as_pretrained=True
        )
        tokens, token_ids = splitting(texts, [source])
        if splitting.folds_case([source]):
            found = (source.words.find(tokens) >= 0).tolist()
            tokens = [t if known else t.lower() for t, known in zip(tokens, found, strict=True)]
        words = np.array(tokens, dtype=object)[token_ids.ids]
        return [part.tolist() for part in np.split(words, token_ids.offsets[1:-1])]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags
