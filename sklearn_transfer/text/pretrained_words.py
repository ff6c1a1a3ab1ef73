"""The words of training texts in a table of pretrained vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.compact import open_state, pack_state
from ..vectors.pretrained_vectors import PretrainedVectors


class PretrainedWords:
    """Positions of training words in a table, so that only other words need to be looked up.

    Parameters
    ----------
    source : PretrainedVectors
        Without a tokenizer.
    words : sequence of str, length n_words
    """

    def __init__(self, source: PretrainedVectors, words: Sequence[str]) -> None:
        self.source = source
        # The number of other words is -1: they take the last entry.
        self._positions = np.append(source.words.find(words), -1).astype(np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "_positions")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "_positions")

    def look_up(
        self, tokens: Sequence[str], word: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Look up tokens, given their numbers or -1, as :meth:`PretrainedVectors.look_up` does."""
        position = self._positions[word]
        other = np.flatnonzero(word < 0)
        if len(other):
            position[other] = self.source.words.find([tokens[i] for i in other.tolist()])
        is_known = position >= 0
        index = np.where(is_known, is_known.cumsum() - 1, -1)
        return index, self.source.table.vectors(position[is_known])
