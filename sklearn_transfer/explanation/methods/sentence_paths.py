"""Integrated gradients of sentence encoders, from padding to the vectors of the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...contextual.runtime import Batching
from ...contextual.sequences import SentenceTokenizer
from ...models.sentence_encoder import SentenceEncoder
from ...models.token_vectors import TokenTable
from ...text.tokenization.places import PlacedTokens
from ...text.tokenization.token_ids import TokenIds
from ...training.nets.inference_net import InferenceNet
from ...vectors.table.vocabulary import to_offsets
from .integrated_gradients import Path, PathExplainer


def place_words(texts: Sequence[str], tokenizer: SentenceTokenizer) -> PlacedTokens:
    """Join the pieces that a sentence encoder reads to words, and find their places."""
    pieces = tokenizer.place(texts)
    offsets = to_offsets(tokenizer.split(texts).lengths)
    number, is_first = pieces.join(offsets)
    is_last = np.append(is_first[1:], True) | np.append(number[1:] != number[:-1], True)
    start, end = pieces.start[is_first], pieces.end[is_last & (number >= 0)]
    bounds = to_offsets(is_first)[offsets]
    names = dict[str, int]()
    text = np.arange(len(texts)).repeat(np.diff(bounds)).tolist()
    ids = [
        names.setdefault(str(texts[i])[a:b], len(names))
        for i, a, b in zip(text, start.tolist(), end.tolist(), strict=True)
    ]
    token_ids = TokenIds(np.array(ids, dtype=np.int32), bounds)
    return PlacedTokens([str(text) for text in texts], list(names), token_ids, start, end)


class SentenceReader:
    """The features of texts as a function of the vectors of their tokens.

    Parameters
    ----------
    encoder : SentenceEncoder
    tokenizer : SentenceTokenizer
    """

    def __init__(self, encoder: SentenceEncoder, tokenizer: SentenceTokenizer) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer

    def read(self, texts: Sequence[str]) -> TokenLines:
        """The lines from padding to the tokens of texts."""
        return TokenLines(self, texts)


class TokenLines:
    """Lines of the token vectors of some texts, and the words to which they belong."""

    def __init__(self, reader: SentenceReader, texts: Sequence[str]) -> None:
        self._encoder = reader.encoder
        device = next(reader.encoder.parameters()).device
        sequences, pieces = reader.tokenizer.split(texts), reader.tokenizer.place(texts)
        arrays = sequences.padded()
        self._ids, self._mask = (
            torch.from_numpy(arrays[name]).to(device) for name in ("ids", "mask")
        )
        self._number, is_first = pieces.join(to_offsets(sequences.lengths))
        self._n_words = int(np.count_nonzero(is_first))
        self._groups = self._group(sequences.lengths, reader.encoder.batching)
        self.start = self.stop = torch.zeros((len(texts), 1, 1), device=device)
        if self._groups:
            self._find_ends(sequences.padding, pieces.start >= 0)

    def _group(self, lengths: NDArray[np.int64], batching: Batching) -> list[Tensor]:
        """Rows of texts with tokens that are read together."""
        rows = np.flatnonzero(lengths)
        groups = [rows] if len(rows) else []
        if batching == "equal lengths":
            groups = [rows[lengths[rows] == length] for length in np.unique(lengths[rows])]
        elif batching == "single":
            groups = np.array_split(rows, len(rows)) if len(rows) else []
        return [torch.from_numpy(group).to(self._ids.device) for group in groups]

    def _find_ends(self, padding: int, is_placed: NDArray[np.bool_]) -> None:
        """The vectors of the tokens; and those of padding where a token has a place."""
        rows = self._groups[0]
        length = int(self._mask[rows].sum(dim=1).max())
        ids, mask = self._ids[rows, :length], self._mask[rows, :length]
        self._table = TokenTable(self._encoder, lambda: self._encoder(ids, mask), ids)
        placed = torch.zeros_like(self._mask)
        placed[self._mask] = torch.from_numpy(is_placed).to(placed.device)
        self.stop = self._table.look_up(self._ids)
        self.start = self._table.look_up(self._ids.masked_fill(placed, padding))

    def features(self, vectors: Tensor) -> Tensor:
        """Features of texts whose tokens have other vectors, shape (n_texts, dim)."""
        features = vectors.new_zeros((len(self._ids), self._encoder.dim))
        for rows in self._groups:
            length = int(self._mask[rows].sum(dim=1).max())
            with self._table.replaced(vectors[rows, :length]):
                encoded = self._encoder(self._ids[rows, :length], self._mask[rows, :length])
            features = features.index_copy(0, rows, encoded)
        return features

    def contributions(self, gradients: Sequence[Tensor]) -> NDArray[np.float64]:
        """Products of gradients and lines, added up by words: shape (n_words, n_targets)."""
        total = np.zeros((self._n_words, len(gradients)))
        if not self._groups:
            return total
        is_placed = self._number >= 0
        for target, gradient in enumerate(gradients):
            products = (gradient * (self.stop - self.start)).sum(dim=2)[self._mask].cpu().numpy()
            words = self._number[is_placed]
            total[:, target] = np.bincount(words, products[is_placed], self._n_words)
        return total


class SentenceExplainer(PathExplainer):
    """A trained sentence encoder, and the rest of the network.

    Parameters
    ----------
    inputs : object
        Features of the net, which transform texts.
    net : InferenceNet
    reader : SentenceReader
    finish : callable
        From the features of texts to logits.
    """

    def __init__(
        self,
        inputs: Any,
        net: InferenceNet,
        reader: SentenceReader,
        finish: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(inputs, net)
        self.reader, self.finish = reader, finish

    @property
    def modules(self) -> list[nn.Module]:
        """The modules that compute logits."""
        return [self.net.module_, self.reader.encoder]

    def place(self, X: list[str]) -> PlacedTokens:
        """The words of texts."""
        return place_words(X, self.reader.tokenizer)

    def make_path(self, X: list[str]) -> Path:
        """The path of some texts."""
        self.reader.encoder.to(self.net.device)
        return SentencePath(self.reader.read(X), self.finish, len(X))

    def read_tokens(
        self,
        texts: list[str],
        tokens: list[str],  # noqa: ARG002 (the encoder splits texts itself)
        token_ids: TokenIds,  # noqa: ARG002
    ) -> NDArray[np.floating]:
        """Logits of texts, shape (n_texts, n_outputs)."""
        return self.logits(texts)


class SentencePath(Path):
    """The token vectors of some texts."""

    def __init__(self, lines: TokenLines, finish: Callable[[Tensor], Tensor], n_texts: int) -> None:
        self._lines, self._finish = lines, finish
        self.start, self.stop = [lines.start], [lines.stop]
        self.text = [torch.arange(n_texts, device=lines.stop.device)]

    def logits(self, *points: Tensor) -> Tensor:
        """Logits of texts with other vectors."""
        return self._finish(self._lines.features(points[0]))

    def contributions(self, gradients: Sequence[Sequence[Tensor]]) -> NDArray[np.float64]:
        """Contributions of words."""
        return self._lines.contributions([gradient for (gradient,) in gradients])
