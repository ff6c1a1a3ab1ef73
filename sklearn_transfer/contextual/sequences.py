"""Token ids of texts, ragged until a batch is padded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Padding(NamedTuple):
    """Id of the padding, and whether it precedes the text."""

    id: int
    left: bool


@dataclass(frozen=True)
class Sequences:
    """Token ids of texts and, optionally, the states that enter a layer of the encoder.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_ids,)
        Of all texts, special tokens included.
    starts, lengths : ndarray of int64, shape (n_texts,)
        The ids of text ``i`` are ``ids[starts[i] : starts[i] + lengths[i]]``.
    n_tokens : ndarray of int64, shape (n_texts,)
        Lengths without truncation.
    padding : Padding
    n_prompt : int, default=0
        The number of leading tokens of each text that belong to a prompt.
    states : ndarray of float32 or float16, shape (n_ids, d), or None, default=None
        The states that enter `layer`, one row per id.
    layer : int, default=0
        The lowest layer that remains to be computed.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    n_tokens: NDArray[np.int64]
    padding: Padding
    n_prompt: int = 0
    states: NDArray[np.floating] | None = None
    layer: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, texts: NDArray[np.integer] | slice) -> Sequences:
        """Select texts, in the order given; ids and states are shared."""
        return replace(
            self,
            starts=self.starts[texts],
            lengths=self.lengths[texts],
            n_tokens=self.n_tokens[texts],
        )

    def positions(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Lay the texts out as a padded matrix of positions.

        Returns
        -------
        positions : ndarray of int64, shape (n_texts, longest)
            Indices into `ids`; 0 for padding.
        mask : ndarray of bool, shape (n_texts, longest)
            False for padding.
        """
        longest = self.lengths.max(initial=0)
        column = np.arange(longest)[None]
        within = column - (longest - self.lengths)[:, None] if self.padding.left else column
        mask = (within >= 0) & (within < self.lengths[:, None])
        return np.where(mask, within + self.starts[:, None], 0), mask

    def drop_tokens(self, share: float, generator: np.random.Generator) -> Sequences:  # noqa: ARG002
        """The same sequences: a contextual model reads whole texts."""
        return self

    def to_arrays(self) -> dict[str, Any]:
        """Keyword arguments of a sentence encoder: those of :meth:`padded`, and `layer`."""
        arrays: dict[str, Any] = self.padded()
        return arrays if self.states is None else {**arrays, "layer": self.layer}

    def padded(self) -> dict[str, NDArray[Any]]:
        """Pad the texts to the same length.

        Returns
        -------
        dict
            ``ids``, int64, and ``mask``, bool, shape (n_texts, longest); with states also
            ``states``, float32, shape (n_texts, longest, d).
        """
        positions, mask = self.positions()
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.where(mask, self.ids[positions], self.padding.id).astype(np.int64),
            "mask": mask,
        }
        if self.states is not None:
            arrays["states"] = self.states[positions].astype(np.float32, copy=False)
        return arrays


def batches_by_length(lengths: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Batch texts of similar length, longest first, so that memory runs out early if at all.

    Parameters
    ----------
    lengths : ndarray of int64, shape (n_texts,)
    max_tokens : int
        Maximum size of a batch in tokens, padding included; a longer text is a batch of its own.

    Yields
    ------
    ndarray of int64, shape (n,)
        Positions of texts; each text occurs once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        stop = start + max(1, max_tokens // longest)
        yield order[start:stop]
        start = stop
