"""Texts to token ids, with the tokenizer of a sentence encoder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sequences import Padding, Sequences


@dataclass(frozen=True)
class SentenceTokenizer:
    """The tokenizer of an opened model, together with a prompt and a maximum length.

    Attributes
    ----------
    tokenizer : PreTrainedTokenizerFast
    lock : RLock
        Held while the tokenizer is used: the length at which it truncates is part of its state.
    prompt : str
        Prepended to every text.
    max_tokens : int
        Maximum sequence length, special tokens included.
    """

    tokenizer: Any
    lock: threading.RLock
    prompt: str
    max_tokens: int

    @property
    def padding(self) -> Padding:
        """Id and side of the padding."""
        return Padding(int(self.tokenizer.pad_token_id or 0), self.tokenizer.padding_side == "left")

    @property
    def content(self) -> str:
        """The content of its ``tokenizer.json``."""
        return str(self.tokenizer.backend_tokenizer.to_str())

    @property
    def _n_special(self) -> int:
        return int(self.tokenizer.num_special_tokens_to_add())

    def _ids(self, text: str, **options: Any) -> list[int]:
        with self.lock:
            ids: list[int] = self.tokenizer(text, **options)["input_ids"]
        return ids

    def split(self, texts: Sequence[str]) -> Sequences:
        """Tokenize texts; each is truncated to `max_tokens`."""
        # The library cannot encode a lone surrogate.
        whole = [(self.prompt + text).encode(errors="replace").decode() for text in texts]
        with self.lock:
            encoded = self.tokenizer(
                whole, truncation=True, max_length=self.max_tokens, padding=False, verbose=False
            )
        lines = encoded["input_ids"]
        lengths = np.array([len(line) for line in lines], dtype=np.int64)
        n_tokens = lengths.copy()
        for text in np.flatnonzero(lengths >= self.max_tokens).tolist():
            rest = encoded.encodings[text].overflowing
            n_tokens[text] += sum(len(part.ids) - self._n_special for part in rest)
        ids = np.concatenate([np.array(line, dtype=np.int32) for line in lines])
        # With a special token before the prompt; the one after it ends the text.
        n_prompt = len(self._ids(self.prompt)) - min(1, self._n_special) if self.prompt else 0
        starts = np.cumsum(lengths) - lengths
        return Sequences(ids, starts, lengths, n_tokens, self.padding, n_prompt)

    def split_alone(self, ids: NDArray[np.int32]) -> Sequences:
        """Make a text of each id, between the special tokens and without the prompt."""
        inner, whole = self._ids("a", add_special_tokens=False), self._ids("a")
        before = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
        special = whole[:before], whole[before + len(inner) :]
        lines = np.tile(np.array([*special[0], 0, *special[1]], dtype=np.int32), (len(ids), 1))
        lines[:, before] = ids
        lengths = np.full(len(ids), lines.shape[1])
        starts = np.cumsum(lengths) - lengths
        return Sequences(lines.ravel(), starts, lengths, lengths, self.padding)
