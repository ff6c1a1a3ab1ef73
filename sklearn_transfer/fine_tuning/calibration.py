"""Probabilities from logits: one temperature, found on logits of rows that were left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor

from ..training.optimizers import LinearProblem, Path

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


def cross_fit(
    problem: LinearProblem, solved: Path, folds: NDArray[np.int64], weight: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.int64], tuple[Tensor, ...]]]:
    """Models that have not seen some of the samples.

    Each starts from the solution for all samples, less what those that it leaves out added to it,
    so that it is a few steps from its own.

    Parameters
    ----------
    problem : LinearProblem
    solved : Path
        At the solution.
    folds : ndarray of int64, shape (n_samples,)
        See :func:`assign_folds`.
    weight : ndarray of float, shape (n_samples,)
        Folds are used until the samples left out weigh 2000.

    Yields
    ------
    left_out : ndarray of int64, shape (n_left_out,)
    params : tuple of Tensor
        The parameters of the model for the other samples.
    """
    total = 0.0
    for fold in range(N_FOLDS):
        left_out = np.flatnonzero(folds == fold)
        if not len(left_out) or total >= _ENOUGH:
            continue
        kept = torch.ones(problem.n_samples, 1, dtype=solved.logits.dtype)
        kept[left_out] = 0
        kept = kept.to(solved.logits.device)

        def loss(z: Tensor, kept: Tensor = kept) -> Tensor:
            return problem.loss(z) * kept

        similar = replace(problem, loss=loss, tolerance=_LOOSER * problem.tolerance)
        path = solved.restart(similar, kept)
        for _ in range(_MAX_STEPS):
            if path.advance()[1]:
                break
        yield left_out, path.params()
        total += weight[left_out].sum()


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
