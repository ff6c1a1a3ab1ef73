"""Which n-grams, norms and scale suit characters as tokens?

All figures are of training texts: the official training part, or of sets without one a half. Two of
five folds of it, StratifiedKFold(5, shuffle=True, random_state=2), and draws of 8 labels a class
with seeds 0, 1, ..., whose last third is the test. Accuracy in percent of LinearSVC(C=1) on columns
that are built here, with the weights of the package. A row changes one part of the default. Vectors
are those of Chinese characters (Tencent AI Lab, 200 d), or of letters in GloVe 50 d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from sklearn_transfer import PretrainedVectors, load_pretrained
from sklearn_transfer.text.ngrams import document_frequency
from sklearn_transfer.text.pooling import idf
from sklearn_transfer.text.weights import supervised_scale

from .data import find_shared, read_jsonl
from .measure import markdown_table, progress
from .tasks import CHARACTER_RIVALS, GLOVE, QUICK, draw, find_character_vectors, make_rival

PACKAGES = ()
SETS = ("waimai10k", "mr", "election_tweets2016", "trec6", "banking77")
MANY = 1000  # texts, from which on n-grams must occur in two


@dataclass(frozen=True)
class Columns:
    """Lengths of n-grams, their norms (None: one block of norm 1), and the other settings."""

    longest: int = 4
    norms: tuple[float, ...] | None = None
    scale: float = 0.25
    is_scaled: bool = True
    keeps_rare: bool = False


DEFAULT = Columns()
ROWS = {
    "default: one block, 1 to 4, scale 0.25": DEFAULT,
    "blocks of words: 1 and 0.7, 1 to 2": Columns(longest=2, norms=(1, 0.7)),
    "blocks of words, 1 to 4": Columns(norms=(1, 0.7, 0.7, 0.7)),
    "1 to 3": Columns(longest=3),
    "1 to 5": Columns(longest=5),
    "no vectors": Columns(scale=0),
    "scale 0.5": Columns(scale=0.5),
    "scale 1": Columns(scale=1),
    "no supervised scale": Columns(is_scaled=False),
    "n-grams of one text": Columns(keeps_rare=True),
    "both": Columns(is_scaled=False, keeps_rare=True),
}


@dataclass(frozen=True)
class Task:
    """Training and test texts, their labels, and vectors."""

    train: list[str]
    y: NDArray[Any]
    test: list[str]
    y_test: NDArray[Any]
    vectors: PretrainedVectors

    def score(self, columns: Columns) -> float:
        has_rare = columns.keeps_rare or len(self.train) <= MANY
        blocks = [self._count(n, columns, has_rare) for n in range(1, columns.longest + 1)]
        parts = []
        for i, dense in enumerate(self._pool()):
            rows = [block[i] for block in blocks]
            if columns.norms is None:
                sparse = normalize(hstack(rows, format="csr"))
            else:
                pairs = zip(rows, columns.norms, strict=True)
                sparse = hstack([norm * normalize(row) for row, norm in pairs], format="csr")
            parts.append(hstack([sparse, csr_array(columns.scale * dense)], format="csr"))
        model = LinearSVC(C=1, random_state=0, tol=1e-2).fit(parts[0], self.y)
        return 100 * float(model.score(parts[1], self.y_test))

    def _count(self, n: int, columns: Columns, has_rare: bool) -> tuple[csr_array, csr_array]:
        counter = CountVectorizer(
            analyzer="char",
            ngram_range=(n, n),
            min_df=1 if has_rare or n == 1 else 2,
            dtype=np.float32,
        )
        train = csr_array(counter.fit_transform(self.train))
        test = csr_array(counter.transform(self.test))
        weight = idf(document_frequency(train), float(len(self.train)))
        if columns.is_scaled:
            membership = csr_array((self.y[:, None] == np.unique(self.y)).astype(np.float32))
            weight = weight * supervised_scale(train, membership, np.ones(len(self.train)))
        for counts in (train, test):
            counts.data = (1 + np.log(counts.data)) * weight[counts.indices]
        return train, test

    def _pool(self) -> list[NDArray[np.float32]]:
        rows = self._count(1, replace(DEFAULT, is_scaled=False), has_rare=True)
        counter = CountVectorizer(analyzer="char").fit(self.train)
        position, found = self.vectors.look_up(list(counter.get_feature_names_out()))
        zeros = np.zeros((1, self.vectors.dim), dtype=np.float32)
        pooled = [normalize(row @ np.concatenate([found, zeros])[position]) for row in rows]
        return [normalize(block - pooled[0].mean(axis=0)) for block in pooled]


def read(name: str) -> tuple[list[str], NDArray[Any]]:
    """The training part, or a half, shuffled."""
    rows = list(read_jsonl(find_shared(name)))
    train = [row for row in rows if row["split"] == "train"]
    order = np.random.default_rng(0).permutation(len(train or rows))
    if not train:
        train, order = rows, order[: len(rows) // 2]
    chosen = [train[i] for i in order.tolist()]
    return [row["text"] for row in chosen], np.array([row["label"] for row in chosen])


def fold_tasks(name: str, limit: int | None) -> list[Task]:
    texts, y = read(name)
    texts, y = texts[:limit], y[:limit]
    folds = StratifiedKFold(5, shuffle=True, random_state=2).split(texts, y)
    pairs = [pair for pair, _ in zip(folds, range(2), strict=False)]
    return [_make_task(name, texts, y, train, test) for train, test in pairs]


def few_tasks(name: str, n_draws: int) -> list[Task]:
    texts, y = read(name)
    n_train = 2 * len(texts) // 3
    test = np.arange(n_train, len(texts))[:QUICK]
    return [
        _make_task(name, texts, y, draw(y[:n_train].tolist(), 8, seed), test)
        for seed in range(n_draws)
    ]


def _make_task(
    name: str, texts: list[str], y: NDArray[Any], train: NDArray[Any], test: NDArray[Any]
) -> Task:
    source = str(find_character_vectors()) if name == "waimai10k" else GLOVE
    vectors: Any = load_pretrained(source)
    parts = [[texts[i] for i in rows.tolist()] for rows in (train, test)]
    return Task(parts[0], y[train], parts[1], y[test], vectors)


def main(*, quick: bool = False, repeats: int = 10, skip: str = "") -> str:
    names = [name for name in SETS if not any(part in name for part in skip.split(",") if part)]
    tasks: dict[str, list[Task]] = {}
    for name in names:
        tasks[name] = fold_tasks(name, QUICK if quick else None)
        tasks[f"{name}, 8"] = few_tasks(name, 2 if quick else repeats)
    models: dict[str, Callable[[Task], float]] = {
        f"TF-IDF {rival}": lambda task, rival=rival: (  # type: ignore[misc]
            100 * make_rival(rival).fit(task.train, task.y).score(task.test, task.y_test)
        )
        for rival in CHARACTER_RIVALS
    }
    models |= {
        row: lambda task, columns=columns: task.score(columns) for row, columns in ROWS.items()
    }  # type: ignore[misc]
    rows = []
    for row, score in models.items():
        progress(row)
        means = [float(np.mean([score(task) for task in part])) for part in tasks.values()]
        rows.append([row, *(f"{mean:.1f}" for mean in means), f"{np.mean(means):.1f}"])
    return markdown_table(["columns", *tasks, "average"], rows)
