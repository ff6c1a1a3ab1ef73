"""Token ids of several texts, ragged."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.compact import open_state, pack_state
from ..._utils.objects.state import State, check_offsets
from ...vectors.table.vocabulary import ragged_arange, to_offsets


@dataclass(frozen=True)
class TokenIds:
    """Token ids of several texts, ragged: there is no padding.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all texts, one text after the other.
    offsets : ndarray of int64, shape (n_texts + 1,)
        Text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.

    Examples
    --------
    >>> import numpy as np
    >>> tokens = TokenIds(np.array([3, 1, 3], dtype=np.int32), np.array([0, 2, 2, 3]))
    >>> len(tokens), tokens.lengths.tolist()
    (3, [2, 0, 1])
    >>> tokens[np.array([2, 0])].ids.tolist()
    [3, 3, 1]
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "ids", "offsets")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "ids", "offsets")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return {"ids": self.ids, "offsets": self.offsets}

    @classmethod
    def from_state(cls, state: State) -> TokenIds:
        """The ids of these entries."""
        ids, offsets = state.array("ids", "int32", None), state.array("offsets", "int64", None)
        check_offsets(offsets, len(ids))
        return cls(ids, offsets)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, shape (n_texts,)."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def text_index(self) -> NDArray[np.int64]:
        """The number of the text of each token, shape (n_tokens,)."""
        return np.arange(len(self)).repeat(self.lengths)

    def split(self, n_tokens: int) -> list[TokenIds]:
        """Consecutive texts in parts of about `n_tokens` tokens."""
        if len(self.ids) <= n_tokens:
            return [self]
        cuts = np.flatnonzero(np.diff(self.offsets[:-1] // n_tokens)) + 1
        return [
            TokenIds(
                self.ids[self.offsets[i] : self.offsets[j]],
                self.offsets[i : j + 1] - self.offsets[i],
            )
            for i, j in pairwise([0, *cuts.tolist(), len(self)])
        ]

    def __getitem__(self, texts: NDArray[np.integer] | slice) -> TokenIds:
        """The tokens of some of the texts, in the order given."""
        starts = self.offsets[:-1][texts]
        lengths = self.offsets[1:][texts] - starts
        return TokenIds(self.ids[ragged_arange(starts, lengths)], to_offsets(lengths))

    def distinct(self, n_ids: int) -> tuple[TokenIds, NDArray[np.int64]]:
        """The ids, all below `n_ids`, as positions among the distinct ids, and those, sorted."""
        if 10 * len(self.ids) < n_ids:
            rows, inverse = np.unique(self.ids, return_inverse=True)
            return TokenIds(inverse.astype(np.int32), self.offsets), rows.astype(np.int64)
        occurs = np.zeros(n_ids, dtype=bool)
        occurs[self.ids] = True
        distinct = np.flatnonzero(occurs)
        position = np.empty(n_ids, dtype=np.int32)
        position[distinct] = np.arange(len(distinct), dtype=np.int32)
        return TokenIds(position[self.ids], self.offsets), distinct

    def thin(self, share: float, generator: np.random.Generator) -> TokenIds:
        """Keep each token with probability `share`."""
        return self.only(generator.random(len(self.ids), dtype=np.float32) < share)

    def only(self, kept: NDArray[np.bool_]) -> TokenIds:
        """The tokens where `kept`, shape (n_tokens,), is true."""
        return TokenIds(self.ids[kept], to_offsets(kept)[self.offsets])

    def translate(self, new_ids: NDArray[np.integer]) -> TokenIds:
        """Replace every id ``i`` by ``new_ids[i]``, and drop it where that is negative."""
        ids = new_ids[self.ids].astype(np.int32, copy=False)
        kept = ids >= 0
        translated = TokenIds(ids, self.offsets)
        return translated if kept.all() else translated.only(kept)
