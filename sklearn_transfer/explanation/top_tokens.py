"""The tokens that speak most for each target, in texts of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from .explain import ExplainedTask
from .methods.explainer import Explainer


def rank_tokens(
    explainer: Explainer, task: ExplainedTask, target: Any, n: int
) -> dict[Any, list[tuple[str, float]]]:
    """Rank the tokens of the training texts; see `FineTunedClassifier.top_tokens`.

    Parameters
    ----------
    explainer : Explainer
    task : ExplainedTask
    target, n : object, int

    Returns
    -------
    dict of object to list of tuple
    """
    if n < 1:
        raise ValueError(f"n must be a positive number of tokens, got {n!r}.")
    no_logits = np.zeros((1, task.n_outputs))
    targets = task.choose_targets(no_logits, "all" if target is None else target)
    candidates = explainer.weigh_tokens(targets.outputs[0])
    weights = candidates.weights * targets.factors
    ranked = {}
    for label, column in zip(targets.labels[0].tolist(), weights.T, strict=True):
        order = np.abs(column) if task.has_signs else column
        best = np.argpartition(-order, min(n, len(order) - 1))[:n]
        best = best[np.argsort(-order[best], kind="stable")]
        ranked[label] = [(candidates.name(i), float(column[i])) for i in best.tolist()]
    return ranked
