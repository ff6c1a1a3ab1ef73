"""Splits of samples, and training subsets of growing size."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold, check_cv

from ..fine_tuning.splits import order_stratified
from ..models.seeds import derive_seed

# Training samples, in the order in which smaller subsets take them, and test samples.
Split = tuple[NDArray[np.int64], NDArray[np.int64]]


def make_splits(
    cv: Any, X: Any, y: NDArray[Any], groups: NDArray[np.int64], seed: int
) -> list[Split]:
    """Split samples, and order training samples so that the first n are stratified for any n.

    Parameters
    ----------
    cv : int, splitter or iterable
        An int is the number of shuffled folds, which are stratified if there are several groups.
    X, y : object, ndarray
    groups : ndarray of int64, shape (n_samples,)
        Classes; all 0 if samples are not stratified.
    seed : int

    Returns
    -------
    list of (train, test)
        Positions of samples, int64.
    """
    is_stratified = bool(groups.any())
    if isinstance(cv, Integral):
        folds = StratifiedKFold if is_stratified else KFold
        splitter = folds(int(cv), shuffle=True, random_state=derive_seed(seed))
    else:
        splitter = check_cv(cv, y, classifier=is_stratified)
    splits = []
    for number, (train, test) in enumerate(splitter.split(X, groups if is_stratified else y)):
        order = order_stratified(groups[train], np.random.default_rng([seed, number]))
        splits.append((np.asarray(train)[order], np.asarray(test)))
    return splits


def resolve_sizes(train_sizes: Any, n_samples: int, n_groups: int) -> NDArray[np.int64]:
    """Convert shares or absolute numbers to distinct, ascending numbers of labels.

    Parameters
    ----------
    train_sizes : sequence of float or int
    n_samples : int
        Number of training samples of the smallest split.
    n_groups : int
        Number of classes; a share gives at least one label per class.

    Returns
    -------
    ndarray of int64, shape (n_sizes,)
    """
    sizes = {_resolve_size(size, n_samples, n_groups) for size in train_sizes}
    if not sizes:
        raise ValueError("train_sizes must hold at least one number of labels, got none.")
    return np.array(sorted(sizes), dtype=np.int64)


def _resolve_size(size: Any, n_samples: int, n_groups: int) -> int:
    is_number, is_whole = isinstance(size, Real), isinstance(size, Integral)
    if is_whole and n_groups <= int(size) <= n_samples:
        return int(size)
    if is_number and not is_whole and 0 < float(size) <= 1:
        return min(max(round(float(size) * n_samples), n_groups), n_samples)
    raise ValueError(
        f"train_sizes must be shares above 0 and up to 1.0, or whole numbers from {n_groups} (one "
        f"label of each class) to {n_samples} (the training samples of a split), got {size!r}."
    )
