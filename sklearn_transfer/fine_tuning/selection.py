"""``adaptation="auto"``: policies compared on training samples that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._utils.progress import progress_bar
from ..training.policies import Choice
from .fit import Fit
from .protocol import Configuration
from .splits import LabelledSamples, assign_folds
from .targets.targets import Task

# With fewer samples, the noise of a comparison is larger than what the usual policy of the kind may
# lose.
_FEW_SAMPLES = 200
# Folds are left out in turn, until they hold `_LEFT_OUT` samples.
_N_FOLDS, _LEFT_OUT = 5, 400


def select_policy(
    candidates: Sequence[tuple[Any, Configuration]],
    task: Task,
    samples: LabelledSamples,
    validation: LabelledSamples | None,
) -> tuple[Choice, Configuration]:
    """Fit each policy, the simplest first, on parts of the samples, and compare on the rest."""
    # The rest are the validation samples or, without them, folds in turn. Among policies with equal
    # scores the one with the lower loss is chosen.
    first, config = candidates[0]
    if len(candidates) == 1:
        given = config.parameters.adaptation == first
        return Choice(first, reason="given" if given else "the only policy for X"), config
    usual = config.kind.few_labels_policy(task)
    n_samples = len(samples.target)
    for name, config_of_candidate in candidates:
        if name == usual and validation is None and 0 < n_samples < _FEW_SAMPLES:
            reason = f"{n_samples} samples are too few to compare policies"
            return Choice(name, reason=reason), config_of_candidate
    splits, place = _split(task, samples, validation, config.seed)
    if not splits:
        reason = "too few samples to leave any out" if n_samples else "no labelled sample"
        return Choice(first, reason=reason), config
    results = []
    verbose = config.parameters.verbose
    with progress_bar(len(candidates), "candidates", verbose=verbose) as bar:
        for _, config_of_candidate in candidates:
            results.append(_evaluate(config_of_candidate, task, splits))
            bar.update()
    best = max(range(len(results)), key=lambda i: (round(results[i][0], 12), -results[i][1]))
    scores = {name: score for (name, _), (score, _) in zip(candidates, results, strict=True)}
    reason = f"best on {place}: " + ", ".join(f"{n} {score:.3f}" for n, score in scores.items())
    return Choice(candidates[best][0], scores, reason), candidates[best][1]


def _split(
    task: Task, samples: LabelledSamples, validation: LabelledSamples | None, seed: int
) -> tuple[list[tuple[LabelledSamples, LabelledSamples]], str]:
    """Pairs of samples to train on and to compare on, and a name of the latter."""
    if validation is not None:
        return [(samples, validation)], "X_val"
    shuffled = np.random.default_rng(seed).permutation(len(samples.target))
    fold = assign_folds(task.groups(samples.target), shuffled, _N_FOLDS)
    sizes = np.bincount(fold[fold >= 0])  # with few samples of each class, of fewer folds
    n_folds = len(sizes)
    n_used = min(n_folds, int(np.searchsorted(np.cumsum(sizes), _LEFT_OUT)) + 1)
    splits = [(samples.take(fold != k), samples.take(fold == k)) for k in range(n_used)]
    count = f"{n_used} folds" if n_used == n_folds else f"{n_used} of {n_folds} folds"
    return splits, f"{count} of the training samples"


def _evaluate(
    config: Configuration, task: Task, splits: list[tuple[LabelledSamples, LabelledSamples]]
) -> tuple[float, float]:
    """Weighted mean score and loss over all left-out samples."""
    silent = replace(config.parameters, callbacks=None, checkpoint=None, verbose=0)
    config = replace(config, parameters=silent)
    totals = np.zeros(3)
    for train, test in splits:
        fitted = Fit(config, task).run(train)
        logits = fitted.logits(test.X) / fitted.temperature
        score, loss = task.evaluate(logits, test.target)
        totals += test.weight @ score, test.weight @ loss, test.weight.sum()
    return float(totals[0] / totals[2]), float(totals[1] / totals[2])
