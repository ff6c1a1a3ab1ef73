"""FineTunedClassifier: texts, arrays or features to labels, from a pretrained model."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context

from ._fine_tuned import FineTuned
from .fine_tuning.fitted.prediction import Predictor
from .fine_tuning.parameters import CLASSIFIER_CONSTRAINTS
from .fine_tuning.semi_supervised.unlabelled import ScoresLabelled
from .fine_tuning.targets.targets import Labels
from .fine_tuning.targets.thresholds import to_probabilities
from .fine_tuning.teachers import ask_classifier
from .text.weights import Weighting
from .vectors.table.lookup import OutOfVocabulary

_TOKEN_PATTERN = r"\w+|[^\w\s]"


class FineTunedClassifier(ScoresLabelled, FineTuned):
    r"""Classifier of texts, arrays or features, fine-tuned from a pretrained model.

    By default, the model is a linear bag of words that starts from pretrained vectors and is fitted
    by a convex solver. With hidden layers, or with an optimizer such as "adam", the word vectors
    and a head are trained in mini-batches. Without `pretrained`, the model is a linear or
    multi-layer head at the end of a pipeline.

    "Used by" names the fits that use a parameter; a parameter without "Used by" is used by every
    fit. A warning names each parameter that was changed but has no effect on a fit.

    Parameters
    ----------
    pretrained : str, path, object, list of these, or nn.Module, default=None
        Pretrained model.

        - Word vectors: X is texts. See :func:`load_pretrained` for names, files and objects (a
          `PretrainedVectors`, a gensim object, a pair of words and matrix, or a frame). A clone of
          a `ContinuedVectors` is fitted on the training texts.
        - A contextual model encodes each text as a whole, and a copy of the model is trained.
        - A list of sources: their vectors are concatenated. Contextual models in a list are frozen.
        - A torch module from (n, ...) to (n, d): X is an array. A copy of the module is trained.
          `adaptation` selects the trainable layers, regardless of their `requires_grad`.
        - None: X is a matrix of features.
    encoder : {"mean", "attention", "cnn", "rnn"} or nn.Module, default="mean"
        Reader that reduces the vectors of a text to one: the weighted mean, an attention-weighted
        mean, a convolutional network (Kim 2014), or a bidirectional recurrent network. A module is
        called with vectors, float32 of shape (n_texts, length, dim), padded with zeros, and
        lengths, int64 of shape (n_texts,). It returns an array of shape (n_texts, d). The weights
        of a reader are trained with the head.
    encoder_params : dict, default=None
        Settings of an encoder that is given by name. "attention": ``units=64`` of its hidden layer.
        "cnn": ``widths=(3, 4, 5)`` in tokens, ``filters=100`` per width, ``multichannel=False``.
        "rnn": ``cell="gru"`` or "lstm", ``units=64`` per direction, ``layers=1``.
    hidden_layer_sizes : tuple of int, default=()
        Units of the hidden layers of the head; empty for a linear head.
    activation : {"identity", "relu", "gelu", "tanh", "logistic"}, default="relu"
        Activation function of the hidden layers. Used by: hidden layers.
    dropout : float, default=0.0
        Share of the features that are dropped before each layer of the head during training. Used
        by: mini-batch training.
    token_dropout : float, default=0.0
        Share of the tokens that are dropped from each text during training. Used by: mini-batch
        training of word vectors.
    adaptation : {"frozen", "full", "top-1", "top-2", "top-3", "gradual", "discriminative", \
            "lp-ft", "contrastive", "auto"} or object, default="full"
        Policy that controls which pretrained layers are trained, when, and at which rate.

        - "frozen" trains only the head.
        - "full" trains all layers. Under the convex solver, each token of the training texts gets
          weights of its own.
        - "top-1" trains the head and the highest layer, "top-2" the two highest layers, and so on.
          The outputs of the frozen layers below are computed once.
        - "gradual" starts with the head and unfreezes one more layer per epoch, from the top
          (Howard & Ruder 2018).
        - "discriminative" divides the learning rate by 2.6 from each layer to the next lower one
          (same paper).
        - "lp-ft" trains the head until it has converged, and then all layers for `max_epochs`
          (Kumar et al. 2022).
        - "contrastive", for few labels, first trains the layers so that samples of the same class
          become similar, and then the head (Tunstall et al. 2022; see
          :class:`~sklearn_transfer.training.policies.Contrastive`).
        - "auto" compares policies on parts of the training samples: "frozen" and "full", and for
          modules and encoders other than "mean" also "lp-ft" and "gradual". For a contextual model,
          it compares "frozen" and "contrastive", and from 1,000 samples on also "top-2" (with
          windows, "frozen" is the only policy). If each sample has one label, it takes
          "contrastive" unless another is better by more than a standard error; with fewer than 200
          samples and without `X_val`, there is no comparison.
        - An object has a method ``rates(epoch, n_layers, history)``, see
          :class:`~sklearn_transfer.training.policies.Adaptation`.

        Used by: pretrained models.
    layer_groups : list, default=None
        The layers to which a policy gives learning rates, lowest first: names of modules of the
        pretrained module, or lists of names. None takes the children of the module; for a
        contextual model, the embeddings and each layer. Used by: policies that tell layers apart.
    l2_sp : float or "auto", default="auto"
        Strength of the quadratic penalty that keeps token weights near zero or, in mini-batches,
        pretrained layers near their initial weights (Li et al. 2018). "auto" is 1 for the convex
        solver and 0 elsewhere. Used by: token weights of the linear bag of words, and mini-batch
        training of pretrained layers.
    pretrained_scale : float or "auto", default="auto"
        Scale of the pretrained features.

        - Linear bag of words: the norm of the pretrained features of a text, relative to the norm 1
          of its words. "auto" is 0.25 if tokens are characters, and else ``clip(2 q, 0.25, 1)``.
          Here q is the average share of unseen words in the squared tf-idf of a training text. A
          word is unseen if it has a pretrained vector and occurs in no other training text.
        - List with contextual models, under cross-entropy: with "auto", the contextual features
          have the norm 3, and words 0.5 to 1.4 times this norm, chosen by leave-one-out.
        - Frozen features: the norm of the centred features. "auto" is 3, or 0.6 for contextual
          models under the convex solver with another loss than cross-entropy.
        - Numeric X: the factor of all features. "auto" is 1.

        Used by: fixed features: those given, the linear bag of words, and frozen models.
    weighting : {"idf", "sif"} or None, default="idf"
        Weight of each word vector in its text; see `PretrainedEmbeddingTransformer`.
        Used by: word vectors under the encoders 'mean' and 'attention'.
    ngram_range : tuple of int or "auto", default="auto"
        Minimum and maximum length of word n-grams with token weights. "auto" is (1, 2), or
        (1, 4) if the tokens are characters (`token_unit_`). Used by: the linear bag of words.
    char_ngram_range : tuple of int, "auto" or None, default="auto"
        Minimum and maximum length of character n-grams inside words. "auto" is (2, 4) if the tokens
        are words and the training texts have at most 60 words on average, and else None. Used by:
        the linear bag of words.
    tokenizer : callable, default=None
        Function from a text to its tokens. None uses `token_pattern`. It must be deterministic,
        because clones share it and its tokens are cached. It is pickled by its name, if its module
        has one for it. If X contains lists of tokens, the tokenizer gets these lists:
        ``lambda tokens: tokens`` returns them unchanged. Used by: texts that are split into words.
    token_pattern : str, default=r"\\w+|[^\\w\\s]"
        Regular expression of a token: words, as Unicode has them, and single punctuation marks.
        Scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are
        split into characters if most of their characters lie in tokens without a vector, also next
        to words of other scripts.
        Used by: texts that are split into words without a tokenizer.
    lowercase : bool or "auto", default="auto"
        "auto" lower-cases texts. With cased vectors, it looks a word up as written, then in lower
        case. Used by: texts that are split into words.
    oov : {"ignore", "subword", "hash"}, default="ignore"
        Pretrained vector of an out-of-vocabulary word: none, the mean of the vectors of its
        n-grams (fitted to the words of a table without n-grams), or a random vector. Used by: word
        vectors.
    max_tokens : int, default=None
        Maximum length of a text in tokens; longer texts are truncated. A contextual model also has
        a limit of its own. Used by: texts.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training data. "auto" is 20, or 3 if layers of a contextual model
        are trained. Used by: mini-batch training.
    batch_size : int or "auto", default="auto"
        Maximum number of samples per mini-batch. "auto" is a sixteenth of the training samples, but
        at least 8 and at most 128. Used by: mini-batch training.
    lr : float, default=0.01
        Learning rate. Used by: mini-batch training.
    embedding_lr : float, default=None
        Learning rate of the pretrained layers. None is `lr` for vectors, a tenth of it for a torch
        module, and a two-hundredth, 5e-5, for a contextual model. Used by: mini-batch training of
        pretrained layers.
    schedule : {"constant", "linear", "cosine", "one-cycle"}, default="constant"
        Decay of the learning rates over `max_epochs`. Used by: mini-batch training.
    warmup : float, default=0.0
        Share of `max_epochs` in which the learning rates rise from 0. Used by: mini-batch training.
    max_grad_norm : float, default=None
        Maximum norm of a gradient; longer gradients are scaled to it. Used by: mini-batch training.
    average_last : int, default=0
        Number of final epochs over which the weights are averaged (Izmailov et al. 2018). Used by:
        mini-batch training by `fit`.
    optimizer : {"auto", "convex", "adam", "adamw", "sgd"} or torch class, default="auto"
        "convex" is a solver of scikit-learn for a linear model on all samples at once. "auto" is
        "convex" for a linear head on features, on the bag of words, or on a frozen model, if the
        criterion is convex and given by name. Otherwise it is "adamw" if layers of a contextual
        model are trained, and else "adam". "adam" updates only the rows of the words of a batch.
    criterion : {"auto", "squared_hinge", "cross_entropy", "focal"} or torch class, default="auto"
        Loss. "auto" is "squared_hinge", one class against the rest, for the convex solver without a
        contextual model. Otherwise it is "cross_entropy". "focal" (Lin et al. 2017) and classes
        need mini-batches.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes, for "cross_entropy". Used by:
        mini-batch training.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss.
    class_names : dict, list, "auto" or None, default=None
        Names of the classes. Each name is used as additional labelled texts, which raises the
        accuracy with few labels. A dict maps each label, or column of an indicator matrix, to a
        name or to a list of texts; labels without samples also become classes (zero-shot). A list
        is in the order of the sorted labels. "auto" uses the labels as names if most are words,
        such as "card_arrival". Without any sample, ``fit([], [])``, frozen sentence encoders
        classify by the cosine to the mean of the texts of a name. A warning lists names in which
        the model finds nothing of their own. Used by: texts in the convex solver, frozen models,
        and the contrastive stage.
    name_templates : list of str or "auto", default="auto"
        Texts in which ``{}`` is replaced by the name. "auto" is the name alone and, for contextual
        models, also "This text is about {}.". Used by: class names.
    unlabelled : "auto" or None, default=None
        "auto" also trains on unlabelled samples, unless this lowers the accuracy on left-out
        samples; `unlabelled_` has the decision. The y of an unlabelled sample is None, NaN or,
        among numbers, -1; a warning says that y has none. With ``unlabelled=None``, -1 is a class,
        and a missing label is an error.
        `score` leaves unlabelled samples out. The scorers of scikit-learn, such as
        ``scoring="accuracy"``, count unlabelled samples as wrong, and its splitters accept -1 but
        not None.
    calibrate : bool, default=True
        Whether to fit the temperature of the probabilities on training samples that are left out in
        turn. The final model is trained on all samples. Used by: the convex solver, without X_val
        or a contrastive stage.
    threshold : {"shared", "per-label"} or float, default="shared"
        Threshold above which `predict` returns a label, if y is an indicator matrix.

        - "shared" fits one threshold for all labels. It maximises micro F1 on the samples that
          `calibrate` leaves out, or on held-out samples.
        - "per-label" fits one threshold per label, which maximises the F1 of the label (Yang 2001).
          All samples are left out in turn. A label with few positives has a threshold near the
          shared one. Compared with "shared", macro F1 is higher and micro F1 lower.
        - A float is a probability. Without left-out or held-out samples, the threshold is 0.5.

        Used by: indicator matrices; names need samples that are left out or held out.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the training data, stratified, and to stop when
        the loss on it has not improved for `n_iter_no_change` epochs. The best weights are
        restored. Used by: mini-batch training by `fit`.
    validation_fraction : float, default=0.1
        Share of the training data that `early_stopping` holds out. Used by: early stopping in
        mini-batch training, without X_val.
    n_iter_no_change : int, default=5
        Patience in epochs. Used by: early stopping in mini-batch training.
    callbacks : list of skorch callbacks, default=None
        Callbacks of the training loop, which calls these instances, not copies. The convex solver
        calls them for one epoch of one batch. For scorers in callbacks, the net is a classifier of
        class codes, or a regressor of standardised values. A callback that sets
        ``net.max_epochs = 0`` ends training after the epoch. One that raises KeyboardInterrupt ends
        the fit without a result.
    distill_from : fitted classifier, default=None
        Teacher with `classes_` and `predict_proba`, for instance with a contextual model. `fit`
        trains on the labels of the teacher, each weighted by its probability, and ignores y. X may
        be texts without labels. Clones share the teacher. In the grid of a search, whose values
        scikit-learn clones, use ``sklearn.frozen.FrozenEstimator(teacher)``.
    checkpoint : path, default=None
        Folder in which `fit` saves its state after every epoch. If a stopped fit is started again
        with the same data and parameters, it resumes from the saved state and ends with the same
        weights, bit for bit. Each fit has a file of its own, named by the hash of its data and
        parameters, so that a stopped search resumes as well. With ``random_state=None``,
        the folder holds the seed of its fits. The numbers and tensors of callbacks are saved, too.
        Used by: mini-batch training by `fit`.
    mixed_precision : bool, default=False
        Whether to compute matrix products in bfloat16. Used by: mini-batch training.
    compile : bool or str, default=False
        Whether to compile the network with `torch.compile`; a string is the backend. Used by:
        mini-batch training.
    device : str, default="auto"
        "auto" is CUDA, else MPS, else the CPU. A pickle that is opened without its device uses the
        CPU. The convex solver runs on the CPU.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last `fit`. Used by: mini-batch training.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, shuffling, dropout and held-out samples. The same seed gives the
        same weights, bit for bit, on the CPU, also in threads. Global random generators are left
        unchanged.
    verbose : int, default=0
        1 prints a line per epoch, 2 also shows a progress bar. Stages that take longer than two
        seconds show a progress bar with 1, and on a terminal also with 0.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The sorted labels. For an indicator matrix, the numbers of its columns; for a frame, their
        names.
    net_ : skorch.NeuralNet
        The trained net.
    module_ : torch.nn.Module
        The trained module.
    history_ : skorch History
        Losses, seconds and learning rates of layers (`rates`) per epoch. The convex solver has one
        row.
    adaptation_ : Choice
        The policy (`policy`) and the `reason`; with "auto" also the accuracy of each candidate
        (`scores`).
    unlabelled_ : SelfTraining
        Decision about the unlabelled samples, with ``unlabelled="auto"``.
    n_iter_ : int
        Number of epochs, or of iterations of the convex solver.
    temperature_ : float
        Divisor of the logits in `predict_proba`; 1 if no sample was held out or left out.
    thresholds_ : ndarray of float64, shape (n_labels,), or None
        Probabilities above which `predict` returns the labels of an indicator matrix. None for
        classes.
    pretrained_ : PretrainedVectors, ContextualModel, list of them, or None
        The opened sources, in the form of `pretrained`.
    coverage_ : float or None
        Share of the tokens of the training texts that have a pretrained vector; with `partial_fit`,
        of the texts of the first call. For a contextual model, the share of tokens that are not
        truncated. None for numeric X.
    token_unit_ : {"word", "character"} or None
        Unit of most tokens of the training texts: "character" with ``tokenizer=list``, or if a
        script without spaces is split into characters. None if texts are not split into words.
    n_features_in_ : int
        Number of features of numeric X; length of the second axis of an array.
    feature_names_in_ : ndarray of str
        Names of the features of a frame of numbers.

    See Also
    --------
    FineTunedRegressor : The same model for continuous targets.
    PretrainedEmbeddingTransformer : Features from the same vectors, for any classifier.

    Notes
    -----
    The default model is ``logit = sum_w a_w (u_w + E_w H) + b``. The pretrained vector ``E_w`` of a
    token is frozen. The head ``H`` and the token weights ``u_w``, in the space of the logits, are
    learned under a quadratic penalty; ``a_w`` is the weight of the token in the text. See
    :class:`~sklearn_transfer.text.bag.bag_features.BagFeatures` for the features and
    :func:`~sklearn_transfer.training.optimization.solvers.solve_linear` for the solvers.

    Prediction uses the pretrained vectors of words that do not occur in the training texts.

    An interrupt (Ctrl-C) propagates and leaves the estimator unchanged. To keep the best weights so
    far, train with `partial_fit`, which completes an epoch or changes nothing::

        best, least = None, math.inf
        try:
            for _ in range(50):
                probability = model.partial_fit(X, y, classes=labels).predict_proba(X_val)
                if (loss := log_loss(y_val, probability)) < least:
                    best, least = copy.deepcopy(model), loss
        except KeyboardInterrupt:
            pass

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

    _parameter_constraints: ClassVar[dict[str, Any]] = CLASSIFIER_CONSTRAINTS
    _task_type = Labels

    def __init__(  # noqa: PLR0913 (a public constructor)
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
        pretrained_scale: Any = "auto",
        weighting: Weighting = "idf",
        ngram_range: Any = "auto",
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
        class_names: Any = None,
        name_templates: Any = "auto",
        unlabelled: str | None = None,
        calibrate: bool = True,
        threshold: Any = "shared",
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
        self.pretrained_scale = pretrained_scale
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
        self.class_names = class_names
        self.name_templates = name_templates
        self.unlabelled = unlabelled
        self.calibrate = calibrate
        self.threshold = threshold
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
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train one epoch, in mini-batches, on a part of the data.

        Words that occur for the first time get a row of their own. After a `fit` by the convex
        solver, its token weights and the head are trained further, and no token weights are added.
        Training parameters, such as `lr`, may be changed between calls. Parameters of the features
        and of the module keep the values of the first call.

        Parameters
        ----------
        X : like in `fit`
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            See `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the first call has no `classes`, if a label is not one of them, or if `optimizer` is
            "convex", which needs all samples at once.
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("The first call of partial_fit must name all classes: classes=[...].")

        def make_task(y: NDArray[Any]) -> Labels:
            if not hasattr(self, "classes_"):
                return Labels.declare(classes, multilabel=y.ndim == 2)
            known = classes if self._labels.multilabel or classes is None else np.unique(classes)
            if classes is not None and not np.array_equal(self.classes_, known):
                raise ValueError(
                    f"classes={classes!r} differ from those of earlier calls, {self.classes_!r}."
                )
            return self._labels

        return self._partial_fit(X, y, sample_weight, make_task)

    def decision_function(self, X: Any) -> NDArray[np.floating]:
        """Compute the logits of the classes.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            With two classes, the logits of the second class, shape (n_samples,).
        """
        logits = self._logits(X)
        return logits if self._labels.multilabel or logits.shape[1] > 1 else logits[:, 0]

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable label, or all labels with probabilities above `thresholds_`.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray, shape (n_samples,)
            If y was an indicator matrix, another one of shape (n_samples, n_labels), with 1 where
            `predict_proba` is above `thresholds_`.
        """
        logits, thresholds = self._logits(X), self._fitted.thresholds
        return self._labels.predictions(logits if thresholds is None else logits - thresholds)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of the classes, in the order of `classes_`.

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

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score the similarity of samples to the training samples, to find out-of-scope samples.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray of float64, shape (n_samples,)
            Higher means more like the training samples, as for scikit-learn's outlier detectors.

        Notes
        -----
        The score is the largest logit minus the mean logit of the classes (Hendrycks et al. 2022).
        For two classes it is half the absolute logit, and for an indicator matrix the largest
        logit. Scores rank samples; their scale depends on the model. To reject samples, choose a
        threshold as a quantile of the scores of held-out samples. The largest probability ranks
        out-of-scope samples less well, because it compares classes, and a sample may be far from
        all of them.
        """
        logits = self._logits(X)
        return self._labels.outputs.evidence(logits)

    @property
    def _labels(self) -> Labels:
        return self._fitted.task  # type: ignore[return-value]

    def _attributes(self, fitted: Predictor) -> dict[str, Any]:
        labels: Any = fitted.task
        temperature = fitted.temperature
        learned = {
            "classes_": labels.classes,
            "temperature_": temperature,
            "thresholds_": to_probabilities(fitted.thresholds, temperature),
        }
        return {**super()._attributes(fitted), **learned}

    def _ask_teacher(self, X: Any, sample_weight: Any) -> tuple[Any, Any]:
        return ask_classifier(self.distill_from, X, sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
