"""Estimators that label the samples of another one: the parameter `distill_from`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted


def check_teacher(teacher: Any) -> None:
    """Refuse a teacher that is not fitted."""
    try:
        check_is_fitted(teacher)
    except NotFittedError as error:
        raise NotFittedError(
            f"Expected a fitted estimator as distill_from, got a {type(teacher).__name__} that is "
            f"not fitted. A search clones the estimators of its grid, without what they have "
            f"learned; put sklearn.frozen.FrozenEstimator(teacher) into the grid."
        ) from error


def ask_classifier(teacher: Any, X: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Labels of a teacher, and sample weights times their probabilities."""
    probability = np.asarray(teacher.predict_proba(X))
    if not np.allclose(probability.sum(axis=1), 1):  # independent labels
        thresholds = getattr(teacher, "thresholds_", None)
        above = probability > (0.5 if thresholds is None else thresholds)
        return above.astype(int), sample_weight
    confidence = probability.max(axis=1)
    labels = np.asarray(teacher.classes_)[probability.argmax(axis=1)]
    given = 1.0 if sample_weight is None else np.asarray(sample_weight)
    return labels, confidence * given
