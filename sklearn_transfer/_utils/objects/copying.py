"""Copies of objects whose pickle has another state than their attributes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

_Object = TypeVar("_Object")


def copy_attributes(original: _Object) -> _Object:
    """Copy an object with the same attributes: a method `__copy__`."""
    copied = object.__new__(type(original))
    copied.__dict__.update(original.__dict__)
    return copied


def deepcopy_attributes(original: _Object, memo: dict[int, Any]) -> _Object:
    """Copy all attributes: a method `__deepcopy__` for classes with `__getstate__`."""
    # Objects that occur twice, such as a parameter that an optimizer refers to, stay one object.
    copied = object.__new__(type(original))
    memo[id(original)] = copied
    copied.__dict__.update(deepcopy(original.__dict__, memo))
    return copied
