"""``adaptation="auto"``: policies compared on training samples that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.progress import progress_bar
from ..training.policies import Choice
from .fit import Fit
from .protocol import Configuration
from .splits import LabelledSamples, assign_folds
from .targets.targets import Task

# With fewer samples, the noise of a comparison is larger than what the usual policy of the kind may
# lose. With more, it stays unless another is better by more than a standard error.
_FEW_SAMPLES = 200
# Folds are left out in turn, until they hold `_LEFT_OUT` samples.
_N_FOLDS, _LEFT_OUT = 5, 400
_TINY = 1e-9


def select_policy(
    candidates: Sequence[tuple[Any, Configuration]],
    task: Task,
    samples: LabelledSamples,
    validation: LabelledSamples | None,
) -> tuple[Choice, Configuration]:
    """Fit each policy, the simplest first, on parts of the samples, and compare on the rest."""
    # The rest are the validation samples or, without them, folds in turn. Among policies with equal
    # scores the one with the lower loss is best.
    first, config = candidates[0]
    if len(candidates) == 1:
        given = config.parameters.adaptation == first
        return Choice(first, reason="given" if given else "the only policy for X"), config
    configs = dict(candidates)
    n_samples = len(samples.target)
    usual = config.kind.usual_policy(task) if n_samples else None
    default = usual if usual in configs else first
    if default == usual and validation is None and n_samples < _FEW_SAMPLES:
        reason = f"{n_samples} samples are too few to compare policies"
        return Choice(usual, reason=reason), configs[usual]
    splits, place = _split(task, samples, validation, config.seed)
    if not splits:
        reason = "too few samples to leave any out" if n_samples else "no labelled sample"
        return Choice(default, reason=reason), configs[default]
    results: dict[Any, _LeftOutScores] = {}
    verbose = config.parameters.verbose
    with progress_bar(len(candidates), "candidates", verbose=verbose) as bar:
        for name, config_of_candidate in candidates:
            results[name] = _evaluate(config_of_candidate, task, splits)
            bar.update()
    better = list(results)
    if usual in configs:
        better = [name for name in results if results[name].is_above(results[usual])] or [usual]
    chosen = max(better, key=lambda name: results[name].rank)
    how = "best"
    if results[chosen].mean < max(result.mean for result in results.values()):
        how = "better by a standard error than the usual policy,"
        if chosen == usual:
            how = "usual for the model, and no other is better by a standard error,"
    scores = {name: result.mean for name, result in results.items()}
    listed = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    return Choice(chosen, scores, f"{how} on {place}: {listed}"), configs[chosen]


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


@dataclass(frozen=True)
class _LeftOutScores:
    """Scores, losses and weights of left-out samples."""

    score: NDArray[np.float64]
    loss: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Rounded, so that equal numbers of hits are equal."""
        return round(float(np.average(self.score, weights=self.weight)), 12)

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better."""
        return self.mean, -float(np.average(self.loss, weights=self.weight))

    def is_above(self, other: _LeftOutScores) -> bool:
        """True if the mean of the paired differences is more than its standard error."""
        share = self.weight / self.weight.sum()
        repeated = np.square(share).sum()  # 1 / n for n samples of equal weight
        if repeated >= 1 - _TINY:  # one sample
            return False
        gain = self.score - other.score
        mean = share @ gain
        error = np.sqrt(np.square(share * (gain - mean)).sum() / (1 - repeated))
        # The only difference of n samples is as large as its standard error.
        return bool(mean > (1 + _TINY) * error)


def _evaluate(
    config: Configuration, task: Task, splits: list[tuple[LabelledSamples, LabelledSamples]]
) -> _LeftOutScores:
    silent = replace(config.parameters, callbacks=None, checkpoint=None, verbose=0)
    config = replace(config, parameters=silent)
    parts = []
    for train, test in splits:
        fitted = Fit(config, task).run(train)
        logits = fitted.logits(test.X) / fitted.temperature
        parts.append((*task.evaluate(logits, test.target), test.weight))
    return _LeftOutScores(*map(np.concatenate, zip(*parts, strict=True)))
