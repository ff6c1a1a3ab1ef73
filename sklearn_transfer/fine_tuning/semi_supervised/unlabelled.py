"""Samples without a label: how y marks them, and what a fit decided about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from ..._utils.errors import warn_once
from ..._utils.missing import is_missing
from ..._utils.objects.state import PlainState
from ..targets.target_checks import check_strings

# The mark of scikit-learn among numbers.
_MARK = -1
# Strings that missing labels and the mark become.
_STRINGS = {"-1": "-1", "-1.0": "-1", "None": "None", "nan": "NaN", "NaN": "NaN", "NaT": "NaT"}
_STRINGS |= {"<NA>": "NA", "": "nothing"}


@dataclass(frozen=True)
class SelfTraining(PlainState):
    """The decision of a fit about its unlabelled samples.

    Attributes
    ----------
    used : bool
        True if the fit trains on the unlabelled samples.
    n_samples : int
        Number of unlabelled samples.
    scores : dict of str to float
        Accuracy without ("labelled") and with ("all") unlabelled samples, on left-out labelled
        samples.
    reason : str
        Reason of the decision.

    Notes
    -----
    Unlabelled samples get the labels of a first fit on the labelled samples. For contextual models,
    one step towards the centroids of the classes revises the labels. In the final fit, the weight
    of an unlabelled sample is 0.1 for contextual models, and else 0.3, times the probability of its
    label. Unlabelled samples are never held out or left out: calibration, ``adaptation="auto"``,
    early stopping and `score` use labelled samples only.

    Unlabelled samples are refused if labelled samples are not similar to them, or by the accuracy
    on labelled samples that are left out (or held out, or X_val). Models of word vectors must gain;
    contextual models must not lose more than one standard error. Without labelled samples to leave
    out, contextual models use unlabelled samples, and models of word vectors do not.

    Splitters and scorers of scikit-learn treat -1 as a class. In a cross-validation, split the
    labelled samples, and train on the unlabelled samples in each fold::

        labelled, others = np.flatnonzero(y != -1), np.flatnonzero(y == -1)
        folds = StratifiedKFold(5).split(labelled, y[labelled])
        cv = [(np.append(labelled[a], others), labelled[b]) for a, b in folds]
        cross_val_score(FineTunedClassifier(vectors, unlabelled="auto"), X, y, cv=cv)
    """

    used: bool
    n_samples: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class UnlabelledSamples:
    """Validated samples without a label, and their weights, float64 of shape (n_samples,)."""

    X: Any
    weight: NDArray[np.float64]


def split_labels(y: Any) -> tuple[Any, NDArray[np.bool_]]:
    """The labels that are known, and a mask of the samples without one.

    Parameters
    ----------
    y : array-like, shape (n_samples,)
        None, NaN and NA mark samples without a label, among numbers also -1.

    Returns
    -------
    labels : list or array-like, shape (n_labelled,)
    is_unlabelled : ndarray of bool, shape (n_samples,)

    Raises
    ------
    ValueError
        If y is an indicator matrix, or if NumPy has made a mark the string "-1" or "None".
    """
    values = _as_array(y)
    if values.ndim != 1 and values.shape[1:] != (1,):
        got = f"y of shape {values.shape}" if values.ndim else f"a {type(y).__name__}"
        raise ValueError(
            f"unlabelled='auto' expects one label per sample, got {got}. Set unlabelled=None, and "
            f"leave samples without labels out."
        )
    column = values.ravel()
    if column.dtype.kind == "O":
        mask = np.fromiter(map(_is_mark, column), bool, len(column))
    elif column.dtype.kind in "iuf":
        mask = np.isnan(column) | (column == _MARK)
    elif column.dtype.kind in "mM":
        mask = np.isnat(column)
    else:
        mask = np.zeros(len(column), dtype=bool)
    known = values[~mask]
    _check_strings(known.ravel())
    if not mask.any():
        return y, mask
    is_text = known.dtype.kind == "O" and any(isinstance(label, str) for label in known.ravel())
    return (known if is_text else np.array(known.tolist())), mask


def _as_array(y: Any) -> NDArray[Any]:
    if hasattr(y, "to_list"):  # a Series of pandas or polars
        y = y.to_list()
    if np.ma.is_masked(y):
        y = y.tolist()  # None where it is masked
    if not isinstance(y, list | tuple):
        return np.asarray(y)
    rows = [label for label in y if isinstance(label, list | tuple) or np.ndim(label)]
    if rows and len(rows) == len(y) and len(set(map(len, rows))) == 1:
        flat, width = [label for row in rows for label in row], len(rows[0])
        return _as_array(flat).reshape(-1, width)
    # NumPy makes strings of numbers among strings.
    return np.fromiter(map(_as_scalar, y), dtype=object, count=len(y))


def _as_scalar(label: Any) -> Any:
    """The value of an array or a tensor without axes; anything else as given."""
    return label.item() if getattr(label, "ndim", None) == 0 and hasattr(label, "item") else label


def _is_mark(value: Any) -> bool:
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_) and value == _MARK:
        return True
    return not isinstance(value, list | tuple | np.ndarray) and is_missing(value)


def _check_strings(labels: NDArray[Any]) -> None:
    marks = [label for label in labels if isinstance(label, str) and label.strip() in _STRINGS]
    if marks:
        mark = str(marks[0])
        raise ValueError(
            f"y has the string {mark!r} among its labels, as files and NumPy write "
            f"{_STRINGS[mark.strip()]} among strings. Mark samples without a label by None, in a "
            f"list or an array with dtype=object; if {mark!r} is a label, set unlabelled=None."
        )


def has_names_only(class_names: Any, X: Any, y: Any) -> bool:
    """Return True for no sample at all next to a mapping of class names; refuse other names."""
    if class_names is None or not hasattr(X, "__len__") or len(X):
        return False
    if y is not None and (not hasattr(y, "__len__") or len(y)):
        return False
    if not isinstance(class_names, Mapping):
        raise ValueError(
            f"Expected class_names={{label: name, ...}} for a fit without samples, got "
            f"{class_names!r}, which names the labels of y."
        )
    return True


def check_labelled(y: NDArray[Any], class_names: Any, n_unlabelled: int) -> None:
    """Refuse labels of a single class, and names of -1; say that no sample is unlabelled."""
    if not n_unlabelled:
        warn_once(
            "unlabelled='auto' has no effect: y has a label for each sample, got none that is -1 "
            "among numbers, None or NaN. Voting, stacking and one-vs-rest classifiers number the "
            "labels first: give them labelled samples only, and unlabelled=None."
        )
    if isinstance(class_names, Mapping):
        if any(_is_mark(label) for label in class_names):
            raise ValueError(
                "class_names has a name for -1 or a missing label, which marks samples without a "
                "label. If it is a class, set unlabelled=None."
            )
        return
    classes = np.unique(y).tolist()
    if n_unlabelled and len(classes) < 2:
        labels = f"one class, {classes[0]!r}" if classes else "no label"
        raise ValueError(
            f"Expected labels of at least two classes, got {labels}: unlabelled= reads -1 and "
            f"missing labels of {n_unlabelled} samples as no label. If -1 is a class, as in the "
            f"coding -1 and 1, set unlabelled=None; for classes without a labelled sample give "
            f"class_names={{label: name, ...}}."
        )


class ScoresLabelled(ClassifierMixin):
    """Classifier whose `score` leaves out samples without a label, if its `unlabelled` is set."""

    unlabelled: Any

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy on labelled samples.

        Parameters
        ----------
        X : like in `fit`
        y : like in `fit`
            With ``unlabelled="auto"``, samples without a label are left out.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_strings(y)
        if self.unlabelled is not None:
            y, is_unlabelled = split_labels(y)
            rows = np.flatnonzero(~is_unlabelled)
            if not len(rows):
                raise ValueError("Expected labelled samples to score, got none.")
            X = list(X) if isinstance(X, Iterator) else X
            check_consistent_length(X, is_unlabelled)
            X = _safe_indexing(X, rows)
            sample_weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        return float(super().score(X, y, sample_weight))
