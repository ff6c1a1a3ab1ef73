"""Model cards: what a fitted model is, from which vectors, data and parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.atomic import write_atomically
from .._utils.optional import import_optional
from ..sources import Source

_TEMPLATE = """# {title}

{description}

## Model

`{estimator}`

{facts}

## Pretrained model

{sources}

## Data

{data}

## Metrics

{metrics}

## Licences

{licences}
"""
_UNKNOWN = "Not given."


def write_card(  # noqa: PLR0913 (as the method)
    estimator: Any,
    path: str | os.PathLike[str],
    *,
    description: str | None = None,
    data: str | None = None,
    metrics: Mapping[str, float] | None = None,
    license: str | None = None,
    vectors_license: str | None = None,
) -> None:
    """Write the card of a fitted estimator; see `Exports.model_card`."""
    library = import_optional("huggingface_hub", extra="static", purpose="A model card")
    _check_metrics(metrics)
    name = type(estimator).__name__
    header = library.ModelCardData(
        library_name="sklearn_transfer",
        license=license,
        tags=["text-classification" if hasattr(estimator, "classes_") else "regression", name],
    )
    body = _TEMPLATE.format(
        title=f"{name} of sklearn_transfer",
        description=description or f"A fitted {name}.",
        estimator=_name_call(estimator),
        facts=_list_facts(estimator),
        sources="\n".join(map(_describe_source, _sources(estimator))) or "None: X is features.",
        data=data or _UNKNOWN,
        metrics=_tabulate(metrics) if metrics else _UNKNOWN,
        licences=_list_items(
            {"this model": license or _UNKNOWN, "pretrained model": vectors_license or _UNKNOWN}
        ),
    )
    content = f"---\n{header.to_yaml()}\n---\n\n{body}"
    with write_atomically(Path(path)) as file:
        file.write(content.encode())


def _check_metrics(metrics: Mapping[str, float] | None) -> None:
    for name, value in (metrics or {}).items():
        if not isinstance(value, int | float | np.number):
            raise TypeError(f"Expected a number for the metric {name!r}, got {value!r:.80}.")


def _sources(estimator: Any) -> Sequence[Any]:
    sources = getattr(estimator, "pretrained_", None)
    if sources is None:
        return []
    return sources if isinstance(sources, list) else [sources]


def _name_call(estimator: Any) -> str:
    """The class and the parameters that are plain values and not defaults."""
    defaults = type(estimator)().get_params(deep=False)
    changed = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name != "pretrained" and not np.array_equal(value, defaults[name])
    }
    parts = [f"{name}={_name_value(value)}" for name, value in changed.items()]
    return f"{type(estimator).__name__}({', '.join(parts)})"


def _name_value(value: Any) -> str:
    is_plain = value is None or isinstance(value, str | int | float | tuple | list | dict)
    return repr(value)[:80] if is_plain else type(value).__name__


def _list_facts(estimator: Any) -> str:
    facts: dict[str, Any] = {}
    if hasattr(estimator, "classes_"):
        facts["classes"] = ", ".join(map(str, list(estimator.classes_)[:100]))
        facts["temperature of the probabilities"] = f"{estimator.temperature_:.3g}"
    if getattr(estimator, "coverage_", None) is not None:
        facts["share of the training tokens with a vector"] = f"{estimator.coverage_:.3f}"
    return _list_items(facts)


def _describe_source(source: Source) -> str:
    """A line without paths of this machine."""
    name = getattr(source, "name", None) or Path(str(getattr(source, "source", "vectors"))).name
    return f"- {type(source).__name__} {name!r}, {source.dim} dimensions"


def _list_items(items: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in items.items())


def _tabulate(metrics: Mapping[str, float]) -> str:
    rows = [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
    return "\n".join(["| metric | value |", "| --- | ---: |", *rows])
