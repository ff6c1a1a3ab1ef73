"""Integrated gradients of networks that read word vectors or given features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...text.tokenization.places import PlacedTokens
from ...training.batches import as_tensors
from ...training.nets.inference_net import InferenceNet
from .explainer import Candidates, Method
from .integrated_gradients import Path, PathExplainer


class SequenceExplainer(PathExplainer):
    """A reader of trained word vectors; the reference text has as many words, with zero vectors."""

    def place(self, X: list[str]) -> PlacedTokens:
        """The tokens of texts."""
        return self.features.place(X)  # type: ignore[no-any-return]

    def make_path(self, X: list[str]) -> Path:
        """The path of some texts."""
        return self._make_path(self.place(X))

    def weigh_tokens(self, outputs: NDArray[np.int64]) -> Candidates:
        """Weigh the words of the training texts."""
        words = PlacedTokens.alone(list(self.features.vocabulary))
        return self.weigh_words(outputs, words, self._make_path)

    def _make_path(self, placed: PlacedTokens) -> Path:
        tokens, token_ids = placed.tokens, placed.token_ids
        bags = self.features.transform_tokens(placed.texts, tokens, token_ids)
        kept = self.features.has_row(tokens)[token_ids.ids]
        return SequencePath(self.net, bags, kept)


class SequencePath(Path):
    """The vectors of all tokens of some texts; `kept` marks those that the network reads."""

    def __init__(self, net: InferenceNet, bags: Any, kept: NDArray[np.bool_]) -> None:
        self._kept, self._network = kept, net.module_
        arrays = as_tensors(bags, torch.device(net.device))
        with torch.no_grad():
            vectors = self._network.encoder.vectors(arrays["tokens"], arrays["extra"])
            self.stop = [vectors[arrays["ids"]]]
        self.start = [torch.zeros_like(self.stop[0])]
        positions = torch.arange(len(self.stop[0]), device=arrays["ids"].device)
        self._rest = positions, arrays["offsets"], arrays["weights"]
        lengths = arrays["offsets"].diff()
        self.text = [torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)]

    def logits(self, *points: Tensor) -> Tensor:
        """Logits of texts with other vectors, shape (n_texts, n_outputs)."""
        encoded: Tensor = self._network.encoder.reader(points[0], *self._rest)
        logits: Tensor = self._network.head(encoded)
        return logits

    def contributions(self, gradients: Sequence[Sequence[Tensor]]) -> NDArray[np.float64]:
        """Products of gradients and vectors; zero for tokens that are left out."""
        total = np.zeros((len(self._kept), len(gradients)))
        for target, (gradient,) in enumerate(gradients):
            products = (gradient * self.stop[0]).sum(dim=1).cpu().numpy()
            total[self._kept, target] = products
        return total


class ColumnNetworkExplainer(PathExplainer):
    """Hidden layers on given features; the reference sample is zero."""

    def place(self, X: Any) -> PlacedTokens:
        """The features of samples."""
        return self.features.place(X)  # type: ignore[no-any-return]

    def take(self, X: Any, rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """The dense rows of some samples."""
        design = self.features.transform(X[rows])
        dense = design.sparse.toarray() if design.sparse.shape[1] else design.dense
        return list(dense.astype(np.float32))

    def make_path(self, X: list[NDArray[np.float32]]) -> Path:
        """The path of rows."""
        rows = np.stack(X)
        listed = rows != 0 if self.features.is_sparse else np.ones(rows.shape, dtype=bool)
        return ColumnPath(self.net, rows, listed)

    def methods(self) -> dict[str, Method]:
        """Integrated gradients; features cannot be removed."""
        methods = super().methods()
        del methods["occlusion"]
        return methods


class ColumnPath(Path):
    """Rows of given features; `listed` marks the features that are explained."""

    def __init__(
        self, net: InferenceNet, rows: NDArray[np.float32], listed: NDArray[np.bool_]
    ) -> None:
        self._network, self._listed = net.module_, listed
        self.stop = [torch.from_numpy(rows).to(net.device)]
        self.start = [torch.zeros_like(self.stop[0])]
        self.text = [torch.arange(len(rows), device=net.device)]

    def logits(self, *points: Tensor) -> Tensor:
        """Logits of samples with other features."""
        logits: Tensor = self._network(dense=points[0])
        return logits

    def contributions(self, gradients: Sequence[Sequence[Tensor]]) -> NDArray[np.float64]:
        """Products of gradients and features, for the features that are listed."""
        products = [(gradient * self.stop[0]).cpu().numpy() for (gradient,) in gradients]
        return np.stack([part[self._listed].astype(np.float64) for part in products], axis=1)
