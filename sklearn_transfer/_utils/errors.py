"""Errors of this package, and the stack level of its warnings."""

from __future__ import annotations

import inspect


class VectorFormatError(ValueError):
    """A file of pretrained vectors is damaged, or is not of the format that it claims to be.

    The message names the file, the line or byte, the expected and the actual content.
    """


class MissingDependencyError(ImportError):
    """An optional dependency is not installed; the message names the extra that installs it."""


def levels_to_caller() -> int:
    """Return the `stacklevel` of the first line outside this package, for `warnings.warn`."""
    frame, level = inspect.currentframe(), 0
    package = __name__.partition(".")[0]
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
