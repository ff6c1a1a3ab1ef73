"""How do the encoders of texts compare, and with what Kim 2014 has for them?

MR, ten folds, one setting for all: 100 filters of each of the widths 3, 4 and 5, 64 GRU units a
direction, dropout .5 before the head, Adam at 1e-3, batches of 50, at most 8 epochs, a tenth of the
training samples held out to stop (patience 2); words without a vector start at random;
random_state=0. Nothing was tuned. Kim trains with Adadelta, keeps the norm of the head's rows below
3, and has vectors of 300 d from 100 billion words of news.
"""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import accuracy_score

from sklearn_transfer import FineTunedClassifier, PretrainedVectors, load_pretrained

from . import N_THREADS
from .data import Labelled
from .measure import markdown_table, progress
from .sources import spacy_words
from .tasks import GLOVE, load_splits

PACKAGES = ["skorch"]
SETTINGS: dict[str, Any] = {
    "dropout": 0.5,
    "lr": 1e-3,
    "batch_size": 50,
    "max_epochs": 8,
    "early_stopping": True,
    "n_iter_no_change": 2,
    "oov": "hash",
    "optimizer": "adam",
    "random_state": 0,
}
CNN: dict[str, Any] = {"encoder": "cnn", **SETTINGS}
# Row: the vectors, the settings, what the paper has (Kim 2014, table 2, Google News, 300 d).
ROWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "CNN-rand, 300 d": ("random", CNN, "76.1"),
    "CNN-static, GloVe 50 d": ("glove", {**CNN, "adaptation": "frozen"}, "81.0"),
    "CNN-non-static, GloVe 50 d": ("glove", CNN, "81.5"),
    "CNN-static, spaCy 300 d": ("spacy", {**CNN, "adaptation": "frozen"}, "81.0"),
    "CNN-non-static, spaCy 300 d": ("spacy", CNN, "81.5"),
    "CNN-multichannel, spaCy 300 d": (
        "spacy",
        {**CNN, "encoder_params": {"multichannel": True}},
        "81.1",
    ),
    "attention, GloVe 50 d": ("glove", {"encoder": "attention", **SETTINGS}, ""),
    "attention, spaCy 300 d": ("spacy", {"encoder": "attention", **SETTINGS}, ""),
    "GRU, GloVe 50 d": ("glove", {"encoder": "rnn", **SETTINGS}, ""),
    "the default, GloVe 50 d": ("glove", {}, ""),
    "the default, GloVe 50 d and spaCy 300 d": ("both", {}, ""),
}


def words_of_folds(data: Labelled) -> list[str]:
    return sorted({word for text in [*data.train, *data.test] for word in text.split()})


def make_source(name: str, words: list[str]) -> Any:
    if name == "random":  # Kim: uniform, with about the variance of pretrained vectors
        table = np.random.default_rng(0).uniform(-0.25, 0.25, (len(words), 300))
        return PretrainedVectors(words, table.astype(np.float32))
    sources = {"glove": lambda: load_pretrained(GLOVE), "spacy": lambda: spacy_words(set(words))}
    if name == "both":
        return [make() for make in sources.values()]
    return sources[name]()


def fit_one(row: str, data: Labelled, n_threads: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(n_threads)
    source, settings, _ = ROWS[row]
    # MR comes with its words set apart by spaces.
    model = FineTunedClassifier(
        make_source(source, words_of_folds(data)), tokenizer=str.split, lowercase=False, **settings
    )
    start = perf_counter()
    model.fit(data.train, data.train_labels)
    fit = perf_counter() - start
    accuracy = accuracy_score(data.test_labels, model.predict(data.test))
    epoch = statistics.median(model.history_[:, "dur"])
    return {"accuracy": float(accuracy), "fit": fit, "epoch": epoch, "epochs": model.n_iter_}


def _accuracies(folds: list[Labelled]) -> str:
    jobs = [(row, fold) for row in ROWS for fold in range(len(folds))]
    progress(f"{len(jobs)} fits, two at a time")
    # Each fit has one thread: two at a time take what one with two threads leaves idle.
    results = Parallel(n_jobs=N_THREADS)(
        delayed(fit_one)(row, folds[fold], 1) for row, fold in jobs
    )
    lines = []
    for row, (_, _, paper) in ROWS.items():
        mine = [result for (name, _), result in zip(jobs, results, strict=True) if name == row]
        scores = 100 * np.array([result["accuracy"] for result in mine])
        error = scores.std(ddof=1) / len(scores) ** 0.5
        epochs = statistics.median(result["epochs"] for result in mine)
        lines.append([row, f"{scores.mean():.1f}", f"{error:.1f}", paper, f"{epochs:.0f}"])
    header = ["MR, ten folds", "accuracy", "standard error", "Kim 2014", "epochs"]
    return markdown_table(header, lines)


def main(*, quick: bool = False) -> str:
    return _accuracies(load_splits(quick=quick)["MR"])
