"""Outputs of frozen layers, computed once instead of in every epoch."""

from __future__ import annotations

import torch

from ..models.layers import has_trainable_encoder
from ..text.design import dense_design
from .batches import Batches, Inputs, Samples
from .inference_net import InferenceNet


class FrozenOutputs:
    """Cache of the outputs of frozen layers for the training and the validation samples."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, Samples]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Drop all outputs: the samples or the layers change."""
        self._kept = {}

    def substitute(self, net: InferenceNet, batches: Batches, prefix: str) -> Batches:
        """Replace inputs by the outputs of the frozen layers; `prefix` is "train" or "valid"."""
        samples = batches.samples
        layer = None
        if getattr(net.module_, "encoder", None) is not None and not batches.token_dropout:
            layer = _lowest_trainable(net.module_)
        if layer is None:
            self.clear()
            return batches
        if prefix not in self._kept or self._kept[prefix][0] != layer:
            self._kept.pop(prefix, None)  # frees memory before more is needed
            inputs: Inputs
            if layer == 0:
                inputs = dense_design(net.encode(samples.X))
            else:
                inputs = net.module_.encoder.with_states(samples.X, layer)
            self._kept[prefix] = layer, Samples(inputs, samples.y, samples.weight)
        return batches.over(self._kept[prefix][1])


def _lowest_trainable(module: torch.nn.Module) -> int | None:
    """The lowest trainable layer of the encoder: None for the first, 0 if all are frozen."""
    if not has_trainable_encoder(module):
        return 0
    return module.encoder.n_frozen() or None  # type: ignore[operator, union-attr]
