"""Errors of this package, and the stack level of its warnings."""

from __future__ import annotations

import inspect
import re
import warnings

from .objects.memo import register_memo

# Packages whose lines are not the user's.
_CALLERS = frozenset([__name__.partition(".")[0], "sklearn", "skorch", "joblib", "contextlib"])
# Actions of Python's filters that show a warning once.
_ONCE = ("default", "module", "once")
# Text, file and line of the warnings that were shown.
_shown: set[tuple[str, str, int]] = set()
register_memo(_shown.clear)


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


def warn_once(message: str) -> None:
    """Issue a `UserWarning` at the user's line, once per line and text if the filters say so."""
    # Python itself forgets what it has shown whenever any library uses `warnings.catch_warnings`,
    # so that a search would repeat the warning in each fit.
    # Counted from here, where this function is one more level.
    level, frame = levels_to_caller(), inspect.currentframe()
    for _ in range(level - 1):
        frame = frame.f_back if frame and frame.f_back else frame
    if frame is None:  # an interpreter without frames
        warnings.warn(message, UserWarning, stacklevel=level)
        return
    module, line = str(frame.f_globals.get("__name__", "")), frame.f_lineno
    place = message, frame.f_code.co_filename, line
    if place in _shown and _find_action(message, module, line) in _ONCE:
        return
    _shown.add(place)
    warnings.warn(message, UserWarning, stacklevel=level)


def _find_action(message: str, module: str, line: int) -> str:
    """Find the action of the filters for a `UserWarning`."""
    for action, text, category, where, number in warnings.filters:
        fits = issubclass(UserWarning, category) and number in (0, line)
        if fits and _matches(text, message) and _matches(where, module):
            return action
    return "default"


def _matches(pattern: re.Pattern[str] | str | None, text: str) -> bool:
    return pattern is None or re.match(pattern, text) is not None
