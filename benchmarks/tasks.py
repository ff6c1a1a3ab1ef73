"""Sets, their rivals, and few labels drawn: what the benchmarks of accuracy share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from .data import (
    Labelled,
    find_character_vectors,
    find_shared,
    load_20newsgroups,
    load_intents,
    load_questions,
    load_r8,
    read_jsonl,
)

GLOVE = "glove-wiki-gigaword-50"
RIVALS: dict[str, dict[str, Any]] = {
    "words": {},
    "1-2-grams": {"ngram_range": (1, 2)},
    "char_wb 2-4": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}
# For texts without spaces between words.
CHARACTER_RIVALS: dict[str, dict[str, Any]] = {
    "characters": {"analyzer": "char"},
    "characters 1-2": {"analyzer": "char", "ngram_range": (1, 2)},
    "characters 1-3": {"analyzer": "char", "ngram_range": (1, 3)},
}
QUICK = 1500  # texts of a split


@dataclass(frozen=True)
class TextSet:
    """A set: its splits, its rivals by name, and the pretrained vectors of its language."""

    splits: list[Labelled]
    is_chinese: bool = False

    @property
    def rivals(self) -> dict[str, dict[str, Any]]:
        return CHARACTER_RIVALS if self.is_chinese else RIVALS

    @property
    def vectors(self) -> str:
        return str(find_character_vectors()) if self.is_chinese else GLOVE


def make_rival(name: str) -> Any:
    """TF-IDF of that name + LinearSVC, for texts."""
    features = TfidfVectorizer(sublinear_tf=True, **(RIVALS | CHARACTER_RIVALS)[name])
    return make_pipeline(features, LinearSVC(C=1, random_state=0))


def load_sets(*, quick: bool = False, skip: str = "") -> dict[str, TextSet]:
    """The four sets, intents, questions, tweets and Chinese reviews, without those skipped."""
    sets = {name: TextSet(s) for name, s in load_splits(intents=True).items()}
    sets["trec6"] = TextSet([load_questions()])
    sets["election tweets"] = TextSet(_folds("election_tweets2016"))
    sets["waimai10k (Chinese)"] = TextSet(_folds("waimai10k"), is_chinese=True)
    sets = {
        name: texts
        for name, texts in sets.items()
        if not any(part in name for part in skip.split(",") if part)
    }
    if not quick:
        return sets
    return {
        name: TextSet([s.head(QUICK) for s in texts.splits[:2]], texts.is_chinese)
        for name, texts in sets.items()
    }


def load_splits(*, quick: bool = False, intents: bool = False) -> dict[str, list[Labelled]]:
    """The four sets, each the list of its splits into training and test texts; 77 intents too."""
    sets = {
        "20 Newsgroups, headers kept": [load_20newsgroups()],
        "20 Newsgroups, removed": [load_20newsgroups(headers=False)],
        "MR": _folds("mr"),
        "R8": [load_r8()],
    }
    if intents:
        sets["banking77"] = [load_intents()]
    if not quick:
        return sets
    return {name: [s.head(QUICK) for s in splits[:2]] for name, splits in sets.items()}


def _folds(name: str) -> list[Labelled]:
    """Ten folds of a set without a split."""
    rows = list(read_jsonl(find_shared(name)))
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    folds = []
    for train, test in StratifiedKFold(10, shuffle=True, random_state=0).split(texts, labels):
        train = np.random.default_rng(0).permutation(train)  # the file is grouped by class
        test = np.random.default_rng(0).permutation(test)
        folds.append(
            Labelled(
                take(texts, train),
                take(labels, train),
                take(texts, test),
                take(labels, test),
                f"shared {name}, ten folds",
            )
        )
    return folds


def take(items: Sequence[str], rows: NDArray[np.int64]) -> list[str]:
    return [items[row] for row in rows.tolist()]


def draw(labels: Sequence[str], size: int | None, seed: int) -> NDArray[np.int64]:
    """Rows with `size` of every class, or all that it has; draws of one seed are nested."""
    rng = np.random.default_rng(seed)
    values = np.asarray(labels)
    rows = [rng.permutation(np.flatnonzero(values == c))[:size] for c in np.unique(values)]
    return rng.permutation(np.concatenate(rows))


def draw_split(split: Labelled, size: int | None, seed: int) -> Labelled:
    """The same split with few training texts."""
    rows = draw(split.train_labels, size, seed)
    labels = take(split.train_labels, rows)
    return Labelled(take(split.train, rows), labels, split.test, split.test_labels, split.source)


def words_of(texts: Iterable[str]) -> set[str]:
    """Words and punctuation marks as they stand, and lower-cased."""
    words: set[str] = set()
    for text in texts:
        words.update(re.findall(r"\w+|[^\w\s]", text))
    return words | {word.lower() for word in words}
