"""One explanation: from validated samples to contributions in the units of their targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .explanation import Explanation
from .methods.explainer import Explainer
from .targets import ExplainedTargets


class ExplainedTask(Protocol):
    """A task that names the targets of an explanation.

    Attributes
    ----------
    n_outputs : int
    has_signs : bool
        True if low outputs mean as much as high ones.
    """

    n_outputs: int
    has_signs: bool

    def choose_targets(self, logits: NDArray[np.floating], target: Any) -> ExplainedTargets:
        """The outputs that are explained for each text, and their units."""


def explain(  # noqa: PLR0913 (those of the estimator, and what it has learned)
    explainer: Explainer,
    task: ExplainedTask,
    X: Any,
    target: Any,
    method: str,
    *,
    names: NDArray[Any] | None = None,
) -> Explanation:
    """Explain the outputs of a model.

    Parameters
    ----------
    explainer : Explainer
    task : ExplainedTask
    X : object
        Validated samples.
    target, method : object, str
        See `FineTunedClassifier.explain`.
    names : ndarray of str, default=None
        Names of given features.

    Returns
    -------
    Explanation
    """
    logits = explainer.logits(X)
    targets = task.choose_targets(logits, target)
    found = explainer.attribute(X, targets.outputs, method)
    placed = found.placed if names is None else replace(found.placed, tokens=list(names))
    text = placed.token_ids.text_index
    chosen = np.take_along_axis(logits.astype(np.float64), targets.outputs, axis=1)
    return Explanation(
        placed.texts,
        np.array([*placed.tokens, ""], dtype=object)[placed.token_ids.ids],
        placed.token_ids.offsets,
        placed.start,
        placed.end,
        found.contributions * targets.factors[text],
        targets.labels,
        chosen * targets.factors + targets.shifts,
        found.baseline * targets.factors + targets.shifts,
        found.method,
    )
