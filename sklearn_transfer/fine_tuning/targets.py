"""Labels to numbers and back, weights, and rows held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils import assert_all_finite, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, column_or_1d

Target = NDArray[np.int64] | NDArray[np.float32]


def check_labels(y: Any, X: Any) -> NDArray[Any]:
    """Validate labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,), or indicator matrix of shape (n_samples, n_labels)
        A sparse indicator matrix becomes dense.
    X : sequence or array, length n_samples

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If there are none, not as many as samples, not finite, or not labels.
    """
    if y is None:
        raise ValueError("The classifier requires y to be passed, but the target y is None.")
    y = y.toarray() if hasattr(y, "toarray") else y
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
            f"Convert them, for instance with y.astype(str)."
            if len(kinds) > 1
            else f"y holds labels of type {kinds[0]}: {error}"
        ) from error
    y = np.asarray(y if kind.startswith("multilabel") else column_or_1d(y, warn=True))
    check_consistent_length(X, y)
    check_classification_targets(y)
    return y


class Labels:
    """The labels of a classification task, as the columns of logits.

    Parameters
    ----------
    y : ndarray, shape (n_samples,) or (n_samples, n_labels)
        Labels, or an indicator matrix: then every column is a yes or no of its own.

    Attributes
    ----------
    classes : ndarray, shape (n_classes,)
        Sorted labels; the column numbers for an indicator matrix.
    multilabel : bool
    n_outputs : int
        Columns of the logits; 1 for two classes.
    """

    def __init__(self, y: NDArray[Any]) -> None:
        self.multilabel = y.ndim == 2
        self.classes = np.arange(y.shape[1]) if self.multilabel else np.unique(y)
        if not self.multilabel and len(self.classes) < 2:
            raise ValueError(
                f"The classifier needs samples of at least two classes; the data has one class: "
                f"{self.classes.tolist()[0]!r}."
            )
        two = not self.multilabel and len(self.classes) == 2
        self.n_outputs = 1 if two else len(self.classes)

    def encode(self, y: NDArray[Any]) -> Target:
        """Class codes, shape (n_samples,), or the indicator matrix as float32."""
        shape = (len(y), len(self.classes)) if self.multilabel else (len(y),)
        if y.shape != shape:
            raise ValueError(
                f"y must be of the kind that was fitted, with {len(self.classes)} "
                f"{'columns' if self.multilabel else 'classes'}; got shape {y.shape}."
            )
        if self.multilabel:
            return y.astype(np.float32)
        strange = np.setdiff1d(y, self.classes)
        if len(strange):
            raise ValueError(f"y has labels that are not among the classes: {strange!r}.")
        return np.searchsorted(self.classes, y).astype(np.int64)

    @classmethod
    def declared(cls, classes: Any, multilabel: bool) -> Labels:
        """The labels of a task that will ever occur, before any has."""
        return cls(np.zeros((1, len(classes))) if multilabel else np.asarray(classes))

    def membership(self, target: Target) -> csr_array:
        """1 where a sample belongs to a class, shape (n_samples, n_classes)."""
        if self.multilabel:
            return csr_array(target)
        rows = np.arange(len(target))
        shape = (len(target), len(self.classes))
        return csr_array((np.ones(len(target)), (rows, target)), shape=shape)

    def predictions(self, logits: NDArray[np.floating]) -> NDArray[Any]:
        """Labels, or the indicator matrix, from logits of shape (n_samples, n_outputs)."""
        if self.multilabel:
            return (logits > 0).astype(int)
        code = logits[:, 0] > 0 if self.n_outputs == 1 else logits.argmax(axis=1)
        labels: NDArray[Any] = self.classes[code.astype(int)]
        return labels

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Softmax or, where columns are independent, sigmoid; shape (n_samples, n_classes)."""
        exact = logits.astype(np.float64)
        if self.multilabel:
            return _sigmoid(exact)
        if self.n_outputs == 1:
            return _sigmoid(np.concatenate([-exact, exact], axis=1))
        powers = np.exp(exact - exact.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def weights(
        self, target: Target, sample_weight: NDArray[np.float64], class_weight: Any
    ) -> NDArray[np.float64]:
        """Multiply sample weights by class weights.

        Parameters
        ----------
        target : ndarray
            As :meth:`encode` gives it.
        sample_weight : ndarray of float, shape (n_samples,)
        class_weight : dict, "balanced" or None
            "balanced": every class has the same total weight, by `sample_weight`.

        Returns
        -------
        ndarray of float, shape (n_samples,)
        """
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
            if not (by_class >= 0).all():
                raise ValueError(f"class_weight must not be negative or NaN, got {class_weight!r}.")
        weighted: NDArray[np.float64] = sample_weight * by_class[target]
        return weighted


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    # The half that does not overflow, for either sign.
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def hold_out(target: Target, fraction: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose samples to hold out, `fraction` of every class, though never all of one.

    Parameters
    ----------
    target : ndarray of int64, shape (n_samples,), or indicator, which is not stratified
    fraction : float
    generator : numpy Generator

    Returns
    -------
    ndarray of bool, shape (n_samples,)

    Raises
    ------
    ValueError
        If that comes to no sample at all.
    """
    groups = target if target.ndim == 1 else np.zeros(len(target), dtype=np.int64)
    held = np.zeros(len(target), dtype=bool)
    for code in np.unique(groups):
        members = generator.permutation(np.flatnonzero(groups == code))
        held[members[: min(round(fraction * len(members)), len(members) - 1)]] = True
    if not held.any():
        raise ValueError(
            f"early_stopping=True has nothing to hold out: validation_fraction={fraction} of "
            f"{len(target)} samples in {len(np.unique(groups))} classes comes to none. Give more "
            f"samples, a larger fraction, or X_val and y_val."
        )
    return held
