"""Optimizers by name, clipped gradients, and parameters that grow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .row_adam import RowAdam, coalesce

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": RowAdam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def is_row_wise(optimizer: str | type[torch.optim.Optimizer]) -> bool:
    """True if an optimizer takes the gradient of a table as the rows of the batch."""
    made = OPTIMIZERS.get(optimizer, optimizer) if isinstance(optimizer, str) else optimizer
    return made in (RowAdam, torch.optim.SGD)


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> None:
    """Scale the gradients, as one vector, to a maximum norm (Pascanu et al. 2013).

    Parameters
    ----------
    parameters : iterable of Tensor
        Their gradients may be sparse.
    max_norm : float
        Gradients of a smaller norm are left as they are.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    # Rows that occur twice in a sparse gradient count as their sum.
    values = [coalesce(g).values() if g.is_sparse else g for g in gradients]
    if values:
        norm = torch.stack([value.norm() for value in values]).norm()
        scale = (max_norm / norm.clamp_min(1e-12)).clamp_max(1)
        for gradient in gradients:
            gradient.mul_(scale)


def replace_parameter(optimizer: torch.optim.Optimizer, old: Tensor, new: Tensor) -> None:
    """Replace a parameter of an optimizer by one with more rows.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    old, new : Tensor
        `new` begins with the rows of `old`; the state of the other rows is zero.
    """
    for group in optimizer.param_groups:
        group["params"] = [new if param is old else param for param in group["params"]]
    if old not in optimizer.state:
        return
    state = optimizer.state.pop(old)
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape[:1] == old.shape[:1]:
            more = value.new_zeros(len(new) - len(old), *value.shape[1:])
            state[name] = torch.cat([value, more])
    optimizer.state[new] = state
