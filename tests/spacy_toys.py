"""Tiny vectors of spaCy, written by plain Python: its hash, MessagePack, the folder ``vocab``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def murmur64a(data: bytes, seed: int = 1) -> int:
    """MurmurHash64A as its author's C code has it, a byte at a time."""
    m, mask = 0xC6A4A7935BD1E995, 2**64 - 1
    h = seed ^ (len(data) * m & mask)
    whole = len(data) // 8 * 8
    for start in range(0, whole, 8):
        k = int.from_bytes(data[start : start + 8], "little") * m & mask
        k = (k ^ (k >> 47)) * m & mask
        h = (h ^ k) * m & mask
    tail = data[whole:]
    for i in reversed(range(len(tail))):
        h ^= tail[i] << (8 * i)
    if tail:
        h = h * m & mask
    h = (h ^ (h >> 47)) * m & mask
    return h ^ (h >> 47)


def packed_number(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    width = next(width for width in (1, 2, 4, 8) if value < 1 << (8 * width))
    return bytes([{1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[width]]) + value.to_bytes(width, "big")


def packed_map(entries: dict[int, int], head: str = "df") -> bytes:
    n = len(entries)
    width = {"de": 2, "df": 4}.get(head, 0)
    start = bytes.fromhex(head) + n.to_bytes(width, "big") if width else bytes([0x80 | n])
    return start + b"".join(packed_number(key) + packed_number(row) for key, row in entries.items())


def key(word: str) -> int:
    return murmur64a(word.encode(errors="surrogatepass"))


def write_vocab(folder: Path, matrix: np.ndarray, row_of: dict[int, int], strings: list) -> Path:
    folder.mkdir(parents=True)
    with (folder / "vectors").open("wb") as file:
        np.save(file, matrix)
    (folder / "key2row").write_bytes(packed_map(row_of))
    (folder / "strings.json").write_text(json.dumps(strings), encoding="utf-8")
    (folder / "vectors.cfg").write_text('{"mode": "default"}')
    return folder
