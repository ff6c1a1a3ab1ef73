"""FineTunedClassifier: texts, or features, to labels, from pretrained vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils.validation import check_is_fitted

from .fine_tuning.fit import FineTuning
from .fine_tuning.parameters import FINE_TUNING
from .fine_tuning.selection import Choice
from .fine_tuning.targets import Labels
from .text.weights import Weighting
from .training.newton import NewtonNet
from .vectors.table.lookup import OutOfVocabulary

_TOKEN_PATTERN = r"\w+|[^\w\s]"


class FineTunedClassifier(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, FineTuning
):
    r"""Classify texts, or feature vectors, with what a pretrained model knows.

    With its defaults it is a bag of words that starts from pretrained vectors and is fine-tuned by
    a convex solver. With hidden layers, or another optimizer, the vectors of the words that occur
    and a head are trained in mini-batches. Without `pretrained` it is the head that ends a
    pipeline.

    Parameters
    ----------
    pretrained : str, path, object, list of these, or nn.Module, default=None
        See :func:`load_pretrained` for what gives vectors (an object may be a `PretrainedVectors`,
        a gensim one, a pair of words and matrix, or a frame); X is texts. What several sources know
        is concatenated; of a `ContinuedVectors` a clone is fitted on the training texts. A
        contextual model reads texts as a whole, and a copy of it is trained; in a list, it gives
        features and stays as it is. With a torch module, from (n, ...) to (n, d), X is an array of
        any shape; a copy of it is trained, in which `adaptation` says what moves, whatever
        `requires_grad` was. With None, X is a matrix of features.
    encoder : {"mean", "attention", "cnn", "rnn"} or nn.Module, default="mean"
        How the vectors of a text become one: their weighted mean, an attention-weighted mean, a
        convolutional network (Kim 2014), a bidirectional recurrent one. A module is called with the
        vectors, float32, shape (n_texts, length, dim), zero beside the texts, and their lengths,
        int64, shape (n_texts,), and gives (n_texts, d). What an encoder learns moves with the head.
    encoder_params : dict, default=None
        Settings of an encoder given by name. "attention": ``units=64`` of its hidden layer. "cnn":
        ``widths=(3, 4, 5)`` in tokens, ``filters=100`` of each, ``multichannel=False``. "rnn":
        ``cell="gru"`` or "lstm", ``units=64`` a direction, ``layers=1``.
    hidden_layer_sizes : tuple of int, default=()
        Units of the hidden layers of the head; none for a linear head.
    activation : {"identity", "relu", "gelu", "tanh", "logistic"}, default="relu"
        Between hidden layers.
    dropout : float, default=0.0
        Share of the features that are dropped before each layer of the head, in mini-batches.
    token_dropout : float, default=0.0
        Share of the tokens that are dropped from each text, in mini-batches.
    adaptation : {"frozen", "full", "top-1", "top-2", "top-3", "gradual", "discriminative", \
            "lp-ft", "contrastive", "auto"}, default="full"
        How what is pretrained is adapted. "frozen" leaves it as it is and trains the head; "full"
        trains all: with the solver "newton" every token of the training texts gets an offset of its
        own. "top-1" trains the head and the highest layer, and so on: of a contextual model, what
        the layers below give is computed once. "gradual" begins with the head and adds a layer an
        epoch, from the top (Howard & Ruder 2018); "discriminative" divides the rate by 2.6 a layer
        (the same); "lp-ft" trains the head until it has converged, and then all for `max_epochs`
        (Kumar et al. 2022). "contrastive", for few labels, first trains the layers so that samples
        of one class are alike, and then the head (Tunstall et al. 2022; see
        :class:`~sklearn_transfer.training.policies.Contrastive`). "auto" fits "frozen", "full", and
        for modules and encoders other than "mean" also "lp-ft" and "gradual", on parts of the
        samples, and takes the most accurate on the rest; of a contextual model "frozen" and, below
        1,000 labels, "contrastive", else "top-2". It may also be an object with a method
        ``rates(epoch, n_layers, history)``, see
        :class:`~sklearn_transfer.training.policies.Adaptation`.
    layer_groups : list, default=None
        The layers that a policy tells apart, lowest first: names of the module's modules, or lists
        of them. None takes its children; of a contextual model, the embeddings and each layer.
    l2_sp : float or "auto", default="auto"
        Strength of the pull of the offsets to zero or, in mini-batches, of the pretrained layers to
        where they started (Li et al. 2018). "auto" is 1 for the solver "newton" and 0 elsewhere.
    strength : float or "auto", default="auto"
        Norm of the pretrained features of a text beside 1 for its words, with a linear head;
        "auto" is ``clip(2 q, 0.25, 1)``, q the share of a training text's squared tf-idf, in the
        mean, that lies in words with a pretrained vector that no other training text has: the
        pretrained part stands in for words that training has not seen. For numeric X, the factor of
        all features; "auto" is 1. For frozen features alone, the norm of the centred ones; "auto"
        is 3, or 0.6 for contextual models and the solver "newton".
    weighting : {"idf", "sif"} or None, default="idf"
        Weight of a word's pretrained vector in its text, for the encoders "mean" and "attention";
        see `PretrainedEmbeddingTransformer`.
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
        Pretrained part of words without a vector: none, the mean of their n-grams' vectors, which
        are fitted to the words where the vectors came without, a random vector.
    max_tokens : int, default=None
        Read only the first tokens of a text. A contextual model has a limit of its own beside.
    max_epochs : int or "auto", default="auto"
        Passes over the training data; with the solver "newton", steps, of which it takes fewer
        when it has converged. "auto" is 20, or 3 where layers of a contextual model are trained.
    batch_size : int or "auto", default="auto"
        Samples of a mini-batch at most; "auto" is a sixteenth of the training samples, but at least
        8 and at most 128. The solver "newton" takes all.
    lr : float, default=0.01
        Learning rate, in mini-batches.
    embedding_lr : float, default=None
        Learning rate of what is pretrained. None is `lr` for vectors, a tenth of it for a torch
        module, and a two-hundredth, 5e-5, for a contextual model.
    schedule : {"constant", "linear", "cosine", "one-cycle"}, default="constant"
        How the rates fall over `max_epochs`, in mini-batches.
    warmup : float, default=0.0
        Share of `max_epochs` in which they rise from 0 first.
    max_grad_norm : float, default=None
        Gradients longer than this are shortened to it, in mini-batches.
    average_last : int, default=0
        At the end, take the mean of the weights after each of the last epochs (Izmailov et al.
        2018), in mini-batches.
    optimizer : {"auto", "newton", "adam", "adamw", "sgd"} or torch class, default="auto"
        "auto" is "newton" where the model is linear in what is learned and the criterion convex and
        given by name: a linear head on features, on the mean of vectors, or on a frozen module. It
        is "adamw" where layers of a contextual model are trained, and "adam" elsewhere, which moves
        only the rows of the words of a batch.
    criterion : {"auto", "squared_hinge", "cross_entropy", "focal"} or torch class, default="auto"
        "auto" is "squared_hinge", one class against the rest, for the solver "newton", and
        "cross_entropy" elsewhere. "focal" is that of Lin et al. 2017, in mini-batches.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes; for "cross_entropy".
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss.
    calibrate : bool, default=True
        With the solver "newton", find the temperature of the probabilities on training samples
        that are left out in turn, from the solution a few steps each. All rows train the model. Not
        after a contrastive stage, which has seen the labels of all.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the training data, stratified, stop when its loss has not
        improved for `n_iter_no_change` epochs, and keep the best weights. Off, every row trains.
    validation_fraction : float, default=0.1
        Share of the training data held out by `early_stopping`.
    n_iter_no_change : int, default=5
        In epochs.
    callbacks : list of skorch callbacks, default=None
        For the training loop; they are cloned.
    distill_from : fitted classifier, default=None
        A teacher with `classes_` and `predict_proba`, for instance with a contextual model: `fit`
        takes its labels, each weighted by its probability, and does not look at y, so that X may
        be texts without labels. Clones share it.
    checkpoint : path, default=None
        A folder where `fit` writes its state after every epoch, in mini-batches. A fit that was
        stopped, started again with the same data and parameters, goes on from there, and ends with
        the same weights, bit for bit. Of callbacks, numbers and tensors are kept.
    mixed_precision : bool, default=False
        Multiply in bfloat16, in mini-batches.
    compile : bool or str, default=False
        Compile the network with `torch.compile`, in mini-batches; a string is its backend.
    device : str, default="auto"
        "auto" is CUDA, else MPS, else the CPU, to which a pickle falls back without its device.
    warm_start : bool, default=False
        Let `fit` continue from the weights of the last `fit`, in mini-batches; the solution of the
        solver "newton" does not depend on where it starts.
    random_state : int, RandomState or None, default=None
        Initial weights, order of the samples, dropout, held-out rows. Global generators are left as
        they were; the same seed gives the same weights, bit for bit, on the CPU.
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
        Losses, seconds and the learning rate of each layer (`rates`) of every epoch.
    adaptation_ : Choice
        The policy that was used (`policy`); for "auto" the accuracy of each candidate (`scores`),
        and why (`reason`).
    n_iter_ : int
        Epochs trained.
    temperature_ : float
        What logits are divided by for `predict_proba`; 1 where nothing was held or left out.
    pretrained_ : PretrainedVectors, ContextualModel, list of them, or None
        As `pretrained` names one, several or none.
    coverage_ : float or None
        Share of the tokens of the training texts that have a pretrained vector; of the first ones,
        with `partial_fit`. None for numeric X. Of a contextual model, the share that it reads.
    n_features_in_ : int
        Number of features, for numeric X; of an array of more dimensions, the length of the second.
    feature_names_in_ : ndarray of str
        Names of the features, for a frame of numbers.

    See Also
    --------
    PretrainedEmbeddingTransformer : Features from the same vectors, for any classifier.

    Notes
    -----
    The default model is ``logit = sum_w a_w (u_w + E_w H) + b``: the pretrained vector ``E_w`` of a
    token stays, the head ``H`` and the token's offset ``u_w`` in the space of the logits are
    learned under a quadratic penalty. See :class:`~sklearn_transfer.text.bag_features.BagFeatures` for
    the features and :class:`~sklearn_transfer.training.optimizers.TruncatedNewton` for the solver.

    A word that training has not seen but the pretrained vectors know is used with its vector.

    Examples
    --------
    >>> from sklearn_transfer import FineTunedClassifier, PretrainedVectors
    >>> vectors = PretrainedVectors(
    ...     ["good", "great", "bad", "awful", "film", "plot"],
    ...     [[1.0, 0.1], [0.9, 0.2], [-1.0, 0.1], [-0.9, 0.2], [0.1, 1.0], [0.0, 0.9]],
    ... )
    >>> texts = ["a good film", "good plot", "a bad film", "bad plot"]
    >>> model = FineTunedClassifier(vectors).fit(texts, ["yes", "yes", "no", "no"])
    >>> model.predict(["great!", "an awful plot"])
    array(['yes', 'no'], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = FINE_TUNING
    _shared = ("distill_from",)

    def __init__(
        self,
        pretrained: Any = None,
        *,
        encoder: Any = "mean",
        encoder_params: Any = None,
        hidden_layer_sizes: Any = (),
        activation: str = "relu",
        dropout: float = 0.0,
        token_dropout: float = 0.0,
        adaptation: Any = "full",
        layer_groups: Any = None,
        l2_sp: Any = "auto",
        strength: Any = "auto",
        weighting: Weighting = "idf",
        ngram_range: Any = (1, 2),
        char_ngram_range: Any = "auto",
        tokenizer: Any = None,
        token_pattern: str = _TOKEN_PATTERN,
        lowercase: Any = "auto",
        oov: OutOfVocabulary = "ignore",
        max_tokens: int | None = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: float = 0.01,
        embedding_lr: float | None = None,
        schedule: str = "constant",
        warmup: float = 0.0,
        max_grad_norm: float | None = None,
        average_last: int = 0,
        optimizer: Any = "auto",
        criterion: Any = "auto",
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        calibrate: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        callbacks: Any = None,
        distill_from: Any = None,
        checkpoint: Any = None,
        mixed_precision: bool = False,
        compile: Any = False,
        device: str = "auto",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.pretrained = pretrained
        self.encoder = encoder
        self.encoder_params = encoder_params
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.adaptation = adaptation
        self.layer_groups = layer_groups
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
        self.schedule = schedule
        self.warmup = warmup
        self.max_grad_norm = max_grad_norm
        self.average_last = average_last
        self.optimizer = optimizer
        self.criterion = criterion
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.distill_from = distill_from
        self.checkpoint = checkpoint
        self.mixed_precision = mixed_precision
        self.compile = compile
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> FineTunedClassifier:
        """Train on texts, or features, and labels.

        Parameters
        ----------
        X : iterable of str, or array or sparse matrix of shape (n_samples, n_features)
            Texts with `pretrained`; an array of shape (n_samples, ...) where that is a torch
            module; numbers without.
        y : array-like of shape (n_samples,)
            Labels of any kind that scikit-learn takes. None only with `distill_from`.
        sample_weight : array-like of shape (n_samples,), default=None
            A sample of weight 2 counts as two, one of weight 0 as none.
        X_val, y_val : like X and y, default=None
            Evaluated after every epoch, never trained on; `early_stopping` holds out no rows then.

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
        X, y, sample_weight = self._ask_teacher(X, y, sample_weight)
        X, y, weight = self._check_training(X, y, sample_weight)
        validation, seed = self._check_validation(X_val, y_val), self._find_seed()
        self.adaptation_ = self._choose_adaptation((X, y, weight), validation, seed)
        steps = self._resolve(self.adaptation_.policy, seed)
        trained = not isinstance(getattr(self, "net_", None), NewtonNet | None)
        continues = self.warm_start and steps.optimizer != "newton" and trained
        labels = self._labels if continues else Labels(y)
        labelled = X, labels.encode(y), weight
        train, held_out = self._hold_out(steps, labelled, labels, validation)
        inputs = self._extend(train[0]) if continues else self._build(steps, train, labels)
        self._train(steps, train, inputs, held_out)
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
        X : like in `fit`
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            See `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the first call names no `classes`, or a label is not among them; if `optimizer` is
            "newton", which needs all samples at once.
        """
        if isinstance(self.adaptation, str) and self.adaptation == "auto":
            raise ValueError("adaptation='auto' needs all samples at once (fit); name a policy.")
        self.adaptation_ = Choice(self.adaptation)
        steps = self._resolve(self.adaptation, self._find_seed(), stream=True)
        first = not hasattr(self, "net_")
        if first and classes is None:
            raise ValueError("The first call of partial_fit must name all classes: classes=[...].")
        X, y, sample_weight = self._ask_teacher(X, y, sample_weight)
        X, y, weight = self._check_training(X, y, sample_weight, reset=first)
        labels = Labels.declared(classes, y.ndim == 2) if first else self._labels
        if classes is not None and not np.array_equal(labels.classes, np.unique(classes)):
            raise ValueError(
                f"classes={classes!r} differ from those of earlier calls, {labels.classes!r}."
            )
        train = X, labels.encode(y), weight
        inputs = self._build(steps, train, labels) if first else self._extend(X)
        if first or isinstance(self.net_, NewtonNet):
            self.net_ = self._configure(steps, len(y), None).initialize()
        self.net_.partial_fit(self._samples(inputs, train), epochs=1)
        self.temperature_ = 1.0
        self._publish()
        return self

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Logits: shape (n_samples, n_classes), or (n_samples,) of the second of two classes.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray
        """
        logits = self._logits(X)
        return logits if self._labels.multilabel or logits.shape[1] > 1 else logits[:, 0]

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of every sample.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray, shape (n_samples,)
            Or (n_samples, n_labels), an indicator matrix, where y was one.
        """
        logits = self._logits(X)
        return self._labels.predictions(logits)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Rows sum to 1, unless y was an indicator matrix.
        """
        logits = self._logits(X)
        return self._labels.probabilities(logits / self.temperature_)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The adapted features.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray, shape (n_samples, d)
            What the last, linear layer of the head sees. After the solver "newton": the pretrained
            features and, for texts, what the offsets of the tokens add to each logit.
        """
        check_is_fitted(self)
        return self.net_.features(self._features.transform(self._check_X(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        texts = self.pretrained is not None and not self._reads_arrays
        tags.input_tags.string = texts
        tags.input_tags.two_d_array = not texts
        tags.input_tags.three_d_array = self._reads_arrays
        tags.input_tags.sparse = self.pretrained is None
        tags.transformer_tags.preserves_dtype = []
        tags.classifier_tags.multi_label = True
        return tags
