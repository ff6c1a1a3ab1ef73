"""Decimal numbers in text, many at once.

``float`` takes 100 ns a number and ``numpy.fromstring`` 200, which for a million words of 300
dimensions is a minute. Here the digits of all numbers are turned into integers by array operations,
eight digits in one 64-bit word.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

# A run of digits is matched in one way only, or thousands of them would take seconds.
NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_SPACE, _MINUS, _DOT, _ZERO = np.frombuffer(b" -.0", dtype=np.uint8)

# An integer of 15 digits and these powers of ten are exact in float64, so one division rounds once
# and gives what strtod gives (Clinger 1990, "How to read floating point numbers accurately").
_MAX_DIGITS = 15
_POWERS_OF_TEN = np.array([10**k for k in range(_MAX_DIGITS + 1)], dtype=np.uint64)

_SIGNED_POWERS = np.concatenate([_POWERS_OF_TEN, -_POWERS_OF_TEN.astype(np.float64)])

# What is put before the first number, so that there are 16 characters before the end of each.
PADDING = b"0" * 15

# One number in so many may be of another form than the quick way takes.
_RARE = 20

# What rounds to infinity in float32: half a step above the largest number.
_OVERFLOW = 2.0**128 - 2.0**103

# Keeps the last k of eight characters: the high bytes of a little-endian word.
_LAST = np.array([0] + [2**64 - 2 ** (64 - 8 * k) for k in range(1, 9)], dtype=np.uint64)

_ZEROS, _TO_HIGH_BIT, _HIGH_BITS = np.array(
    [0x3030303030303030, 0x7676767676767676, 0x8080808080808080], dtype=np.uint64
)

# Of eight digits side by side to one number: what the left neighbour counts, where the right one
# is, and the bits to keep.
_STEPS = np.array(
    [
        (10, 8, 0x00FF00FF00FF00FF),
        (100, 16, 0x0000FFFF0000FFFF),
        (10_000, 32, 0x00000000FFFFFFFF),
    ],
    dtype=np.uint64,
)


def parse(text: bytes, n_numbers: int) -> NDArray[np.float32]:
    """Parse decimal numbers.

    Parameters
    ----------
    text : bytes
        Numbers as Python writes them, one space between each two.
    n_numbers : int
        How many there must be.

    Returns
    -------
    ndarray of float32, shape (n_numbers,)
        For each number what ``numpy.float32(float(number))`` gives, to the bit.

    Raises
    ------
    ValueError
        If there are more or fewer numbers, or something is not a finite number.

    Examples
    --------
    >>> parse(b"0.25 -1 3e-2", 3)
    array([ 0.25, -1.  ,  0.03], dtype=float32)
    """
    # Padded, so that there are 16 characters before the end of every number.
    characters = np.frombuffer(b"%b %b " % (PADDING, text), dtype=np.uint8)
    spaces = np.flatnonzero(characters == _SPACE)
    starts, ends = spaces[:-1] + 1, spaces[1:]
    if len(ends) != n_numbers:
        raise ValueError(f"expected {n_numbers} values, found {len(ends)}")
    plain = characters - _ZERO < 10
    plain[spaces] = True
    marks = np.flatnonzero(~plain)
    is_dot = characters[marks] == _DOT
    points, odd = _points(marks[is_dot], ends)
    others = marks[~is_dot]
    is_minus = (characters[others] == _MINUS) & (characters[others - 1] == _SPACE)
    odd[np.searchsorted(ends, others[~is_minus])] = True

    negative = characters[starts] == _MINUS
    n_whole = points - starts - negative
    n_decimals = np.maximum(ends - points - 1, 0)
    n_digits = n_whole + n_decimals
    odd |= (n_digits < 1) | (n_digits > _MAX_DIGITS) | (n_whole > 8)
    integers = _eight_digits(characters, ends, n_decimals)
    if n_decimals.max(initial=0) > 8:
        integers += _eight_digits(characters, ends - 8, n_decimals - 8) * np.uint64(10**8)
    whole = _eight_digits(characters, points, n_whole)
    integers += whole * _POWERS_OF_TEN.take(n_decimals, mode="clip")
    numbers = integers / _POWERS_OF_TEN.take(n_decimals, mode="clip")
    numbers *= np.where(negative, -1.0, 1.0)
    _parse_each(characters, starts, ends, np.flatnonzero(odd), numbers)
    single: NDArray[np.float32] = numbers.astype(np.float32)
    return single


def parse_between(
    characters: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Parse numbers that are nearly all of the form ``-0.123456``, in a third of the time.

    Parameters
    ----------
    characters : ndarray of uint8, shape (n_characters,)
        A separator stands after each number; :data:`PADDING` before the first.
    starts, ends : ndarray of int64, shape (n_numbers,)
        Number ``i`` is ``characters[starts[i]:ends[i]]``.

    Returns
    -------
    ndarray of float32, shape (n_numbers,), or None
        As of :func:`parse`; None if many numbers look otherwise.

    Raises
    ------
    ValueError
        If something is not a finite number.
    """
    negative = characters[starts] == _MINUS
    points = starts + negative
    integers = (characters[points] - _ZERO).astype(np.uint64)
    odd = integers > 9
    points += 1
    # A number at the very end may be too short to have a point.
    odd |= characters.take(points, mode="clip") != _DOT
    n_decimals = ends - points
    n_decimals -= 1
    odd |= n_decimals.view(np.uint64) > _MAX_DIGITS - 1  # those below zero, too
    integers *= _POWERS_OF_TEN.take(n_decimals, mode="clip")
    integers += _eight_digits(characters, ends, n_decimals, odd)
    if n_decimals.max(initial=0) > 8:
        more = _eight_digits(characters, ends - 8, n_decimals - 8, odd)
        integers += more * np.uint64(10**8)
    n_decimals += (_MAX_DIGITS + 1) * negative
    numbers = integers / _SIGNED_POWERS.take(n_decimals, mode="clip")
    unusual = np.flatnonzero(odd)
    if len(unusual) * _RARE > len(odd):
        return None
    _parse_each(characters, starts, ends, unusual, numbers)
    single: NDArray[np.float32] = numbers.astype(np.float32)
    return single


def _parse_each(
    characters: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    which: NDArray[np.int64],
    numbers: NDArray[np.float64],
) -> None:
    """Parse some numbers, one by one, into their places among `numbers`."""
    for i in which.tolist():
        number = characters[starts[i] : ends[i]].tobytes()
        # Fifteen digits do not reach the end of float32's range; an exponent does.
        if not NUMBER.fullmatch(number) or not abs(float(number)) < _OVERFLOW:
            raise ValueError(f"expected a finite number, found {number!r}")
        numbers[i] = float(number)


def _points(
    dots: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the whole part of each number ends, and whether it has several points."""
    if len(dots) == len(ends) and (dots < ends).all() and (dots[1:] > ends[:-1]).all():
        return dots, np.zeros(len(ends), dtype=np.bool_)
    owner = np.searchsorted(ends, dots)
    points = ends.copy()
    points[owner] = dots
    return points, np.bincount(owner, minlength=len(ends)) > 1


def _eight_digits(
    characters: NDArray[np.uint8],
    stops: NDArray[np.int64],
    n_digits: NDArray[np.int64],
    odd: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint64]:
    """The integers written in the last `n_digits`, 8 at most, characters before each stop.

    Where one of these is no digit, `odd` becomes true.
    """
    words = np.ndarray((len(characters) - 7,), dtype="<u8", buffer=characters, strides=(1,))
    x = words[stops - 8]
    x ^= _ZEROS
    x &= _LAST.take(n_digits, mode="clip")
    if odd is not None:
        # Adding 0x76 takes what is more than 9 past 0x7F; what was there already has the bit, too.
        odd |= ((x + _TO_HIGH_BIT) | x) & _HIGH_BITS != 0
    x &= np.uint64(0x0F0F0F0F0F0F0F0F)
    # Neighbours are added up, ten to one, then a hundred to one, then ten thousand to one.
    for factor, bits, kept in _STEPS:
        right = x >> bits
        x *= factor
        x += right
        x &= kept
    return x
