"""Callables that are pickled by name, as functions are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from operator import attrgetter
from types import MethodType
from typing import Any


def by_name(value: Any) -> Any:
    """Return a stand-in that is pickled as the name of an object, or the object itself.

    Pickle stores a function by its name, but copies the object of a bound method or a callable
    object, which may be large or hold a lock. The stand-in of one that a module has under a name,
    such as ``jieba.lcut``, is unpickled as the object of that name in the process that reads it.

    Parameters
    ----------
    value : object
        Also a partial of such a callable. An object of ``__main__`` is returned as it is: another
        process has another one.

    Returns
    -------
    object
    """
    if isinstance(value, partial):
        function = by_name(value.func)
        if function is value.func:
            return value
        return _Reduced(_make_partial, type(value), function, value.args, value.keywords)
    for module, path in _names(value):
        return _Reduced(_find, module, path)
    return value


def find_name(value: Any) -> tuple[str, str] | None:
    """Find the module of a callable and its path in there; None for one without such a name."""
    # Objects of `__main__`, lambdas and functions inside functions have none.
    names = _names(value)
    if hasattr(value, "__qualname__") and not isinstance(value, MethodType):
        owner = getattr(value, "__objclass__", value)  # of a method such as str.split
        names = iter([(owner.__module__, value.__qualname__)])
    for module, path in names:
        if module != "__main__" and _is_at(value, module, path):
            return module, path
    return None


def _is_at(value: Any, module: str, path: str) -> bool:
    try:
        found = attrgetter(path)(sys.modules[module])
    except (AttributeError, KeyError):
        return False
    return bool(found is value or (isinstance(value, MethodType) and found == value))


class _Reduced:
    """An object that is pickled as a call."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call[0], self._call[1:]


def _make_partial(
    kind: type[partial[Any]], function: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> partial[Any]:
    return kind(function, *args, **keywords)


def _find(module: str, path: str) -> Any:
    try:
        return attrgetter(path)(import_module(module))
    except (ImportError, AttributeError) as error:
        raise type(error)(
            f"The estimator was pickled with the tokenizer {module}.{path}, which is not there: "
            f"{error}. Install the package, or define the name again."
        ) from error


def _names(value: Any) -> Iterator[tuple[str, str]]:
    """The names of a method or object in the modules of its function and its type."""
    if isinstance(value, MethodType):
        for module in (value.__module__, type(value.__self__).__module__):
            for name, member in _members(module).items():
                if isinstance(member, MethodType) and member == value:
                    yield module, name
        for module, path in _names(value.__self__):
            yield module, f"{path}.{value.__name__}"
    elif value is not None and not hasattr(value, "__qualname__"):  # no function or class
        module = type(value).__module__
        for name, member in _members(module).items():
            if member is value:
                yield module, name


def _members(module: str) -> dict[str, Any]:
    return {} if module == "__main__" else dict(vars(sys.modules[module]))
