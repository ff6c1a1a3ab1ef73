"""Values as JSON and arrays, and back."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sklearn_transfer._utils.errors import ModelFormatError
from sklearn_transfer.persistence.encoding import Decoder, Encoder


def there_and_back(value: Any, trusted: tuple[str, ...] = ()) -> Any:
    encoder = Encoder({}, lambda _: None)
    written = json.dumps(encoder.encode(value, "value"))
    decoder = Decoder({}, encoder.arrays, lambda _: None, trusted, Path("m"), {})
    return decoder.decode(json.loads(written))


def decode(entry: Any, **arrays: Any) -> Any:
    return Decoder({}, arrays, lambda _: None, (), Path("m"), {}).decode(entry)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -(10**30), 0.1, 1e-320, -0.0, math.inf, -math.inf),
        *("", "naïve", "\ud800", "a\x00b", (), (1, ("a", None)), [[], ()], {}),
        *({1: "a", "1": None, (1, 2): [3]}, {"a": {"b": 0.5}}, Path("a/b")),
    ],
    ids=range(20),
)
def test_plain_values(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_nan():
    assert math.isnan(there_and_back(math.nan))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.array([[1.5, math.nan]], dtype=np.float16),
        np.arange(3, dtype=">f8"),
        np.zeros((0, 4), dtype=np.float32),
        np.array([True, False]),
        np.array(["a", "\ud800", "", "a\x00"]),
        np.array(["b"], dtype="<U40"),
        np.array(["b", None, 1, ("x",)], dtype=object),
        np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
        np.array([3], dtype="m8[ms]"),
        np.array(7, dtype=np.uint16),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=range(12),
)
def test_arrays(array):
    back = there_and_back(array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.str_("a"), np.bool_(True)])
def test_scalars(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_random_states():
    state = np.random.RandomState(5)
    state.normal()  # one is left over
    assert there_and_back(state).normal() == state.normal()


def test_names_are_imported_if_they_are_trusted():
    for value, name in ((math.sqrt, "math.sqrt"), (str.split, "builtins.str.split"), (dict, "")):
        name = name or "builtins.dict"
        assert there_and_back(value, (name,)) is value
        with pytest.raises(ModelFormatError, match=name):
            there_and_back(value)
    text = there_and_back(partial(str.split, maxsplit=1), ("builtins.str.split",))
    assert text("a b c") == ["a", "b c"]


def test_trusted_names_that_are_gone_are_named():
    decoder = Decoder({}, {}, lambda _: None, ["math.gone"], Path("m"), {})
    with pytest.raises(ModelFormatError, match=r"names math\.gone, which is not there"):
        decoder.decode({"module": "math", "name": "gone"})


class Local:
    def method(self) -> None:
        """No module has its object."""


@pytest.mark.parametrize(
    "value",
    [lambda: 0, Local(), Local().method, {1, 2}, b"a", 1j, np.array([1j]), np.array([b"a"])],
    ids=["lambda", "object", "method", "set", "bytes", "complex", "complexes", "array of bytes"],
)
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match=r"A model file holds .*value\.1"):
        there_and_back([0, value])


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"other": 1},
        {"object": "os.system", "state": {}},
        {"object": ["x"]},
        {"array": "missing"},
        {"array": "a", "dtype": "O"},
        {"array": "a", "dtype": "<M8[" + "9" * 30 + "]"},
        {"array": "a", "dtype": "<M8[D]"},
        {"values": ["a"], "dtype": "<U999999999", "shape": [1]},
        {"values": [1], "dtype": "<U1", "shape": [1]},
        {"values": ["long"], "dtype": "<U1", "shape": [1]},
        {"values": ["a"], "dtype": "<U1", "shape": [2]},
        {"values": ["a"], "dtype": "V8", "shape": [1]},
        {"tuple": 3},
        {"dict": [[[1], 2]]},
        {"dict": 3},
        {"float": "1e5"},
        {"path": 3},
        {"module": "os", "name": 3},
        {"partial": None, "arguments": 3},
        {"random_state": ["MT19937", 3]},
    ],
    ids=range(21),
)
def test_damaged_entries_are_refused(entry):
    with pytest.raises((ValueError, TypeError, LookupError)):
        decode(entry, a=np.zeros(2, dtype=np.float32))


def test_deep_nesting_is_an_error():
    entry: Any = 0
    for _ in range(5000):
        entry = [entry]
    with pytest.raises(RecursionError):
        decode(entry)
