"""Tables of vectors made for the benchmarks: words and values as files hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROWS = 2_000  # at a time
_LETTERS = np.frombuffer(b"etaoinshrdlcumwfgypbvkjxqz", dtype=np.uint8)


def make_words(n_words: int, seed: int = 0) -> list[str]:
    """Distinct words, the short ones first, as in a list by frequency; letters as in English."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1.0, len(_LETTERS) + 1) ** 0.7
    words: dict[str, None] = {}
    while len(words) < n_words:
        mean = 3 + 5 * min(1.0, len(words) / 50_000)
        lengths = 1 + rng.poisson(mean, 50_000)
        letters = rng.choice(_LETTERS, int(lengths.sum()), p=frequency / frequency.sum())
        stops = np.cumsum(lengths).tolist()
        text, start = letters.tobytes().decode(), 0
        for stop in stops:
            words.setdefault(text[start:stop])
            start = stop
    return list(words)[:n_words]


def millionths(n_words: int, dim: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """Values times 10**6, by blocks of rows: normal, below 1, every second with five decimals."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_words, _ROWS):
        size = (min(_ROWS, n_words - start), dim)
        values = np.clip(rng.normal(0, 250_000, size), -999_999, 999_999).astype(np.int64)
        values[:, ::2] = values[:, ::2] // 10 * 10
        yield values


def make_matrix(n_words: int, dim: int) -> NDArray[np.float32]:
    """What the text of :func:`write_text` says, as a reader would have it."""
    blocks = [(block / 1e6).astype(np.float32) for block in millionths(n_words, dim)]
    return np.concatenate(blocks)


def write_text(path: Path, words: list[str], dim: int, *, header: bool) -> None:
    """Write word2vec text or GloVe: ``word -0.123456 0.98765 ...``."""
    with path.open("wb") as file:
        if header:
            file.write(b"%d %d\n" % (len(words), dim))
        start = 0
        for values in millionths(len(words), dim):
            rows = _decimals(values)
            names = words[start : start + len(rows)]
            file.writelines(
                b"%b%b\n" % (name.encode(), row) for name, row in zip(names, rows, strict=True)
            )
            start += len(rows)


def _decimals(values: NDArray[np.int64]) -> list[bytes]:
    """Each row as `` -0.123456``, one after the other, without the last zero."""
    text = np.empty((*values.shape, 10), dtype=np.uint8)
    text[..., :4] = np.frombuffer(b" -0.", dtype=np.uint8)
    left = np.abs(values)
    for place in range(9, 3, -1):
        left, digit = np.divmod(left, 10)
        text[..., place] = digit + ord("0")
    kept = np.ones(text.shape, dtype=bool)
    kept[..., 1] = values < 0
    kept[..., 9] = text[..., 9] != ord("0")
    return [row[mask].tobytes() for row, mask in zip(text, kept, strict=True)]
