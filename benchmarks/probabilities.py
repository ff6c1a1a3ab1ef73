"""Can one believe the probabilities, next to those of logistic regression?

With all labels (mean of ten folds for MR) and with 32 a class (mean of draws with seeds 0, 1, ...;
first fold of MR). ECE is the expected calibration error of the top probability in 15 bins of equal
width. "Same features" is scikit-learn's LogisticRegression on the design matrix of ours.
The temperature is what ours divides logits by; beside it the one that the test would have chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.targets.temperature import fit_temperature

from .data import Labelled
from .measure import markdown_table, progress
from .tasks import GLOVE, draw_split, load_splits

PACKAGES = ("skorch",)
_OURS, _RAW = "ours", "ours, calibrate=False"
_SAME = "LogisticRegression(C={}), same features"


def expected_calibration_error(
    probabilities: NDArray[np.float64], codes: NDArray[np.int64], n_bins: int = 15
) -> float:
    """Mean distance of confidence and accuracy, over bins of equal width."""
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == codes
    bins = np.minimum((top * n_bins).astype(int), n_bins - 1)
    gap = np.bincount(bins, weights=right - top, minlength=n_bins)
    return float(np.abs(gap).sum() / len(top))


def evaluate(split: Labelled) -> dict[str, dict[str, float]]:
    """Log loss, calibration error, accuracy and seconds of every model."""
    rows = {}
    model = FineTunedClassifier(GLOVE)
    classes = np.unique(split.train_labels)
    codes = np.searchsorted(classes, split.test_labels)

    def add(name: str, estimator: Any, train: Any, test: Any) -> None:
        start = perf_counter()
        estimator.fit(train, split.train_labels)
        seconds = perf_counter() - start
        probabilities = estimator.predict_proba(test)
        rows[name] = {
            "loss": float(log_loss(codes, probabilities, labels=range(len(classes)))),
            "ece": expected_calibration_error(probabilities, codes),
            "accuracy": float((probabilities.argmax(axis=1) == codes).mean()),
            "fit": seconds,
        }

    add(_OURS, model, split.train, split.test)
    logits = model.decision_function(split.test).reshape(len(codes), -1)
    rows[_OURS]["temperature"] = model.temperature_
    rows[_OURS]["best"] = fit_temperature(logits, codes, np.ones(len(codes)))
    add(_RAW, FineTunedClassifier(GLOVE, calibrate=False), split.train, split.test)
    train, test = (_stack(model._features.transform(texts)) for texts in (split.train, split.test))
    for C in (1, 10):
        add(_SAME.format(C), LogisticRegression(C=C, max_iter=1000), train, test)
    tfidf = make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    add("LogisticRegression(C=10), TF-IDF", tfidf, split.train, split.test)
    return rows


def _stack(design: Any) -> csr_array:
    return hstack([design.sparse, csr_array(design.dense)], format="csr")


def main(*, quick: bool = False, repeats: int = 3) -> str:
    rows, worse, compared = [], [], 0
    for name, splits in load_splits(quick=quick).items():
        few = [draw_split(splits[0], 32, seed) for seed in range(repeats)]
        for labels, parts in (("all", splits), ("32 a class", few)):
            progress(f"{name}, {labels}")
            mean = _means([evaluate(part) for part in parts])
            for model, row in mean.items():
                figures = [f"{row[key]:.4f}" for key in ("loss", "ece")]
                found = [f"{row[key]:.3f}" if key in row else "" for key in ("temperature", "best")]
                accuracy, fit = f"{100 * row['accuracy']:.1f}", f"{row['fit']:.1f}"
                rows.append([name, labels, model, *figures, accuracy, *found, fit])
            for C in (1, 10):
                compared += 1
                gap = mean[_OURS]["loss"] - mean[_SAME.format(C)]["loss"]
                if gap > 0:
                    worse.append(f"{name}, {labels}, C={C} ({gap:+.4f})")
    header = [
        "set",
        "labels",
        "model",
        "log loss",
        "ECE",
        "accuracy",
        "temperature",
        "best",
        "fit s",
    ]
    return "\n\n".join(
        [
            f"{repeats} draws of 32 labels a class.",
            markdown_table(header, rows),
            f"Log loss of ours above that of logistic regression on the same features in "
            f"{len(worse)} of {compared} comparisons{': ' if worse else ''}{'; '.join(worse)}.",
        ]
    )


def _means(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        model: {key: float(np.mean([run[model][key] for run in runs])) for key in row}
        for model, row in runs[0].items()
    }
