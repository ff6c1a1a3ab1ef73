"""Do unlabelled texts help a few labelled ones, and does the gate refuse those that do not?

Accuracy in percent on the test part (at most 1,000 texts; tweets: 1,000 texts held out). Of the
training part, 2 or 8 labelled texts per class are drawn, and 2,000 others (or all) are unlabelled:
y is -1, and `unlabelled="auto"`. Draw d has the seed 1000 + d. "names" has `class_names`, the names
of the benchmark `contrastive`; 0 labels per class is names and unlabelled texts alone, against
names alone. Models: "words" is FineTunedClassifier with glove-wiki-gigaword-50, "sentences" the
same with all-MiniLM-L6-v2 and adaptation="frozen". Cells are averages over draws: the labelled
texts alone, the gain by unlabelled ones, and the number of draws in which the gate lets them in.
"Strangers" are unlabelled texts of another set (movie reviews; questions for movie reviews).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from sklearn_transfer import ContextualModel, FineTunedClassifier

from . import N_THREADS
from .contrastive import INTENTS, NAMES
from .data import find_shared, load_mr, read_jsonl
from .few_sentences import load_tutorial
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE, take

PACKAGES = ("sentence-transformers", "transformers")
SETS = ("trec6", INTENTS, "mr", "election_tweets2016", "r8", "news4")
N_UNLABELLED, N_TEST, N_WORDS = 2000, 1000, 130
SIZES = (0, 2, 8)


@dataclass(frozen=True)
class Texts:
    """Texts and class codes of a training and a test part, and the names of the classes."""

    train: list[str]
    y: np.ndarray
    test: list[str]
    y_test: np.ndarray
    names: list[str] | None


@dataclass(frozen=True)
class Draw:
    """Labelled texts, and unlabelled ones."""

    labelled: list[str]
    y: np.ndarray
    unlabelled: list[str]


def load_texts(name: str) -> Texts:
    """The texts of a set, shuffled, with their first words."""
    if name in ("mr", "news4"):
        data = load_mr() if name == "mr" else load_tutorial()
        parts = [
            list(zip(data.train, data.train_labels, strict=True)),
            list(zip(data.test, data.test_labels, strict=True)),
        ]
    else:
        rows = list(read_jsonl(find_shared(name)))
        parts = [
            [(row["text"], row["label"]) for row in rows if (row["split"] == "test") == is_test]
            for is_test in (False, True)
        ]
    for part in parts:
        random.Random(0).shuffle(part)
    if not parts[1]:  # no official split
        parts = [parts[0][N_TEST:], parts[0][:N_TEST]]
    classes = sorted({label for _, label in parts[0]})
    names = [NAMES[name][label] for label in classes] if name in NAMES else None
    if name == INTENTS:
        names = [label.replace("_", " ") for label in classes]
    (train, y), (test, y_test) = (
        (
            [" ".join(text.split()[:N_WORDS]) for text, _ in part],
            np.searchsorted(classes, [label for _, label in part]),
        )
        for part in (parts[0], parts[1][:N_TEST])
    )
    return Texts(train, y, test, y_test, names)


def draw_texts(texts: Texts, size: int, seed: int) -> Draw:
    rows = np.random.default_rng(1000 + seed).permutation(len(texts.y))
    chosen = [rows[texts.y[rows] == code][:size] for code in np.unique(texts.y)]
    labelled = np.concatenate(chosen)
    others = rows[~np.isin(rows, labelled)][:N_UNLABELLED]
    return Draw(take(texts.train, labelled), texts.y[labelled], take(texts.train, others))


def fit_both(model: FineTunedClassifier, texts: Texts, drawn: Draw) -> tuple[float, float, bool]:
    """Accuracy without and with unlabelled texts, and whether these are used."""
    X = drawn.labelled + drawn.unlabelled
    y = np.append(drawn.y, np.full(len(drawn.unlabelled), -1))
    model.set_params(unlabelled=None).fit(drawn.labelled, drawn.y)
    without = 100 * model.score(texts.test, texts.y_test)
    model.set_params(unlabelled="auto").fit(X, y)
    return without, 100 * model.score(texts.test, texts.y_test), model.unlabelled_.used


def make_models(names: list[str] | None, encoder: ContextualModel) -> Iterator[tuple[str, Any]]:
    kinds = {"words": (GLOVE, "full"), "sentences": (encoder, "frozen")}
    for kind, (pretrained, adaptation) in kinds.items():
        model = FineTunedClassifier(pretrained, adaptation=adaptation, random_state=0)
        yield kind, model
        if names is not None:
            by_code = dict(enumerate(names))
            yield f"{kind}, names", clone(model).set_params(class_names=by_code)


def main(*, quick: bool = False, repeats: int = 3) -> str:
    torch.set_num_threads(N_THREADS)
    encoder = ContextualModel(minilm_folder())
    strangers = {name: load_texts("trec6" if name == "mr" else "mr") for name in SETS}
    cells: dict[tuple[str, str, int, bool], np.ndarray] = {}
    for name in SETS[:1] if quick else SETS:
        texts = load_texts(name)
        for kind, model in make_models(texts.names, encoder):
            for size in SIZES[1:2] if quick else SIZES:
                if not size and model.class_names is None:
                    continue
                for is_strange in (False, True) if size else (False,):
                    found = []
                    for seed in range(1 if quick else repeats):
                        drawn = draw_texts(texts, size, seed)
                        if is_strange:
                            drawn = replace(drawn, unlabelled=strangers[name].train[:N_UNLABELLED])
                        found.append(fit_both(model, texts, drawn))
                        progress(f"{name}, {kind}, {size}, draw {seed}: {found[-1]}")
                    cells[name, kind, size, is_strange] = np.array(found, dtype=float)
    return "\n\n".join(describe(cells))


def describe(cells: dict[tuple[str, str, int, bool], np.ndarray]) -> Iterator[str]:
    for is_strange, title in ((False, "Unlabelled texts of the same set"), (True, "Strangers")):
        rows, gains = [], []
        for (name, kind, size, strange), found in cells.items():
            if strange == is_strange:
                without, with_them, _ = found.mean(axis=0)
                gains.append(with_them - without)
                share = f"{found[:, 2].sum():.0f} of {len(found)}"
                rows.append([name, kind, size, f"{without:.1f}", f"{gains[-1]:+.1f}", share])
        if rows:
            yield f"{title}: {np.mean(gains):+.2f} on average, {min(gains):+.2f} in the worst cell."
            header = ["set", "model", "labels per class", "labelled only", "gain", "let in"]
            yield markdown_table(header, rows)
