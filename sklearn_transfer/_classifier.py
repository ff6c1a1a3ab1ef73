"""FineTunedClassifier: texts, or features, to labels, from pretrained vectors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, compute_class_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from ._validation import CloneSharesPretrained, check_texts, looks_like_texts
from .nn.criteria import CRITERIA, make_criterion
from .nn.encoders import ACTIVATIONS, BagEncoder, EncoderWithHead, LinearBag, Passage, make_head
from .nn.optimizers import replace_parameter
from .nn.training import (
    OPTIMIZERS,
    ROW_WISE,
    Inputs,
    NewtonNet,
    Samples,
    TransferNet,
    build_net,
    class_shares,
    find_device,
)
from .pretrained.sources import load_pretrained
from .text.features import BagFeatures, Design, Splitting
from .text.rows import WordRows

_TOKEN_PATTERN = r"\w+|[^\w\s]"


class FineTunedClassifier(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, CloneSharesPretrained
):
    r"""Classify texts, or feature vectors, with what a pretrained model knows.

    With its defaults it is a bag of words that starts from pretrained vectors and is fine-tuned by a
    convex solver. With hidden layers, or another optimizer, the vectors of the words that occur and
    a head are trained in mini-batches. Without `pretrained` it is the head that ends a pipeline.

    Parameters
    ----------
    pretrained : str, path, PretrainedVectors or gensim object, default=None
        See :func:`load_pretrained`; X is texts. With None, X is a matrix of features.
    encoder : {"mean"}, default="mean"
        How the vectors of a text become one.
    hidden_layer_sizes : tuple of int, default=()
        Units of the hidden layers of the head; none for a linear head.
    activation : {"identity", "relu", "gelu", "tanh", "logistic"}, default="relu"
        Between hidden layers.
    dropout : float, default=0.0
        Share of the features that are dropped before each layer of the head, in mini-batches.
    token_dropout : float, default=0.0
        Share of the tokens that are dropped from each text, in mini-batches.
    adaptation : {"frozen", "full"}, default="full"
        "frozen" leaves the pretrained vectors as they are and trains the head on them; "full" also
        gives every token of the training texts an offset of its own.
    l2_sp : float or "auto", default="auto"
        Strength of the pull of the offsets to zero, that is, of the model to the pretrained one
        (Li et al. 2018). "auto" is 1 for the solver "newton" and 0 elsewhere.
    strength : float or "auto", default="auto"
        Norm of the pretrained features of a text beside 1 for its words, with a linear head;
        "auto" is ``clip((2000 / T) ** 0.25, 0.25, 1)`` for T training tokens a class. For numeric
        X, the factor of all features; "auto" is 1.
    weighting : {"idf", "sif"} or None, default="idf"
        Weight of a word's pretrained vector in its text; see `PretrainedEmbeddingTransformer`.
    ngram_range : tuple of int, default=(1, 2)
        Shortest and longest word n-grams that have an offset, with a linear head.
    char_ngram_range : tuple of int, "auto" or None, default="auto"
        The same for character n-grams inside words. "auto" is (2, 4) where the training texts have
        60 tokens or fewer in the mean, and None elsewhere.
    tokenizer : callable, default=None
        From a text to its tokens. None uses `token_pattern`.
    token_pattern : str, default=r"\\w+|[^\\w\\s]"
        Regular expression of a token: words and single punctuation marks.
    lowercase : bool or "auto", default="auto"
        "auto" lower-cases, except that cased vectors are looked up by each word as it stands first.
    oov : {"ignore", "subword", "hash"}, default="ignore"
        Pretrained part of words without a vector: none, the mean of their n-grams' vectors, a
        random vector.
    max_tokens : int, default=None
        Read only the first tokens of a text.
    max_epochs : int, default=20
        Passes over the training data; with the solver "newton", steps, of which it takes fewer
        when it has converged.
    batch_size : int, default=128
        Samples of a mini-batch. The solver "newton" takes all.
    lr : float, default=0.01
        Learning rate, in mini-batches.
    embedding_lr : float, default=None
        Learning rate of the vectors; None is `lr`.
    optimizer : {"auto", "newton", "adam", "adamw", "sgd"} or torch class, default="auto"
        "auto" is "newton" for a linear head with a criterion given by name, and "adam" elsewhere;
        "adam" moves only the rows of the words of a batch.
    criterion : {"auto", "squared_hinge", "cross_entropy"} or torch class, default="auto"
        "auto" is "squared_hinge", one class against the rest, for the solver "newton", and
        "cross_entropy" elsewhere.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes; for "cross_entropy".
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the training data, stratified, stop when its loss has not
        improved for `n_iter_no_change` epochs, and keep the best weights. Off, every row trains.
    validation_fraction : float, default=0.1
        Share of the training data held out by `early_stopping`.
    n_iter_no_change : int, default=5
        In epochs.
    callbacks : list of skorch callbacks, default=None
        For the training loop; they are cloned.
    device : str, default="auto"
        "auto" is CUDA, else MPS, else the CPU.
    warm_start : bool, default=False
        Let `fit` continue from the weights of the last `fit`, in mini-batches. (The solution of the
        solver "newton" does not depend on where it starts.)
    random_state : int, RandomState or None, default=None
        Initial weights, order of the samples, dropout, held-out rows. No global generator is
        touched; the same seed gives the same weights, bit for bit, on the CPU.
    verbose : int, default=0
        1 prints a line an epoch, 2 shows a progress bar too.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels, sorted.
    net_ : skorch.NeuralNet
        The trained net.
    module_ : torch.nn.Module
        The trained module.
    history_ : skorch History
        Losses and seconds of every epoch.
    n_iter_ : int
        Epochs trained.
    pretrained_ : PretrainedVectors or None
        The vectors.
    n_features_in_ : int
        Number of features, for numeric X.
    feature_names_in_ : ndarray of str
        Names of the features, for a frame of numbers.

    See Also
    --------
    PretrainedEmbeddingTransformer : Features from the same vectors, for any classifier.

    Notes
    -----
    The default model is ``logit = sum_w a_w (u_w + E_w H) + b``: the pretrained vector ``E_w`` of a
    token stays, the head ``H`` and the token's offset ``u_w`` in the space of the logits are
    learned under a quadratic penalty. See :class:`~sklearn_transfer.text.features.BagFeatures` for
    the features and :class:`~sklearn_transfer.nn.optimizers.TruncatedNewton` for the solver.

    A word that training has not seen but the pretrained vectors know is used with its vector.

    Examples
    --------
    >>> from sklearn_transfer import FineTunedClassifier, PretrainedVectors
    >>> vectors = PretrainedVectors(
    ...     ["good", "great", "bad", "awful"], [[1.0, 0.1], [0.9, 0.2], [-1.0, 0.1], [-0.9, 0.2]]
    ... )
    >>> texts = ["a good film", "good plot", "a bad film", "bad plot"]
    >>> model = FineTunedClassifier(vectors).fit(texts, ["yes", "yes", "no", "no"])
    >>> model.predict(["great!", "an awful plot"])
    array(['yes', 'no'], dtype='<U3')
    """

    _parameter_constraints = {
        "pretrained": "no_validation",  # load_pretrained says what it may be
        "encoder": [StrOptions({"mean"})],
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "token_dropout": [Interval(Real, 0, 1, closed="left")],
        "adaptation": [StrOptions({"frozen", "full"})],
        "l2_sp": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "strength": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "weighting": [StrOptions({"idf", "sif"}), None],
        "ngram_range": [tuple, list],
        "char_ngram_range": [StrOptions({"auto"}), tuple, list, None],
        "tokenizer": [callable, None],
        "token_pattern": [str],
        "lowercase": ["boolean", StrOptions({"auto"})],
        "oov": [StrOptions({"ignore", "subword", "hash"})],
        "max_tokens": [Interval(Integral, 1, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "embedding_lr": [Interval(Real, 0, None, closed="left"), None],
        "optimizer": [StrOptions({"auto", *OPTIMIZERS}), callable],
        "criterion": [StrOptions({"auto", *CRITERIA}), callable],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, tuple, None],
        "device": [str],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        pretrained: Any = None,
        *,
        encoder: str = "mean",
        hidden_layer_sizes: Any = (),
        activation: str = "relu",
        dropout: float = 0.0,
        token_dropout: float = 0.0,
        adaptation: str = "full",
        l2_sp: Any = "auto",
        strength: Any = "auto",
        weighting: str | None = "idf",
        ngram_range: Any = (1, 2),
        char_ngram_range: Any = "auto",
        tokenizer: Any = None,
        token_pattern: str = _TOKEN_PATTERN,
        lowercase: Any = "auto",
        oov: str = "ignore",
        max_tokens: int | None = None,
        max_epochs: int = 20,
        batch_size: int = 128,
        lr: float = 0.01,
        embedding_lr: float | None = None,
        optimizer: Any = "auto",
        criterion: Any = "auto",
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        callbacks: Any = None,
        device: str = "auto",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.pretrained = pretrained
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.adaptation = adaptation
        self.l2_sp = l2_sp
        self.strength = strength
        self.weighting = weighting
        self.ngram_range = ngram_range
        self.char_ngram_range = char_ngram_range
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.lowercase = lowercase
        self.oov = oov
        self.max_tokens = max_tokens
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.embedding_lr = embedding_lr
        self.optimizer = optimizer
        self.criterion = criterion
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> FineTunedClassifier:
        """Train on texts, or features, and labels.

        Parameters
        ----------
        X : iterable of str, or array or sparse matrix of shape (n_samples, n_features)
            Texts with `pretrained`; numbers without.
        y : array-like of shape (n_samples,)
            Labels of any kind that scikit-learn takes.
        sample_weight : array-like of shape (n_samples,), default=None
            A sample of weight 2 counts as two, one of weight 0 as none.
        X_val, y_val : like X and y, default=None
            Evaluated after every epoch, never trained on; used by `early_stopping` in place of held
            out rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If inputs or parameters are not what they must be.
        TypeError
            If something among the texts is not a string; its position is named.
        """
        steps = self._resolve()
        X, y, weight = self._check_training(X, y, sample_weight)
        continues = self.warm_start and steps.minibatches and hasattr(self, "net_")
        target = self._encode_labels(y, known=self.classes_ if continues else None)
        train, held_out = self._hold_out(steps, X, target, weight, X_val, y_val)
        X, target, weight = train
        if continues:
            inputs = self._extend_module(X)
        else:
            inputs = self._build_module(steps, X, target, weight)
        self._train(steps, self._samples(inputs, target, weight), held_out)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> FineTunedClassifier:
        """Train one epoch, in mini-batches, on some of the data.

        Words that occur for the first time get a row of their own. After a `fit` by the solver
        "newton", the offsets that it learned and the head go on moving, and no new ones come.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the first call names no `classes`, or a label is not among them; if `optimizer` is
            "newton", which needs all samples at once.
        """
        steps = self._resolve(stream=True)
        first = not hasattr(self, "net_")
        if first and classes is None:
            raise ValueError("The first call of partial_fit must name all classes: classes=[...].")
        X, y, weight = self._check_training(X, y, sample_weight, reset=first)
        known = np.unique(classes) if first else self.classes_
        if classes is not None and not np.array_equal(known, np.unique(classes)):
            raise ValueError(f"classes={classes!r} differ from those of earlier calls, {known!r}.")
        target = self._encode_labels(y, known=known)
        if first:
            inputs = self._build_module(steps, X, target, weight)
            self.net_ = self._configure(steps, None).initialize()
        else:
            inputs = self._extend_module(X)
            if isinstance(self.net_, NewtonNet):
                self.net_ = self._configure(steps, None).initialize()
        self.net_.partial_fit(self._samples(inputs, target, weight), epochs=1)
        self._publish()
        return self

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Logits: shape (n_samples, n_classes), or (n_samples,) of the second of two classes.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        ndarray
        """
        check_is_fitted(self)
        logits = self.net_.logits(self._read(self._check_X(X)))
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of every sample.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        logits = self.decision_function(X)
        code = (logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(axis=1)
        return self.classes_[code]

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
        """
        logits = torch.from_numpy(self.decision_function(X).astype(np.float64))
        if logits.ndim == 1:
            return torch.sigmoid(torch.stack([-logits, logits], dim=1)).numpy()
        return torch.softmax(logits, dim=1).numpy()

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The adapted features.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        ndarray, shape (n_samples, d)
            What the last, linear layer of the head sees. After the solver "newton": the pretrained
            features and, for texts, what the offsets of the tokens add to each logit.
        """
        check_is_fitted(self)
        inputs = self._read(self._check_X(X))
        self.module_.eval()
        with torch.no_grad():
            batches = self.net_.get_iterator(self.net_.get_dataset(inputs), training=False)
            return np.concatenate(
                [self.module_.features(**batch.tensors).cpu().numpy() for batch, _ in batches]
            )

    # What `fit` is made of, in the order in which it happens.

    def _resolve(self, *, stream: bool = False) -> _Steps:
        """Turn "auto" into choices, and refuse those that do not go together."""
        sizes = self.hidden_layer_sizes
        hidden = (int(sizes),) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(size, Integral) and size > 0 for size in hidden):
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of positive integers, () for a linear head; "
                f"got {sizes!r}."
            )
        for name in ("ngram_range", "char_ngram_range"):
            _check_range(name, getattr(self, name))
        optimizer, criterion = self.optimizer, self.criterion
        by_name = isinstance(criterion, str)
        solvable = not hidden and by_name
        if optimizer == "newton" and (not solvable or stream):
            raise ValueError(
                "optimizer='newton' needs a linear head (hidden_layer_sizes=()), a criterion given "
                "by name, and all samples at once (fit); use optimizer='auto' or 'adam'."
            )
        if optimizer == "auto":
            optimizer = "newton" if solvable and not stream else "adam"
        newton = optimizer == "newton"
        if criterion == "auto":
            smooth = self.label_smoothing > 0
            criterion = "squared_hinge" if newton and not smooth else "cross_entropy"
        if stream and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all labels at once; give partial_fit a dict."
            )
        return _Steps(
            hidden=hidden,
            optimizer=optimizer,
            criterion=make_criterion(criterion, self.label_smoothing),
            device=find_device(self.device),
            l2_sp=(1.0 if newton else 0.0) if self.l2_sp == "auto" else float(self.l2_sp),
            seed=_draw_seed(self.random_state),
        )

    def _check_training(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
        """Validated X, labels and weights; rows of weight zero are left out."""
        X = self._check_X(X, reset=reset)
        y = _check_labels(y, X)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight must be positive for at least one sample; all are 0.")
        if not weight.all():
            kept = np.flatnonzero(weight)
            X, y, weight = _rows(X, kept), y[kept], weight[kept]
        return X, y, weight

    def _check_X(self, X: Any, *, reset: bool = False) -> Any:
        """A list of texts, or a float64 matrix."""
        name = type(self).__name__
        if self.pretrained is not None:
            if getattr(X, "ndim", 0) == 2 and not looks_like_texts(X) and X.shape[1] != 1:
                raise ValueError(
                    f"{name}(pretrained=...) reads texts, got a matrix of shape {X.shape}. For "
                    f"numeric features leave pretrained=None."
                )
            return check_texts(X, estimator=name)
        if looks_like_texts(X):
            raise ValueError(
                f"{name}(pretrained=None) reads numeric features, got texts. Name the vectors that "
                f"texts are read with, for instance pretrained='glove-wiki-gigaword-50'."
            )
        return validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=reset)

    def _encode_labels(self, y: NDArray[Any], known: NDArray[Any] | None) -> NDArray[np.int64]:
        """Class codes; sets `classes_`."""
        classes, codes = np.unique(y, return_inverse=True)
        if known is not None:
            strange = np.setdiff1d(classes, known)
            if len(strange):
                raise ValueError(
                    f"y has labels that are not among the classes {known!r}: {strange!r}."
                )
            codes, classes = np.searchsorted(known, y), known
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least two classes; the data has one "
                f"class: {classes[0]!r}."
            )
        self.classes_ = classes
        return codes.astype(np.int64)

    def _hold_out(
        self,
        steps: _Steps,
        X: Any,
        target: NDArray[np.int64],
        weight: NDArray[np.float64],
        X_val: Any,
        y_val: Any,
    ) -> tuple[_Labelled, _Labelled | None]:
        """The training part, and the part that is only evaluated, if any."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: give both or neither.")
        if X_val is not None:
            X_val = self._check_X(X_val)
            codes = self._encode_labels(_check_labels(y_val, X_val), known=self.classes_)
            return (X, target, weight), (X_val, codes, np.ones(len(codes)))
        if not self.early_stopping:
            return (X, target, weight), None
        held = _stratified(target, self.validation_fraction, np.random.default_rng(steps.seed))
        parts = np.flatnonzero(~held), np.flatnonzero(held)
        train, valid = ((_rows(X, rows), target[rows], weight[rows]) for rows in parts)
        return train, valid

    def _build_module(
        self, steps: _Steps, X: Any, target: NDArray[np.int64], weight: NDArray[np.float64]
    ) -> Inputs:
        """Learn the features and make the module that starts on them; the training inputs."""
        n_classes = len(self.classes_)
        n_outputs = 1 if n_classes == 2 else n_classes
        newton = steps.optimizer == "newton"
        self.pretrained_ = None if self.pretrained is None else load_pretrained(self.pretrained)
        self._features = self._make_features(steps)
        self._sparse_input = issparse(X)
        rows = None
        if isinstance(self._features, BagFeatures):
            membership = csr_array(
                (np.ones(len(target)), (np.arange(len(target)), target)),
                shape=(len(target), n_classes),
            )
            inputs: Inputs = self._features.fit_transform(X, membership, weight)
        elif isinstance(self._features, WordRows):
            inputs, rows = self._features.fit_transform(X, weight)
        else:
            inputs = self._read(X)
        generator = torch.Generator().manual_seed(steps.seed)
        if newton:
            share = class_shares(torch.from_numpy(target), n_outputs, torch.from_numpy(weight))
            start = getattr(steps.criterion, "start", torch.zeros_like)(share)
            sparse, dense = inputs.sparse, inputs.dense
            self.module_ = LinearBag(
                sparse.shape[1], dense.shape[1], start.to(torch.from_numpy(dense).dtype)
            )
            return inputs
        encoder = Passage()
        if rows is not None:
            encoder = BagEncoder(
                torch.from_numpy(rows),
                sparse=steps.optimizer in ("adam", "sgd") or steps.optimizer in ROW_WISE,
                pulled=steps.l2_sp > 0,
            )
        head = make_head(
            inputs.sparse.shape[1] + inputs.dense.shape[1] if rows is None else rows.shape[1],
            steps.hidden,
            n_outputs,
            activation=self.activation,
            dropout=self.dropout,
            generator=generator,
        )
        self.module_ = EncoderWithHead(encoder, head)
        return inputs

    def _make_features(self, steps: _Steps) -> BagFeatures | WordRows | None:
        """How texts become inputs; None for numbers."""
        if self.pretrained_ is None:
            return None
        splitting = Splitting(self.tokenizer, self.token_pattern, self.lowercase, self.max_tokens)
        settings = {"weighting": self.weighting, "oov": self.oov}
        frozen = self.adaptation == "frozen"
        if steps.optimizer != "newton" and not frozen:
            return WordRows([self.pretrained_], splitting, **settings)
        strength = self.strength
        if frozen and strength == "auto":
            strength = _FROZEN_STRENGTH
        return BagFeatures(
            [self.pretrained_],
            splitting,
            ngram_range=tuple(self.ngram_range),
            char_ngram_range=self.char_ngram_range,
            strength=strength,
            pull=steps.l2_sp,
            offsets=not frozen,
            **settings,
        )

    def _read(self, X: Any) -> Inputs:
        """Validated X as inputs of the module."""
        if self._features is not None:
            return self._features.transform(X)
        X = X * (1.0 if self.strength == "auto" else self.strength)
        if self._sparse_input:
            return Design(csr_array(X), np.zeros((X.shape[0], 0)))
        return Design(csr_array((X.shape[0], 0)), X.toarray() if issparse(X) else X)

    def _extend_module(self, X: Any) -> Inputs:
        """Give the words that are new a row each; the training inputs."""
        if isinstance(self._features, WordRows):
            encoder = self.module_.encoder
            before = encoder.rows
            encoder.extend(torch.from_numpy(self._features.extend(X)))
            replace_parameter(self.net_.optimizer_, before, encoder.rows)
        return self._read(X)

    def _samples(
        self, inputs: Inputs, target: NDArray[np.int64], weight: NDArray[np.float64]
    ) -> Samples:
        """Inputs with their targets, and weights that the class weights are multiplied into."""
        if self.class_weight is None:
            return Samples(inputs, target, weight)
        if self.class_weight == "balanced":
            total = np.bincount(target, weights=weight, minlength=len(self.classes_))
            by_class = weight.sum() / (len(total) * np.where(total > 0, total, np.inf))
        else:
            by_class = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[target]
            )
        return Samples(inputs, target, weight * by_class[target])

    def _configure(self, steps: _Steps, valid: Samples | None) -> TransferNet:
        return build_net(
            self.module_,
            steps.criterion,
            optimizer=steps.optimizer,
            lr=self.lr,
            embedding_lr=self.embedding_lr,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            device=steps.device,
            seed=steps.seed,
            token_dropout=self.token_dropout,
            l2_sp=steps.l2_sp,
            valid=valid,
            patience=self.n_iter_no_change if self.early_stopping else None,
            callbacks=[clone(callback, safe=False) for callback in self.callbacks or ()],
            verbose=int(self.verbose),
        )

    def _train(self, steps: _Steps, train: Samples, held_out: _Labelled | None) -> None:
        valid = None
        if held_out is not None:
            X, target, weight = held_out
            valid = self._samples(self._read(X), target, weight)
        self.net_ = self._configure(steps, valid).fit(train)
        if self.net_.ran_out:
            warnings.warn(
                f"The solver has not converged in max_epochs={self.max_epochs} steps. Raise "
                f"max_epochs, scale the features, or raise l2_sp.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._publish()

    def _publish(self) -> None:
        self.net_.forget_data()
        self.module_ = self.net_.module_
        self.history_ = self.net_.history
        self.n_iter_ = len(self.history_)
        self._n_features_out = self.module_.n_features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        texts = self.pretrained is not None
        tags.input_tags.string = texts
        tags.input_tags.two_d_array = not texts
        tags.input_tags.sparse = not texts
        tags.transformer_tags.preserves_dtype = []
        return tags


# Samples that are labelled: X, class codes, weights.
_Labelled = tuple[Any, NDArray[np.int64], NDArray[np.float64]]

# Without offsets there is no block of words to stand beside: a scale that suits the solver's C = 1.
_FROZEN_STRENGTH = 3.0


@dataclass(frozen=True)
class _Steps:
    """What the parameters of a fit come to."""

    hidden: tuple[int, ...]
    optimizer: Any
    criterion: torch.nn.Module
    device: torch.device
    l2_sp: float
    seed: int

    @property
    def minibatches(self) -> bool:
        return self.optimizer != "newton"


def _check_range(name: str, value: Any) -> None:
    if value is None or value == "auto":
        return
    whole = len(value) == 2 and all(isinstance(n, Integral) for n in value)
    if not whole or not 1 <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (shortest, longest) with 1 <= shortest <= longest, got {value!r}."
        )


def _check_labels(y: Any, X: Any) -> NDArray[Any]:
    """Labels as an array of the length of X."""
    if y is None:
        raise ValueError("FineTunedClassifier requires y to be passed, but the target y is None.")
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_consistent_length(X, y)
    check_classification_targets(y)
    return y


def _rows(X: Any, rows: NDArray[np.int64]) -> Any:
    return [X[i] for i in rows.tolist()] if isinstance(X, list) else X[rows]


def _draw_seed(random_state: Any) -> int:
    """A seed that is drawn from no global generator."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(np.iinfo(np.int32).max))


def _stratified(
    target: NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Which samples to hold out: `fraction` of every class, though never all of one."""
    held = np.zeros(len(target), dtype=bool)
    for code in np.unique(target):
        members = generator.permutation(np.flatnonzero(target == code))
        held[members[: min(round(fraction * len(members)), len(members) - 1)]] = True
    if not held.any():
        raise ValueError(
            f"early_stopping=True has nothing to hold out: validation_fraction={fraction} of "
            f"{len(target)} samples in {len(np.unique(target))} classes comes to none. Give more "
            f"samples, a larger fraction, or X_val and y_val."
        )
    return held
