"""Values as JSON and arrays, and back. Nothing of it is executed when it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.compact import Packed, pack, unpack
from .._utils.errors import ModelFormatError
from .._utils.objects.named import find_name
from .._utils.objects.state import State

# The types of arrays in a file of tensors, and those that are stored as integers.
_NUMBERS = frozenset(
    [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    + ["bool", "float16", "float32", "float64"]
)
_TIMES = re.compile(r"<[mM]8(\[\w{1,20}\])?")
_WIDTH = 10_000  # characters of an array of strings, unless one is longer
_TEXT = re.compile(r"<U\d{1,9}")


class Encoder:
    """Turn values into JSON; arrays are collected in `arrays`.

    Parameters
    ----------
    kinds : mapping of str to type
        Types with ``to_state``, by name.
    encode_other : callable
        ``encode_other(value)`` encodes sources and estimators; None for anything else.
    """

    def __init__(
        self, kinds: Mapping[str, Any], encode_other: Callable[[Any], dict[str, Any] | None]
    ) -> None:
        self._kinds, self._encode_other = kinds, encode_other
        self.arrays: dict[str, NDArray[Any]] = {}

    def encode(self, value: Any, where: str) -> Any:
        """Encode a value; `where` it stands is for the messages, and the names of arrays."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) in (list, tuple):
            items = [self.encode(item, f"{where}.{i}") for i, item in enumerate(value)]
            return items if type(value) is list else {"tuple": items}
        if type(value) is dict:
            pairs = [
                [self.encode(k, where), self.encode(v, f"{where}.{k}")] for k, v in value.items()
            ]
            return {"dict": pairs}
        if isinstance(value, np.generic | np.ndarray):
            return self._encode_array(np.asarray(value), isinstance(value, np.generic), where)
        if self._kinds.get(type(value).__name__) is type(value):
            return self._encode_object(value, where)
        if (encoded := self._encode_other(value)) is not None:
            return encoded
        return self._encode_rare(value, where)

    def _encode_object(self, value: Any, where: str) -> dict[str, Any]:
        kind = type(value).__name__
        where = f"{where}.{kind}"
        state = value.to_state()
        return {
            "object": kind,
            "state": {name: self.encode(v, f"{where}.{name}") for name, v in state.items()},
        }

    def _encode_rare(self, value: Any, where: str) -> dict[str, Any]:
        if isinstance(value, PurePath):
            return {"path": str(value)}
        if isinstance(value, np.random.RandomState):
            return {"random_state": self.encode(value.get_state(), where)}
        if hasattr(value, "state_dict") and not isinstance(value, type):
            return {"needed": where.rpartition(".")[2], "type": type(value).__name__}
        if isinstance(value, partial):
            parts = self.encode((value.args, dict(value.keywords)), where)
            return {"partial": self.encode(value.func, where), "arguments": parts}
        name = find_name(value)
        if name is None:
            raise TypeError(
                f"A model file holds plain values and names, but {where} is {value!r:.80}, of type "
                f"{type(value).__name__}, which has no name in a module. Set it to None with "
                f"set_params if prediction does not need it (callbacks, distill_from), give a "
                f"function that a module defines, or pickle the model (joblib.dump)."
            )
        return {"module": name[0], "name": name[1]}

    def _encode_array(self, array: NDArray[Any], is_scalar: bool, where: str) -> dict[str, Any]:  # noqa: FBT001
        entry: dict[str, Any] = {"shape": list(array.shape), "scalar": is_scalar}
        if array.dtype.kind in "UO":
            flat = array.ravel().tolist()
            values = [self.encode(v, f"{where}.{i}") for i, v in enumerate(flat)]
            width = max(map(len, flat), default=0) if array.dtype.kind == "U" else 0
            width = min(array.dtype.itemsize // 4, max(width, _WIDTH))
            dtype = "object" if array.dtype.kind == "O" else f"<U{width}"
            return {"values": values, "dtype": dtype, **entry}
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if _TIMES.fullmatch(little.dtype.str):
            entry["dtype"], little = little.dtype.str, little.view("<i8")
        elif little.dtype.name not in _NUMBERS:
            raise TypeError(
                f"A model file holds arrays of numbers, strings, dates and objects, but {where} is "
                f"an array of {array.dtype}. Fit with other labels, or pickle the model."
            )
        name = where if where not in self.arrays else f"{where}.{len(self.arrays)}"
        packed = pack(little)
        if packed.settings["coding"] != "plain":
            names = {part: f"{name}.{part}" for part in packed.arrays}
            self.arrays.update({names[part]: values for part, values in packed.arrays.items()})
            return {"packed": packed.settings, "parts": names, **entry}
        self.arrays[name] = np.ascontiguousarray(little).reshape(array.shape)
        return {"array": name, **entry}


class Decoder:
    """Make the values of JSON and arrays.

    Parameters
    ----------
    kinds : mapping of str to type
        Types with ``from_state``, by name.
    arrays : mapping of str to ndarray
    decode_other : callable
        ``decode_other(entry)`` decodes sources and estimators; None for anything else.
    trusted : collection of str
        Full names of objects that may be imported.
    place : Path
        The model file, for the messages.
    modules : mapping of str to nn.Module
        Modules of the user, by the parameters that they were given as.
    """

    def __init__(  # noqa: PLR0913 (a constructor)
        self,
        kinds: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        decode_other: Callable[[dict[str, Any]], Any],
        trusted: Collection[str],
        place: Path,
        modules: Mapping[str, Any],
    ) -> None:
        self._place, self._modules = place, modules
        self._kinds, self._arrays, self._decode_other = kinds, arrays, decode_other
        self._trusted = trusted

    def decode(self, value: Any) -> Any:
        """Decode a value; `ValueError` for one that `Encoder` does not write."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if (other := self._decode_other(value)) is not None:
            return other
        for name, decode in (
            ("object", self._decode_object),
            ("array", self._decode_array),
            ("packed", self._decode_packed),
            ("values", self._decode_values),
            ("tuple", lambda entry: tuple(map(self.decode, entry["tuple"]))),
            ("dict", self._decode_dict),
            ("float", lambda entry: _decode_float(entry["float"])),
            ("path", lambda entry: Path(State("a path", entry).of("path", str))),
            ("module", self._import),
            ("partial", self._decode_partial),
            ("random_state", self._decode_random_state),
            ("needed", self._take_module),
        ):
            if name in value:
                return decode(value)
        raise ValueError(f"expected a value, found {value!r:.80}")

    def decode_state(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Decode the entries of an object."""
        state = State("an object", entry).of("state", dict)
        return {name: self.decode(part) for name, part in state.items()}

    def _decode_object(self, entry: dict[str, Any]) -> Any:
        kind = entry["object"]
        if not isinstance(kind, str) or kind not in self._kinds:
            raise ValueError(f"expected an object of this package, found {kind!r:.80}")
        return self._kinds[kind].from_state(State(kind, self.decode_state(entry)))

    def _decode_dict(self, entry: dict[str, Any]) -> dict[Any, Any]:
        return {self.decode(key): self.decode(value) for key, value in entry["dict"]}

    def _decode_array(self, entry: dict[str, Any]) -> Any:
        return self._view_array(self._take_array(entry["array"]), entry)

    def _decode_packed(self, entry: dict[str, Any]) -> Any:
        state = State("a packed array", entry)
        parts = {part: self._take_array(name) for part, name in state.of("parts", dict).items()}
        return self._view_array(unpack(Packed(state.of("packed", dict), parts)), entry)

    def _take_array(self, name: Any) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            raise ValueError(f"expected a tensor {name!r:.80}, found none")
        return array

    def _view_array(self, array: NDArray[Any], entry: dict[str, Any]) -> Any:
        if "dtype" in entry:
            if not isinstance(entry["dtype"], str) or not _TIMES.fullmatch(entry["dtype"]):
                raise ValueError(f"expected a type of dates, found {entry['dtype']!r:.80}")
            array = (
                State("dates", {"values": array})
                .array("values", "int64", *(None,) * array.ndim)
                .view(entry["dtype"])
            )
        return array[()] if entry.get("scalar") is True and array.ndim == 0 else array

    def _decode_values(self, entry: dict[str, Any]) -> Any:
        values, dtype = self.decode(entry["values"]), entry["dtype"]
        if dtype != "object" and not (isinstance(dtype, str) and _TEXT.fullmatch(dtype)):
            raise ValueError(f"expected an array of strings or objects, found {dtype!r:.80}")
        if dtype == "object":
            array = np.empty(len(values), dtype=object)
            array[:] = values
        else:
            array = _as_strings(values, int(dtype[2:]))
        shaped = array.reshape(entry["shape"])
        return shaped[()] if entry.get("scalar") is True and shaped.ndim == 0 else shaped

    def _decode_random_state(self, entry: dict[str, Any]) -> np.random.RandomState:
        made = np.random.RandomState(0)
        made.set_state(self.decode(entry["random_state"]))
        return made

    def _decode_partial(self, entry: dict[str, Any]) -> Any:
        args, keywords = self.decode(entry["arguments"])
        return partial(self.decode(entry["partial"]), *args, **keywords)

    def _take_module(self, entry: dict[str, Any]) -> Any:
        """Take a module of the user, whose weights the file has, but not its code."""
        name = State("a module", entry).of("needed", str)
        if (module := self._modules.get(name)) is None:
            raise ModelFormatError(
                f"{self._place}: the model has the weights of a {entry.get('type')!s:.80}, but not "
                f"its code. Make the module, and give it: load(path, {name}=module)."
            )
        return module

    def _import(self, entry: dict[str, Any]) -> Any:
        """Import an object by its name, if it is trusted."""
        state = State("a name", entry)
        module, path = state.of("module", str), state.of("name", str)
        name = f"{module}.{path}"
        if name not in self._trusted:
            raise ModelFormatError(
                f"{self._place}: the model names {name}, which is imported only if you trust it: "
                f"load(path, trusted=[{name!r}])."
            )
        try:
            return attrgetter(path)(import_module(module))
        except (ImportError, AttributeError) as error:
            raise ModelFormatError(
                f"{self._place}: the model names {name}, which is not there: {error}. Install the "
                f"package, or define the name again."
            ) from error


def _as_strings(values: Any, width: int) -> NDArray[Any]:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("expected an array of strings, found other values")
    longest = max(map(len, values), default=0)
    if not longest <= width <= max(longest, _WIDTH):
        raise ValueError(f"expected strings of {width} characters, found {longest}")
    return np.array(values, dtype=f"<U{width}")


def _decode_float(text: Any) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise ValueError(f"expected 'nan', 'inf' or '-inf', found {text!r:.80}")
    return float(text)
