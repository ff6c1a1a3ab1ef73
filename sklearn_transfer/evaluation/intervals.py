"""Confidence intervals of scores on splits whose training samples overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student


def corrected_interval(
    values: NDArray[np.float64], test_ratio: float, confidence: float
) -> NDArray[np.float64]:
    """Compute the mean of scores, or of paired differences, and its confidence interval.

    Parameters
    ----------
    values : ndarray of float64, shape (..., n_splits)
    test_ratio : float
        Number of test samples divided by the number of training samples of a split.
    confidence : float
        Level of the interval, between 0 and 1.

    Returns
    -------
    ndarray of float64, shape (..., 3)
        Mean, lower and upper bound; the bounds of a single split are NaN.

    Notes
    -----
    The interval is the corrected resampled t interval of Nadeau & Bengio 2003 [1]_, ``mean +- t
    sqrt((1 / n_splits + n_test / n_train) variance)`` with ``n_splits - 1`` degrees of freedom. The
    training samples of splits overlap, so their scores are correlated. The plain interval, without
    the second term, is too narrow.

    References
    ----------
    .. [1] Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> corrected_interval(np.array([0.8, 0.9, 0.7]), 0.5, 0.95).round(3).tolist()
    [0.8, 0.407, 1.193]
    """
    n_splits = values.shape[-1]
    mean = values.mean(axis=-1)
    if n_splits == 1:
        return np.stack([mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)], axis=-1)
    variance = values.var(axis=-1, ddof=1)
    quantile = float(student.ppf((1 + confidence) / 2, n_splits - 1))
    half = quantile * np.sqrt((1 / n_splits + test_ratio) * variance)
    return np.stack([mean, mean - half, mean + half], axis=-1)
