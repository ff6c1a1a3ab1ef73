"""Scores of predictions, as numbers and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    root_mean_squared_error,
)

from .._utils.display.tables import format_table
from .console import Console
from .models import Predictions, find_labels, predict_all
from .samples import Samples, Target

_LEAST = 1e-15  # as scikit-learn clips probabilities


def measure(model: Any, samples: Samples, target: Target, console: Console) -> dict[str, Any]:
    """Predict labelled samples and score the predictions.

    Parameters
    ----------
    model : estimator
    samples : Samples
    target : Target
    console : Console

    Returns
    -------
    dict
        Scores by name, and under ``"labels"`` those of each label.
    """
    labels = find_labels(model)
    is_single = target.separator is None and hasattr(model, "predict_proba")
    predicted = predict_all(model, samples.texts, console, probabilities=is_single)
    if labels is None:
        return _measure_values(predicted.values, samples.targets)
    if target.separator is not None:
        return _measure_label_sets(predicted.values, samples, labels, console)
    return _measure_labels(predicted, samples, labels, console)


def _measure_values(values: NDArray[Any], targets: Sequence[float]) -> dict[str, Any]:
    return {
        "n": len(targets),
        "r2": float(r2_score(targets, values)) if len(targets) > 1 else float("nan"),
        "mae": float(mean_absolute_error(targets, values)),
        "rmse": float(root_mean_squared_error(targets, values)),
    }


def _measure_labels(
    predicted: Predictions, samples: Samples, labels: list[str], console: Console
) -> dict[str, Any]:
    true, guessed = np.array(samples.targets), predicted.values.astype(str)
    _note_unknown(sorted(set(samples.targets) - set(labels)), console)
    named = [*labels, *sorted(set(samples.targets) - set(labels))]
    by_label = _score_labels(true, guessed, named)
    code = {label: place for place, label in enumerate(labels)}
    known = np.array([label in code for label in samples.targets])
    scores = {
        "n": len(true),
        "accuracy": float(accuracy_score(true, guessed)),
        "macro_f1": _mean_f1(true, guessed, named),
    }
    if predicted.probabilities is not None and known.all():
        codes = [code[label] for label in samples.targets]
        right = predicted.probabilities[np.arange(len(codes)), codes]
        scores["log_loss"] = float(-np.log(np.maximum(right, _LEAST)).mean())
    return {**scores, "labels": by_label}


def _measure_label_sets(
    matrix: NDArray[Any], samples: Samples, labels: list[str], console: Console
) -> dict[str, Any]:
    unknown = sorted({label for row in samples.targets for label in row} - set(labels))
    _note_unknown(unknown, console)
    named = [*labels, *unknown]
    true = np.array([[label in row for label in named] for row in samples.targets], dtype=int)
    guessed = np.hstack([matrix, np.zeros((len(matrix), len(unknown)), dtype=int)])
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, guessed, average="micro", zero_division=0
    )
    by_label = _score_labels(true, guessed, named)
    return {
        "n": len(true),
        "exact_match": float((true == guessed).all(axis=1).mean()),
        "micro_f1": float(f1),
        "micro_precision": float(precision),
        "micro_recall": float(recall),
        "macro_f1": _mean_f1(true, guessed, named),
        "labels": by_label,
    }


def _score_labels(true: Any, guessed: Any, named: list[str]) -> dict[str, dict[str, float]]:
    places = np.arange(len(named)) if true.ndim == 2 else named
    found = precision_recall_fscore_support(true, guessed, labels=places, zero_division=0)
    names = ("precision", "recall", "f1", "n")
    return {
        label: dict(zip(names, map(float, values), strict=True)) | {"n": int(values[-1])}
        for label, *values in zip(named, *found, strict=True)
    }


def _mean_f1(true: Any, guessed: Any, named: list[str]) -> float:
    """Mean over the labels that occur or are predicted; that of others is not defined."""
    places = np.arange(len(named)) if true.ndim == 2 else named
    f1 = f1_score(true, guessed, labels=places, average=None, zero_division=np.nan)
    return 0.0 if np.isnan(f1).all() else float(np.nanmean(f1))


def _note_unknown(unknown: list[str], console: Console) -> None:
    if unknown:
        shown = ", ".join(map(repr, unknown[:10])) + (" ..." if len(unknown) > 10 else "")
        console.note(f"the model does not know the labels {shown}; their rows count as errors. ")


def write_scores(scores: dict[str, Any], console: Console) -> None:
    """Write scores as tables."""
    overall = {name: value for name, value in scores.items() if name != "labels"}
    console.write(format_table([[name, _number(value)] for name, value in overall.items()]))
    if by_label := scores.get("labels"):
        rows = [["label", *next(iter(by_label.values()))]]
        rows += [[label, *map(_number, entry.values())] for label, entry in by_label.items()]
        console.write("\n" + format_table(rows))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
