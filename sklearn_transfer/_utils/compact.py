"""Arrays in fewer bytes, bit for bit: small integers, fixed-point numbers, differences, palettes.

`pack` chooses the shortest of these codings, and `unpack` gives the same array. A packed array is
arrays and settings that JSON can hold, for pickles as well as for model files:

- plain: the array as it is.
- integers: each in the smallest type that holds it, with a bit that says in which.
- fixed: floats that are integers times a power of two, such as rounded weights.
- sorted: integers in ascending order, as differences.
- palette: the distinct numbers, and the position of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Smaller arrays are kept plain.
_SMALL = 1024
# Numbers of an array that are looked at before a coding is tried on all.
_SAMPLE = 1024
_TIERS: dict[str, type[np.signedinteger]] = {
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
}
_LARGEST_PALETTE = 1 << 16
_CODINGS = ("plain", "integers", "fixed", "sorted", "palette")
_ZERO = "zero"  # the tier whose integers take no entry
# Floats whose integers have more digits are kept plain: they were not rounded.
_MAX_DIGITS = 22


@dataclass(frozen=True)
class Packed:
    """A packed array.

    Attributes
    ----------
    settings : dict
        The coding, dtype, shape and parameters: strings, integers and lists of them.
    arrays : dict of str to ndarray
        One-dimensional, unless the coding is plain.
    """

    settings: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        return sum(array.nbytes for array in self.arrays.values())


class Compact:
    """An array in the state of an object, which pickles hold packed, and open as the array."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        packed = pack(self.array)
        return _open, (packed.settings, packed.arrays)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self.array.copy())


def opened(value: Any) -> Any:
    """Return the array of a `Compact`, also in a list; copies have it, opened pickles do not."""
    if isinstance(value, list):
        return [opened(part) for part in value]
    return value.array if isinstance(value, Compact) else value


def pack_state(owner: Any, *names: str) -> dict[str, Any]:
    """Return the attributes of an object for its pickle, some arrays or lists of them compact."""
    state = dict(owner.__dict__)
    for name in state.keys() & set(names):
        value = state[name]
        state[name] = list(map(Compact, value)) if isinstance(value, list) else Compact(value)
    return state


def open_state(owner: Any, state: Mapping[str, Any], *names: str) -> None:
    """Set the attributes of :func:`pack_state`, of the same names."""
    owner.__dict__.update(state)
    owner.__dict__.update({name: opened(state[name]) for name in state.keys() & set(names)})


def _open(settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
    return unpack(Packed(settings, arrays))


def pack(array: NDArray[Any]) -> Packed:
    """Pack an array of numbers with the coding that takes the fewest bytes.

    Parameters
    ----------
    array : ndarray
        Arrays of other types, and of fewer than 1,024 elements, are kept plain.

    Returns
    -------
    Packed

    Examples
    --------
    >>> weights = np.round(np.random.default_rng(0).normal(size=4096), 2).astype("float32")
    >>> packed = pack(weights)
    >>> packed.settings["coding"], bool((unpack(packed) == weights).all())
    ('palette', True)
    """
    plain = Packed({"coding": "plain"}, {"values": array})
    if array.size < _SMALL or array.dtype.kind not in "iuf":
        return plain
    return min([plain, *_candidates(array)], key=lambda packed: packed.nbytes)


def unpack(packed: Packed) -> NDArray[Any]:
    """Unpack an array.

    Parameters
    ----------
    packed : Packed

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If settings and arrays do not belong together.
    """
    settings, arrays = packed.settings, packed.arrays
    try:
        if settings["coding"] == "plain":
            values = arrays["values"]
            return values
        dtype, shape = np.dtype(settings["dtype"]), tuple(settings["shape"])
        if settings["coding"] not in _CODINGS or dtype.kind not in "iuf" or min(shape) < 0:
            raise ValueError("an unknown coding, dtype or shape")
        integers = _unpack_integers(arrays, settings["tiers"], prod(shape))
        values = _decode(settings, arrays, integers, dtype)
        return values.astype(dtype, copy=False).reshape(shape)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"Expected the parts of a packed array, got {settings!r:.200} with arrays of "
            f"{ {name: array.shape for name, array in arrays.items()} }: {error}."
        ) from error


def _decode(
    settings: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    integers: NDArray[np.signedinteger],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """The numbers that integers stand for."""
    if settings["coding"] == "fixed":
        # Exact: the integers have no more digits than the numbers.
        wide = integers.astype(np.result_type(dtype, np.float32))
        with np.errstate(over="ignore", under="ignore"):  # of a crafted file
            floats: NDArray[Any] = np.ldexp(wide, int(settings["exponent"]))
        return floats
    if settings["coding"] == "sorted":
        return integers.cumsum(dtype=np.int64)
    if settings["coding"] == "palette":
        palette = arrays["palette"]
        if palette.dtype != dtype or palette.ndim != 1 or integers.min() < 0:
            raise ValueError("a palette of another dtype, or a negative position")
        numbers: NDArray[Any] = palette[integers]
        return numbers
    return integers


def _candidates(array: NDArray[Any]) -> Iterator[Packed]:
    if array.dtype.kind == "f":
        fixed = _find_fixed_point(array)
        if fixed is not None:
            yield _pack_as("fixed", array, fixed[0], exponent=fixed[1])
        elif (palette := _find_palette(array)) is not None:
            yield _pack_as("palette", array, palette[1], palette=palette[0])
        return
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        return
    flat = array.ravel().astype(np.int64, copy=False)
    yield _pack_as("integers", array, flat)
    if flat[0] >= 0 and (flat[1:] >= flat[:-1]).all():
        yield _pack_as("sorted", array, np.diff(flat, prepend=0))


def _pack_as(
    coding: str,
    array: NDArray[Any],
    integers: NDArray[np.signedinteger],
    palette: NDArray[Any] | None = None,
    **parameters: int,
) -> Packed:
    tiers, arrays = _pack_integers(integers)
    if palette is not None:
        arrays["palette"] = palette
    shape = [int(length) for length in array.shape]
    settings = {"coding": coding, "dtype": array.dtype.str, "shape": shape, "tiers": tiers}
    return Packed({**settings, **parameters}, arrays)


def _pack_integers(
    integers: NDArray[np.signedinteger],
) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Split integers by size; of each part but the last, a bit says which integers are in it."""
    tiers: list[str] = []
    arrays: dict[str, NDArray[Any]] = {}
    rest, width = integers, 0
    for name, dtype in ((_ZERO, None), *_TIERS.items()):
        if dtype is None:
            fits = rest == 0
        else:
            width = np.dtype(dtype).itemsize
            fits = (rest >= np.iinfo(dtype).min) & (rest <= np.iinfo(dtype).max)
        n_fit = int(np.count_nonzero(fits))
        is_last = n_fit == len(rest) and dtype is not None
        # In the next tier, an integer takes at least one byte more, or twice the width.
        if not is_last and n_fit * max(width, 1) <= len(rest) / 8:
            continue
        tiers.append(name)
        if dtype is not None:
            arrays[name] = rest[fits].astype(dtype)
        if is_last:
            break
        arrays[f"is {name}"] = np.packbits(fits)
        rest = rest[~fits]
    return tiers, arrays


def _unpack_integers(
    arrays: Mapping[str, NDArray[Any]], tiers: list[str], n: int
) -> NDArray[np.signedinteger]:
    """Join the parts of `n` integers."""
    if n > 8 * sum(array.nbytes for array in arrays.values()):  # before memory is taken
        raise ValueError("more numbers than the arrays hold")
    masks = []
    for name in tiers[:-1]:
        bits = arrays[f"is {name}"]
        if bits.dtype != np.uint8 or len(bits) != -(-n // 8):
            raise ValueError(f"{len(bits)} bytes of bits for {n} numbers")
        masks.append(np.unpackbits(bits, count=n).view(bool))
        n -= int(np.count_nonzero(masks[-1]))
    integers = _tier(arrays, tiers[-1], n)
    for name, fits in zip(reversed(tiers[:-1]), reversed(masks), strict=True):
        joined = np.zeros(len(fits), dtype=integers.dtype)
        joined[~fits] = integers
        if name != _ZERO:
            joined[fits] = _tier(arrays, name, len(fits) - len(integers))
        integers = joined
    return integers


def _tier(arrays: Mapping[str, NDArray[Any]], name: str, n: int) -> NDArray[np.signedinteger]:
    values = arrays[name]
    if values.dtype != _TIERS[name] or values.shape != (n,):
        raise ValueError(f"{values.dtype} of shape {values.shape} for {n} numbers of {name}")
    return values


def _find_fixed_point(array: NDArray[np.floating]) -> tuple[NDArray[np.int32], int] | None:
    """The integers and the exponent of which an array consists; None where it needs more digits."""
    flat = array.ravel()
    if flat.dtype == np.float16:
        flat = flat.astype(np.float32)  # float16 overflows
    if _lowest_bit(_sample(flat)) is None or (exponent := _lowest_bit(flat)) is None:
        return None
    return np.ldexp(flat, -exponent).astype(np.int32), exponent


def _lowest_bit(values: NDArray[np.floating]) -> int | None:
    """The largest power of two of which all values are multiples; None where they are too long."""
    if not np.isfinite(values).all() or (np.signbit(values) & (values == 0)).any():
        return None
    values = values[values != 0]
    if not len(values):
        return 0
    fraction, exponents = np.frexp(values)
    digits = np.ldexp(fraction, _MAX_DIGITS)
    integers = digits.astype(np.int32)
    if (integers != digits).any():
        return None
    lowest = np.frexp((integers & -integers).astype(np.float32))[1]
    exponent = int((exponents + lowest).min()) - _MAX_DIGITS - 1
    return exponent if int(exponents.max()) - exponent <= _MAX_DIGITS else None


def _sample(flat: NDArray[Any]) -> NDArray[Any]:
    return flat[:: max(1, len(flat) // _SAMPLE)]


def _find_palette(array: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    """The distinct bit patterns, as numbers, and the position of each; None if there are many."""
    bits = array.ravel().view(f"u{array.dtype.itemsize}")
    sample = _sample(bits)
    sample = sample[sample != 0]
    if 4 * len(np.unique(sample)) > 3 * len(sample):
        return None
    palette, positions = np.unique(bits, return_inverse=True)
    if len(palette) > _LARGEST_PALETTE:
        return None
    return palette.view(array.dtype), positions.astype(np.int64)
