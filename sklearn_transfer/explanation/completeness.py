"""Completeness: contributions add up to the difference that they explain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Below this share of the sum of absolute contributions, a difference of logits counts as none.
_CANCELLED = 0.1
# Differences of rounding, relative to logits.
_ROUNDING = 1e-5


def sum_by_text(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum the rows of each text, shape (n_texts, n_targets)."""
    totals = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=totals[1:])
    return np.diff(totals[offsets], axis=0)


def measure_sizes(
    explained: NDArray[np.float64],
    contributions: NDArray[np.float64],
    offsets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The sizes that gaps are relative to; see `measure_gaps`."""
    size = _CANCELLED * sum_by_text(np.abs(contributions), offsets)
    return np.maximum(np.abs(explained), size)


def measure_gaps(
    logits: NDArray[np.float64],
    baseline: NDArray[np.float64],
    contributions: NDArray[np.float64],
    offsets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Measure the relative gap between differences of logits and sums of contributions.

    Parameters
    ----------
    logits, baseline : ndarray of float64, shape (n_texts, n_targets)
    contributions : ndarray of float64, shape (n_tokens, n_targets)
    offsets : ndarray of int64, shape (n_texts + 1,)

    Returns
    -------
    ndarray of float64, shape (n_texts, n_targets)
        The gap is relative to the difference; where contributions cancel each other, to a tenth of
        the sum of their absolute values. It is 0 within the rounding of float32.
    """
    explained = logits - baseline
    rounding = _ROUNDING * np.maximum(np.abs(logits), np.abs(baseline))
    size = measure_sizes(explained, contributions, offsets)
    gap = np.abs(explained - sum_by_text(contributions, offsets))
    return np.divide(gap, size, out=np.zeros_like(size), where=gap > rounding)
