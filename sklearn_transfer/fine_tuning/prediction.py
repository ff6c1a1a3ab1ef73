"""What an estimator needs to predict: the protocol, and a linear model without its net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..text.design import Design
from ..text.linear_model import LinearModel
from .checks import check_input
from .targets import Task


class Predictor(Protocol):
    """A fitted model, as its estimator holds it.

    Attributes
    ----------
    task : Task
    temperature : float
        Probabilities are those of ``logits / temperature``.
    is_convex : bool
        Whether a convex solver found the weights.
    """

    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def is_convex(self) -> bool: ...  # noqa: D102

    def check(self, X: Any, estimator: BaseEstimator) -> Any:
        """Validate X."""

    def logits(self, X: Any) -> NDArray[np.floating]:
        """Logits of validated samples, shape (n_samples, n_outputs)."""

    def features(self, X: Any) -> NDArray[np.floating]:
        """Features that the last layer of the head reads, shape (n_samples, d)."""

    def attributes(self) -> dict[str, Any]:
        """Attributes of a fitted estimator."""

    def resume(self) -> Any:
        """The `Fitted` from which a later fit goes on."""


class DesignFeatures(Protocol):
    """Features of a linear model."""

    @property
    def coverage(self) -> float | None:
        """Share of the tokens of the training texts that the pretrained model reads."""

    def transform(self, X: Any, /) -> Design:
        """Design matrix of validated samples."""


@dataclass(frozen=True)
class LinearPredictor:
    """A linear model without the net that fitted it: it predicts with NumPy and SciPy alone.

    Attributes
    ----------
    task, temperature : Task, float
    input_kind : str
        See `check_input`.
    design : DesignFeatures
    model : LinearModel
    source : object
        Value of the fitted attribute `pretrained_`.
    n_iter : int
        Iterations of the solver.
    """

    task: Task
    temperature: float
    input_kind: str
    design: DesignFeatures
    model: LinearModel
    source: Any
    n_iter: int

    is_convex = True

    def check(self, X: Any, estimator: BaseEstimator) -> Any:
        """Validate X."""
        return check_input(self.input_kind, X, estimator, reset=False)

    def logits(self, X: Any) -> NDArray[np.floating]:
        """Logits of validated samples, shape (n_samples, n_outputs)."""
        return self.model.logits(self.design.transform(X))

    def features(self, X: Any) -> NDArray[np.floating]:
        """Dense columns, and the sum of the token weights of each logit: (n_samples, d)."""
        return self.model.features(self.design.transform(X))

    def attributes(self) -> dict[str, Any]:
        """Attributes of a fitted estimator; there is no net."""
        return {
            "n_iter_": self.n_iter,
            "pretrained_": self.source,
            "coverage_": self.design.coverage,
            "_n_features_out": self.model.n_features,
        }

    def resume(self) -> Any:
        """Refuse: the net is not there."""
        raise ValueError(
            "Expected a model that was fitted in this process or comes from a pickle, got a linear "
            "model from a model file, which holds what prediction needs. Call fit to train anew."
        )
