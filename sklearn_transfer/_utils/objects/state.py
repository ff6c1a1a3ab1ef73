"""The entries of an object from a model file, checked as they are taken.

An object that a model file may hold has two methods: ``to_state()`` returns its entries (plain
values, arrays, and other such objects) and the class method ``from_state(state)`` makes an equal
object, or raises `ValueError` for entries that do not belong together. Model files may be damaged
or made by others, so that nothing about the entries is taken for granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")


class State:
    """Entries by name.

    Parameters
    ----------
    name : str
        The object, for the messages.
    entries : mapping of str to object
    """

    def __init__(self, name: str, entries: Mapping[str, Any]) -> None:
        self._name, self._entries = name, entries

    def __getitem__(self, entry: str) -> Any:
        """Return an entry of any type."""
        if entry not in self._entries:
            raise ValueError(f"expected an entry {entry!r} of {self._name}, found none")
        return self._entries[entry]

    def __contains__(self, entry: object) -> bool:
        return entry in self._entries

    def of(self, entry: str, *types: type[_T]) -> _T:
        """Return an entry of one of some types; a bool is no int."""
        value = self[entry]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self.error(entry, " or ".join(kind.__name__ for kind in types), value)
        return value

    def optional(self, entry: str, *types: type[_T]) -> _T | None:
        """Return an entry of one of some types, or None."""
        return None if self[entry] is None else self.of(entry, *types)

    def integer(self, entry: str, least: int = 0, most: int = 2**62) -> int:
        """Return an integer inside some bounds."""
        value = self.of(entry, int)
        if not least <= value <= most:
            raise self.error(entry, f"an integer from {least} to {most}", value)
        return value

    def number(self, entry: str) -> float:
        """Return a finite number."""
        value = float(self.of(entry, float, int))
        if not np.isfinite(value):
            raise self.error(entry, "a finite number", value)
        return value

    def choice(self, entry: str, *choices: Any) -> Any:
        """Return an entry that is one of some values."""
        value = self[entry]
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise self.error(entry, f"one of {choices}", value)
        return value

    def items(self, entry: str, *types: type[_T]) -> list[_T]:
        """Return a list or tuple whose items have one of some types."""
        values = self.of(entry, list, tuple)
        if not all(isinstance(value, types) for value in values):
            names = " or ".join(kind.__name__ for kind in types)
            raise self.error(entry, f"a list of {names}", values)
        return list(values)

    def array(self, entry: str, dtypes: str, *shape: int | None) -> NDArray[Any]:
        """Return an array whose dtype is among `dtypes` ("float32 int64"); None is any length."""
        value = self.of(entry, np.ndarray)
        has_shape = value.ndim == len(shape) and all(
            n in (None, m) for n, m in zip(shape, value.shape, strict=True)
        )
        if not has_shape or value.dtype.name not in dtypes.split():
            found = f"{value.dtype} of shape {value.shape}"
            raise self.error(entry, f"an array of {dtypes} of shape {shape}", found)
        return value

    def error(self, entry: str, expected: str, found: Any) -> ValueError:
        """An error about an entry."""
        return ValueError(f"expected {expected} as {entry!r} of {self._name}, found {found!r:.80}")


class PlainState:
    """A dataclass whose entries are its fields."""

    def to_state(self) -> dict[str, Any]:
        """Return the entries of a model file."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make an object from its entries, which have the types of the defaults."""
        values = {}
        for field in fields(cls):  # type: ignore[arg-type]
            value = values[field.name] = state[field.name]
            default = field.default
            if isinstance(default, int | float) and not isinstance(value, int | float | None):
                raise state.error(field.name, type(default).__name__, value)
        return cls(**values)


def check_offsets(offsets: NDArray[np.integer], size: int) -> None:
    """Raise `ValueError` unless offsets divide `size` elements into slices."""
    if not len(offsets) or offsets[0] or offsets[-1] != size or (np.diff(offsets) < 0).any():
        raise ValueError(f"expected offsets that divide {size} elements")


def check_bounds(ids: NDArray[np.integer], least: int, stop: int) -> None:
    """Raise `ValueError` unless all ids are at least `least` and below `stop`."""
    if len(ids) and not least <= int(ids.min()) <= int(ids.max()) < stop:
        raise ValueError(
            f"expected numbers from {least} to {stop - 1}, found {ids.min()} to {ids.max()}"
        )
