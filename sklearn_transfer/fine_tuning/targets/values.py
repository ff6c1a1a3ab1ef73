"""Continuous targets to standardised numbers and back."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ..._utils.objects.state import State
from ...explanation.targets import ExplainedTargets, choose_values
from ...training.nets.outputs import ValueOutputs
from .target_checks import check_values
from .targets import GraphOutput, Target, Task

# Quantiles of a value between which texts are told apart for the supervised scale.
_N_QUANTILES = 4


class Values(Task):
    """Continuous values, standardised for training by mean and scale, shape (n_targets,)."""

    has_signs = True
    solver_loss = "squared_error"
    sentence_loss = "squared_error"
    net_loss = "squared_error"
    convex_losses = ("squared_error", "absolute_error", "huber")

    def __init__(
        self, mean: NDArray[np.float64], scale: NDArray[np.float64], *, one_dimensional: bool
    ) -> None:
        self.mean, self.scale, self.one_dimensional = mean, scale, one_dimensional
        self.n_outputs = len(mean)

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return {
            "mean": self.mean,
            "scale": self.scale,
            "one_dimensional": self.one_dimensional,
        }

    @classmethod
    def from_state(cls, state: State) -> Values:
        """The values of these entries."""
        mean = state.array("mean", "float64", None)
        scale = state.array("scale", "float64", len(mean))
        one_dimensional = state.of("one_dimensional", bool)
        if not len(mean) or (one_dimensional and len(mean) != 1):
            raise state.error("mean", "the mean of each target", mean)
        return cls(mean, scale, one_dimensional=one_dimensional)

    @property
    def outputs(self) -> ValueOutputs:
        """Standardised values."""
        return ValueOutputs(self.n_outputs)

    @classmethod
    def learn(
        cls,
        y: NDArray[Any],
        sample_weight: NDArray[np.float64],
        class_names: Any = None,
        columns: Any = None,
    ) -> Self:
        """Learn the mean and standard deviation of each target."""
        columns = y.reshape(len(y), -1)
        mean = np.average(columns, axis=0, weights=sample_weight)
        scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=sample_weight))
        return cls(mean, np.where(scale > 0, scale, 1.0), one_dimensional=y.ndim == 1)

    @staticmethod
    def check(y: Any, X: Any) -> NDArray[Any]:
        """Validate finite values: float64, shape (n_samples,) or (n_samples, n_targets)."""
        if y is None:
            raise ValueError("The regressor requires y to be passed, but the target y is None.")
        check_values(y)
        checked: NDArray[Any] = check_array(
            y, dtype=np.float64, ensure_2d=False, ensure_all_finite=True, input_name="y"
        )
        if checked.ndim != 2 or checked.shape[1] == 1:
            checked = column_or_1d(checked, warn=True)
        check_consistent_length(X, checked)
        return checked

    def encode(self, y: NDArray[Any]) -> Target:
        """Standardised values, float64 of shape (n_samples, n_targets)."""
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.n_outputs:
            raise ValueError(
                f"y must have {self.n_outputs} targets, as in the first fit; got shape {y.shape}."
            )
        encoded: NDArray[np.float64] = (columns - self.mean) / self.scale
        return encoded

    def membership(self, target: Target) -> csr_array:
        """1 where a sample lies between two quantiles of a target, (n_samples, n_intervals)."""
        blocks = []
        for column in target.T:
            cuts = np.quantile(column, np.linspace(0, 1, _N_QUANTILES + 1)[1:-1])
            blocks.append(np.searchsorted(cuts, column)[:, None] == np.arange(_N_QUANTILES))
        return csr_array(np.concatenate(blocks, axis=1).astype(float))

    def weights(
        self, target: Target, sample_weight: NDArray[np.float64], class_weight: Any
    ) -> NDArray[np.float64]:
        """The sample weights."""
        return sample_weight

    def predictions(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Values in the units of y, shape (n_samples,) or (n_samples, n_targets)."""
        values: NDArray[np.float64] = logits * self.scale + self.mean
        return values[:, 0] if self.one_dimensional else values

    def add_outputs(self, graph: Any, logits: str, temperature: float) -> GraphOutput:
        """Values in the units of y; the temperature is 1."""
        scale, mean = (graph.array(a, np.float64) for a in (self.scale * temperature, self.mean))
        scaled = graph.add("Mul", graph.cast(logits, np.float64), scale)
        values = graph.add("Add", scaled, mean)
        if self.one_dimensional:
            return graph.add("Squeeze", values, [1]), ["n_texts"], np.float64
        return values, ["n_texts", "n_targets"], np.float64

    def choose_targets(self, logits: NDArray[np.floating], target: Any) -> ExplainedTargets:
        """Columns of y, by their numbers, in the units of y; None is all columns."""
        return choose_values(self.mean, self.scale, len(logits), target)

    def in_units(
        self, coefficients: NDArray[np.floating], intercept: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], Any]:
        """Coefficients of values; those of a single target have one dimension less."""
        coefficients = coefficients * self.scale[:, None]
        intercept = intercept * self.scale + self.mean
        if self.one_dimensional:
            return coefficients[0], float(intercept[0])
        return coefficients, intercept

    def evaluate(
        self, logits: NDArray[np.floating], target: Target
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficient of determination and squared error, averaged over the targets."""
        error = ((logits - target) ** 2).mean(axis=1)
        return 1 - error, error

    def find_temperature(
        self, logits: NDArray[np.floating], target: Target, weight: NDArray[np.floating]
    ) -> float:
        """Values are not calibrated: 1."""
        return 1.0
