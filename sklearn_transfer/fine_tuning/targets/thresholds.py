"""Decision thresholds of independent labels, from samples that are left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

SHARED, PER_LABEL = "shared", "per-label"

# All labels together lend so many positives to each: with fewer of its own, its threshold is near
# the shared one.
_LENT_POSITIVES = 100.0


def fit_thresholds(
    logits: NDArray[np.floating],
    target: NDArray[np.floating],
    weight: NDArray[np.floating],
    *,
    per_label: bool = False,
) -> NDArray[np.float64]:
    """Find the thresholds of logits with the largest F1.

    Parameters
    ----------
    logits : ndarray of float, shape (n_samples, n_labels)
    target : ndarray of float, shape (n_samples, n_labels)
        An indicator of 0 and 1.
    weight : ndarray of float, shape (n_samples,)
    per_label : bool, default=False
        False: one threshold, of the largest micro F1. True: one per label (S-Cut, Yang 2001).

    Returns
    -------
    ndarray of float64, shape (n_labels,)
        A label is predicted where its logit is larger. 0 without samples that have a label.

    Notes
    -----
    The F1 of a label is that of its own counts plus the counts of all labels at the same threshold,
    scaled to 100 positives. A label without positives has the shared threshold.
    """
    n_labels = logits.shape[1]
    scores, pairs = logits.astype(np.float64), np.broadcast_to(weight[:, None], target.shape)
    if not (target * pairs).any():
        return np.zeros(n_labels)
    pooled = _Counts(scores.ravel(), target.ravel(), pairs.ravel())
    thresholds = np.full(n_labels, pooled.best_threshold(pooled.true, pooled.false))
    if not per_label:
        return thresholds
    lent = _LENT_POSITIVES / pooled.true[-1]
    for label in range(n_labels):
        own = _Counts(scores[:, label], target[:, label], weight)
        if own.true[-1] > 0:
            true, false = pooled.above(own.cuts)
            thresholds[label] = own.best_threshold(own.true + lent * true, own.false + lent * false)
    return thresholds


def to_probabilities(
    thresholds: NDArray[np.floating] | None, temperature: float
) -> NDArray[np.float64] | None:
    """Thresholds of logits as those of the calibrated probabilities."""
    return None if thresholds is None else np.asarray(expit(thresholds / temperature))


class _Counts:
    """Weights of true and false positives above each cut between distinct scores."""

    def __init__(
        self,
        scores: NDArray[np.float64],
        target: NDArray[np.floating],
        weight: NDArray[np.floating],
    ) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))  # of equal scores
        below = np.append(ranked[last[:-1] + 1], ranked[-1] - 1)
        self.cuts = (ranked[last] + below) / 2
        total = weight.astype(np.float64)[order]
        self.true = np.cumsum(total * target[order])[last]
        self.false = np.cumsum(total)[last] - self.true

    def above(self, cuts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """True and false positives above other cuts."""
        rank = np.searchsorted(-self.cuts, -cuts, side="right")
        true, false = (np.append(0.0, counts)[rank] for counts in (self.true, self.false))
        return true, false

    def best_threshold(self, true: NDArray[np.float64], false: NDArray[np.float64]) -> float:
        """The cut with the largest F1, the highest of several."""
        f1 = 2 * true / (true + false + true[-1])
        return float(self.cuts[f1.argmax()])
