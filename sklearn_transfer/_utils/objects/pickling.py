"""Objects for pickle alone: programs that take its protocol for another one are refused."""

from __future__ import annotations

from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any


class PickledOnly:
    """An object that pickle and copy can hold, and skops cannot.

    pickle and copy call `__reduce_ex__`. skops calls `__reduce__`, and then writes the attributes:
    tensors and mapped tables, which it cannot open again.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return __newobj__, (type(self),), self.__getstate__()

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._is_for_pickle_only():
            return self.__reduce_ex__(2)
        raise TypeError(
            f"Expected an object that skops can open again, got a {type(self).__name__}: its "
            f"tensors and mapped tables are not types of skops. Write a file without pickle by "
            f"{self._how_to_save()}."
        )

    def _is_for_pickle_only(self) -> bool:
        return True

    def _how_to_save(self) -> str:
        return "sklearn_transfer.save(estimator, path), and open it by sklearn_transfer.load(path)"
