"""Decimal numbers in text, many at once.

``float`` takes 100 ns per number and ``numpy.fromstring`` 200 ns: a minute for a million words of
300 dimensions. Here, array operations turn the digits of all numbers into integers, eight digits in
one 64-bit word.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

# A run of digits matches in one way only; otherwise thousands of them take seconds.
NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_MINUS, _DOT, _ZERO = np.frombuffer(b"-.0", dtype=np.uint8)

# An integer of 15 digits and these powers of ten are exact in float64. One division rounds once and
# gives the result of strtod (Clinger 1990, "How to read floating point numbers accurately").
_MAX_DIGITS = 15
_POWERS_OF_TEN = np.array([10**k for k in range(_MAX_DIGITS + 1)], dtype=np.uint64)

_SIGNED_POWERS = np.concatenate([_POWERS_OF_TEN, -_POWERS_OF_TEN.astype(np.float64)])

# Put before the first number, so that there are 16 characters before the end of each.
PADDING = b"0" * 15

# One number in so many may have an unusual form.
_RARE = 20

# Rounds to infinity in float32: half a step above the largest number.
_OVERFLOW = 2.0**128 - 2.0**103

# Keeps the last k of eight characters: the high bytes of a little-endian word.
_LAST = np.array([0] + [2**64 - 2 ** (64 - 8 * k) for k in range(1, 9)], dtype=np.uint64)

_ZEROS, _TO_HIGH_BIT, _HIGH_BITS = np.array(
    [0x3030303030303030, 0x7676767676767676, 0x8080808080808080], dtype=np.uint64
)

# Steps from eight digits side by side to one number: the weight of the left neighbour, the distance
# of the right one, and the bits to keep.
_STEPS = np.array(
    [
        (10, 8, 0x00FF00FF00FF00FF),
        (100, 16, 0x0000FFFF0000FFFF),
        (10_000, 32, 0x00000000FFFFFFFF),
    ],
    dtype=np.uint64,
)


def parse_plain(
    characters: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Parse numbers of which nearly all have the form ``-0.123456``.

    Parameters
    ----------
    characters : ndarray of uint8, shape (n_characters,)
        With a separator after each number and :data:`PADDING` before the first.
    starts, ends : ndarray of int64, shape (n_numbers,)
        Number ``i`` is ``characters[starts[i]:ends[i]]``.

    Returns
    -------
    ndarray of float32, shape (n_numbers,), or None
        Each is ``numpy.float32(float(number))``, to the bit. None if more than one number in 20 has
        another form.

    Raises
    ------
    ValueError
        If a number is not finite, or not a number.

    Examples
    --------
    >>> text = np.frombuffer(PADDING + b"0.25 -1.5 ", dtype=np.uint8)
    >>> parse_plain(text, np.array([15, 20]), np.array([19, 24]))
    array([ 0.25, -1.5 ], dtype=float32)
    """
    negative = characters[starts] == _MINUS
    points = starts + negative
    integers = (characters[points] - _ZERO).astype(np.uint64)
    unusual = integers > 9
    points += 1
    # A number at the end may be too short to have a point.
    unusual |= characters.take(points, mode="clip") != _DOT
    n_decimals = ends - points
    n_decimals -= 1
    unusual |= n_decimals.view(np.uint64) > _MAX_DIGITS - 1  # also for those below zero
    integers *= _POWERS_OF_TEN.take(n_decimals, mode="clip")
    integers += _eight_digits(characters, ends, n_decimals, unusual)
    if n_decimals.max(initial=0) > 8:
        more = _eight_digits(characters, ends - 8, n_decimals - 8, unusual)
        integers += more * np.uint64(10**8)
    n_decimals += (_MAX_DIGITS + 1) * negative
    numbers = integers / _SIGNED_POWERS.take(n_decimals, mode="clip")
    others = np.flatnonzero(unusual)
    if len(others) * _RARE > len(unusual):
        return None
    for i in others.tolist():
        numbers[i] = _parse_number(characters[starts[i] : ends[i]].tobytes())
    single: NDArray[np.float32] = numbers.astype(np.float32)
    return single


def parse_fields(fields: list[bytes]) -> NDArray[np.float32]:
    """Parse numbers of any form, one by one; `ValueError` for one that is not finite."""
    try:
        numbers = np.array(list(map(float, fields)))
    except ValueError:
        numbers = np.array([np.nan])
    # Python allows underscores.
    if not (abs(numbers) < _OVERFLOW).all() or b"_" in b"".join(fields):
        numbers = np.array(list(map(_parse_number, fields)))  # which names the field
    return numbers.astype(np.float32)


def _parse_number(number: bytes) -> float:
    # A number without an exponent stays far below the limit of float32.
    if not NUMBER.fullmatch(number) or not abs(float(number)) < _OVERFLOW:
        raise ValueError(f"expected a finite number, found {number!r}")
    return float(number)


def _eight_digits(
    characters: NDArray[np.uint8],
    stops: NDArray[np.int64],
    n_digits: NDArray[np.int64],
    unusual: NDArray[np.bool_],
) -> NDArray[np.uint64]:
    """Parse the integers in the last `n_digits`, at most 8, characters before each stop.

    If one of these characters is not a digit, `unusual` becomes True.
    """
    words = np.ndarray((len(characters) - 7,), dtype="<u8", buffer=characters, strides=(1,))
    x = words[stops - 8]
    x ^= _ZEROS
    x &= _LAST.take(n_digits, mode="clip")
    # Adding 0x76 sets the high bit of every value above 9.
    unusual |= ((x + _TO_HIGH_BIT) | x) & _HIGH_BITS != 0
    x &= np.uint64(0x0F0F0F0F0F0F0F0F)
    # Neighbours are added with the weights 10, 100 and 10,000.
    for factor, bits, kept in _STEPS:
        right = x >> bits
        x *= factor
        x += right
        x &= kept
    return x
