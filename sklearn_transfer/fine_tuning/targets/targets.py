"""Targets of a task: labels or values to numbers and back."""

from __future__ import annotations

import copy
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_expit, log_softmax, logit
from sklearn.utils import assert_all_finite, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ..._utils.objects.state import State
from ...explanation.targets import ExplainedTargets, choose_classes
from ...training.names import Loss
from ...training.nets.outputs import ClassOutputs, LabelOutputs, Outputs
from ..splits import LeftOut
from .class_names import all_classes, fill_templates, find_names
from .target_checks import check_labels, frame_as_array
from .temperature import fit_temperature
from .thresholds import PER_LABEL, fit_thresholds

Target = NDArray[np.int64] | NDArray[np.floating]
# The name of the output of an ONNX graph, the names of its axes, and its type.
GraphOutput = tuple[str, list[str], type[np.floating]]


class Task(ABC):
    """The targets of one fit, as `n_outputs` columns of logits.

    `solver_loss` and `net_loss` are the criterion "auto" of the convex solver and of mini-batch
    training, `sentence_loss` that of the convex solver on features of sentence encoders; the convex
    solver minimises `convex_losses`.
    """

    solver_loss: ClassVar[Loss]
    sentence_loss: ClassVar[Loss]
    net_loss: ClassVar[str]
    convex_losses: ClassVar[tuple[str, ...]]

    n_outputs: int
    has_thresholds: bool = False  # whether each output is a decision of its own
    has_signs: bool = False  # whether low outputs mean as much as high ones

    @property
    def is_single_label(self) -> bool:
        """True if each sample belongs to one of several classes."""
        return False

    @property
    @abstractmethod
    def outputs(self) -> Outputs:
        """The columns of logits, and their predictions in the coding of the targets."""

    @staticmethod
    @abstractmethod
    def check(y: Any, X: Any) -> NDArray[Any]:
        """Validate the targets of the samples X."""

    @classmethod
    @abstractmethod
    def learn(
        cls,
        y: NDArray[Any],
        sample_weight: NDArray[np.float64],
        class_names: Any = None,
        columns: Any = None,
    ) -> Self:
        """Learn the coding of validated targets: `class_names` and names of the columns of y."""

    def name_samples(self, templates: Sequence[str]) -> tuple[list[str], Target | None]:
        """Texts that stand for classes, with their names in templates, and encoded targets."""
        return [], None

    def named(self, y: Any) -> Self:
        """The task with the names that the columns of y, as given by the user, may have."""
        return self

    def with_class_names(self, class_names: Any) -> Self:
        """The task with the class names of a fit that goes on."""
        return self

    @abstractmethod
    def encode(self, y: NDArray[Any]) -> Target:
        """Encode validated targets as numbers."""

    def groups(self, target: Target) -> NDArray[np.int64]:
        """Strata in which samples are held out, shape (n_samples,)."""
        return np.zeros(len(target), dtype=np.int64)

    @abstractmethod
    def membership(self, target: Target) -> csr_array:
        """1 where a sample belongs to a group of similar targets, (n_samples, n_groups)."""

    @abstractmethod
    def weights(
        self, target: Target, sample_weight: NDArray[np.float64], class_weight: Any
    ) -> NDArray[np.float64]:
        """Weight of each sample in the loss, shape (n_samples,)."""

    @abstractmethod
    def predictions(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Decode logits of shape (n_samples, n_outputs)."""

    @abstractmethod
    def add_outputs(self, graph: Any, logits: str, temperature: float) -> GraphOutput:
        """Add the predictions to an ONNX graph; return their name, axes and type."""

    def describe(self) -> dict[str, Any]:
        """Describe the columns of the predictions."""
        return {}

    @abstractmethod
    def choose_targets(self, logits: NDArray[np.floating], target: Any) -> ExplainedTargets:
        """The outputs that an explanation of samples attributes; `target` is that of `explain`."""

    def in_units(
        self, coefficients: NDArray[np.floating], intercept: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], Any]:
        """Coefficients of shape (n_outputs, n_columns), and intercepts, in the units of y."""
        return coefficients, intercept

    @abstractmethod
    def evaluate(
        self, logits: NDArray[np.floating], target: Target
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score (higher is better) and loss of each sample, shape (n_samples,) each."""

    @abstractmethod
    def find_temperature(
        self, logits: NDArray[np.floating], target: Target, weight: NDArray[np.floating]
    ) -> float:
        """Divisor of the logits that suits samples that were not trained on."""

    def needs_left_out(self, threshold: Any, *, calibrate: bool) -> bool:
        """True if samples that are left out decide about predictions or probabilities."""
        return False

    def find_thresholds(
        self, left_out: LeftOut | None, temperature: float, threshold: Any
    ) -> NDArray[np.float64] | None:
        """Logits above which independent labels are predicted; None for other tasks."""
        return None


class Labels(Task):
    """Classes, or an indicator matrix, whose columns are independent binary labels."""

    # `classes` are the sorted labels or, of an indicator matrix, the names (`has_names`) or numbers
    # of its columns. Two classes have one output. `names` are those of `class_names`, by label.

    solver_loss = "squared_hinge"
    sentence_loss = "cross_entropy"
    net_loss = "cross_entropy"
    convex_losses = ("squared_hinge", "cross_entropy")

    def __init__(self, y: NDArray[Any]) -> None:
        self.multilabel, self.has_names = y.ndim == 2, False
        self.names: dict[Any, str | list[str]] = {}
        self.classes = np.arange(y.shape[1]) if self.multilabel else np.unique(y)
        if not self.multilabel and len(self.classes) < 2:
            raise ValueError(
                f"The classifier needs samples of at least two classes; the data has one class: "
                f"{self.classes.tolist()[0]!r}."
            )
        binary = not self.multilabel and len(self.classes) == 2
        self.n_outputs = 1 if binary else len(self.classes)

    @property
    def is_single_label(self) -> bool:
        """True unless y is an indicator matrix."""
        return not self.multilabel

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        names = ("multilabel", "has_names", "classes", "n_outputs")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: State) -> Labels:
        """The labels of these entries."""
        made = cls.__new__(cls)
        made.names = {}
        made.multilabel, made.has_names = (
            state.of(name, bool) for name in ("multilabel", "has_names")
        )
        made.classes = state.of("classes", np.ndarray)
        made.n_outputs = state.integer("n_outputs", 1)
        is_binary = not made.multilabel and made.classes.shape == (2,) and made.n_outputs == 1
        if not is_binary and made.classes.shape != (made.n_outputs,):
            raise state.error("classes", f"{made.n_outputs} labels", made.classes)
        return made

    @property
    def outputs(self) -> ClassOutputs:
        """Logits of classes, or of independent labels."""
        return (LabelOutputs if self.multilabel else ClassOutputs)(self.n_outputs)

    @classmethod
    def learn(
        cls,
        y: NDArray[Any],
        sample_weight: NDArray[np.float64],
        class_names: Any = None,
        columns: Any = None,
    ) -> Self:
        """Learn the classes, with those that have a name and no sample."""
        if y.ndim == 2:
            made = cls(y)
            made._name_columns(class_names, columns)
            return made
        if class_names is None:
            return cls(y)
        names = find_names(class_names, np.unique(y))
        made = cls(all_classes(np.unique(y), names))
        made.names = names
        return made

    def _name_columns(self, class_names: Any, columns: Any) -> None:
        if columns is not None:
            self.classes, self.has_names = _as_names(columns), True
        self.names = self._find_names(class_names)

    def _find_names(self, class_names: Any) -> dict[Any, str | list[str]]:
        """The names of the classes, which are those of the fit."""
        if class_names is None:
            return {}
        names, all_known = find_names(class_names, self.classes), self.classes.tolist()
        unknown = [label for label in names if label not in all_known]
        if unknown and self.multilabel:
            kind = "names" if self.has_names else "numbers"
            raise ValueError(
                f"class_names must name the columns of y by their {kind}, {reprlib.repr(all_known)}"
                f", got {unknown!r}."
            )
        if unknown:
            raise ValueError(
                f"class_names has labels that are not among the classes of the first fit: "
                f"{unknown!r}. To add classes, fit again with warm_start=False."
            )
        return names

    def with_class_names(self, class_names: Any) -> Self:
        """The same labels with the class names of a fit that goes on."""
        made = copy.copy(self)
        made.names = self._find_names(class_names)
        return made

    def name_samples(self, templates: Sequence[str]) -> tuple[list[str], Target | None]:
        """Texts that stand for classes, with their names in templates, and encoded targets."""
        pairs = [
            (text, label)
            for label, name in self.names.items()
            for text in fill_templates(name, templates)
        ]
        if not pairs or not templates:
            return [], None
        texts, labels = zip(*pairs, strict=True)
        if self.multilabel:
            column = {label: number for number, label in enumerate(self.classes.tolist())}
            rows = [column[label] for label in labels]
            return list(texts), np.eye(len(self.classes), dtype=np.float32)[rows]
        codes = np.searchsorted(self.classes, np.asarray(labels, dtype=self.classes.dtype))
        return list(texts), codes.astype(np.int64)

    @classmethod
    def declare(cls, classes: Any, *, multilabel: bool) -> Labels:
        """Name all labels before any sample is seen."""
        if not multilabel:
            return cls(np.asarray(classes))
        made = cls(np.zeros((1, len(classes))))
        made.has_names = not np.array_equal(classes, made.classes)
        made.classes = _as_names(classes)
        return made

    def named(self, y: Any) -> Self:
        """The labels with the names of the columns of a frame; an error where others are known."""
        if not (self.multilabel and hasattr(y, "columns")):
            return self
        names = _as_names(y.columns)
        if self.has_names and not np.array_equal(names, self.classes):
            raise ValueError(
                f"The columns of y must be those that were fitted, {self.classes.tolist()}, in "
                f"that order; got {names.tolist()}."
            )
        made = copy.copy(self)
        made.classes, made.has_names = names, True
        return made

    @staticmethod
    def check(y: Any, X: Any) -> NDArray[Any]:
        """Validate labels, or an indicator matrix, which becomes a dense array."""
        if y is None:
            raise ValueError("The classifier requires y to be passed, but the target y is None.")
        check_labels(y)
        y = frame_as_array(y.toarray() if hasattr(y, "toarray") else y)
        values = np.asarray(y)
        try:
            assert_all_finite(values, input_name="y")
            if values.dtype.kind == "U" and isinstance(y, list | tuple):
                values = np.array(y, dtype=object)  # NumPy makes strings of numbers among strings
            if values.dtype == object:
                np.unique(values)
            kind = type_of_target(y, input_name="y")
        except TypeError as error:  # labels that cannot be sorted
            kinds = sorted({type(label).__name__ for label in values.ravel()})
            raise ValueError(
                f"Labels must be of one type, so that they can be sorted; got {', '.join(kinds)}. "
                f"Convert them, for instance with [str(label) for label in y]."
                if len(kinds) > 1
                else f"y holds labels of type {kinds[0]}: {error}"
            ) from error
        checked = np.asarray(y if kind.startswith("multilabel") else column_or_1d(y, warn=True))
        check_consistent_length(X, checked)
        check_classification_targets(checked)
        if checked.ndim == 2 and not np.isin(checked, (0, 1)).all():
            raise ValueError(
                f"An indicator matrix y must hold 0 and 1, got the values "
                f"{', '.join(map(str, np.unique(checked).tolist()))}. Convert it, for instance "
                f"with (y > 0).astype(int)."
            )
        return checked

    def encode(self, y: NDArray[Any]) -> Target:
        """Class codes, int64 of shape (n_samples,), or the indicator matrix as float32."""
        shape = (len(y), len(self.classes)) if self.multilabel else (len(y),)
        if y.shape != shape:
            raise ValueError(
                f"y must be of the kind that was fitted, with {len(self.classes)} "
                f"{'columns' if self.multilabel else 'classes'}; got shape {y.shape}."
            )
        if self.multilabel:
            return y.astype(np.float32)
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"y has labels that are not among the classes of the first fit: {unknown!r}. To "
                f"add classes, fit again on all samples, with warm_start=False; or name them all "
                f"in the first call of partial_fit (classes=[...])."
            )
        return np.searchsorted(self.classes, y).astype(np.int64)

    def groups(self, target: Target) -> NDArray[np.int64]:
        """The classes; one stratum for an indicator matrix."""
        return super().groups(target) if self.multilabel else target.astype(np.int64)

    def membership(self, target: Target) -> csr_array:
        """1 where a sample belongs to a class, shape (n_samples, n_classes)."""
        if self.multilabel:
            return csr_array(target)
        rows = np.arange(len(target))
        shape = (len(target), len(self.classes))
        return csr_array((np.ones(len(target)), (rows, target)), shape=shape)

    def weights(
        self, target: Target, sample_weight: NDArray[np.float64], class_weight: Any
    ) -> NDArray[np.float64]:
        """Multiply sample weights by class weights; "balanced" gives classes the same total."""
        if class_weight is None:
            return sample_weight
        if self.multilabel:
            raise ValueError(
                "class_weight is not defined for an indicator matrix y; use sample_weight, or set "
                "class_weight=None."
            )
        if class_weight == "balanced":
            total = np.bincount(target, weights=sample_weight, minlength=len(self.classes))
            by_class = sample_weight.sum() / (len(total) * np.where(total > 0, total, np.inf))
        else:
            by_class = compute_class_weight(
                class_weight, classes=self.classes, y=self.classes[target]
            )
            if not (by_class >= 0).all() or not np.isfinite(by_class).all():
                raise ValueError(
                    f"class_weight must be finite and not negative, got {class_weight!r}."
                )
        weighted: NDArray[np.float64] = sample_weight * by_class[target]
        return weighted

    def predictions(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Labels, or the indicator matrix, from logits of shape (n_samples, n_outputs)."""
        codes = self.outputs.predict(logits)
        return codes if self.multilabel else self.classes[codes]

    def choose_targets(self, logits: NDArray[np.floating], target: Any) -> ExplainedTargets:
        """Classes: None is the predicted one, or all columns of an indicator matrix."""
        codes = None if self.multilabel else self.outputs.predict(logits)
        return choose_classes(self.classes, codes, len(logits), target)

    def add_outputs(self, graph: Any, logits: str, temperature: float) -> GraphOutput:
        """Probabilities, shape (n_samples, n_classes)."""
        scaled = graph.add("Div", logits, float(temperature))
        probabilities = self.outputs.add_probabilities(graph, scaled)
        return probabilities, ["n_texts", "n_classes"], np.float32

    def describe(self) -> dict[str, Any]:
        """The classes."""
        return {"classes": self.classes.tolist()}

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Softmax or, where columns are independent, sigmoid; shape (n_samples, n_classes)."""
        return self.outputs.probabilities(logits)

    def evaluate(
        self, logits: NDArray[np.floating], target: Target
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Accuracy and log loss; for an indicator matrix, their means over the columns."""
        exact = logits.astype(np.float64)
        if self.multilabel:
            right = ((exact > 0) == (target > 0.5)).mean(axis=1)
            return right, -log_expit(np.where(target > 0.5, exact, -exact)).mean(axis=1)
        if self.n_outputs == 1:
            signed = np.where(target == 1, exact[:, 0], -exact[:, 0])
            return ((exact[:, 0] > 0) == (target == 1)).astype(float), -log_expit(signed)
        loss = -log_softmax(exact, axis=1)[np.arange(len(target)), target]
        return (exact.argmax(axis=1) == target).astype(float), loss

    def find_temperature(
        self, logits: NDArray[np.floating], target: Target, weight: NDArray[np.floating]
    ) -> float:
        """Temperature of the probabilities (Guo et al. 2017)."""
        return fit_temperature(logits, target, weight)

    @property
    def has_thresholds(self) -> bool:  # type: ignore[override]
        """True for an indicator matrix."""
        return self.multilabel

    def needs_left_out(self, threshold: Any, *, calibrate: bool) -> bool:
        """True for a temperature, and for thresholds that are fitted."""
        return calibrate or (self.multilabel and isinstance(threshold, str))

    def find_thresholds(
        self, left_out: LeftOut | None, temperature: float, threshold: Any
    ) -> NDArray[np.float64] | None:
        """Logits of a probability that is given, or those with the largest F1."""
        if not self.multilabel:
            return None
        if not isinstance(threshold, str):
            return np.full(self.n_outputs, temperature * float(logit(threshold)))
        if left_out is None:
            return np.zeros(self.n_outputs)
        return fit_thresholds(*left_out, per_label=threshold == PER_LABEL)


def _as_names(columns: Any) -> NDArray[Any]:
    names = list(columns)
    is_plain = len({type(name) for name in names}) == 1
    return np.asarray(names, dtype=None if is_plain else object)
