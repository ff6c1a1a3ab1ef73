"""Errors of this package, and the stack level of its warnings."""

from __future__ import annotations

import inspect

# Packages whose lines are not the user's.
_CALLERS = frozenset([__name__.partition(".")[0], "sklearn", "skorch", "joblib", "contextlib"])


class VectorFormatError(ValueError):
    """A file of pretrained vectors is damaged, or is not of the format that it claims to be.

    The message names the file, the line or byte, the expected and the actual content.
    """


class ModelFormatError(ValueError):
    """A model file is damaged, incomplete or newer, or names code that is not trusted.

    The message names the file, the expected and the actual content.
    """


class MissingDependencyError(ImportError):
    """An optional dependency is not installed; the message names the extra that installs it."""


def levels_to_caller() -> int:
    """Return the `stacklevel` of the user's line, for `warnings.warn`."""
    # It is the first line outside this package and the libraries that call it: scikit-learn wraps
    # the methods of estimators, and its searches and pipelines call them.
    frame, level = inspect.currentframe(), 0
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] in _CALLERS:
        frame, level = frame.f_back, level + 1
    return level
