"""Texts as token ids, ragged until a batch is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.errors import VectorFormatError
from .._utils.locks import ThreadLock


@dataclass(frozen=True)
class Sequences:
    """Token ids of texts and, optionally, the states that enter a layer of the encoder.

    The ids of text ``i``, special tokens included, are ``ids[starts[i] : starts[i] + lengths[i]]``.
    Padding follows the text, so that the positions of its tokens do not depend on other texts.
    """

    ids: NDArray[np.int32]  # shape (n_ids,)
    starts: NDArray[np.int64]  # shape (n_texts,), like lengths and n_tokens
    lengths: NDArray[np.int64]
    n_tokens: NDArray[np.int64]  # without truncation
    padding: int  # its id
    n_prompt: int = 0  # leading tokens of each text that belong to a prompt
    states: NDArray[np.floating] | None = None  # that enter `layer`, shape (n_ids, d)
    layer: int = 0  # the lowest that remains to be computed

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, texts: NDArray[np.integer] | slice) -> Sequences:
        """Select texts, in the order given; ids and states are shared."""
        selected = {name: getattr(self, name)[texts] for name in ("starts", "lengths", "n_tokens")}
        return replace(self, **selected)

    def mirrored(self) -> Sequences:
        """The same texts, followed by others of the same lengths: their ids from end to start."""
        ids = np.concatenate([self.ids, self.ids[::-1]])
        starts = np.concatenate([self.starts, len(ids) - self.starts - self.lengths])
        lengths, n_tokens = (np.tile(counts, 2) for counts in (self.lengths, self.n_tokens))
        return replace(self, ids=ids, starts=starts, lengths=lengths, n_tokens=n_tokens)

    def positions(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Indices into `ids`, and a mask that is False for padding, shape (n_texts, longest)."""
        column = np.arange(self.lengths.max(initial=0))[None]
        mask = column < self.lengths[:, None]
        return np.where(mask, column + self.starts[:, None], 0), mask

    def drop_tokens(self, share: float, generator: np.random.Generator) -> Sequences:  # noqa: ARG002
        """The same sequences: a contextual model reads whole texts."""
        return self

    def to_arrays(self) -> dict[str, Any]:
        """Keyword arguments of a sentence encoder: those of :meth:`padded`, and `layer`."""
        arrays: dict[str, Any] = self.padded()
        return arrays if self.states is None else {**arrays, "layer": self.layer}

    def padded(self) -> dict[str, NDArray[Any]]:
        """Padded ids, mask and, if there are any, states, of shape (n_texts, longest, ...)."""
        positions, mask = self.positions()
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.where(mask, self.ids[positions], self.padding).astype(np.int64),
            "mask": mask,
        }
        if self.states is not None:
            arrays["states"] = self.states[positions].astype(np.float32, copy=False)
        return arrays


def batches_by_length(lengths: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield positions of texts of similar length: one, or up to `max_tokens` padding included."""
    # The longest come first, so that memory runs out early if at all.
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        stop = start + max(1, max_tokens // longest)
        yield order[start:stop]
        start = stop


@dataclass(frozen=True)
class Pieces:
    """Places of the tokens of a sentence encoder in their texts, each of shape (n_ids,).

    -1 stands for special tokens and for those of a prompt. `word` is the number of the word that
    the tokenizer found first, of which a token is a piece.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    word: NDArray[np.int64]

    def join(self, offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Join the pieces of words.

        A word continues from one piece to the next of the same text and the same word of the
        tokenizer, without a space between them.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_texts + 1,)
            Text ``i`` has the tokens from ``offsets[i]`` to ``offsets[i + 1]``.

        Returns
        -------
        number : ndarray of int64, shape (n_ids,)
            The word of each token; -1 for one without a place.
        is_first : ndarray of bool, shape (n_ids,)
            True for the first piece of a word.
        """
        is_placed = self.start >= 0
        position = np.flatnonzero(is_placed)
        text = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[position]
        start, end, word = self.start[position], self.end[position], self.word[position]
        is_first = np.ones(len(position), dtype=bool)
        is_first[1:] = (text[1:] != text[:-1]) | (word[1:] != word[:-1]) | (start[1:] > end[:-1])
        number = np.full(len(is_placed), -1)
        number[position] = np.cumsum(is_first) - 1
        first = np.zeros(len(is_placed), dtype=bool)
        first[position[is_first]] = True
        return number, first


@dataclass(frozen=True)
class SentenceTokenizer:
    """The fast tokenizer of an opened model, with a prompt that is prepended to every text."""

    tokenizer: Any
    lock: ThreadLock  # the length at which the tokenizer truncates is part of its state
    prompt: str
    max_tokens: int  # special tokens included
    n_ids: int  # that the encoder can look up, at most 2**31
    name: str  # of the model, for errors

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=ThreadLock())

    @property
    def padding(self) -> int:
        """Id of the padding."""
        return int(self.tokenizer.pad_token_id or 0)

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
        ids = np.concatenate([np.array(line, dtype=np.int64) for line in lines])
        starts = np.cumsum(lengths) - lengths
        return self._make(ids, starts, lengths, n_tokens, self._count_prompt())

    def _make(self, ids: NDArray[np.int64], *counts: Any) -> Sequences:
        """Make sequences; ids that the encoder cannot look up are refused."""
        starts, lengths, n_tokens, *prompt = counts
        padding = self.padding
        if (largest := max(int(ids.max(initial=0)), padding)) >= self.n_ids:
            raise VectorFormatError(
                f"{self.name}: expected token ids below {self.n_ids}, the number of vectors of the "
                f"encoder, got {largest} of the token "
                f"{self.tokenizer.convert_ids_to_tokens(largest)!r:.60}. The tokenizer belongs to "
                f"another model: save both again with save_pretrained."
            )
        return Sequences(ids.astype(np.int32), starts, lengths, n_tokens, padding, *prompt)

    def place(self, texts: Sequence[str]) -> Pieces:
        """Find the places of the tokens that `split` gives, in the same order."""
        whole = [(self.prompt + text).encode(errors="replace").decode() for text in texts]
        with self.lock:
            encoded = self.tokenizer(
                whole, truncation=True, max_length=self.max_tokens, padding=False, verbose=False
            )
        begin = len(self.prompt)
        rows: list[tuple[int, int, int]] = []
        for text, encoding in zip(whole, encoded.encodings, strict=True):
            parts = encoding.offsets, encoding.special_tokens_mask, encoding.word_ids
            for (start, end), is_special, word in zip(*parts, strict=True):
                start += len(text[start:end]) - len(text[start:end].lstrip())
                if is_special or start >= end or end <= begin:
                    rows.append((-1, -1, -1))
                else:
                    rows.append((max(start - begin, 0), end - begin, -1 if word is None else word))
        start, end, word = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        return Pieces(start, end, word)

    def _count_prompt(self) -> int:
        """Count the tokens of the prompt, without a special token at its end."""
        ids = self._ids(self.prompt) if self.prompt else []
        return len(ids) - int(bool(ids) and ids[-1] in self.tokenizer.all_special_ids)

    def count_around(self) -> tuple[int, int]:
        """Count the tokens before a text, special ones and the prompt, and special ones after."""
        before, after = self._special()
        # A space at the end of the prompt is a token of its own, or the beginning of the text.
        pairs = zip(self._ids(self.prompt), self._ids(self.prompt + "a"), strict=False)
        n_common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return max(len(before), n_common), len(after)

    def _special(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        inner, whole = self._ids("a", add_special_tokens=False), self._ids("a")
        before = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
        return whole[:before], whole[before + len(inner) :]

    def split_alone(self, ids: NDArray[np.int64]) -> Sequences:
        """Make a text of each id, between the special tokens and without the prompt."""
        special = self._special()
        lines = np.tile(np.array([*special[0], 0, *special[1]], dtype=np.int64), (len(ids), 1))
        lines[:, len(special[0])] = ids
        lengths = np.full(len(ids), lines.shape[1])
        starts = np.cumsum(lengths) - lengths
        return self._make(lines.ravel(), starts, lengths, lengths)
