"""The targets that are explained: outputs of a model, and their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Targets that an error message names.
_N_NAMED = 20


@dataclass(frozen=True)
class ExplainedTargets:
    """The targets of each text: ``logit * factors + shifts`` of some outputs.

    Attributes
    ----------
    labels : ndarray, shape (n_texts, n_targets)
        Classes, or numbers of the columns of y.
    outputs : ndarray of int64, shape (n_texts, n_targets)
        Columns of the logits.
    factors : ndarray of float64, shape (n_texts, n_targets)
        -1 for the first of two classes, which share a logit; the units of y for a regressor.
    shifts : ndarray of float64, shape (n_texts, n_targets)
    """

    labels: NDArray[Any]
    outputs: NDArray[np.int64]
    factors: NDArray[np.float64]
    shifts: NDArray[np.float64]


def choose_classes(
    classes: NDArray[Any], codes: NDArray[np.integer] | None, n_texts: int, target: Any
) -> ExplainedTargets:
    """Choose the classes that are explained.

    Parameters
    ----------
    classes : ndarray, shape (n_classes,)
    codes : ndarray of int, shape (n_texts,), or None
        Predicted classes, by their numbers; None where the classes are independent labels.
    n_texts : int
    target : object
        None is the predicted class of each text, or all independent labels. "all", a class, or a
        list of classes.

    Returns
    -------
    ExplainedTargets
    """
    if target is None and codes is not None:
        chosen = codes[:, None].astype(np.int64)
    else:
        chosen = np.tile(_find_targets(classes, target), (n_texts, 1))
    is_binary = codes is not None and len(classes) == 2
    factors = np.where(chosen == 0, -1.0, 1.0) if is_binary else np.ones(chosen.shape)
    outputs = np.zeros_like(chosen) if is_binary else chosen
    return ExplainedTargets(classes[chosen], outputs, factors, np.zeros(chosen.shape))


def choose_values(
    mean: NDArray[np.float64], scale: NDArray[np.float64], n_texts: int, target: Any
) -> ExplainedTargets:
    """Choose the columns of y that are explained; None and "all" are all of them.

    Parameters
    ----------
    mean, scale : ndarray of float64, shape (n_outputs,)
    n_texts : int
    target : object
        None, "all", the number of a column, or a list of numbers.

    Returns
    -------
    ExplainedTargets
    """
    chosen = np.tile(_find_targets(np.arange(len(mean)), target), (n_texts, 1))
    return ExplainedTargets(chosen, chosen, scale[chosen], mean[chosen])


def _find_targets(known: NDArray[Any], target: Any) -> NDArray[np.int64]:
    """Numbers of the targets, shape (n_targets,)."""
    numbers = {label: number for number, label in enumerate(known.tolist())}
    if target is None or (isinstance(target, str) and target == "all" and "all" not in numbers):
        return np.arange(len(known))
    if isinstance(target, Sequence) and not isinstance(target, str | bytes):
        labels = list(target)
    else:
        labels = np.ravel(np.asarray(target, dtype=getattr(target, "dtype", object))).tolist()
    if not labels:
        raise ValueError("target must name at least one class, got an empty list.")
    unknown = [label for label in labels if not _is_known(label, numbers)]
    if unknown:
        named = ", ".join(map(repr, known.tolist()[:_N_NAMED]))
        raise ValueError(
            f"target must be None, 'all', or one or several of the targets of this model, which "
            f"are {named}{', ...' if len(known) > _N_NAMED else ''}; got {unknown[0]!r}."
        )
    return np.array([numbers[label] for label in labels], dtype=np.int64)


def _is_known(label: Any, numbers: dict[Any, int]) -> bool:
    try:
        return label in numbers
    except TypeError:  # without a hash
        return False
