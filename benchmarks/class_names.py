"""What do names of classes gain, from no label to 64 per class?

Inside the training parts of six sets (MR, R8, questions, 77 intents, tweets of two authors, four
newsgroups): labelled texts are drawn from a pool of 200 texts per class (70 of an intent), and
accuracy is measured on 500 other texts (770 of the intents). Draw d has the seed 4000 + d. Gains
are differences in points to the same model without names in the same draws, with a 95 % interval.

Models: "words" is FineTunedClassifier with glove-wiki-gigaword-50, "words, frozen" the same with
adaptation="frozen", "sentences" all-MiniLM-L6-v2 with adaptation="frozen". Names are those of the
benchmark `contrastive` and the labels of the intents; "auto" takes the labels themselves; "of
other classes" gives each class the name of the next one, and has to lose. Authors of tweets have no
names but "auto".

Names alone: no labelled text. "cosine" is `fit([], [])`; "logistic regression" (C = 10) is fitted
on the features of the texts of names, centred by their mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import ContextualModel, FineTunedClassifier

from . import N_THREADS
from .contrastive import INTENTS, NAMES, load_sets
from .measure import margin, markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE, draw, take

PACKAGES = ("sentence-transformers", "transformers")
SETS = ("mr", "r8", "trec6", INTENTS, "election_tweets2016", "news4")
SIZES, TEMPLATES = (1, 2, 8, 64), ("{}", "This text is about {}.")
Names = Mapping[str, str] | str
Part = tuple[list[str], list[str]]  # texts and their labels


def names_of(name: str, classes: Sequence[str]) -> dict[str, Names]:
    """The kinds of names of a set."""
    given = {c: c.replace("_", " ") for c in classes} if name == INTENTS else NAMES.get(name)
    kinds: dict[str, Names] = {} if given is None else {"given": given}
    if given is not None:
        shifted = np.roll([given[c] for c in classes], -1).tolist()
        kinds["of other classes"] = dict(zip(classes, shifted, strict=True))
    return {**kinds, "auto": "auto"}


def models(encoder: ContextualModel) -> dict[str, FineTunedClassifier]:
    return {
        "words": FineTunedClassifier(GLOVE, random_state=0),
        "words, frozen": FineTunedClassifier(GLOVE, adaptation="frozen", random_state=0),
        "sentences": FineTunedClassifier(encoder, adaptation="frozen", random_state=0),
    }


def accuracy(model: FineTunedClassifier, names: Names | None, train: Part, test: Part) -> float:
    return 100 * float(model.set_params(class_names=names).fit(*train).score(*test))


def gains(
    pool: Part, test: Part, kinds: Mapping[str, Names], model: Any, draws: int, sizes: Sequence[int]
) -> Iterator[tuple[str, int, float]]:
    """The kind of names, the labels of each class, and the gain in a draw."""
    for size in sizes:
        for seed in range(draws):
            rows = draw(pool[1], size, 4000 + seed)
            train = take(pool[0], rows), take(pool[1], rows)
            without = accuracy(model, None, train, test)
            for kind, names in kinds.items():
                yield kind, size, accuracy(model, names, train, test) - without


def names_alone(encoder: ContextualModel, names: Mapping[str, str], test: Part) -> list[float]:
    """Accuracy by the cosine, and by logistic regression."""
    model = FineTunedClassifier(encoder, adaptation="frozen", random_state=0)
    pairs = [(template.format(n), c) for c, n in names.items() for template in TEMPLATES]
    texts, labels = map(list, zip(*pairs, strict=True))
    features = encoder.encode(texts)
    centre = features.mean(axis=0)
    rival = LogisticRegression(C=10, max_iter=1000).fit(features - centre, labels)
    cosine = accuracy(model, names, ([], []), test)
    return [cosine, 100 * float(rival.score(encoder.encode(test[0]) - centre, test[1]))]


def main(*, quick: bool = False, repeats: int = 3) -> str:
    torch.set_num_threads(N_THREADS)
    warnings.simplefilter("ignore")  # "auto" says where labels are no words
    encoder = ContextualModel(minilm_folder(), max_tokens=128)
    found: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    alone: dict[str, list[float]] = {}
    for name, parts in load_sets().items():
        if name not in SETS or (quick and name != "trec6"):
            continue
        pool, test = ([list(column) for column in zip(*parts[p], strict=True)] for p in parts)
        kinds = names_of(name, sorted(set(pool[1])))
        for kind, model in models(encoder).items():
            progress(f"{name}, {kind}")
            sizes, draws = ((2,), 1) if quick else (SIZES, repeats)
            for names, size, gain in gains(
                (pool[0], pool[1]), (test[0], test[1]), kinds, model, draws, sizes
            ):
                found.setdefault((kind, names), {}).setdefault((name, size), []).append(gain)
        if isinstance(given := kinds.get("given"), Mapping):
            alone[name] = names_alone(encoder, given, (test[0], test[1]))
    return report(found, alone)


def report(
    found: Mapping[tuple[str, str], Mapping[tuple[str, int], Sequence[float]]],
    alone: Mapping[str, Sequence[float]],
) -> str:
    """Gains by model, names, set and size; accuracy of names alone."""
    sizes = sorted({size for cells in found.values() for _, size in cells})
    rows = []
    for (model, names), cells in found.items():
        sets = list(dict.fromkeys(name for name, _ in cells))
        means = [np.mean([np.mean(cells[name, size]) for name in sets]) for size in sizes]
        rows.append([model, names, f"average of {len(sets)}", *(f"{m:+.1f}" for m in means)])
        for name in sets:
            each = (margin(np.array(cells[name, size]), 1) for size in sizes)
            rows.append([model, names, name, *each])
    header = ["model", "names", "set", *(f"{size} labels" for size in sizes)]
    table = [
        [row, *(f"{values[i]:.1f}" for values in alone.values())]
        for i, row in enumerate(("cosine", "logistic regression"))
    ]
    return "\n\n".join(
        [
            "Gains in points:",
            markdown_table(header, rows),
            "Names alone, accuracy in percent:",
            markdown_table(["", *alone], table),
        ]
    )
