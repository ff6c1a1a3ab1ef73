"""Which solver of a linear model is fastest on the features of texts?

The design matrices of FineTunedClassifier("glove-wiki-gigaword-50"), float32, all classes, no
calibration; seconds, and the share of the test texts with the right label.

- Squared hinge: ours (LIBLINEAR's dual, and working sets for rare classes), LinearSVC with its
  defaults on the same matrix in one thread, and Newton's method in torch, on the CPU and, if there
  is one, on a GPU (the second run: the first loads the libraries).
- Cross-entropy: LogisticRegression with newton-cg, which is ours, and with L-BFGS, on the smaller
  sets.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.training.optimization.newton import solve_squared_hinge
from sklearn_transfer.training.optimization.solvers import LinearProblem, solve_linear

from . import N_THREADS
from .data import Labelled
from .measure import cuda_name, markdown_table, progress
from .tasks import GLOVE, load_splits

PACKAGES = ("skorch",)
SETS = ("20 Newsgroups, removed", "R8", "banking77")
_SMALL = 8_000
Logits = np.ndarray[Any, Any]


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = perf_counter()
    result = function()
    return result, perf_counter() - start


def _whole(design: Design) -> csr_array:
    ones = csr_array(np.ones((len(design), 1), dtype=np.float32))
    return hstack([design.sparse, csr_array(design.dense), ones], format="csr")


def _newton(X: csr_array, positive: Any, device: str) -> Callable[[csr_array], Logits]:
    weight = np.ones(X.shape[0])
    w = solve_squared_hinge(X, positive, weight, tolerance=1e-3, device=device)[0]
    return lambda other: other @ w


def _solvers(train: Design, codes: Any) -> dict[str, Callable[[], Callable[[Design], Logits]]]:
    X, n_classes = _whole(train), int(codes.max()) + 1
    features, positive = X[:, :-1], codes[:, None] == np.arange(n_classes)
    weight = np.ones(len(codes))

    def ours(loss: Any) -> Callable[[Design], Logits]:
        problem = LinearProblem(train, codes, weight, loss, n_classes)
        return solve_linear(problem, n_threads=N_THREADS).predict

    def other(model: Any) -> Callable[[Design], Logits]:
        model.fit(features, codes)
        return lambda design: model.decision_function(_whole(design)[:, :-1])

    def newton(device: str) -> Callable[[Design], Logits]:
        predict = _newton(X, positive, device)
        return lambda design: predict(_whole(design))

    found: dict[str, Callable[[], Callable[[Design], Logits]]] = {
        "squared hinge: ours": lambda: ours("squared_hinge"),
        "squared hinge: LinearSVC": lambda: other(LinearSVC(random_state=0)),
        "squared hinge: Newton, CPU": lambda: newton("cpu"),
    }
    if cuda_name() is not None:
        newton("cuda")
        found["squared hinge: Newton, GPU"] = lambda: newton("cuda")
    if len(codes) < _SMALL:
        found["cross-entropy: newton-cg"] = lambda: ours("cross_entropy")
        lbfgs = LogisticRegression(tol=1e-4, max_iter=5_000)
        found["cross-entropy: L-BFGS"] = lambda: other(lbfgs)
    return found


def _compare(split: Labelled) -> dict[str, tuple[float, float]]:
    model = FineTunedClassifier(GLOVE, calibrate=False).fit(split.train, split.train_labels)
    features = model._fitted.representation.features
    train, test = features.transform(split.train), features.transform(split.test)
    codes = np.searchsorted(model.classes_, split.train_labels)
    rows = {}
    for name, solve in _solvers(train, codes).items():
        predict, seconds = _timed(solve)
        labels = model.classes_[predict(test).argmax(axis=1)]
        rows[name] = seconds, 100 * float(np.mean(labels == np.asarray(split.test_labels)))
    return rows


def main(*, quick: bool = False) -> str:
    torch.set_num_threads(N_THREADS)
    splits = load_splits(quick=quick, intents=True)
    lines = []
    for name in SETS:
        progress(name)
        for solver, (seconds, accuracy) in _compare(splits[name][0]).items():
            lines.append([name, solver, f"{seconds:.2f}", f"{accuracy:.2f}"])
    return markdown_table(["", "solver", "seconds", "accuracy in percent"], lines)
