"""Fitted models that predict: their protocol, and a linear model without its net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ... import fine_tuning
from ..._utils.objects.state import State
from ...explanation.methods.explainer import Explainer, LinearExplainer
from ...text.linear.design import Design
from ...text.linear.linear_model import LinearModel
from ...text.rows import ComparedRows
from ...text.tokenization.units import UnitName
from ...vectors.pretrained_vectors import PretrainedVectors
from ..checks import INPUT_KINDS, check_input
from ..targets.targets import Labels, Task
from ..targets.values import Values


class Predictor(Protocol):
    """A fitted model, as its estimator holds it.

    Attributes
    ----------
    task : Task
    temperature : float
        Probabilities are those of ``logits / temperature``.
    thresholds : ndarray of float64, shape (n_outputs,), or None
        Independent labels are predicted where their logits are larger.
    is_convex : bool
        Whether a convex solver found the weights.
    """

    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def thresholds(self) -> NDArray[np.float64] | None: ...  # noqa: D102
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

    def detached(self) -> Any:
        """The model without what only training needs, as a model file has it."""

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them."""

    def compare_rows(self) -> ComparedRows | None:
        """Words, and their vectors before and after training; None without a trained table."""

    def resume(self) -> Any:
        """The `Fitted` from which a later fit goes on."""

    def as_linear(self) -> LinearPredictor | None:
        """The model as arrays, if it is linear in a design matrix."""

    def make_explainer(self) -> Explainer:
        """The model as one whose logits can be attributed to tokens or features."""


class DesignFeatures(Protocol):
    """Features of a linear model; `input_kinds` are the kinds of X that they read."""

    input_kinds: ClassVar[tuple[str, ...]]

    @property
    def is_sum_of_tokens(self) -> bool:
        """True if the features of a sample are the sum of those of its tokens."""

    @property
    def coefficient_scale(self) -> float:
        """The factor of coefficients of X, relative to those of the design."""

    def column_names(self) -> list[str]:
        """Names of the columns of the design, the sparse ones first."""

    @property
    def n_columns(self) -> tuple[int, int]:
        """Numbers of sparse and of dense columns."""

    @property
    def coverage(self) -> float | None:
        """Share of the tokens of the training texts that the pretrained model reads."""

    @property
    def token_unit(self) -> UnitName | None:
        """The unit that most tokens of the training texts are, if texts are split into words."""

    def transform(self, X: Any, /) -> Design:
        """Design matrix of validated samples."""

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them."""


@dataclass(frozen=True)
class LinearPredictor:
    """A linear model without the net that fitted it: it predicts with NumPy and SciPy alone.

    Attributes
    ----------
    task, temperature, thresholds : object
        See `Predictor`.
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
    thresholds: NDArray[np.float64] | None
    input_kind: str
    design: DesignFeatures
    model: LinearModel
    source: Any
    n_iter: int

    is_convex = True

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return dict(self.__dict__)

    @classmethod
    def from_state(cls, state: State) -> LinearPredictor:
        """The model of these entries."""
        task, model = state.of("task", Labels, Values), state.of("model", LinearModel)
        design, input_kind = state["design"], state.choice("input_kind", *INPUT_KINDS)
        if input_kind not in getattr(design, "input_kinds", ()):
            raise state.error("design", f"features of {input_kind}", design)
        expected = (*design.n_columns, task.n_outputs)
        found = (len(model.token_weights), *model.head.shape)
        if found != expected:
            raise state.error("model", f"sparse and dense columns and outputs {expected}", found)
        return cls(
            task,
            state.number("temperature"),
            _read_thresholds(state, task),
            input_kind,
            design,
            model,
            state["source"],
            state.integer("n_iter"),
        )

    def detached(self) -> LinearPredictor:
        """The model itself."""
        return self

    def as_linear(self) -> LinearPredictor:
        """The model itself."""
        return self

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
        counted = {"n_features_in_": sum(self.design.n_columns)}
        return {
            **(counted if self.input_kind == "features" else {}),
            "n_iter_": self.n_iter,
            "pretrained_": self.source,
            "coverage_": self.design.coverage,
            "token_unit_": self.design.token_unit,
            "_n_features_out": self.model.n_features,
        }

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them."""
        return self.design.used_words(vectors)

    def make_explainer(self) -> Explainer:
        """Exact contributions; those to features that are no sums over tokens need torch."""
        if self.design.is_sum_of_tokens:
            return LinearExplainer(self.design, self.model)
        return fine_tuning.explain_encoded(self.design, self.model)

    def compare_rows(self) -> None:
        """Return None: the pretrained vectors of a linear model are fixed."""

    def resume(self) -> Any:
        """Refuse: the net is not there."""
        raise ValueError(
            "Expected a model that was fitted in this process or comes from a pickle, got a linear "
            "model from a model file, which holds what prediction needs. Call fit to train anew."
        )


@dataclass(frozen=True)
class SavedNetwork:
    """A network that was trained in mini-batches, as a model file has it; torch restores it.

    Attributes
    ----------
    task, temperature, thresholds : object
        See `Predictor`.
    input_kind : str
        See `check_input`.
    source : object
        Value of the fitted attribute `pretrained_`.
    features : object
        Features of the head, or inputs of the encoder.
    policy : object
        Policy of adaptation.
    shaping : dict of str to object
        See `Fitted`.
    tensors : dict of str to ndarray
        Parameters and buffers of the network.
    unchanged : list of str
        Names of those that are as in the pretrained model, and not in `tensors`.
    history : list of dict
        Losses and other numbers of each epoch.
    seed : int
        Of the random numbers that a module may draw in evaluation mode.
    """

    task: Task
    temperature: float
    thresholds: NDArray[np.float64] | None
    input_kind: str
    source: Any
    features: Any
    policy: Any
    shaping: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    unchanged: list[str]
    history: list[dict[str, Any]]
    seed: int

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return dict(self.__dict__)

    @classmethod
    def from_state(cls, state: State) -> SavedNetwork:
        """The network of these entries."""
        input_kind, features = state.choice("input_kind", *INPUT_KINDS), state["features"]
        if input_kind not in getattr(features, "input_kinds", ()):
            raise state.error("features", f"features of {input_kind}", features)
        tensors = state.of("tensors", dict)
        if not all(isinstance(tensor, np.ndarray) for tensor in tensors.values()):
            raise state.error("tensors", "arrays by name", tensors)
        task = state.of("task", Labels, Values)
        return cls(
            task=task,
            temperature=state.number("temperature"),
            thresholds=_read_thresholds(state, task),
            input_kind=input_kind,
            source=state["source"],
            features=features,
            policy=state["policy"],
            shaping=state.of("shaping", dict),
            tensors=tensors,
            unchanged=state.items("unchanged", str),
            history=state.items("history", dict),
            seed=state.integer("seed"),
        )


def _read_thresholds(state: State, task: Task) -> NDArray[np.float64] | None:
    """The thresholds of independent labels; None for other tasks."""
    if not task.has_thresholds:
        return state.choice("thresholds", None)  # type: ignore[no-any-return]
    return state.array("thresholds", "float64", task.n_outputs)
