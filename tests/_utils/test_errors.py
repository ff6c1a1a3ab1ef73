from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_transfer import FineTunedClassifier, PretrainedEmbeddingTransformer, PretrainedVectors
from sklearn_transfer._utils.errors import levels_to_caller

TEXTS, Y = ["unknown words", "good words here", "bad words here", "no vector"] * 4, [0, 1, 0, 1] * 4


def inside(code: str, **names: Any) -> Any:
    """A function of a module of the package, or of a library."""
    space: dict[str, Any] = {"levels_to_caller": levels_to_caller, **names}
    exec(code, space)
    return space["function"]


def test_the_level_is_that_of_the_first_line_outside() -> None:
    function = inside(
        "def function(): return levels_to_caller()", __name__="sklearn_transfer.module"
    )
    assert function() == 2
    outer = inside("def function(): return inner()", __name__="sklearn.base", inner=function)
    assert outer() == 3
    other = inside("def function(): return inner()", __name__="sklearn_other", inner=function)
    assert other() == 2


def test_a_program_without_a_line_outside_has_a_level() -> None:
    assert levels_to_caller() == 1


@pytest.mark.parametrize(
    "fit",
    [
        lambda model: model.fit(TEXTS, Y),
        lambda model: model.fit_transform(TEXTS, Y),
        lambda model: make_pipeline(model).fit(TEXTS, Y),
        lambda model: GridSearchCV(
            make_pipeline(model, "passthrough"), {}, cv=2, scoring=lambda *_: 0.0
        ).fit(TEXTS, Y),
    ],
    ids=["fit", "fit_transform", "pipeline", "search"],
)
@pytest.mark.parametrize("estimator", [FineTunedClassifier, PretrainedEmbeddingTransformer])
def test_warnings_name_the_line_of_the_user(
    fit: Callable[[Any], Any], estimator: Any, vectors: PretrainedVectors
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(estimator(vectors))
    assert caught
    assert {warning.filename for warning in caught} == {__file__}
