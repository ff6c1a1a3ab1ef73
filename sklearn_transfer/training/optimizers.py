"""Optimizers by name, and operations on their gradients and state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .row_adam import RowAdam, coalesce

# The line search accepts a step that gains this share of what its slope promises (Armijo).
_SUFFICIENT = 1e-4
_MAX_HALVINGS = 20


@dataclass
class LinearProblem:
    """A linear model and a convex loss on all training samples.

    The objective is ``0.5 * |W - W_0|**2 + sum(loss(logits))`` where the logits are linear in the
    parameters W and ``W_0`` is where the optimizer starts.

    Attributes
    ----------
    forward : callable
        From parameters, a tuple of tensors, to what they add to the logits, shape (n_samples, K).
    backward : callable
        Its transpose: from a tensor of shape (n_samples, K) to a tuple of tensors.
    gram : callable
        The one after the other, ``forward(backward(coefficients))``.
    loss : callable
        From logits, shape (n_samples, K), to the weighted losses: shape (n_samples, K) where every
        column is a problem of its own, (n_samples, 1) where the columns depend on each other.
    tolerance : Tensor, shape (K,) or (1,)
        A column is solved when the norm of its gradient is below this share of the first.
    n_samples : int
    """

    forward: Callable[[tuple[Tensor, ...]], Tensor]
    backward: Callable[[Tensor], tuple[Tensor, ...]]
    gram: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]
    tolerance: Tensor
    n_samples: int


class TruncatedNewton(torch.optim.Optimizer):
    """Newton's method with conjugate gradients, for a linear model and all samples at once.

    Parameters
    ----------
    params : iterable of Tensor
        The parameters of the linear model, each with the classes as last dimension.
    lr : float, default=1.0
        The first step that the line search tries.
    max_cg : int, default=25
        Conjugate-gradient iterations in a Newton step.
    cg_tol : float, default=0.3
        They stop when the residual has fallen to this share, or to the root of what is left of the
        first gradient where that is less (Eisenstat & Walker 1996 [2]_).

    Notes
    -----
    Every step solves ``(I + X' D X) d = -g`` approximately (Lin, Weng & Keerthi 2008 [1]_), D the
    curvature of the loss at the logits, which automatic differentiation applies to a vector; where
    the loss is a sum over columns each column has its own step lengths and stops on its own.

    The path of the parameters stays in ``W_0`` plus the span of the samples. Where there are fewer
    samples than features, the vectors of the method are therefore held as coefficients of the
    samples, ``W = W_0 + X' A`` (the representer theorem), with inner product ``A' X X' B``: the
    same iterates, from vectors that are n_samples long.

    References
    ----------
    .. [1] Lin, Weng & Keerthi, "Trust region Newton method for large-scale logistic regression",
       JMLR 9, 2008.
    .. [2] Eisenstat & Walker, "Choosing the forcing terms in an inexact Newton method", SIAM
       Journal on Scientific Computing 17, 1996.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1.0, max_cg: int = 25, cg_tol: float = 0.3
    ) -> None:
        super().__init__(params, {"lr": lr, "max_cg": max_cg, "cg_tol": cg_tol})
        self.converged = False
        self.path: Path | None = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the one group; torch's own method first imports its compiler, in over a second."""
        self.param_groups.append({**self.defaults, **param_group})

    def forget(self) -> None:
        """Let go of the problem."""
        self.path = None

    @torch.no_grad()
    def step(self, closure: Callable[[], LinearProblem]) -> Tensor:  # type: ignore[override]
        """Make one Newton step.

        Parameters
        ----------
        closure : callable
            Gives the problem; the same one at every step of a fit.

        Returns
        -------
        Tensor, shape ()
            The sum of the losses before the step.
        """
        group = self.param_groups[0]
        params = tuple(group["params"])
        if self.path is None:
            settings = {name: group[name] for name in ("lr", "max_cg", "cg_tol")}
            self.path = Path(closure(), params, **settings)
        loss, self.converged = self.path.advance()
        for param, value in zip(params, self.path.params(), strict=True):
            param.copy_(value)
        return loss


class Path:
    """The state of one minimisation: where it started, how far it is, and the logits there.

    Parameters
    ----------
    problem : LinearProblem
    start : tuple of Tensor
        Parameters to start from.
    lr : float, default=1.0
        See :class:`TruncatedNewton`.
    max_cg : int, default=25
        See :class:`TruncatedNewton`.
    cg_tol : float, default=0.3
        See :class:`TruncatedNewton`.
    """

    def __init__(
        self,
        problem: LinearProblem,
        start: tuple[Tensor, ...],
        *,
        lr: float = 1.0,
        max_cg: int = 25,
        cg_tol: float = 0.3,
    ) -> None:
        self.problem, self.start = problem, tuple(tensor.clone() for tensor in start)
        self.lr, self.max_cg, self.cg_tol = lr, max_cg, cg_tol
        self.dual = problem.n_samples < sum(len(tensor) for tensor in start)
        self.logits = problem.forward(self.start)
        zero = torch.zeros_like(self.logits)
        self.moved = (zero,) if self.dual else problem.backward(zero)
        self.moved_image = zero
        self.first_norm: Tensor | None = None
        self.gradient_norm: Tensor | None = None

    def restart(self, problem: LinearProblem, kept: Tensor) -> Path:
        """A path to the solution without some of the samples, from the solution with them.

        A solution is ``W_0 - X' g`` for the gradients g of the samples' losses. The path starts
        from the same sum over the samples that are kept or, where that is no better, as with many
        samples of few features, from the solution itself.

        Parameters
        ----------
        problem : LinearProblem
            With the same samples.
        kept : Tensor, shape (n_samples, 1)
            0 for the samples that are left out, 1 for the others.

        Returns
        -------
        Path
        """
        path = Path(problem, self.start, lr=self.lr, max_cg=self.max_cg, cg_tol=self.cg_tol)
        _, gradient, _ = self._differentiate()
        without = self.lift(-gradient * kept)
        starts = ((without, self.image(without)), (self.moved, self.moved_image))
        path._place(*min(starts, key=lambda start: path._place(*start)._objective()))
        path.first_norm = self.first_norm
        return path

    def _place(self, moved: tuple[Tensor, ...], image: Tensor) -> Path:
        self.logits = self.logits - self.moved_image + image
        self.moved, self.moved_image = moved, image
        return self

    def _objective(self) -> float:
        penalty = 0.5 * self.dot(self.moved, self.moved, self.moved_image).sum()
        return float(penalty + self.problem.loss(self.logits).sum())

    def params(self) -> tuple[Tensor, ...]:
        """Where the path has come to."""
        moved = self.problem.backward(self.moved[0]) if self.dual else self.moved
        return tuple(a + b for a, b in zip(self.start, moved, strict=True))

    # Vectors are tuples of tensors: parameters, or (dual) one tensor of coefficients.

    def image(self, vector: tuple[Tensor, ...]) -> Tensor:
        """What a vector adds to the logits, shape (n_samples, K)."""
        return self.problem.gram(vector[0]) if self.dual else self.problem.forward(vector)

    def lift(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """The gradient with respect to the logits, as a vector."""
        return (gradient,) if self.dual else self.problem.backward(gradient)

    def dot(self, a: tuple[Tensor, ...], b: tuple[Tensor, ...], b_image: Tensor) -> Tensor:
        """Inner product in the space of the parameters, a number a column."""
        if self.dual:
            products = (a[0] * b_image).sum(0)
        else:
            products = sum((x * y).sum(0) for x, y in zip(a, b, strict=True))  # type: ignore[assignment]
        return products if len(self.problem.tolerance) > 1 else products.sum(0, keepdim=True)

    @torch.no_grad()
    def advance(self) -> tuple[Tensor, bool]:
        """One Newton step; the loss before it, and whether there was nothing left to do."""
        loss, gradient, curvature = self._differentiate()
        descent = tuple(-(a + b) for a, b in zip(self.moved, self.lift(gradient), strict=True))
        image = self.image(descent)
        squared = self.dot(descent, descent, image).clamp_min(0)
        self.gradient_norm = squared.sqrt()
        if self.first_norm is None:
            self.first_norm = self.gradient_norm
        active = self.gradient_norm > self.problem.tolerance * self.first_norm
        if not bool(active.any()):
            return loss.sum(), True
        enough = self._forcing(_ratio(self.gradient_norm, self.first_norm)) ** 2 * squared
        step, step_image = self._solve(descent, image, squared, enough, active, curvature)
        self._search(loss, gradient, step, step_image)
        return loss.sum(), False

    def _differentiate(self) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Losses by column, their gradient, and the product with their second derivative."""
        with torch.enable_grad():
            logits = self.logits.detach().requires_grad_()
            losses = self.problem.loss(logits).sum(0)
            (gradient,) = torch.autograd.grad(losses.sum(), logits, create_graph=True)

        def curvature(vector: Tensor) -> Tensor:
            # Of a scalar, because a vector of its own would have torch import a symbolic solver.
            with torch.enable_grad():
                along = (gradient * vector).sum()
            (product,) = torch.autograd.grad(along, logits, retain_graph=True)
            return product

        return losses.detach(), gradient.detach(), curvature

    def _solve(
        self,
        residual: tuple[Tensor, ...],
        image: Tensor,
        squared: Tensor,
        enough: Tensor,
        active: Tensor,
        curvature: Callable[[Tensor], Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Conjugate gradients on ``(I + X' D X) step = residual``; the step and its image.

        Columns that are solved take no part: their step is zero.
        """
        columns = torch.arange(image.shape[1], device=image.device)
        if len(active) > 1:
            columns, squared, enough = columns[active], squared[active], enough[active]

        def bend(vector: Tensor) -> Tensor:
            whole = torch.zeros_like(image).index_copy_(1, columns, vector)
            return curvature(whole).index_select(1, columns)

        residual = tuple(tensor.index_select(1, columns) for tensor in residual)
        direction, direction_image = residual, image.index_select(1, columns)
        step = tuple(torch.zeros_like(tensor) for tensor in direction)
        step_image = torch.zeros_like(direction_image)
        for iteration in range(self.max_cg):
            bent = self.lift(bend(direction_image))
            bent = tuple(a + b for a, b in zip(direction, bent, strict=True))
            length = _ratio(squared, self.dot(bent, direction, direction_image))
            step = tuple(a + length * b for a, b in zip(step, direction, strict=True))
            step_image = step_image + length * direction_image
            residual = tuple(a - length * b for a, b in zip(residual, bent, strict=True))
            if iteration + 1 == self.max_cg:
                break
            residual_image = self.image(residual)
            previous, squared = squared, self.dot(residual, residual, residual_image).clamp_min(0)
            if bool((squared <= enough).all()):
                break
            momentum = _ratio(squared, previous)
            direction = tuple(a + momentum * b for a, b in zip(residual, direction, strict=True))
            direction_image = residual_image + momentum * direction_image

        def widen(part: Tensor) -> Tensor:
            whole = part.new_zeros(len(part), image.shape[1])
            return whole.index_copy_(1, columns, part)

        return tuple(map(widen, step)), widen(step_image)

    def _forcing(self, left: Tensor) -> Tensor:
        """To what share the residual falls: less and less, but not further than is asked for."""
        asked = _ratio(self.problem.tolerance, left) / 2
        return torch.maximum(left.sqrt(), asked).clamp_max(self.cg_tol)

    def _search(
        self,
        loss: Tensor,
        gradient: Tensor,
        step: tuple[Tensor, ...],
        step_image: Tensor,
    ) -> None:
        """Halve the step, column by column, until the objective falls enough, and take it."""
        penalty = 0.5 * self.dot(self.moved, self.moved, self.moved_image)
        cross = self.dot(self.moved, step, step_image)
        square = self.dot(step, step, step_image)
        by_column = (gradient * step_image).sum(0)
        slope = cross + (by_column if len(cross) > 1 else by_column.sum(0, keepdim=True))
        before = penalty + loss
        length = torch.full_like(before, self.lr)
        for _ in range(_MAX_HALVINGS):
            losses = self.problem.loss(self.logits + length * step_image).sum(0)
            after = penalty + length * cross + 0.5 * length**2 * square + losses
            # Equal within rounding counts as no worse.
            worse = after > before + _SUFFICIENT * length * slope + 1e-6 * before.abs()
            if not bool(worse.any()):
                break
            length = torch.where(worse, length / 2, length)
        self.moved = tuple(a + length * b for a, b in zip(self.moved, step, strict=True))
        self.moved_image = self.moved_image + length * step_image
        self.logits = self.logits + length * step_image


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, zero where b is not positive (a column that is solved)."""
    return torch.where(b > 0, a / b.clamp_min(torch.finfo(b.dtype).tiny), torch.zeros_like(a))


OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": RowAdam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "newton": TruncatedNewton,
}


def is_row_wise(optimizer: str | type[torch.optim.Optimizer]) -> bool:
    """Decide whether an optimizer takes sparse gradients, with the rows of the batch."""
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
