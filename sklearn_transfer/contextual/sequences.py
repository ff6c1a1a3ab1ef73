"""Texts as the tokens of an encoder: without padding, until they are put side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Padding(NamedTuple):
    """How a model wants texts of several lengths side by side.

    Attributes
    ----------
    id : int
        What stands beside a text.
    left : bool
        On which side of it.
    """

    id: int
    left: bool


@dataclass(frozen=True)
class Sequences:
    """Texts as a model's tokens.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_ids,)
        Of all texts, special tokens included.
    starts, lengths : ndarray of int64, shape (n_texts,)
        Text ``i`` is ``ids[starts[i] : starts[i] + lengths[i]]``.
    n_tokens : ndarray of int64, shape (n_texts,)
        How many each would have if none were cut off.
    padding : Padding
    states : ndarray of float32 or float16, shape (n_ids, d), or None, default=None
        What enters a layer of the model, a row for each id.
    level : int, default=0
        The layer.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    n_tokens: NDArray[np.int64]
    padding: Padding
    states: NDArray[np.floating] | None = None
    level: int = 0

    @classmethod
    def alone(
        cls,
        ids: NDArray[np.int32],
        before: NDArray[np.int32],
        after: NDArray[np.int32],
        padding: Padding,
    ) -> Sequences:
        """Each token as a text of its own, between the special tokens of a text."""
        around = np.concatenate([before, ids[:1], after]).astype(np.int32)
        lines = np.tile(around, (len(ids), 1))
        lines[:, len(before)] = ids
        lengths = np.full(len(ids), lines.shape[1])
        return cls(lines.ravel(), np.cumsum(lengths) - lengths, lengths, lengths, padding)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, texts: NDArray[np.integer] | slice) -> Sequences:
        """Some of the texts, in the order given; ids and states are shared."""
        return replace(
            self,
            starts=self.starts[texts],
            lengths=self.lengths[texts],
            n_tokens=self.n_tokens[texts],
        )

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where each cell of a batch comes from, and whether it is a token.

        Returns
        -------
        places : ndarray of int64, shape (n_texts, longest)
            Positions in `ids`; zero beside the texts.
        mask : ndarray of bool, shape (n_texts, longest)
        """
        longest = self.lengths.max(initial=0)
        column = np.arange(longest)[None]
        within = column - (longest - self.lengths)[:, None] if self.padding.left else column
        mask = (within >= 0) & (within < self.lengths[:, None])
        return np.where(mask, within + self.starts[:, None], 0), mask

    def padded(self) -> dict[str, NDArray[Any]]:
        """Ids (int64) and mask (bool), each of shape (n_texts, longest); states, if there are."""
        places, mask = self.places()
        found: dict[str, NDArray[Any]] = {
            "ids": np.where(mask, self.ids[places], self.padding.id).astype(np.int64),
            "mask": mask,
        }
        if self.states is not None:
            found["states"] = self.states[places].astype(np.float32, copy=False)
        return found


def batches_by_length(lengths: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Texts of similar length together, the longest first, so that memory lacks early.

    Parameters
    ----------
    lengths : ndarray of int64, shape (n_texts,)
    max_tokens : int
        Of a batch, padding included; a longer text is alone.

    Yields
    ------
    ndarray of int64, shape (n,)
        Positions of texts; each once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        stop = start + max(1, max_tokens // longest)
        yield order[start:stop]
        start = stop
