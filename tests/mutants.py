"""Damaged versions of files: the same ones for the same random generator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

import numpy as np


class Odd(Enum):
    """What may be where a file should be."""

    FOLDER = auto()
    PIPE = auto()  # who opens it for reading waits for a writer
    SOCKET = auto()
    LOOP = auto()  # a symbolic link to itself


Tree = Mapping[str, bytes | Odd]

# Text that is special to one reader or another.
_SPECIAL = [
    b"nan", b"-inf", b"1e999", b"1_0", b"0x1p3", b"\0", b"\r", b"\r\n", b"\n", b"\n\n", b" ", b"  ",
    b"\t", b"\v", b"\x1c", b"\x85", b"\xc2\xa0", b"\xe3\x80\x80", b"\xe2\x80\xa8", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"#", b'"', b"PK\x03\x04", b"\x80\x04",
    "٣".encode(), b"-0", b"+.5", b"12L",
]  # fmt: skip
_DIGITS = [
    b"0", b"-1", b"1", b"4", b"13", b"2147483648", b"4294967297", b"1000000000000",
    b"9223372036854775807", b"18446744073709551617", b"9" * 30, b"9" * 5000, b"1e12", b"-0", b"",
]  # fmt: skip
_INTEGERS = [0, 1, -1, 2, 13, 2**31 - 1, -(2**31), 10**12, 2**40, 2**61, 2**62, 2**63 - 1, -(2**63)]
_LENGTHS = [1, 1, 2, 3, 4, 8, 16, 17, 64]
_HEAD = 128  # bytes: where most formats keep their numbers

# What is done to a file: its content, the generator, the other files, to the new content.
Edit = Callable[[bytes, np.random.Generator, Sequence[bytes]], bytes]


def _place(content: bytes, rng: np.random.Generator) -> int:
    """Where to strike: heads and the directories at the end of files count for more."""
    size = len(content)
    where = rng.random()
    if where < 0.35:
        return int(rng.integers(min(size, _HEAD) + 1))
    if where < 0.5:
        return size - int(rng.integers(min(size, _HEAD) + 1))
    return int(rng.integers(size + 1))


def _slice(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = _place(content, rng)
    return start, min(len(content), start + int(rng.choice(_LENGTHS)))


def _cut(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _behead(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    return content[_place(content, rng) :]


def _flip(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4)) if content else 0):
        changed[_place(content, rng) - 1] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    return content[:start] + rng.bytes(stop - start) + content[stop:]


def _insert(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.bytes(int(rng.choice(_LENGTHS))) + content[start:]


def _delete(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    return content[:start] + content[stop:]


def _duplicate(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    return content[:stop] + content[start:]


def _swap(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """Two blocks of equal length change places; the size stays."""
    length = int(rng.choice(_LENGTHS))
    a, b = sorted((_place(content, rng), _place(content, rng)))
    if a + length > b or b + length > len(content):
        return content
    one, two = content[a : a + length], content[b : b + length]
    return content[:a] + two + content[a + length : b] + one + content[b + length :]


def _special(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    start, stop = _slice(content, rng)
    keep = stop if rng.random() < 0.3 else start
    return content[:start] + _SPECIAL[int(rng.integers(len(_SPECIAL)))] + content[keep:]


def _digits(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A number in text becomes another one."""
    numbers = list(re.finditer(rb"[0-9]+", content))
    if not numbers:
        return content
    first = rng.random() < 0.5
    number = numbers[int(rng.integers(min(len(numbers), 4) if first else len(numbers)))]
    new = _DIGITS[int(rng.integers(len(_DIGITS)))]
    return content[: number.start()] + new + content[number.end() :]


def _integer(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A binary number becomes a huge, a negative or a nearby one."""
    size = int(rng.choice([4, 8]))
    start = _place(content, rng)
    value = _INTEGERS[int(rng.integers(len(_INTEGERS)))]
    if rng.random() < 0.3:
        value = int.from_bytes(content[start : start + size], "little", signed=True)
        value += int(rng.choice([-1, 1]))
    value &= (1 << 8 * size) - 1
    return content[:start] + value.to_bytes(size, "little") + content[start + size :]


def _lines(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A line goes, comes twice or changes places, or all of them end otherwise."""
    lines = content.split(b"\n")
    i, j = int(rng.integers(len(lines))), int(rng.integers(len(lines)))
    match int(rng.integers(5)):
        case 0:
            del lines[i]
        case 1:
            lines.insert(j, lines[i])
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case 3:
            return b"\r\n".join(lines)
        case _:
            return content.rstrip(b"\n")
    return b"\n".join(lines)


def _splice(content: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Part of another file at the end, at the beginning, within, or in place of all."""
    other = others[int(rng.integers(len(others)))]
    start, stop = sorted((_place(other, rng), _place(other, rng)))
    place = _place(content, rng)
    match int(rng.integers(4)):
        case 0:
            return content[:place] + other[start:]
        case 1:
            return other[:stop] + content[place:]
        case 2:
            return content[:place] + other[start:stop] + content[place:]
        case _:
            return other


EDITS: dict[str, Edit] = {
    "cut": _cut,
    "behead": _behead,
    "flip": _flip,
    "overwrite": _overwrite,
    "insert": _insert,
    "delete": _delete,
    "duplicate": _duplicate,
    "swap": _swap,
    "special": _special,
    "digits": _digits,
    "integer": _integer,
    "lines": _lines,
    "splice": _splice,
}


def mutate(
    content: bytes, rng: np.random.Generator, others: Sequence[bytes]
) -> tuple[bytes, list[str]]:
    """Damage a file, mostly once, at times twice or three times; and what was done to it."""
    done = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))):
        name = str(rng.choice(list(EDITS)))
        content = EDITS[name](content, rng, others)
        done.append(name)
    return content, done


def mutate_tree(
    tree: Tree, rng: np.random.Generator, others: Sequence[bytes]
) -> tuple[dict[str, bytes | Odd], list[str]]:
    """Damage one file of several, take it away, or put something else in its place."""
    changed = dict(tree)
    name, other = (str(rng.choice(list(tree))) for _ in range(2))
    how = rng.random()
    if how < 0.9:
        content = changed[name]
        assert isinstance(content, bytes)
        changed[name], done = mutate(content, rng, others)
    elif how < 0.94:
        odd = list(Odd)[int(rng.integers(len(Odd)))]
        changed[name], done = odd, [odd.name.lower()]
    elif how < 0.96:
        del changed[name]
        done = ["remove"]
    elif how < 0.97:
        changed[name], done = b"", ["empty"]
    else:
        changed[name], changed[other] = changed[other], changed[name]
        done = [f"exchange with {other}"]
    return changed, [name, *done]
