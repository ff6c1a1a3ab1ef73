"""What does each part of the default model add?

Splits inside the training parts alone: 80 to 20, stratified, seeds 0, 1, ...; of MR the training
part of its first fold. Each row changes one thing of FineTunedClassifier("glove-wiki-gigaword-50");
calibrate=False throughout, which leaves predictions as they are. Points of accuracy relative to the
default on the same splits: the mean over seeds and the four sets, and the mean of each set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.text import weights

from .data import Labelled
from .measure import markdown_table, progress
from .tasks import GLOVE, draw_split, load_splits

PACKAGES = ("skorch",)
_DEFAULT = "default"
_NO_SCALE = "no supervised scale"
CHANGES: dict[str, dict[str, Any]] = {
    _DEFAULT: {},
    "no pretrained part": {"pretrained_scale": 0},
    "pretrained_scale 0.4 always": {"pretrained_scale": 0.4},
    "pretrained_scale 1 always": {"pretrained_scale": 1},
    "no offsets of tokens (frozen)": {"adaptation": "frozen"},
    "no bigrams": {"ngram_range": (1, 1)},
    "no characters": {"char_ngram_range": None},
    "characters always": {"char_ngram_range": (2, 4)},
    _NO_SCALE: {},
    "l2_sp=0.5": {"l2_sp": 0.5},
    "l2_sp=2": {"l2_sp": 2},
    "weighting=None": {"weighting": None},
    "weighting='sif'": {"weighting": "sif"},
    "words only, no punctuation": {"token_pattern": r"(?u)\b\w+\b"},
    "cross-entropy": {"criterion": "cross_entropy"},
}


@contextmanager
def _supervised_scale(on: bool) -> Iterator[None]:
    """There is no parameter for it: switched off, the least that it leaves of a column is all."""
    before = weights._LEAST_SCALE
    weights._LEAST_SCALE = before if on else 1.0
    try:
        yield
    finally:
        weights._LEAST_SCALE = before


def hold_out(split: Labelled, seed: int) -> Labelled:
    """A fifth of the training part in place of the test part."""
    train, test, train_labels, test_labels = train_test_split(
        split.train,
        split.train_labels,
        test_size=0.2,
        stratify=split.train_labels,
        random_state=seed,
    )
    return Labelled(train, train_labels, test, test_labels, split.source)


def accuracy(name: str, split: Labelled) -> float:
    model = FineTunedClassifier(GLOVE, calibrate=False, **CHANGES[name])
    with _supervised_scale(name != _NO_SCALE):
        model.fit(split.train, split.train_labels)
        return 100 * float(accuracy_score(split.test_labels, model.predict(split.test)))


def main(*, quick: bool = False, repeats: int = 3) -> str:
    seeds = range(1 if quick else repeats)
    sets = load_splits(quick=quick)
    sections = []
    for labels, size in (("All labels", None), ("32 labels a class", 32)):
        means: dict[str, list[float]] = {name: [] for name in CHANGES}
        for set_name, splits in sets.items():
            progress(f"{labels}: {set_name}")
            parts = [draw_split(hold_out(splits[0], seed), size, seed) for seed in seeds]
            for name in CHANGES:
                means[name].append(float(np.mean([accuracy(name, part) for part in parts])))
        base = np.array(means[_DEFAULT])
        rows = [[_DEFAULT, f"{base.mean():.1f}", *(f"{value:.1f}" for value in base)]]
        for name, values in means.items():
            if name != _DEFAULT:
                gain = np.array(values) - base
                rows.append([name, f"{gain.mean():+.2f}", *(f"{value:+.2f}" for value in gain)])
        sections.append(f"### {labels}\n\n{markdown_table(['', 'mean', *sets], rows)}")
    return "\n\n".join([f"Seeds: {', '.join(map(str, seeds))}.", *sections])
