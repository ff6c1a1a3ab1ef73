"""Integrated gradients of models on pooled vectors of words and features of sentence encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...contextual.model import ContextualModel
from ...models.sentence_encoder import SentenceEncoder
from ...text.bag.bag_features import BagFeatures
from ...text.linear.token_design import Block, TokenDesign
from ...text.tokenization.places import PlacedTokens, merge_tokens
from ...text.tokenization.token_ids import TokenIds
from ...training.nets.inference_net import InferenceNet
from .explainer import Attribution, Candidates
from .integrated_gradients import Path, PathExplainer
from .sentence_paths import SentenceReader, TokenLines, place_words


class BagExplainer(PathExplainer):
    """Pooled vectors of words, features of sentence encoders, or both, and a network on them.

    At the norms of a text, the pooled vectors grow from their constant part, all words together. At
    the same time, the tokens of sentence encoders grow from padding. Token weights are exact.

    Parameters
    ----------
    features : BagFeatures
    net : InferenceNet
    """

    features: BagFeatures

    def __init__(self, features: BagFeatures, net: InferenceNet) -> None:
        super().__init__(features, net)
        self._is_split = bool(features.tables or features.n_columns[0])

    @cached_property
    def readers(self) -> list[SentenceReader]:
        """The sentence encoders among the sources, as modules of their own."""
        models = [s for s in self.features.sources if isinstance(s, ContextualModel)]
        return [SentenceReader(_copy(model), model.tokenizer) for model in models]

    @property
    def modules(self) -> list[nn.Module]:
        """The modules that compute logits."""
        return [self.net.module_, *(reader.encoder for reader in self.readers)]

    def place(self, X: list[str]) -> PlacedTokens:
        """The tokens of texts, and words that only sentence encoders read."""
        return self._merge(X)[0]

    def _merge(self, X: list[str]) -> tuple[PlacedTokens, list[NDArray[np.int64]]]:
        """All tokens of texts; and the positions of the own tokens, and of those of each reader."""
        models = [s for s in self.features.sources if isinstance(s, ContextualModel)]
        parts = [self.features.place(X)] if self._is_split else [PlacedTokens.none(X)]
        parts += [place_words(X, model.tokenizer) for model in models]
        merged, positions = parts[0], [np.arange(len(parts[0].start))]
        for part in parts[1:]:
            merged, kept, new = merge_tokens(merged, part)
            positions = [*(kept[position] for position in positions), new]
        return merged, positions

    def make_path(self, X: list[str]) -> Path:
        """The path of some texts."""
        merged, positions = self._merge(X)
        for reader in self.readers:
            reader.encoder.to(self.net.device)
        lines = [reader.read(X) for reader in self.readers]
        parts = self.features.decompose(self._own(X))
        return BagPath(self, parts, lines, positions, len(merged.start))

    def weigh_tokens(self, outputs: NDArray[np.int64]) -> Candidates:
        """Weigh the words of the training texts, where no sentence encoder reads them."""
        if self.readers:
            return super().weigh_tokens(outputs)

        def make_path(placed: PlacedTokens) -> Path:
            positions = [np.arange(len(placed.start))]
            return BagPath(self, self.features.decompose(placed), [], positions, len(placed.start))

        words = PlacedTokens.alone(list(self.features.vocabulary))
        return self.weigh_words(outputs, words, make_path)

    def _own(self, X: list[str]) -> PlacedTokens:
        return self.features.place(X) if self._is_split else PlacedTokens.none(X)

    def read_tokens(
        self, texts: list[str], tokens: list[str], token_ids: TokenIds
    ) -> NDArray[np.floating]:
        """Logits of texts whose tokens are given, shape (n_texts, n_outputs)."""
        if not self._is_split:
            return self.logits(texts)
        return super().read_tokens(texts, tokens, token_ids)

    def _integrate(self, X: Any, outputs: NDArray[np.int64]) -> Attribution:
        found = super()._integrate(X, outputs)
        n_sparse, _ = self.features.n_columns
        if not n_sparse:
            return found
        _, positions = self._merge(X)
        parts = replace(self.features.decompose(self._own(X)), vectors=())
        model = self.net.module_.linear_model(n_sparse)
        contributions = found.contributions.copy()
        contributions[positions[0]] += parts.contributions(model, outputs)
        return replace(found, contributions=contributions)


def _copy(model: ContextualModel) -> SentenceEncoder:
    if model.settings.windows is not None:
        raise ValueError(
            f"Gradients need whole texts, which {model!r} does not read. Use method='occlusion'."
        )
    try:
        return SentenceEncoder(model)
    except ValueError as error:  # quantized weights
        raise ValueError(
            f"{model!r} has no gradients, for its weights are quantized. Use method='occlusion'."
        ) from error


class BagPath(Path):
    """The dense columns of word vectors of some texts, and the tokens of sentence encoders."""

    def __init__(
        self,
        explainer: BagExplainer,
        parts: TokenDesign,
        lines: list[TokenLines],
        positions: list[NDArray[np.int64]],
        n_tokens: int,
    ) -> None:
        self._network, self._features = explainer.net.module_, explainer.features
        self._parts, self._lines = parts, lines
        self._positions, self._n_tokens = positions, n_tokens
        device, n_dense = explainer.net.device, explainer.features.n_columns[1]
        n_texts = len(parts.token_ids)
        start = parts.constant(n_dense)
        stop = start + parts.sums(n_dense)
        ends = (torch.from_numpy(end.astype(np.float32)).to(device) for end in (start, stop))
        self.start, self.stop = ([end] for end in ends)
        self.start += [line.start for line in lines]
        self.stop += [line.stop for line in lines]
        self.text = [torch.arange(n_texts, device=device)] * len(self.start)

    def logits(self, *points: Tensor) -> Tensor:
        """Logits without those of token weights, shape (n_texts, n_outputs)."""
        dense, vectors = points[0], list(points[1:])
        blocks = self._features.blocks
        lines = iter(zip(self._lines, vectors, strict=True))
        columns = []
        for source, block in zip(self._features.sources, blocks, strict=True):
            if isinstance(source, ContextualModel):
                line, vector = next(lines)
                columns.append(_centre(line.features(vector), block))
            else:
                columns.append(dense[:, block.columns])
        logits: Tensor = self._network(dense=torch.cat(columns, dim=1))
        return logits

    def contributions(self, gradients: Sequence[Sequence[Tensor]]) -> NDArray[np.float64]:
        """Products of gradients and the parts of the tokens."""
        total = np.zeros((self._n_tokens, len(gradients)))
        own = self._parts.project([parts[0].cpu().numpy() for parts in gradients])
        total[self._positions[0]] = own
        for i, (line, position) in enumerate(zip(self._lines, self._positions[1:], strict=True)):
            words = line.contributions([parts[i + 1] for parts in gradients])
            for target in range(len(gradients)):
                total[:, target] += np.bincount(position, words[:, target], self._n_tokens)
        return total


def _centre(features: Tensor, block: Block) -> Tensor:
    """Features scaled, centred, and scaled again, as `BagFeatures` has them."""
    mean = torch.from_numpy(block.mean).to(features)
    centred = torch.where(
        features.any(dim=1, keepdim=True), F.normalize(features, dim=1) - mean, 0.0
    )
    return F.normalize(centred, dim=1) * block.scale
