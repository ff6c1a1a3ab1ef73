from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import segmenters
from segmenters import Segmenter, identity, lcut, segmenter, upper

from sklearn_transfer._utils.objects.named import by_name


def reopened(value: Any) -> Any:
    return pickle.loads(pickle.dumps(by_name(value)))


@pytest.mark.parametrize("value", [lcut, segmenter.cut, segmenter.__call__, segmenter])
def test_methods_and_objects_of_a_module_are_found_by_their_names(
    value: Callable[..., Any],
) -> None:
    assert reopened(value) == value


def test_a_partial_keeps_its_arguments() -> None:
    partial_ = reopened(partial(lcut, upper=True))
    assert (partial_.func, partial_.args, partial_.keywords) == (lcut, (), {"upper": True})
    assert reopened(partial(partial(identity), ["a"]))() == ["a"]
    assert reopened(partial(upper, "a b"))() == ["A", "B"]


@pytest.mark.parametrize(
    "value",
    [None, identity, str.split, "a".split, re.compile("a").findall, dict.fromkeys, print, 3],
    ids=lambda value: type(value).__name__,
)
def test_other_objects_are_pickled_as_they_are(value: Any) -> None:
    assert by_name(value) is value


def test_an_object_without_a_name_is_pickled_as_it_is() -> None:
    other = Segmenter()
    assert by_name(other) is other
    method = other.cut
    assert by_name(method) is method


def test_objects_of_main_are_pickled_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        __module__ = "__main__"

        def __call__(self, text: str) -> list[str]:
            return text.split()

    own = Own()
    monkeypatch.setattr(sys.modules["__main__"], "own", own, raising=False)
    assert by_name(own) is own


def test_a_name_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(by_name(lcut))
    with monkeypatch.context() as patch:
        patch.delattr(segmenters, "lcut")
        with pytest.raises(
            AttributeError, match=r"with the tokenizer segmenters.lcut, which is no"
        ):
            pickle.loads(content)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "segmenters", None)
        with pytest.raises(ImportError, match=r"Install the package, or define the name again"):
            pickle.loads(content)
