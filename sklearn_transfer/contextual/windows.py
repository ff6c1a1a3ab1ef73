"""Overlapping windows of long texts, and the mean of their features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .sequences import Sequences

# Windows whose features are held at a time.
_TOGETHER = 4096


def check_windows(windows: Any) -> Any:
    """Return a size in tokens, or a pair of size and step, as plain integers; None is None."""
    if windows is None:
        return None
    is_pair = isinstance(windows, tuple | list) and len(windows) == 2
    numbers = tuple(windows) if is_pair else (windows,)
    if not all(isinstance(n, Integral) and not isinstance(n, bool) for n in numbers) or not (
        1 <= numbers[-1] <= numbers[0]
    ):
        raise ValueError(
            f"windows must be None, a positive number of tokens, or a pair (size, step) with "
            f"1 <= step <= size, got {windows!r}."
        )
    plain = tuple(int(n) for n in numbers)
    return plain if is_pair else plain[0]


@dataclass(frozen=True)
class Windows:
    """Windows of the token ids of texts.

    Attributes
    ----------
    size : int
        Maximum length of a window in tokens. Texts up to this length are one window.
    step : int
        Tokens from the start of a window to the start of the next one.
    n_before, n_after : int
        Numbers of the first tokens of a text, special ones and those of a prompt, and of the last
        special tokens. Each window has them.
    """

    size: int
    step: int
    n_before: int
    n_after: int

    @classmethod
    def of(cls, windows: Any, counts: tuple[int, int], limit: int, name: str) -> Windows:
        """Resolve the setting of a model.

        Parameters
        ----------
        windows : int or tuple of int
            See `ContextualModel`.
        counts : tuple of int
            `n_before` and `n_after`.
        limit : int
            Maximum sequence length of the model.
        name : str
            The model, for errors.

        Returns
        -------
        Windows

        Raises
        ------
        ValueError
            If windows are longer than the limit, have no room for a text, or leave tokens out.
        """
        size, *steps = windows if isinstance(windows, tuple) else (windows,)
        width = size - sum(counts)
        if size > limit:
            raise ValueError(
                f"Expected windows of at most {limit} tokens, the maximum sequence length of "
                f"{name}, got {size}. Set windows={limit} or less."
            )
        if width < 1:
            raise ValueError(
                f"Expected windows of more than {sum(counts)} tokens, the number of special tokens "
                f"and tokens of the prompt of {name}, got {size}."
            )
        step = steps[0] if steps else max(1, width - width // 4)
        if step > width:
            raise ValueError(
                f"Expected a step of at most {width}, the number of tokens of a text in a window "
                f"of {size}, got {step}: tokens between two windows would not be read."
            )
        return cls(size, step, *counts)

    def split(self, sequences: Sequences) -> Iterator[tuple[Sequences, csr_array]]:
        """Yield windows of texts, some at a time, and the share of each in the mean of its text.

        Parameters
        ----------
        sequences : Sequences, length n_texts
            Longer than a window.

        Yields
        ------
        windows : Sequences, length n_windows
        shares : csr_array, shape (n_texts, n_windows)
            Proportional to the number of tokens without special ones and those of a prompt.
        """
        width = self.size - self.n_before - self.n_after
        length = sequences.lengths - self.n_before - self.n_after
        n_windows = 1 + -(-(length - width) // self.step)
        text = np.repeat(np.arange(len(sequences)), n_windows)
        start = (np.arange(len(text)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)) * (
            self.step
        )
        n_tokens = np.minimum(length[text] - start, width)
        share = n_tokens / np.bincount(text, n_tokens, len(sequences))[text]
        for first in range(0, len(text), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            windows = self._cut(sequences, text[some], start[some], n_tokens[some])
            places = text[some], np.arange(len(windows))
            yield windows, csr_array((share[some], places), (len(sequences), len(windows)))

    def _cut(
        self,
        sequences: Sequences,
        text: NDArray[np.int64],
        start: NDArray[np.int64],
        n_tokens: NDArray[np.int64],
    ) -> Sequences:
        first, length = sequences.starts[text], sequences.lengths[text]
        lines = []
        for begin, end, a, n in zip(first, first + length, start, n_tokens, strict=True):
            inside = begin + self.n_before + a
            bounds = (begin, begin + self.n_before), (inside, inside + n), (end - self.n_after, end)
            lines += [sequences.ids[i:j] for i, j in bounds]
        lengths = n_tokens + self.n_before + self.n_after
        return replace(
            sequences,
            ids=np.concatenate(lines),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            n_tokens=lengths,
        )


def average_windows(parts: Iterator[tuple[NDArray[np.float32], csr_array]]) -> NDArray[np.float32]:
    """Average features of windows, and scale the mean to the average norm of the windows.

    Parameters
    ----------
    parts : iterator
        Features of windows, shape (n_windows, dim), and their shares, see `Windows.split`.

    Returns
    -------
    ndarray of float32, shape (n_texts, dim)
    """
    total: Any = 0.0
    norm: Any = 0.0
    for features, shares in parts:
        total = total + shares @ features.astype(np.float64)
        norm = norm + shares @ np.linalg.norm(features.astype(np.float64), axis=1)
    found = np.linalg.norm(total, axis=1)
    scale = np.divide(norm, found, out=np.zeros_like(found), where=found > 0)
    mean: NDArray[np.float32] = (total * scale[:, None]).astype(np.float32)
    return mean
