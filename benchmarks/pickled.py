"""How large is a fitted model, and what does the rounding of its token weights change?

The default model with GloVe 50 d. "Before": the token weights that the solver gave, not rounded;
its size is that of the arrays without packing. "Changed": test texts with another label; the
largest difference of a probability, over all test texts and classes. Then a mini-batch model, a
sentence encoder (all-MiniLM-L6-v2, 64 labels) and ContinuedVectors: the size of the pickle, and of
the weights that were trained. Every pickle is opened again and predicts the same, bit for bit.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from sklearn_transfer import ContextualModel, ContinuedVectors, FineTunedClassifier
from sklearn_transfer.text.linear.design import Design

from .data import Labelled, load_mr
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE, load_splits

PACKAGES = ("sentence-transformers",)


def main(*, quick: bool = False) -> str:
    splits = {name: parts[0] for name, parts in load_splits(quick=quick, intents=True).items()}
    rows = [[name, *_measure_default(name, split)] for name, split in splits.items()]
    header = [
        *("set", "accuracy before", "accuracy", "changed", "largest difference"),
        *("token weights MB", "pickle MB", "model file MB"),
    ]
    others = [_measure_other(name, fit) for name, fit in _others(quick=quick).items()]
    columns = ["model", "pickle MB", "opened again"]
    return "\n\n".join([markdown_table(header, rows), markdown_table(columns, others)])


def _measure_default(name: str, split: Labelled) -> list[str]:
    progress(name)
    with patch.object(Design, "rounding_step", lambda *_: None):
        before = FineTunedClassifier(GLOVE).fit(split.train, split.train_labels)
    model = FineTunedClassifier(GLOVE).fit(split.train, split.train_labels)
    expected, found = (m.predict_proba(split.test) for m in (before, model))
    _check_same(model, split.test)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.zip"
        model.save(file, vectors="reference")
        in_file = file.stat().st_size
    accuracies = [
        float(np.mean(model.classes_[p.argmax(axis=1)] == split.test_labels))
        for p in (expected, found)
    ]
    return [
        *(f"{100 * accuracy:.2f}" for accuracy in accuracies),
        f"{(expected.argmax(axis=1) != found.argmax(axis=1)).sum()} of {len(found)}",
        f"{np.abs(expected - found).max():.1e}",
        _megabytes(before.module_.token_weights.nbytes),
        _megabytes(len(pickle.dumps(model))),
        _megabytes(in_file),
    ]


def _others(*, quick: bool) -> dict[str, Callable[[], Any]]:
    split = load_mr().head(200 if quick else None)
    few = split.head(64)

    def fit(*args: Any, **parameters: Any) -> Any:
        return FineTunedClassifier(*args, random_state=0, **parameters)

    def sentences(adaptation: str) -> Any:
        model = fit(ContextualModel(minilm_folder()), adaptation=adaptation)
        return model.fit(few.train, few.train_labels)

    return {
        "mean of trained vectors, MR": lambda: fit(GLOVE, optimizer="adam", max_epochs=1).fit(
            split.train, split.train_labels
        ),
        "CNN, MR": lambda: fit(GLOVE, encoder="cnn", max_epochs=1).fit(
            split.train, split.train_labels
        ),
        "MiniLM, top-1": lambda: sentences("top-1"),
        "MiniLM, contrastive": lambda: sentences("contrastive"),
        "ContinuedVectors, MR": lambda: ContinuedVectors(GLOVE, epochs=1, random_state=0).fit(
            split.train
        ),
    }


def _measure_other(name: str, fit: Callable[[], Any]) -> list[str]:
    progress(name)
    model = fit()
    _check_same(model, load_mr().test[:100])
    return [name, _megabytes(len(pickle.dumps(model))), "equal"]


def _check_same(model: Any, texts: list[str]) -> None:
    again = pickle.loads(pickle.dumps(model))
    if isinstance(model, ContinuedVectors):
        same = again.vectors_.matrix.tobytes() == model.vectors_.matrix.tobytes()
    else:
        same = np.array_equal(again.predict_proba(texts), model.predict_proba(texts))
    if not same:
        raise AssertionError(f"{model!r} predicts otherwise after a pickle")


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f}"
