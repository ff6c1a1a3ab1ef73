"""Outputs of a net: logits as predictions in the coding of its targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.utils import ClassifierTags, RegressorTags, Tags


class Outputs(ABC):
    """Columns of logits, shape (n_samples, n_outputs), of a net that callbacks score."""

    scoring: str  # the scorer of ``score``

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    @abstractmethod
    def tag(self, tags: Tags) -> None:
        """Set the type of estimator in scikit-learn's tags."""

    @abstractmethod
    def predict(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Predictions in the coding of the targets."""


class ClassOutputs(Outputs):
    """Classes that exclude each other; two of them have one column, the logit of the second."""

    scoring = "accuracy"

    @property
    def classes(self) -> NDArray[np.int64]:
        """Codes of the classes."""
        return np.arange(max(self.n_outputs, 2))

    def tag(self, tags: Tags) -> None:
        """Set the type of estimator: a classifier."""
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()

    def predict(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Codes of the most probable classes, shape (n_samples,)."""
        code = logits[:, 0] > 0 if self.n_outputs == 1 else logits.argmax(axis=1)
        return code.astype(np.int64)

    def decide(self, logits: NDArray[np.floating]) -> NDArray[np.floating]:
        """Logits as scikit-learn expects them: shape (n_samples,) for two classes."""
        return logits[:, 0] if self.n_outputs == 1 else logits

    def evidence(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """The largest logit, relative to the mean over the classes; shape (n_samples,)."""
        exact = logits.astype(np.float64)
        if self.n_outputs == 1:
            return np.asarray(np.abs(exact[:, 0]) / 2)
        return np.asarray(exact.max(axis=1) - exact.mean(axis=1))

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Softmax or, of one column, sigmoid; shape (n_samples, n_classes)."""
        exact = logits.astype(np.float64)
        if self.n_outputs > 1:
            return np.asarray(softmax(exact, axis=1))
        return np.asarray(expit(np.concatenate([-exact, exact], axis=1)))

    def add_probabilities(self, graph: Any, logits: str) -> str:
        """Add the same to an ONNX graph."""
        if self.n_outputs > 1:
            return str(graph.add("Softmax", logits, axis=1))
        pair = graph.add("Concat", graph.add("Neg", logits), logits, axis=1)
        return str(graph.add("Sigmoid", pair))


class LabelOutputs(ClassOutputs):
    """Independent binary labels, one per column."""

    @property
    def classes(self) -> NDArray[np.int64]:
        """Numbers of the columns."""
        return np.arange(self.n_outputs)

    def predict(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Indicator matrix, shape (n_samples, n_outputs)."""
        return (logits > 0).astype(np.int64)

    def decide(self, logits: NDArray[np.floating]) -> NDArray[np.floating]:
        """Logits, shape (n_samples, n_outputs)."""
        return logits

    def evidence(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """The largest logit, shape (n_samples,)."""
        return np.asarray(logits.max(axis=1), dtype=np.float64)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sigmoid of each column, shape (n_samples, n_outputs)."""
        return np.asarray(expit(logits.astype(np.float64)))

    def add_probabilities(self, graph: Any, logits: str) -> str:
        """Add the same to an ONNX graph."""
        return str(graph.add("Sigmoid", logits))


class ValueOutputs(Outputs):
    """Standardised values, one target per column."""

    scoring = "r2"

    def tag(self, tags: Tags) -> None:
        """Set the type of estimator: a regressor."""
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()

    def predict(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """The standardised values, shape (n_samples, n_outputs)."""
        return logits
