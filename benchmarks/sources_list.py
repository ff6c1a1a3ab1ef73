"""Does a list of sources keep the accuracy of its best member?

`FineTunedClassifier(["glove-wiki-gigaword-50", all-MiniLM-L6-v2])` with the defaults, next to its
members: the vectors alone, and the encoder alone with adaptation="frozen". Six sets in English, 8
labels per class (five draws, seeds 0 to 4) and all labels (one fit). Training texts are at most
2,000 (1,500 of R8 and 20 Newsgroups without headers), test texts 800 (600), drawn with seed 0;
`--full` takes all of them. The encoder reads 128 tokens, and its features are kept on disk.
Accuracy in percent; differences are paired by draw, with 95 % intervals of Student's t.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_transfer import ContextualModel, FineTunedClassifier

from .data import (
    Labelled,
    load_20newsgroups,
    load_intents,
    load_mr,
    load_questions,
    load_r8,
    load_tweets,
)
from .measure import margin, markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE, draw_split, take

PACKAGES = ("sentence-transformers", "transformers")
SETS: dict[str, Callable[[], Labelled]] = {
    "trec6": load_questions,
    "banking77": load_intents,
    "mr": load_mr,
    "election_tweets2016": load_tweets,
    "r8": load_r8,
    "20newsgroups": lambda: load_20newsgroups(headers=False),
}
N_TEXTS, N_LONG = (2000, 800), (1500, 600)
LONG = {"r8", "20newsgroups"}
N_DRAWS, TOLERANCE = 5, 0.3


def some_texts(data: Labelled, sizes: tuple[int, int]) -> Labelled:
    rng = np.random.default_rng(0)
    train, test = (
        rng.permutation(len(texts))[:size]
        for texts, size in zip((data.train, data.test), sizes, strict=True)
    )
    return Labelled(
        take(data.train, train),
        take(data.train_labels, train),
        take(data.test, test),
        take(data.test_labels, test),
        data.source,
    )


def measure(data: Labelled, encoder: ContextualModel, size: int | None) -> NDArray[np.float64]:
    """Accuracy of the vectors, of the encoder and of both, shape (n_draws, 3)."""
    models: list[dict[str, Any]] = [
        {"pretrained": GLOVE},
        {"pretrained": encoder, "adaptation": "frozen"},
        {"pretrained": [GLOVE, encoder]},
    ]
    rows = []
    for seed in range(1 if size is None else N_DRAWS):
        part = draw_split(data, size, seed)
        fitted = [FineTunedClassifier(**m).fit(part.train, part.train_labels) for m in models]
        rows.append([100 * m.score(part.test, part.test_labels) for m in fitted])
    return np.array(rows)


def main(*, quick: bool = False, full: bool = False) -> str:
    encoder = ContextualModel(minilm_folder(), max_tokens=128, cache="disk")
    rows, n_kept, n_cells = [], 0, 0
    for name in list(SETS)[:2] if quick else SETS:
        data = SETS[name]()
        if not full:
            data = some_texts(data, (300, 200) if quick else N_LONG if name in LONG else N_TEXTS)
        progress(f"{name}: encoding")
        encoder.encode([*data.train, *data.test])
        for size in (8, None):
            start = time.perf_counter()
            figures = measure(data, encoder, size)
            seconds = time.perf_counter() - start
            means = figures.mean(axis=0)
            gain = figures[:, 2] - figures[:, means[:2].argmax()]
            n_kept, n_cells = n_kept + (gain.mean() >= -TOLERANCE), n_cells + 1
            labels = size or f"all ({len(data.train):,})"
            each = [f"{mean:.1f}" for mean in means]
            rows.append([name, labels, *each, margin(gain), f"{seconds / len(figures):.1f}"])
            progress(f"{name}, {size or 'all'}: {means.round(1).tolist()}")
    header = ["set", "labels per class", "vectors", "encoder", "list", "list - best member"]
    header.append("seconds of the three fits")
    return "\n\n".join(
        [
            markdown_table(header, rows),
            f"{n_kept} of {n_cells} cells are at most {TOLERANCE} points below the best member.",
        ]
    )
