"""What does "auto" lose against the best policy, and what are the scores of rank_pretrained worth?

Accuracies in percent on the test part; seeds 0, 1, ... draw the labels and train. Everything is at
its default but for `lr` (1e-3) and `max_epochs` (20), the same in every cell.

- Regret: the best fixed policy of the cell, by its mean on the test part, less "auto", which sees
  the training labels alone. Digits: the net of `images`, pretrained on 0 to 4, learns 5 to 9.
  Texts: GloVe 50 d under an encoder.
- Ranking: Spearman's correlation, over the candidates, of each score on the labelled training
  samples with the accuracy of the fine-tuned model. Nets for digits: of other shapes, other or no
  pretraining. Vectors for texts: GloVe, GloVe cut to 10 and to 25 columns, spaCy's, WordLlama's,
  random ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedVectors,
    load_pretrained,
    rank_pretrained,
)

from .data import Labelled
from .images import load_digits_task, make_net
from .measure import markdown_table, progress
from .sources import spacy_words, wordllama_words
from .tasks import GLOVE, draw_split, load_splits, words_of
from .transfer import SmallCNN, make_seeded, pretrain

PACKAGES = ["skorch"]
SETTINGS: dict[str, Any] = {"lr": 1e-3, "max_epochs": 20}
POLICIES = ["frozen", "lp-ft", "gradual", "full"]
SCORES = ["logme", "h_score", "nearest_class_mean"]
# Set, encoder, labels a class.
TEXT_CELLS = [
    ("MR", "cnn", 16),
    ("MR", "cnn", 128),
    ("R8", "attention", 8),
    ("R8", "attention", 32),
    ("20 Newsgroups, removed", "mean", 8),
    ("20 Newsgroups, removed", "mean", 32),
]

# A labelled sample and a test: X, y, X of the test, y of the test.
_Draw = tuple[Any, Any, Any, Any]


def _digits(size: int, seed: int) -> _Draw:
    task = load_digits_task()
    train, test = task.split(size, seed)
    return task.new[train], task.new_labels[train], task.new[test], task.new_labels[test]


def _texts(split: Labelled, size: int, seed: int) -> _Draw:
    drawn = draw_split(split, size, seed)
    return drawn.train, drawn.train_labels, drawn.test, drawn.test_labels


def _score(model: Any, data: _Draw) -> float:
    return 100 * float(model.fit(data[0], data[1]).score(data[2], data[3]))


def _regret(name: str, pretrained: Any, encoder: str, draws: list[_Draw]) -> list[str]:
    linear = encoder == "mean" and isinstance(pretrained, str)
    policies = ["frozen", "full"] if linear else POLICIES
    found: dict[str, list[float]] = {policy: [] for policy in [*policies, "auto"]}
    chosen = []
    for seed, data in enumerate(draws):
        for policy, scores in found.items():
            progress(f"{name}: draw {seed + 1}, {policy}")
            model = FineTunedClassifier(
                pretrained, encoder=encoder, adaptation=policy, random_state=seed, **SETTINGS
            )
            scores.append(_score(model, data))
        chosen.append(model.adaptation_.policy)
    means = {policy: float(np.mean(scores)) for policy, scores in found.items()}
    fixed = {policy: means[policy] for policy in policies}
    best, worst = max(fixed, key=fixed.__getitem__), min(fixed, key=fixed.__getitem__)
    return [
        name,
        f"{best} {fixed[best]:.1f}",
        f"{worst} {fixed[worst]:.1f}",
        f"{means['auto']:.1f}",
        f"{fixed[best] - means['auto']:+.1f}",
        f"{means['auto'] - fixed[worst]:+.1f}",
        ", ".join(chosen),
    ]


def _regrets(splits: dict[str, list[Labelled]], repeats: int, quick: bool) -> str:
    task = load_digits_task()
    net = pretrain(make_seeded(make_net, 0), task.known, task.known_labels, n_epochs=8, seed=0)
    rows = [
        _regret(f"digits, {size}", net, "mean", [_digits(size, seed) for seed in range(repeats)])
        for size in ([2] if quick else [2, 10])
    ]
    for name, encoder, size in TEXT_CELLS[:1] if quick else TEXT_CELLS:
        draws = [_texts(splits[name][0], size, seed) for seed in range(repeats)]
        rows.append(_regret(f"{name}, {encoder}, {size}", GLOVE, encoder, draws))
    cells = np.array([[float(row[4]), float(row[5])] for row in rows]).mean(axis=0)
    rows.append(["mean", "", "", "", f"{cells[0]:+.1f}", f"{cells[1]:+.1f}", ""])
    header = ["cell: labels a class", "best", "worst", "auto", "regret", "over worst", "chosen"]
    return markdown_table(header, rows)


def _nets() -> dict[str, Any]:
    task = load_digits_task()
    some = np.isin(task.known_labels, [0, 1])
    shapes = {
        "pretrained on 0 to 4": (make_net, slice(None), 8),
        "pretrained, 1 epoch": (make_net, slice(None), 1),
        "pretrained on 0 and 1": (make_net, some, 8),
        "not pretrained": (make_net, some, 0),
        "pretrained, grid 2 x 2": (lambda: SmallCNN((2, 2)), slice(None), 8),
        "pretrained, grid 1 x 1": (lambda: SmallCNN((1, 1)), slice(None), 8),
        "not pretrained, grid 1 x 1": (lambda: SmallCNN((1, 1)), some, 0),
    }
    return {
        name: pretrain(
            make_seeded(make, 0), task.known[rows], task.known_labels[rows], n_epochs=n, seed=0
        )
        for name, (make, rows, n) in shapes.items()
    }


def _vectors(texts: list[str]) -> dict[str, Any]:
    glove, words = load_pretrained(GLOVE), words_of(texts)
    known = sorted(word for word in words if word in glove)
    table = glove[known]
    noise = np.random.default_rng(0).normal(size=(len(known), 50)).astype(np.float32)
    return {
        "GloVe 50 d": glove,
        "GloVe, 25 columns": PretrainedVectors(known, table[:, :25].copy()),
        "GloVe, 10 columns": PretrainedVectors(known, table[:, :10].copy()),
        "random, 50 d": PretrainedVectors(known, noise),
        "spaCy 300 d": spacy_words(words),
        "WordLlama 256 d": wordllama_words(),
    }


def _ranking(name: str, candidates: dict[str, Any], draws: list[_Draw]) -> list[list[str]]:
    """Spearman's correlation of each score with the accuracy of "full"."""
    scores: dict[str, list[float]] = {candidate: [] for candidate in candidates}
    table: dict[str, list[list[float]]] = {candidate: [] for candidate in candidates}
    for seed, data in enumerate(draws):
        progress(f"ranking, {name}: draw {seed + 1}")
        for row in rank_pretrained(candidates, data[0], data[1]):
            table[row.name].append([getattr(row, score) for score in SCORES])
        for candidate, pretrained in candidates.items():
            model = FineTunedClassifier(pretrained, random_state=seed, **SETTINGS)
            scores[candidate].append(_score(model, data))
    accuracy = [float(np.mean(scores[candidate])) for candidate in candidates]
    columns = np.array([np.mean(table[candidate], axis=0) for candidate in candidates]).T
    found = [f"{spearmanr(column, accuracy).statistic:+.2f}" for column in columns]
    span = f"{min(accuracy):.1f} to {max(accuracy):.1f}"
    return [[name, str(len(candidates)), span, *found]]


def main(*, quick: bool = False, repeats: int = 3) -> str:
    repeats = 1 if quick else repeats
    splits = load_splits(quick=quick)
    regrets = _regrets(splits, repeats, quick)
    rows = _ranking("digits, 10", _nets(), [_digits(10, seed) for seed in range(repeats)])
    for name, size in (("MR", 128), ("20 Newsgroups, removed", 8)):
        split = splits[name][0]
        candidates = _vectors([*split.train, *split.test])
        rows += _ranking(
            f"{name}, {size}", candidates, [_texts(split, size, seed) for seed in range(repeats)]
        )
    header = ["task: labels a class", "candidates", "accuracies", "LogME", "H-score"]
    return (
        f"{repeats} draws.\n\n{regrets}\n\n{markdown_table([*header, 'nearest class mean'], rows)}"
    )
