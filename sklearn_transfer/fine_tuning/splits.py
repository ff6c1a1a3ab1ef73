"""Labelled samples and their stratified parts: folds, and samples that are held out.

scikit-learn's splitters refuse a class with one sample, and may hold out all samples of a class; a
fit does neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack

if TYPE_CHECKING:
    from .targets.targets import Target


class LeftOut(NamedTuple):
    """Logits of samples that were left out or held out, their targets and their weights."""

    logits: NDArray[np.floating]
    target: NDArray[Any]
    weight: NDArray[np.floating]

    @classmethod
    def of(cls, logits: NDArray[np.floating], samples: Any, rows: NDArray[np.int64]) -> Self:
        """The logits of some rows of samples."""
        return cls(logits, samples.y[rows], samples.weight[rows])


def take(X: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of a list of texts or of an array."""
    return [X[i] for i in rows.tolist()] if isinstance(X, list) else X[rows]


def join(X: Any, more: Any) -> Any:
    """Lists of texts, arrays or sparse matrices, one after the other."""
    if isinstance(X, list):
        return [*X, *more]
    return vstack([X, more], format="csr") if hasattr(X, "tocsr") else np.concatenate([X, more])


@dataclass(frozen=True)
class LabelledSamples:
    """Validated samples, their encoded targets and their weights, float64 of shape (n_samples,)."""

    X: Any
    target: Target
    weight: NDArray[np.float64]

    def take(self, rows: NDArray[Any]) -> Self:
        """The samples of a boolean mask, shape (n_samples,)."""
        chosen = np.flatnonzero(rows)
        return type(self)(take(self.X, chosen), self.target[chosen], self.weight[chosen])

    def append(self, other: LabelledSamples) -> LabelledSamples:
        """These samples and others after them."""
        target = np.concatenate([self.target, other.target])
        weight = np.concatenate([self.weight, other.weight])
        return LabelledSamples(join(self.X, other.X), target, weight)


def assign_folds(
    groups: NDArray[np.int64], keys: NDArray[np.integer], n_folds: int
) -> NDArray[np.int64]:
    """Assign stratified folds in which equal samples are together.

    Parameters
    ----------
    groups : ndarray of int64, shape (n_samples,)
        Classes, or other strata.
    keys : ndarray of int, shape (n_samples,)
        Order of the samples within a group; equal for equal samples.
    n_folds : int

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        From 0 to `n_folds` - 1; -1 where all samples of a group are equal: they always train.
    """
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    rank, n_distinct = _rank_within(groups, keys)
    return np.where(n_distinct > 1, rank % n_folds, -1)


def hold_out(
    groups: NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose samples to hold out: a share of every group, but never all of it."""
    held_out = np.zeros(len(groups), dtype=bool)
    if len(groups):
        rank, size = _rank_within(groups, generator.permutation(len(groups)))
        held_out = rank < np.minimum(np.round(fraction * size), size - 1)
    if not held_out.any():
        raise ValueError(
            f"early_stopping=True has nothing to hold out: validation_fraction={fraction} of "
            f"{len(groups)} samples in {len(np.unique(groups))} classes rounds to no sample. Give "
            f"more samples, a larger fraction, or X_val and y_val."
        )
    return held_out


def order_stratified(
    groups: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Order samples at random, so that each beginning of the order has the shares of the groups.

    Parameters
    ----------
    groups : ndarray of int64, shape (n_samples,)
    generator : numpy Generator

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        Positions; the first ones are a sample of each group.
    """
    shuffled = generator.permutation(len(groups))
    rank, size = _rank_within(groups, shuffled)
    return np.lexsort((shuffled, rank / size))


def _rank_within(
    groups: NDArray[np.int64], keys: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rank of each sample's key among the distinct keys of its group, and their number."""
    order = np.lexsort((keys, groups))
    group, key = groups[order], keys[order]
    new_group = np.append(True, group[1:] != group[:-1])
    distinct = np.cumsum(np.append(True, key[1:] != key[:-1]))
    first = distinct[new_group][np.cumsum(new_group) - 1]
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = distinct - first
    n_distinct = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    np.maximum.at(n_distinct, groups, rank + 1)
    return rank, n_distinct[groups]
