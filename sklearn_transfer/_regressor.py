"""FineTunedRegressor: texts, arrays or features to values, from a pretrained model."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, _fit_context

from ._classifier import FineTunedClassifier
from ._fine_tuned import FineTuned
from ._utils.objects.sharing import document_parameters, share_constructor
from .fine_tuning.parameters import REGRESSOR_CONSTRAINTS
from .fine_tuning.targets.targets import Task
from .fine_tuning.targets.values import Values


@document_parameters(FineTunedClassifier)
class FineTunedRegressor(RegressorMixin, FineTuned):  # numpydoc ignore=PR02
    r"""Regressor of texts, arrays or features, fine-tuned from a pretrained model.

    It fits the model of `FineTunedClassifier` to one or several continuous targets, which are
    standardised for training. The parameters are those of `FineTunedClassifier`, except for
    `label_smoothing`, `class_weight`, `class_names`, `name_templates`, `unlabelled`, `calibrate`
    and `threshold`.

    Parameters
    ----------
    criterion : {"auto", "squared_error", "absolute_error", "huber"} or torch class, default="auto"
        Loss. "auto" is "squared_error". "huber" is squared up to one standard deviation of the
        target, and linear above (Huber 1964). Classes need mini-batches.
    distill_from : fitted regressor, default=None
        Teacher with `predict`, for instance with a contextual model. `fit` trains on the
        predictions of the teacher and ignores y. X may be texts without targets. Clones share the
        teacher.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net.
    module_ : torch.nn.Module
        The trained module.
    history_ : skorch History
        Losses, seconds and learning rates of layers (`rates`) per epoch. The convex solver has one
        row.
    adaptation_ : Choice
        The policy (`policy`) and the `reason`; with "auto" also the R2 of each candidate
        (`scores`).
    n_iter_ : int
        Number of epochs, or of iterations of the convex solver.
    pretrained_ : PretrainedVectors, ContextualModel, list of them, or None
        The opened sources, in the form of `pretrained`.
    coverage_ : float or None
        Share of the tokens of the training texts that have a pretrained vector; None for numeric X.
    token_unit_ : {"word", "character"} or None
        Unit of most tokens of the training texts; None if texts are not split into words.
    n_features_in_ : int
        Number of features of numeric X; length of the second axis of an array.
    feature_names_in_ : ndarray of str
        Names of the features of a frame of numbers.

    See Also
    --------
    FineTunedClassifier : The same model for labels, with all parameters explained.
    PretrainedEmbeddingTransformer : Features from the same vectors, for any regressor.

    Examples
    --------
    >>> from sklearn_transfer import FineTunedRegressor, PretrainedVectors
    >>> vectors = PretrainedVectors(
    ...     ["good", "great", "bad", "awful", "film", "plot"],
    ...     [[1.0, 0.1], [0.9, 0.2], [-1.0, 0.1], [-0.9, 0.2], [0.1, 1.0], [0.0, 0.9]],
    ... )
    >>> texts = ["a good film", "good plot", "a bad film", "bad plot"]
    >>> model = FineTunedRegressor(vectors).fit(texts, [4.5, 4.0, 1.5, 2.0])
    >>> (model.predict(["great!", "an awful plot"]) > 3).tolist()
    [True, False]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = REGRESSOR_CONSTRAINTS
    _task_type = Values

    __init__ = share_constructor(
        FineTunedClassifier,
        without=(
            *("label_smoothing", "class_weight", "class_names", "name_templates", "unlabelled"),
            *("calibrate", "threshold"),
        ),
    )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch, in mini-batches, on a part of the data.

        Targets are standardised by the mean and standard deviation of the first part. Words that
        occur for the first time get a row of their own. After a `fit` by the convex solver, its
        token weights and the head are trained further, and no token weights are added. Training
        parameters, such as `lr`, may be changed between calls. Parameters of the features and of
        the module keep the values of the first call.

        Parameters
        ----------
        X : like in `fit`
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Values.
        sample_weight : array-like of shape (n_samples,), default=None
            See `fit`.

        Returns
        -------
        self
        """

        def make_task(y: NDArray[Any]) -> Task:
            if hasattr(self, "_fitted"):
                return self._fitted.task
            return Values.learn(y, np.ones(len(y)))

        return self._partial_fit(X, y, sample_weight, make_task)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the values of samples.

        Parameters
        ----------
        X : like in `fit`

        Returns
        -------
        ndarray of float, shape (n_samples,) or (n_samples, n_targets)
        """
        logits = self._logits(X)
        return self._fitted.task.predictions(logits)

    def _ask_teacher(self, X: Any, sample_weight: Any) -> tuple[Any, Any]:
        return self.distill_from.predict(X), sample_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
