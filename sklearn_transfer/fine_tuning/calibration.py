"""Probabilities from logits: one temperature, found on logits of rows that were left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

N_FOLDS = 5
# So many left-out samples fix one number well enough.
_ENOUGH = 2000
# One number from many logits bears a solver that stops this much earlier.
_LOOSER = 3
# Steps that a solver takes from the solution for all rows to that for most of them.
_MAX_STEPS = 20


def assign_folds(keys: NDArray[np.integer], groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """Stratified folds in which equal samples are together.

    Parameters
    ----------
    keys : ndarray of int, shape (n_samples,)
        Equal for equal samples.
    groups : ndarray of int, shape (n_samples,)
        The classes.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        0 to 4; -1 for the samples of a class that has but one: left out, nothing is learned of it.
    """
    folds = np.full(len(keys), -1, dtype=np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        distinct, rank = np.unique(keys[members], return_inverse=True)
        if len(distinct) > 1:
            folds[members] = rank % N_FOLDS
    return folds


def left_out_logits(design, target, weight, *, keys, groups, solve):
    from .splits import assign_folds as af

    folds = af(groups, keys, 3)
    logits, rows = [], []
    for f in range(3):
        out = np.flatnonzero(folds == f)
        if not len(out):
            continue
        kept = np.flatnonzero(folds != f)
        s = solve(design[kept], target[kept], weight[kept])
        d = design.unseen(out)
        z = d.dense @ s.coefficients[d.sparse.shape[1] :] + s.intercept
        if d.sparse.shape[1]:
            z = z + d.sparse @ s.coefficients[: d.sparse.shape[1]]
        logits.append(z)
        rows.append(out)
    if not rows:
        return np.zeros((0, 1)), np.zeros(0, dtype=int)
    return np.concatenate(logits), np.concatenate(rows)


def fit_temperature(
    logits: NDArray[np.floating], target: NDArray[Any], weight: NDArray[np.floating]
) -> float:
    """The temperature T of ``softmax(logits / T)`` (Guo et al. 2017).

    Parameters
    ----------
    logits : ndarray, shape (n_samples, K)
        One column, or an indicator target, means the sigmoid instead.
    target : ndarray, shape (n_samples,) of class codes, or (n_samples, K), an indicator
    weight : ndarray of float, shape (n_samples,)

    Returns
    -------
    float
        Where the weighted log loss of `target` is least, between a hundredth and ten times the mean
        absolute logit; 1 where there is nothing to learn from.

    Notes
    -----
    The log loss is convex in ``1 / T``, which Newton's method finds. Targets are smoothed by
    ``1 / (n + 2)`` as Platt (1999) does, so that samples without an error give a finite one.
    """
    n = weight.sum()
    if n == 0 or not np.any(logits):
        return 1.0
    z = logits.astype(np.float64)
    independent = z.shape[1] == 1 or target.ndim == 2
    if target.ndim == 1:
        one_hot = target[:, None] == np.arange(max(2, z.shape[1]))
        goal = one_hot[:, 1:] if z.shape[1] == 1 else one_hot
    else:
        goal = target
    smoothing = 1 / (n + 2)
    floor = 0.5 if independent else 1 / z.shape[1]
    goal = goal * (1 - smoothing) + floor * smoothing
    # Logits that few samples make worse than chance must not flatten all probabilities.
    inverse = start = 1 / max(float(np.abs(z).mean()), 1e-12)
    for _ in range(100):
        if independent:
            p = expit(inverse * z)
            slope, curvature = (p - goal) * z, p * (1 - p) * z**2
        else:
            p = softmax(inverse * z, axis=1)
            slope = (p - goal) * z
            curvature = p * z**2 - p * (p * z).sum(axis=1, keepdims=True) * z
        gradient, bend = weight @ slope.sum(axis=1), weight @ curvature.sum(axis=1)
        # At most a factor of two at a time: far out the curvature vanishes.
        step = -gradient / bend if bend > 0 else -np.sign(gradient) * inverse
        moved = float(np.clip(inverse + step, inverse / 2, inverse * 2))
        moved = float(np.clip(moved, 0.1 * start, 100 * start))
        if abs(moved - inverse) <= 1e-12 * inverse:
            break
        inverse = moved
    return 1 / inverse
