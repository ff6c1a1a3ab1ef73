"""Self-training: unlabelled samples as samples of the classes that a first fit gives them.

A gate compares fits with and without them on labelled samples that are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ...text.pooling import normalize_rows
from ..fingerprints import content_keys
from ..fit import AddedSamples, Fit, Fitted
from ..protocol import Configuration
from ..splits import LabelledSamples, LeftOut, assign_folds, take
from ..targets.targets import Labels
from .unlabelled import SelfTraining, UnlabelledSamples

# Weight of an unlabelled sample, times the probability of its class; and where classes form
# clusters.
_WEIGHT, _WEIGHT_IN_CLUSTER = 0.3, 0.1
# Centroids are of the surest share of the samples of each predicted class. The new log-probability
# of a class is the sum of the old one, times `_TRUST`, and of the cosine, times `_CONCENTRATION`.
_SUREST, _TRUST, _CONCENTRATION = 0.5, 2.0, 10.0
# The similarity of labelled samples to unlabelled ones, as a quantile of that among unlabelled
# ones, is below .5 where both are drawn alike, and near 0 where they are not.
_LEAST_QUANTILE, _N_NEIGHBORS, _N_COMPARED = 0.05, 5, 2000
_N_FOLDS, _MANY_SAMPLES = 5, 2000
# Cosines are compared after rounding to so many digits; smaller differences are errors of rounding.
_N_DIGITS = 5
# The least probability whose logarithm is taken.
_SMALLEST = 1e-6


class SelfTrainer:
    """Label unlabelled samples, and decide whether a fit trains on them."""

    def __init__(self, config: Configuration, task: Labels, previous: Fitted | None = None) -> None:
        silent = replace(config.parameters, callbacks=None, checkpoint=None, verbose=0)
        self.config, self.task, self.previous = replace(config, parameters=silent), task, previous
        # Measured: where classes form clusters, unlabelled samples help unless tests say otherwise.
        self.is_likely = config.kind.forms_clusters(config)

    def run(
        self,
        samples: LabelledSamples,
        unlabelled: UnlabelledSamples,
        held_out: LabelledSamples | None = None,
    ) -> tuple[AddedSamples | None, SelfTraining]:
        """Label the unlabelled samples; None in place of them if a fit had better not use them."""
        # The decision is made on the samples that are held out or, without them, on labelled
        # samples that are left out in turn.
        n_samples = len(unlabelled.weight)
        if not n_samples:
            return None, SelfTraining(used=False, reason="no unlabelled sample")
        fit = Fit(self.config, self.task, self.previous)
        added = self._label(fit, samples, unlabelled, held_out)
        quantile = _measure_likeness(added.base, samples, unlabelled)
        if quantile < _LEAST_QUANTILE:
            reason = (
                f"the labelled samples are unlike the unlabelled ones: their similarity to them is "
                f"at the quantile {quantile:.2f}, expected at least {_LEAST_QUANTILE}"
            )
            return None, SelfTraining(used=False, n_samples=n_samples, reason=reason)
        splits = [(samples, held_out)] if held_out is not None else list(self._split(samples))
        if not splits:
            reason = "too few labelled samples to leave any out"
            chosen = SelfTraining(self.is_likely, n_samples, reason=reason)
            return (added if chosen.used else None), chosen
        tests = [self._test(train, test, unlabelled) for train, test in splits]
        place = "held-out samples" if held_out is not None else "labelled samples left out"
        chosen = self._decide(tests, place, n_samples)
        if held_out is None:
            added = replace(added, left_out=_join(tests))
        return (added if chosen.used else None), chosen

    def _label(
        self,
        fit: Fit,
        samples: LabelledSamples,
        unlabelled: UnlabelledSamples,
        held_out: LabelledSamples | None = None,
    ) -> AddedSamples:
        """The unlabelled samples with the labels that a fit on the labelled ones gives them."""
        base = fit.run(samples, held_out)
        logits = base.logits(unlabelled.X)
        if self.is_likely:
            named, _ = fit.add_samples(samples)
            probability = _move_to_centroids(
                base.features(named.X),
                self.task.membership(named.target).toarray() * named.weight[:, None],
                base.features(unlabelled.X),
                self.task.probabilities(logits),
            )
        else:
            probability = self.task.probabilities(logits / base.temperature)
        weight = _WEIGHT_IN_CLUSTER if self.is_likely else _WEIGHT
        weight = weight * probability.max(axis=1) * unlabelled.weight
        target = probability.argmax(axis=1).astype(np.int64)
        return AddedSamples(LabelledSamples(unlabelled.X, target, weight), base)

    def _split(self, samples: LabelledSamples) -> Iterator[tuple[LabelledSamples, LabelledSamples]]:
        fold = assign_folds(self.task.groups(samples.target), content_keys(samples.X), _N_FOLDS)
        used = np.unique(fold[fold >= 0])
        for number in used[:1] if len(fold) >= _MANY_SAMPLES else used:
            yield samples.take(fold != number), samples.take(fold == number)

    def _test(
        self, train: LabelledSamples, test: LabelledSamples, unlabelled: UnlabelledSamples
    ) -> Comparison:
        """Fits without and with unlabelled samples, on samples that neither was trained on."""
        fit = Fit(self.config, self.task)
        added = self._label(fit, train, unlabelled)
        logits = fit.run(train, added=added).logits(test.X)
        hits = [
            self.task.evaluate(part, test.target)[0] for part in (added.base.logits(test.X), logits)
        ]
        return Comparison(test, logits, np.stack(hits))

    def _decide(self, tests: list[Comparison], place: str, n_samples: int) -> SelfTraining:
        """Refuse unlabelled samples by the hits that are lost and gained.

        Where classes form clusters, the loss must be above one standard error. Elsewhere more hits
        must be gained than lost.
        """
        hits = np.concatenate([test.hits for test in tests], axis=1)
        weight = np.concatenate([test.samples.weight for test in tests])
        without, with_them = np.average(hits, axis=1, weights=weight).tolist()
        gains = weight * (hits[1] - hits[0])
        bar = -np.sqrt(np.square(gains).sum()) if self.is_likely else _SMALLEST
        reason = f"accuracy on {place}: {without:.3f} without them, {with_them:.3f} with them"
        scores = {"labelled": without, "all": with_them}
        return SelfTraining(bool(gains.sum() >= bar), n_samples, scores, reason)


@dataclass(frozen=True)
class Comparison:
    """Samples, their logits, and hits without and with unlabelled ones, shape (2, n_samples)."""

    samples: LabelledSamples
    logits: NDArray[np.floating]
    hits: NDArray[np.float64]


def _join(tests: list[Comparison]) -> LeftOut:
    return LeftOut(
        np.concatenate([test.logits for test in tests]),
        np.concatenate([test.samples.target for test in tests]),
        np.concatenate([test.samples.weight for test in tests]),
    )


def _move_to_centroids(
    labelled: NDArray[np.floating],
    membership: NDArray[np.float64],
    unlabelled: NDArray[np.floating],
    probability: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Revise class probabilities by the cosines to the centroids of the classes.

    One step of expectation and maximisation for directions around the centroids of classes. Further
    steps follow clusters that need not be the classes.
    """
    mean = unlabelled.mean(axis=0)
    labelled, unlabelled = normalize_rows(labelled - mean), normalize_rows(unlabelled - mean)
    centroids = membership.T @ labelled
    chosen = probability.argmax(axis=1)
    for code in range(probability.shape[1]):
        rows = np.flatnonzero(chosen == code)
        n_surest = int(np.ceil(_SUREST * len(rows)))
        surest = rows[np.argsort(-probability[rows, code], kind="stable")[:n_surest]]
        centroids[code] += unlabelled[surest].sum(axis=0)
    prior = probability.sum(axis=0) + 1
    log_probability = np.log(np.maximum(probability, _SMALLEST))
    cosine = unlabelled @ normalize_rows(centroids).T
    revised = _CONCENTRATION * cosine + _TRUST * log_probability + np.log(prior)
    return cast(NDArray[np.float64], softmax(revised, axis=1))


def _measure_likeness(
    base: Fitted, samples: LabelledSamples, unlabelled: UnlabelledSamples
) -> float:
    """Mean quantile of the labelled samples' cosines to their neighbours among unlabelled ones."""
    if not len(samples.target):
        return 1.0
    # Copies are neighbours of each other, and say nothing about the labelled samples.
    distinct = np.sort(np.unique(content_keys(unlabelled.X), return_index=True)[1])
    rows = distinct[:: -(-len(distinct) // _N_COMPARED)]
    features, labelled = base.features(take(unlabelled.X, rows)), base.features(samples.X)
    mean = (features.mean(axis=0) + labelled.mean(axis=0)) / 2
    features, labelled = normalize_rows(features - mean), normalize_rows(labelled - mean)
    n_neighbors = min(_N_NEIGHBORS, len(features) - 1)
    if n_neighbors < 1:
        return 1.0
    among = features @ features.T
    np.fill_diagonal(among, -np.inf)
    typical = np.sort(_mean_of_largest(among, n_neighbors))
    near = _mean_of_largest(labelled @ features.T, n_neighbors)
    quantile = np.mean([np.searchsorted(typical, near, side) for side in ("left", "right")], axis=0)
    return float(np.average(quantile / len(typical), weights=samples.weight))


def _mean_of_largest(values: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    largest: NDArray[np.floating] = np.partition(values, -n, axis=1)[:, -n:].mean(axis=1)
    return largest.round(_N_DIGITS)
