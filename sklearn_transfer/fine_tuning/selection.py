"""Which policy of adaptation suits the data: decided on training samples that are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

# From so many samples on, a fifth of them decides; with fewer, all of them in turn.
_MANY_SAMPLES, _N_FOLDS = 2000, 5


@dataclass(frozen=True)
class Choice:
    """A policy of adaptation, and why it is used.

    Attributes
    ----------
    policy : str or object
    scores : dict of str to float
        For "auto", the accuracy of each candidate on samples that it was not trained on.
    reason : str
    """

    policy: Any
    scores: dict[str, float] = field(default_factory=dict)
    reason: str = "given"


def take(X: Any, rows: NDArray[np.int64]) -> Any:
    """Some of the samples of a list of texts or an array."""
    return [X[i] for i in rows.tolist()] if isinstance(X, list) else X[rows]


def choose_adaptation(
    estimator: Any,
    candidates: Sequence[str],
    labelled: tuple[Any, NDArray[Any], NDArray[np.float64]],
    validation: tuple[Any, Any],
    seed: int,
) -> Choice:
    """Fit an estimator with each policy, and compare them on samples left out.

    Parameters
    ----------
    estimator : estimator
        It is cloned.
    candidates : sequence of str
        Policies, the simplest first.
    labelled : tuple of X, y and sample weights
        Training samples: with fewer than 2,000, five folds are left out in turn; with more, one.
    validation : tuple of X and y
        Used in place of folds, unless they are None.
    seed : int
        Of the folds, and of every fit.

    Returns
    -------
    Choice
        The most accurate; among equals the one with the lower logarithmic loss.
    """
    settings = {"checkpoint": None, "callbacks": None, "verbose": 0, "random_state": seed}
    if hasattr(estimator, "distill_from"):  # the teacher has spoken
        settings["distill_from"] = None
    settings["warm_start"] = False  # what a fold has trained on, the next one tests on
    splits = list(_splits(labelled, validation, seed))
    if not splits:
        return Choice(candidates[0], reason="too few samples to leave any out")
    results: dict[str, tuple[float, float]] = {}
    for name in candidates:
        model = clone(estimator).set_params(adaptation=name, **settings)
        hits, losses, counts = 0.0, 0.0, 0.0
        for train, test in splits:
            model.fit(*train[:2], sample_weight=train[2])
            hit, loss = _judge(model, test[0], test[1])
            hits += float(hit @ test[2])
            losses += float(loss @ test[2])
            counts += float(test[2].sum())
        results[name] = hits / counts, losses / counts
    best = max(results, key=lambda name: (round(results[name][0], 12), -results[name][1]))
    parts = f"{len(splits)} folds" if len(splits) > 1 else "a fifth"
    where = "X_val" if validation[0] is not None else f"{parts} of the training samples"
    return Choice(
        best,
        {name: accuracy for name, (accuracy, _) in results.items()},
        f"most accurate on {where}: "
        + ", ".join(f"{name} {accuracy:.3f}" for name, (accuracy, _) in results.items()),
    )


def _splits(labelled: Any, validation: Any, seed: int) -> Iterator[tuple[Any, Any]]:
    X, y, weight = labelled
    if validation[0] is not None:
        yield labelled, (*validation, np.ones(len(validation[1])))
        return
    fold = _assign_folds(y, seed)
    found = np.unique(fold[fold >= 0])
    for number in found[:1] if len(y) >= _MANY_SAMPLES else found:
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        parts = ((take(X, rows), y[rows], weight[rows]) for rows in (train, test))
        yield tuple(parts)  # type: ignore[misc]


def _assign_folds(y: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """The fold of each sample, stratified; -1 for the only one of a class, which always trains."""
    group = np.zeros(len(y), dtype=int) if y.ndim == 2 else np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(group[order], kind="stable")]
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % _N_FOLDS
    fold[np.bincount(group)[group] == 1] = -1
    return fold


def _judge(model: Any, X: Any, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Whether each sample is right, and its logarithmic loss, shape (n,)."""
    y = np.asarray(y)
    probability = np.clip(model.predict_proba(X), 1e-12, 1)
    if y.ndim == 2:
        true = np.where(y == 1, probability, np.clip(1 - probability, 1e-12, 1))
        return (model.predict(X) == y).mean(axis=1), -np.log(true).mean(axis=1)
    column = {label: i for i, label in enumerate(model.classes_.tolist())}
    place = np.array([column.get(label, -1) for label in y.tolist()])
    true = np.where(place >= 0, probability[np.arange(len(y)), place], 1e-12)
    return model.predict(X) == y, -np.log(true)
