"""Models from options, and model files."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from .._classifier import FineTunedClassifier
from .._model_files import load
from .._regressor import FineTunedRegressor
from .._utils.display.suggestions import suggest
from ..sources import find_input_kind
from .console import CommandError, Console
from .options import Function

_DEFAULT = "glove-wiki-gigaword-50"
_PART = 1000  # texts between two steps of a progress bar
_WORDS = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True)
class Recipe:
    """The options of a model that is trained."""

    is_regression: bool
    pretrained: Sequence[str]
    adaptation: str | None
    settings: Sequence[tuple[str, Any]]
    seed: int

    def build(self) -> Any:
        """Make the estimator."""
        kind: Any = FineTunedRegressor if self.is_regression else FineTunedClassifier
        sources = list(self.pretrained) or [_DEFAULT]
        model = kind(sources[0] if len(sources) == 1 else sources, random_state=self.seed)
        known = model.get_params(deep=False)
        settings = dict(self.settings)
        if self.adaptation is not None:
            settings["adaptation"] = self.adaptation
        for name in settings:
            if name not in known:
                hint = suggest(name, known) or f" Parameters are {', '.join(known)}."
                raise click.UsageError(f"{kind.__name__} has no parameter {name!r}.{hint}")
        if settings.get("unlabelled") is not None:
            raise click.UsageError(
                "unlabelled needs rows without a label, which commands do not read. Leave it out, "
                "or train in Python: FineTunedClassifier(unlabelled='auto').fit(texts, labels)."
            )
        return model.set_params(**settings)


def _parse_setting(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> list[tuple[str, Any]]:
    parsed = []
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, got {value!r}.", context, parameter)
        parsed.append((name.strip(), _parse_value(text.strip())))
    return parsed


def _parse_value(text: str) -> Any:
    """A literal of Python, true, false, none, or else a string."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def recipe_options(function: Function) -> Function:
    """Add the options of a model that is trained, as the argument `recipe`."""

    @click.option("--regression", is_flag=True, help="Labels are numbers that are predicted.")
    @click.option(
        "--pretrained",
        multiple=True,
        metavar="NAME",
        help="Name or path of vectors or of a sentence encoder; several may be given. "
        f"[default: {_DEFAULT}]",
    )
    @click.option("--adaptation", metavar="POLICY", help="frozen, full, top-1, lp-ft, auto, ...")
    @click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_parse_setting,
        help="Any parameter of FineTunedClassifier or FineTunedRegressor, such as "
        "ngram_range=(1,1), encoder=cnn or max_epochs=5.",
    )
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1))
    @wraps(function)
    def call(
        *args: Any,
        regression: bool,
        pretrained: Sequence[str],
        adaptation: str | None,
        settings: Sequence[tuple[str, Any]],
        seed: int,
        **options: Any,
    ) -> Any:
        recipe = Recipe(regression, pretrained, adaptation, settings, seed)
        return function(*args, recipe=recipe, **options)

    return call


def load_model(path: str, console: Console) -> Any:
    """Open a model file that predicts from texts."""
    with console.working(f"loading {path}"):
        model = load(path)
    if not hasattr(model, "predict"):
        raise CommandError(f"{path}: a {type(model).__name__} does not predict.")
    first = model.steps[0][1] if hasattr(model, "steps") else model  # a pipeline
    if find_input_kind(getattr(first, "pretrained", None)) != "texts":
        raise CommandError(f"{path}: the model does not read texts.")
    return model


def find_labels(model: Any) -> list[str] | None:
    """The labels of a classifier, as text; None for a regressor."""
    classes = getattr(model, "classes_", None)
    return None if classes is None else [str(label) for label in classes]


@dataclass(frozen=True)
class Predictions:
    """Predictions of a part of the texts.

    Attributes
    ----------
    values : ndarray, shape (n_texts,) or (n_texts, n_outputs)
        Labels, an indicator matrix, or values.
    probabilities : ndarray, shape (n_texts, n_classes), or None
    """

    values: NDArray[Any]
    probabilities: NDArray[np.float64] | None


def predict_parts(
    model: Any,
    texts: Sequence[str],
    console: Console,
    *,
    probabilities: bool,
    shows_results: bool = False,
) -> Iterator[Predictions]:
    """Predict part by part, with a progress bar."""
    with console.progress(len(texts), "texts", shows_results=shows_results) as bar:
        for start in range(0, len(texts), _PART):
            part = list(texts[start : start + _PART])
            found = model.predict_proba(part) if probabilities else None
            yield Predictions(np.asarray(model.predict(part)), found)
            bar.update(len(part))


def predict_all(
    model: Any, texts: Sequence[str], console: Console, *, probabilities: bool
) -> Predictions:
    """Predict all texts."""
    parts = list(predict_parts(model, texts, console, probabilities=probabilities))
    found = [part.probabilities for part in parts if part.probabilities is not None]
    return Predictions(
        np.concatenate([part.values for part in parts]), np.concatenate(found) if found else None
    )
