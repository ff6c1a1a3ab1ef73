"""Optimizers by name, Adam by rows, clipped gradients, and parameters that grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..names import OPTIMIZER_NAMES

# Numbers per block of rows: a block, its gradient and its moments stay in the processor's cache.
_BLOCK = 1 << 15


class RowAdam(torch.optim.Optimizer):
    """Adam that, for a parameter with a sparse gradient, updates only the rows that occur.

    Parameters
    ----------
    params, lr, betas, eps : object
        See :class:`torch.optim.Adam`.

    Notes
    -----
    Adam (Kingma & Ba 2015, algorithm 1). For a table of vectors, the moments of a row change only
    with the batches in which its token occurs, and bias is corrected by the number of those
    batches, so that the first step of a rare row is as long as that of a frequent one.

    The state holds the moments after bias correction. For the first moment,
    ``m_t / (1 - beta**t) = lerp(m_{t-1} / (1 - beta**(t-1)), g_t, (1 - beta) / (1 - beta**t))``,
    and the same holds for the second: a step reads and writes each number once.
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
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(param), torch.zeros_like(param)
            if grad.is_sparse:
                per_row = (len(param),) + (1,) * (param.dim() - 1)
                state["count"] = torch.zeros(per_row, device=param.device)
            else:
                state["step"] = torch.zeros(())  # by this name, torch leaves it on the CPU
        if grad.is_sparse:
            self._update_rows(param.detach(), coalesce(grad), state, group)
            return
        state["step"] += 1
        first, second = ((1 - b) / (1 - b ** state["step"].item()) for b in group["betas"])
        mean = state["mean"].lerp_(grad, first)
        square = state["square"].lerp_(grad * grad, second)
        # Half precision has no 1e-8.
        scale = square.sqrt().to(torch.promote_types(square.dtype, torch.float32))
        param.addcdiv_(mean, scale.add_(group["eps"]), value=-group["lr"])

    def _update_rows(
        self, param: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict[str, Any]
    ) -> None:
        rows, values = grad.indices()[0], grad.values()
        count = state["count"].index_select(0, rows).add_(1)
        state["count"].index_copy_(0, rows, count)
        shares = [_shares(count, beta).to(values.dtype) for beta in group["betas"]]
        size = len(rows) if rows.is_cuda else _BLOCK // max(param.shape[1:].numel(), 1)
        blocks = (torch.split(part, max(size, 1)) for part in (rows, values, *shares))
        for block, of_block, first, second in zip(*blocks, strict=True):
            mean = state["mean"].index_select(0, block).lerp_(of_block, first)
            _write(state["mean"], block, mean)
            square = state["square"].index_select(0, block).lerp_(of_block * of_block, second)
            _write(state["square"], block, square)
            scale = square.sqrt_().add_(group["eps"])
            part = param.index_select(0, block).addcdiv_(mean, scale, value=-group["lr"])
            _write(param, block, part)


def _write(table: Tensor, rows: Tensor, values: Tensor) -> None:
    if table.dtype == torch.float32 and table.device.type == "cpu":
        table.numpy()[rows.numpy()] = values.numpy()  # two thirds of the time of index_copy_
    else:
        table.index_copy_(0, rows, values)


def coalesce(gradient: Tensor) -> Tensor:
    """Merge equal rows of a sparse gradient, which is sorted only if its rows are not."""
    rows = gradient._indices()[0]  # noqa: SLF001 (torch has no public access before sorting)
    if not gradient.is_coalesced() and bool((rows[1:] > rows[:-1]).all()):
        gradient._coalesced_(True)  # noqa: FBT003 (backward does not keep the mark)
    return gradient.coalesce()


def _shares(count: Tensor, beta: float) -> Tensor:
    """``(1 - beta) / (1 - beta**count)``, accurate in float32 for a beta near 1."""
    return (beta - 1) / torch.expm1(count * (math.log(beta) if beta else -math.inf))


OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = dict(
    zip(OPTIMIZER_NAMES, (RowAdam, torch.optim.AdamW, torch.optim.SGD), strict=True)
)


def is_row_wise(optimizer: str | type[torch.optim.Optimizer]) -> bool:
    """True if an optimizer takes the gradient of a table as the rows of the batch."""
    made = OPTIMIZERS.get(optimizer, optimizer) if isinstance(optimizer, str) else optimizer
    return made in (RowAdam, torch.optim.SGD)


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> None:
    """Scale gradients, dense or sparse, as one vector to a maximum norm (Pascanu et al. 2013)."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    # Rows that occur twice in a sparse gradient count as their sum.
    values = [coalesce(g).values() if g.is_sparse else g for g in gradients]
    if values:
        norm = torch.stack([value.norm() for value in values]).norm()
        scale = (max_norm / norm.clamp_min(1e-12)).clamp_max(1)
        for gradient in gradients:
            gradient.mul_(scale)


def replace_parameter(optimizer: torch.optim.Optimizer, old: Tensor, new: Tensor) -> None:
    """Replace a parameter by one with rows appended; the state of these rows is zero."""
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
