"""Optimizers: truncated Newton for linear models, Adam that moves only the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class RowAdam(torch.optim.Optimizer):
    """Adam that, for a parameter with a sparse gradient, moves only the rows that occur.

    Parameters
    ----------
    params : iterable of Tensor or of dict
    lr : float, default=1e-3
    betas : tuple of float, default=(0.9, 0.999)
    eps : float, default=1e-8

    Notes
    -----
    Adam (Kingma & Ba 2015, algorithm 1). For a table of vectors, the moments of a row change only
    with the batches in which its token occurs, and bias is corrected by the number of those
    batches, so that a rare row's first step is as long as a frequent one's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Make one step with the gradients of the batch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._move(param, param.grad, group)
        return loss

    def _move(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(param), torch.zeros_like(param)
            per_row = (len(param),) + (1,) * (param.dim() - 1)
            # Not "step", which torch leaves on the CPU when a state is loaded.
            state["count"] = torch.zeros(
                per_row if grad.is_sparse else (1,) * param.dim(), device=param.device
            )
        beta, gamma = group["betas"]
        if grad.is_sparse:
            grad = grad.coalesce()
            rows, values = grad.indices()[0], grad.values()
            count = state["count"][rows] + 1
            mean = state["mean"][rows].lerp_(values, 1 - beta)
            square = state["square"][rows].lerp_(values * values, 1 - gamma)
            for name, value in (("count", count), ("mean", mean), ("square", square)):
                state[name][rows] = value
            param[rows] -= _adam_step(mean, square, count, group)
        else:
            state["count"] += 1
            state["mean"].lerp_(grad, 1 - beta)
            state["square"].lerp_(grad**2, 1 - gamma)
            param -= _adam_step(state["mean"], state["square"], state["count"], group)


def _adam_step(mean: Tensor, square: Tensor, count: Tensor, group: dict[str, Any]) -> Tensor:
    beta, gamma = group["betas"]
    scale = (square / (1 - gamma**count)).sqrt_().add_(group["eps"])
    return group["lr"] / (1 - beta**count) * mean / scale


OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": RowAdam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def is_row_wise(optimizer: str | type[torch.optim.Optimizer]) -> bool:
    """Whether an optimizer takes the gradient of a table as the rows of the batch."""
    made = OPTIMIZERS.get(optimizer, optimizer) if isinstance(optimizer, str) else optimizer
    return made in (RowAdam, torch.optim.SGD)


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> None:
    """Shorten the gradients, taken as one vector, to a length (Pascanu et al. 2013).

    Parameters
    ----------
    parameters : iterable of Tensor
        Their gradients may be sparse.
    max_norm : float
        Shorter ones stay.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    # Rows that occur twice in a sparse gradient count as their sum.
    values = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    if values:
        norm = torch.stack([value.norm() for value in values]).norm()
        scale = (max_norm / norm.clamp_min(1e-12)).clamp_max(1)
        for gradient in gradients:
            gradient.mul_(scale)


def replace_parameter(optimizer: torch.optim.Optimizer, old: Tensor, new: Tensor) -> None:
    """Let an optimizer go on with a parameter that has more rows.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    old, new : Tensor
        `new` begins with the rows of `old`; the state of the others is zero.
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
