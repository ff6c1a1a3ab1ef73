"""The part of a pretrained module that training has changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Trained:
    """Differences of a module from the pretrained one that it was copied from.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Parameters and buffers with other values, on the CPU.
    frozen : frozenset of str
        Parameters without a gradient.
    training : frozenset of str
        Parts that are in train mode.
    """

    tensors: dict[str, Tensor]
    frozen: frozenset[str]
    training: frozenset[str]

    @classmethod
    def of(cls, module: nn.Module, pretrained: nn.Module) -> Self:
        """Find the differences; numbers of the pretrained module count as float32."""
        before = dict(_tensors(pretrained))
        tensors = {
            name: tensor.detach().cpu()
            for name, tensor in _tensors(module)
            if not _are_same_bits(tensor, before[name])
        }
        frozen = (name for name, p in module.named_parameters() if not p.requires_grad)
        training = (name for name, part in module.named_modules() if part.training)
        return cls(tensors, frozenset(frozen), frozenset(training))

    @torch.no_grad()
    def apply(self, module: nn.Module) -> None:
        """Change a copy of the pretrained module in place."""
        tensors = dict(_tensors(module))
        for name, tensor in self.tensors.items():
            tensors[name].copy_(tensor)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
        for name, part in module.named_modules():
            part.training = name in self.training


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(module.named_parameters(), module.named_buffers())


def _are_same_bits(one: Tensor, other: Tensor) -> bool:
    if other.is_floating_point():
        other = other.float()
    numbers = [t.detach().cpu().contiguous().reshape(-1) for t in (one, other)]
    a, b = (t.view(torch.uint8) if t.numel() else t for t in numbers)
    return one.shape == other.shape and torch.equal(a, b)
