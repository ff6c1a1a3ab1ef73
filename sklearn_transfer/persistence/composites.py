"""Estimators of scikit-learn that contain ours: skops writes them, with marks in our place."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from .._utils.errors import ModelFormatError
from .._utils.optional import import_optional

COMPOSITE = "estimator.skops"
_MARK = re.compile("\0model ([0-9]{1,4}) of this file")


def detach(composite: BaseEstimator, kind: type) -> tuple[Any, list[Any]]:
    """Replace the models of a kind inside an estimator by marks.

    Parameters
    ----------
    composite : estimator
        It is not changed.
    kind : type

    Returns
    -------
    estimator, list of object
        Shallow copies down to the models, and the models.
    """
    models: list[Any] = []

    def mark(value: Any) -> Any:
        if not isinstance(value, kind):
            return None
        numbers = [i for i, model in enumerate(models) if model is value]
        if not numbers:
            numbers = [len(models)]
            models.append(value)
        return f"\0model {numbers[0]} of this file"

    return _replace(composite, mark, {}), models


def attach(composite: Any, models: list[Any]) -> Any:
    """Replace the marks of :func:`detach` by models."""

    def find(value: Any) -> Any:
        found = _MARK.fullmatch(value) if isinstance(value, str) else None
        return None if found is None else models[int(found[1])]

    return _replace(composite, find, {})


def _replace(value: Any, substitute: Callable[[Any], Any], done: dict[int, Any]) -> Any:
    """The value with substitutes inside estimators and containers; the value itself without any."""
    if id(value) in done:
        return done[id(value)][0]
    if (other := substitute(value)) is not None:
        return other
    done[id(value)] = value, value  # kept, so that its id is not used again
    made = value
    if _has_parts(value):
        changed = _replace_items(vars(value), substitute, done)
        if changed:
            made = copy.copy(value)
            vars(made).update(changed)
    elif isinstance(value, dict):
        changed = _replace_items(value, substitute, done)
        if changed:
            made = copy.copy(value)
            made.update(changed)
    elif type(value) in (list, tuple):
        items = [_replace(item, substitute, done) for item in value]
        if any(a is not b for a, b in zip(items, value, strict=True)):
            made = type(value)(items)
    done[id(value)] = made, value
    return made


def _has_parts(value: Any) -> bool:
    """Return True for estimators, and for objects of scikit-learn that hold some, as scorers do."""
    is_theirs = type(value).__module__.partition(".")[0] == "sklearn"
    return isinstance(value, BaseEstimator) or (
        is_theirs and hasattr(value, "__dict__") and not isinstance(value, dict | type)
    )


def _replace_items(
    items: dict[Any, Any], substitute: Callable[[Any], Any], done: dict[int, Any]
) -> dict[Any, Any]:
    """The items that change."""
    replaced = {name: _replace(item, substitute, done) for name, item in items.items()}
    return {name: item for name, item in replaced.items() if item is not items[name]}


def write_composite(folder: Path, composite: Any) -> None:
    """Write an estimator of scikit-learn, by skops."""
    library = import_optional("skops.io", extra="skops", purpose="A model file of a pipeline")
    try:
        library.dump(composite, folder / COMPOSITE)
    except TypeError as error:
        error.add_note(
            f"This {type(composite).__name__} holds it outside the estimators that are written. Of "
            f"a search, save best_estimator_."
        )
        raise


def read_composite(folder: Path, trusted: Collection[str]) -> Any:
    """Read an estimator of scikit-learn; a `ModelFormatError` for types that are not trusted."""
    library = import_optional("skops.io", extra="skops", purpose="The model file of a pipeline")
    file = folder / COMPOSITE
    try:
        types = library.get_untrusted_types(file=file)
        unknown = sorted(set(types) - set(trusted))
        if not unknown:
            return library.load(file, trusted=types)
    except ImportError:
        raise
    except Exception as error:  # of all types, on damaged content
        raise ModelFormatError(
            f"{file}: skops cannot load the estimator: {error!r:.200}"
        ) from error
    raise ModelFormatError(
        f"{folder}: the model has objects of the types {', '.join(unknown)}, which are made only "
        f"if you trust them: load(path, trusted={unknown})."
    )
