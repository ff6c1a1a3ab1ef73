"""Scores of finite features for labels of two or more classes, without training a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf_shrinkage

# Values of alpha / beta, in units of the largest squared singular value. If features explain the
# labels exactly, or not at all, the evidence has no maximum between the first and the last.
_RATIOS = np.logspace(-12, 12, 49)
_TOLERANCE = 1e-5  # the change of log(alpha / beta) that ends the fixed-point iteration


def logme(features: NDArray[np.floating], y: NDArray[Any], *, max_steps: int = 200) -> float:
    """The logarithm of maximum evidence, LogME.

    Labels are the targets of a Bayesian linear regression on the features, one class against the
    others: ``w ~ N(0, 1 / alpha)``, ``t ~ N(w f, 1 / beta)``. The evidence ``p(t | alpha, beta)``
    is maximised over both; it rewards a good fit and penalises features that are not needed.

    Parameters
    ----------
    features : ndarray of float, shape (n_samples, d)
        They are not centred, as in the paper.
    y : ndarray, shape (n_samples,)
    max_steps : int, default=200
        Maximum number of steps of the fixed-point iteration.

    Returns
    -------
    float
        Log evidence per sample, averaged over the classes. It has no upper bound.

    Notes
    -----
    Algorithm 1 of You et al. 2021, see :func:`rank_pretrained`. With the singular value
    decomposition the iteration depends on ``alpha / beta`` alone; a step costs
    ``min(n_samples, d)`` operations per class. The evidence may have several maxima: the iteration
    starts from the best of a grid of ratios (in the paper from 1). The best beta for a ratio has a
    closed form.
    """
    n_samples = len(features)
    left, singular, _ = np.linalg.svd(np.asarray(features, dtype=np.float64), full_matrices=False)
    largest = singular[0] if singular[0] > 0 else 1.0
    squares = np.square(singular / largest)[:, None]
    members = _membership(y)
    fitted = np.square(members @ left).T  # along the directions of the features, a column per class
    unfitted = np.maximum(members.sum(axis=1) - fitted.sum(axis=0), 0)

    def evidence(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        quadratic: NDArray[np.float64] = unfitted + (fitted * ratio / (ratio + squares)).sum(axis=0)
        complexity: NDArray[np.float64] = np.log1p(squares / ratio).sum(axis=0)
        return -0.5 * (n_samples * (np.log(2 * np.pi * quadratic / n_samples) + 1) + complexity)

    starts = np.broadcast_to(_RATIOS[:, None], (len(_RATIOS), len(unfitted)))
    start_evidence = np.array([evidence(start) for start in starts])
    ratio = _RATIOS[start_evidence.argmax(axis=0)]
    for _ in range(max_steps):
        shrinkage = ratio / (ratio + squares)
        effective = (1 - shrinkage).sum(axis=0)  # gamma of the paper
        noise_rank = n_samples - len(squares) + shrinkage.sum(axis=0)  # n - gamma
        weights = (fitted * squares / np.square(ratio + squares)).sum(axis=0)
        residual = unfitted + (fitted * np.square(shrinkage)).sum(axis=0)
        scale = weights * noise_rank
        following = np.full_like(ratio, _RATIOS[-1])
        np.divide(effective * residual, scale, out=following, where=scale > 0)
        following = following.clip(_RATIOS[0], _RATIOS[-1])
        change = np.abs(np.log(following / ratio)).max()
        ratio = following
        if change < _TOLERANCE:
            break
    best = np.maximum(evidence(ratio), start_evidence.max(axis=0))
    return float(best.mean() / n_samples)


def h_score(features: NDArray[np.floating], y: NDArray[Any]) -> float:
    """The H-score with a shrunk covariance.

    ``(1 - s) tr(cov_s(f)^-1 cov(E[f | y]))``: the part of the variance of the features that lies
    between the classes; every direction counts the same. The shrinkage s is that of Ledoit & Wolf,
    so that the score is defined and stable with fewer samples than features.

    Parameters
    ----------
    features : ndarray of float, shape (n_samples, d)
    y : ndarray, shape (n_samples,)

    Returns
    -------
    float
        Between 0 and ``min(n_classes - 1, d)``; 0 for constant features.

    Notes
    -----
    Bao et al. 2019, shrunk as by Ibrahim et al. 2022, see :func:`rank_pretrained`. The class means
    lie in the span of the centred features, so a singular value decomposition replaces the d x d
    matrices.
    """
    features = np.asarray(features, dtype=np.float64)
    n_samples, n_features = features.shape
    centred = features - features.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    # Constant columns leave rounding errors.
    rounding = np.finfo(np.float64).eps * max(features.shape) * np.linalg.norm(features)
    spans = singular > rounding
    if not spans.any():
        return 0.0
    left, variances = left[:, spans], np.square(singular[spans]) / n_samples
    shrinkage = ledoit_wolf_shrinkage(centred, assume_centered=True)
    shrunk = (1 - shrinkage) * variances + shrinkage * variances.sum() / n_features
    members = _membership(y)
    between = np.square(members @ left) / members.sum(axis=1)[:, None]
    return float((1 - shrinkage) * (between.sum(axis=0) * variances / shrunk).sum())


def nearest_class_mean(features: NDArray[np.floating], y: NDArray[Any]) -> float:
    """Accuracy of the nearest class mean; a sample is left out of the mean of its class.

    Parameters
    ----------
    features : ndarray of float, shape (n_samples, d)
    y : ndarray, shape (n_samples,)

    Returns
    -------
    float
        Share of the samples whose Euclidean distance to the mean of the other samples of their
        class is smaller than to every other mean. The only sample of a class counts as an error,
        and so does a tie.

    Notes
    -----
    The classifier is that of Mensink et al., "Distance-based image classification: generalizing to
    new classes at near-zero cost", TPAMI 2013, without a learned metric. Leaving a sample out of a
    class of n multiplies its distance from the mean by ``n / (n - 1)``.
    """
    features = np.asarray(features, dtype=np.float64)
    members = _membership(y)
    counts = members.sum(axis=1)
    distances = cdist(features, (members @ features) / counts[:, None])
    codes, rows = members.tocoo().coords
    own = np.full(len(features), np.inf)
    others = counts[codes] - 1
    np.divide(distances[rows, codes] * counts[codes], others, out=own, where=others > 0)
    distances[rows, codes] = np.inf
    return float((own < distances[rows].min(axis=1)).mean())


def _membership(y: NDArray[Any]) -> csr_array:
    """1 if a sample belongs to a class, shape (n_classes, n_samples)."""
    classes, codes = np.unique(y, return_inverse=True)
    columns = np.arange(len(codes))
    return csr_array((np.ones(len(codes)), (codes, columns)), shape=(len(classes), len(codes)))
