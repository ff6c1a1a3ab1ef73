"""Objects that a process keeps, and one function that releases all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

_T = TypeVar("_T")
_Clear = TypeVar("_Clear", bound=Callable[[], Any])

_registered: list[Callable[[], Any]] = []


def register_memo(clear: _Clear) -> _Clear:
    """Register and return a function that empties a process-wide memo; `clear_cache` calls it."""
    _registered.append(clear)
    return clear


def clear_memos() -> None:
    """Empty all process-wide memos. Objects that are still in use stay usable."""
    for clear in _registered:
        clear()


class ObjectCache(Generic[_T]):
    """One object per key, for as long as anybody holds it. Clearing memos clears it.

    Parameters
    ----------
    n_recent : int
        The number of objects, the most recently used ones, that are held when nobody else does, so
        that a search whose clones come and go does not open its file again.
    """

    def __init__(self, n_recent: int) -> None:
        self._n_recent = n_recent
        self._held: WeakValueDictionary[Hashable, _T] = WeakValueDictionary()
        self._recent: OrderedDict[Hashable, _T] = OrderedDict()
        register_memo(self._recent.clear)

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the object of a key; `make` creates it where there is none."""
        value = self._held.get(key)
        if value is None:
            value = self._held[key] = make()
        self._recent[key] = value
        self._recent.move_to_end(key)
        while len(self._recent) > self._n_recent:
            self._recent.popitem(last=False)
        return value
