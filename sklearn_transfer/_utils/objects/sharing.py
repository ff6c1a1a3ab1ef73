"""Constructors and documentation of parameters that two estimators share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import cleandoc, signature
from typing import Any

_PARAMETERS = re.compile(r"\nParameters\n-+\n(.*?)(?=\n\n\w+(?: \w+)*\n-+\n)", re.DOTALL)
_ENTRY = re.compile(r"^(\w+)(?:, \w+)* : .*(?:\n(?:[ \t].*)?)*", re.MULTILINE)


def share_constructor(estimator: type, *, without: Sequence[str] = ()) -> Callable[..., None]:
    """Make a constructor with the parameters of another estimator, named in its signature."""
    original = estimator.__init__  # type: ignore[misc]
    full = signature(original)
    kept = [p for name, p in full.parameters.items() if name not in without]
    shared = full.replace(parameters=kept)

    @wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = shared.bind(self, *args, **kwargs)
        bound.apply_defaults()
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)

    __init__.__signature__ = shared  # type: ignore[attr-defined]
    return __init__


def document_parameters(estimator: type) -> Callable[[type], type]:
    """Decorate a class to document all its parameters, by default as `estimator` does."""

    def decorate(cls: type) -> type:
        if cls.__doc__ is None:  # python -OO
            return cls
        entries = {**_read_entries(estimator), **_read_entries(cls)}
        names = list(signature(cls.__init__).parameters)[1:]  # type: ignore[misc]
        section = "\n".join(entries[name].rstrip() for name in names)
        documentation = cleandoc(cls.__doc__)
        start, stop = _PARAMETERS.search(documentation).span(1)  # type: ignore[union-attr]
        cls.__doc__ = documentation[:start] + section + documentation[stop:]
        return cls

    return decorate


def _read_entries(cls: type) -> dict[str, str]:
    section = _PARAMETERS.search(cleandoc(cls.__doc__ or ""))
    text = section[1] if section else ""
    return {match[1]: match[0] for match in _ENTRY.finditer(text)}
