"""ExplanationDisplay: what the picture shows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    Explanation,
    ExplanationDisplay,
    FineTunedClassifier,
    MissingDependencyError,
    PretrainedVectors,
)

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def no_window() -> Any:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    backend, before = matplotlib.get_backend(), dict(matplotlib.rcParams)
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(backend)
    assert {**dict(matplotlib.rcParams), "backend": before["backend"]} == before


def make(tokens: list[str], weights: list[float]) -> Explanation:
    n = len(tokens)
    return Explanation(
        [" ".join(tokens)],
        np.array(tokens, dtype=object),
        np.array([0, n]),
        np.full(n, -1),
        np.full(n, -1),
        np.array(weights).reshape(-1, 1),
        np.array([["$x$"]]),
        np.array([[2.5]]),
        np.array([[0.5]]),
        "exact",
    )


def labels(display: ExplanationDisplay) -> list[str]:
    display.figure_.canvas.draw()
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def test_bars_are_total_contributions() -> None:
    explanation = make(["good", "bad", "good", "$a_b$", "the"], [1, -2.5, 2, 0.5, 0])
    display = ExplanationDisplay.from_explanation(explanation)
    assert labels(display) == ["good", "bad", "$a_b$"]
    assert [bar.get_width() for bar in display.bars_] == [3, -2.5, 0.5]
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in display.bars_]
    assert colours == ["#2684ff", "#ff7a00", "#2684ff"]
    assert display.ax_.yaxis_inverted()
    assert display.ax_.get_xlabel() == "Contribution to $x$"
    assert display.ax_.get_title() == "output 2.500, baseline 0.500"


def test_other_tokens_are_added_up() -> None:
    explanation = make(["a", "b", "c", "\x1b" + "d" * 50], [4, 3, 2, -1])
    display = ExplanationDisplay.from_explanation(explanation, n_tokens=2)
    assert labels(display) == ["a", "b", "(2 others)"]
    assert display.bars_[2].get_width() == 1
    assert labels(display.plot(n_tokens=9))[-1] == "\ufffd" + "d" * 28 + "…"


def test_a_text_without_tokens_has_no_bars() -> None:
    display = ExplanationDisplay.from_explanation(make([], []))
    assert labels(display) == []
    assert [text.get_text() for text in display.ax_.texts] == ["no tokens with a contribution"]


def test_from_estimator_draws_on_given_axes(vectors: PretrainedVectors, reviews: Any) -> None:
    model = FineTunedClassifier(vectors).fit(*reviews)
    _, axes = matplotlib.pyplot.subplots()
    display = ExplanationDisplay.from_estimator(model, "a good film", target="yes", ax=axes)
    assert display.ax_ is axes
    assert display.figure_ is axes.figure
    assert labels(display)[0] == "good"
    several = ExplanationDisplay.from_estimator(model, ["a good film", "bad"], target="yes")
    assert labels(several)[0] == "good"
    assert several.ax_ is not axes


def test_other_estimators_are_refused(vectors: PretrainedVectors) -> None:
    pipeline = make_pipeline(FineTunedClassifier(vectors))
    with pytest.raises(TypeError, match=r"got Pipeline\. Of a pipeline, give its last step"):
        ExplanationDisplay.from_estimator(pipeline, "a good film")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match="A picture of contributions needs"):
        ExplanationDisplay.from_explanation(make(["a"], [1]))
