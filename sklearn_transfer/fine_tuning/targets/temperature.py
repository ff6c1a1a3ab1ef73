"""The temperature of probabilities: temperature scaling of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, softmax


def fit_temperature(
    logits: NDArray[np.floating], target: NDArray[Any], weight: NDArray[np.floating]
) -> float:
    """Find the temperature T of ``softmax(logits / T)`` (Guo et al. 2017).

    Parameters
    ----------
    logits : ndarray, shape (n_samples, K)
        The sigmoid replaces the softmax for one column, and for an indicator target.
    target : ndarray, shape (n_samples,) of class codes, or (n_samples, K), an indicator
    weight : ndarray of float, shape (n_samples,)

    Returns
    -------
    float
        The minimum of the weighted log loss of `target`, between a hundredth and ten times the
        mean absolute logit; 1 without samples, or where all logits are zero.

    Notes
    -----
    The log loss is convex in ``1 / T``. Targets are smoothed by ``1 / (n + 2)`` as Platt (1999)
    does, so that samples without an error give a finite one.
    """
    n = weight.sum()
    if n == 0 or not np.any(logits):
        return 1.0
    z = logits.astype(np.float64)
    independent = z.shape[1] == 1 or target.ndim == 2
    goal = target
    if target.ndim == 1:
        goal = target[:, None] == (np.arange(z.shape[1]) if z.shape[1] > 1 else [1])
    smoothing = 1 / (n + 2)
    floor = 0.5 if independent else 1 / z.shape[1]
    goal = goal * (1 - smoothing) + floor * smoothing

    def slope(inverse: float) -> float:
        p = expit(inverse * z) if independent else softmax(inverse * z, axis=1)
        return float(weight @ ((p - goal) * z).sum(axis=1))

    # Logits that few samples make worse than chance must not flatten all probabilities.
    start = 1 / max(float(np.abs(z).mean()), 1e-12)
    low, high = 0.1 * start, 100 * start
    if slope(low) >= 0:
        return 1 / low
    if slope(high) <= 0:
        return 1 / high
    return 1 / float(brentq(slope, low, high, xtol=1e-14 * start, rtol=1e-12))
