"""What do texts without labels add, when the pretrained vectors are trained further on them?

Labels a class are drawn from the training part with seeds 0, 1, ...; every model of a draw sees the
same, and the whole test part is predicted (of MR, the first of ten folds). The vectors are GloVe
50 d as they are, or ContinuedVectors(random_state=0), its other arguments the defaults, on the
draw and, as `unlabelled`, the rest of the training part: of all draws that is the same texts, so
they are trained once a set. Test texts are never among them, and nothing is chosen on the test.
Fine-tuned is FineTunedClassifier, frozen PretrainedEmbeddingTransformer(weighting="idf", norm="l2")
+ LogisticRegression. Differences are paired by draw, with 95 % intervals of Student's t.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    load_pretrained,
)

from .data import Labelled
from .measure import margin, markdown_table, progress
from .tasks import GLOVE, draw, draw_split, load_splits

PACKAGES = ("gensim", "skorch")
SETS = ("20 Newsgroups, headers kept", "20 Newsgroups, removed", "MR")
SIZES = (8, 32)


def make_frozen(vectors: PretrainedVectors) -> Any:
    features = PretrainedEmbeddingTransformer(vectors, weighting="idf", norm="l2")
    return make_pipeline(features, LogisticRegression(max_iter=1000))


MODELS = {"fine-tuned": FineTunedClassifier, "frozen": make_frozen}


def continue_on(split: Labelled) -> tuple[PretrainedVectors, float]:
    """The continued vectors, and the seconds that they took."""
    drawn = draw(split.train_labels, SIZES[0], 0)
    texts = [split.train[row] for row in drawn.tolist()]
    rest = [split.train[row] for row in np.setdiff1d(np.arange(len(split.train)), drawn).tolist()]
    start = perf_counter()
    model = ContinuedVectors(GLOVE, unlabelled=rest, random_state=0).fit(texts)
    return model.vectors_, perf_counter() - start


def measure(
    split: Labelled, size: int, sources: list[PretrainedVectors], repeats: int
) -> dict[str, tuple[NDArray[np.float64], float]]:
    """For each model the accuracies in percent, shape (n_draws, n_sources), and seconds a fit."""
    found = {}
    for name, make in MODELS.items():
        rows, seconds = [], 0.0
        for seed in range(repeats):
            part = draw_split(split, size, seed)
            row = []
            for vectors in sources:
                start = perf_counter()
                model = make(vectors).fit(part.train, part.train_labels)
                seconds += perf_counter() - start
                row.append(accuracy_score(split.test_labels, model.predict(split.test)))
            rows.append(row)
        found[name] = 100 * np.array(rows), seconds / repeats / len(sources)
        progress(f"{size} labels, {name}: {found[name][0].mean(axis=0).round(1).tolist()}")
    return found


def main(*, quick: bool = False, repeats: int = 10) -> str:
    if quick:
        repeats = min(repeats, 3)
    glove = load_pretrained(GLOVE)
    rows, costs = [], []
    splits = load_splits(quick=quick)
    for name in SETS:
        split = splits[name][0]
        progress(f"{name}: training the vectors further")
        vectors, seconds = continue_on(split)
        n_new = len(vectors) - len(glove)
        costs.append([name, f"{len(split.train):,}", f"{n_new:,}", f"{seconds:.1f}"])
        for size in SIZES:
            for model, (figures, fit) in measure(split, size, [glove, vectors], repeats).items():
                gain = figures[:, 1] - figures[:, 0]
                before, after = figures.mean(axis=0)
                won = f"{int((gain > 0).sum())} of {len(gain)}"
                gained = margin(gain)
                rows.append(
                    [name, size, model, f"{before:.1f}", f"{after:.1f}", gained, won, f"{fit:.2f}"]
                )
    header = ["set", "labels a class", "model", "GloVe", "continued", "gain", "draws won"]
    return "\n\n".join(
        [
            f"{repeats} draws; accuracy in percent, mean over the draws; seconds of a classifier's "
            f"fit on the draw, beside those of the vectors below.",
            markdown_table([*header, "seconds a fit"], rows),
            markdown_table(["set", "texts", "new words", "seconds of the vectors"], costs),
        ]
    )
