"""The squared hinge on a GPU: Newton's method for all classes at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from ..batches import as_tensor, sparse_tensor

_MAX_NEWTON, _MAX_CG, _MAX_HALVINGS = 100, 50, 30
# A step of conjugate gradients ends at this share of the gradient, or at the root of what is left.
_FORCING = 0.3
# The line search accepts a step that gains this share of what its slope promises (Armijo).
_SUFFICIENT = 1e-4
_ROUNDING = 1e-6
# Rounding allows no smaller share of the first gradient, by dtype.
_LEAST = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def solve_squared_hinge(
    X: csr_array | NDArray[np.floating],
    positive: NDArray[np.bool_],
    weight: NDArray[np.floating],
    *,
    tolerance: float,
    device: torch.device | str,
) -> tuple[NDArray[np.floating], int, bool]:
    """Minimise ``0.5 * |w|**2 + sum(weight * max(0, 1 - y X w)**2)`` for each class.

    Parameters
    ----------
    X : csr_array or ndarray, float32 or float64, shape (n_samples, n_features)
    positive : ndarray of bool, shape (n_samples, n_classes)
        The target y is 1 where it is true, else -1.
    weight : ndarray of float, shape (n_samples,)
    tolerance : float
        A class is solved when the norm of its gradient is below this share of the first, times the
        share of the rarer sign: LIBLINEAR's criterion.
    device : torch.device or str

    Returns
    -------
    coefficients : ndarray of the dtype of X, shape (n_features, n_classes)
    n_iter : int
        The largest number of Newton steps.
    converged : bool

    Notes
    -----
    Truncated Newton with a line search (Lin, Weng & Keerthi 2008 [1]_, with the generalised Hessian
    of Keerthi & DeCoste 2005 [2]_). The products with X, which take the time, serve all classes.

    References
    ----------
    .. [1] Lin, Weng & Keerthi, "Trust region Newton method for large-scale logistic regression",
       JMLR 9, 2008.
    .. [2] Keerthi & DeCoste, "A modified finite Newton method for fast solution of large scale
       linear SVMs", JMLR 6, 2005.
    """
    place = torch.device(device)
    parts = (X, csr_array(X.T)) if isinstance(X, csr_array) else (X, np.ascontiguousarray(X.T))
    matrix, transposed = (_move(part, place) for part in parts)
    cost = torch.from_numpy(weight.astype(X.dtype))[:, None].to(place)
    sign = torch.from_numpy(np.where(positive, 1, -1).astype(X.dtype)).to(place)
    share = np.minimum(positive.mean(axis=0), 1 - positive.mean(axis=0))
    least = np.maximum(tolerance * np.maximum(share, 1 / len(positive)), _LEAST[X.dtype])
    enough = torch.from_numpy(least.astype(X.dtype)).to(place)
    return _Descent(matrix, transposed, sign, cost).run(enough)


class _Descent:
    """Newton's method on columns that are problems of their own, each with its own step lengths."""

    def __init__(self, matrix: Tensor, transposed: Tensor, sign: Tensor, cost: Tensor) -> None:
        self.matrix, self.transposed, self.sign, self.cost = matrix, transposed, sign, cost

    def run(self, tolerance: Tensor) -> tuple[NDArray[np.floating], int, bool]:
        """The coefficients, the number of steps, and whether all columns converged."""
        w = self.sign.new_zeros(self.matrix.shape[1], self.sign.shape[1])
        logits = torch.zeros_like(self.sign)
        first = None
        for n_iter in range(_MAX_NEWTON):
            slack = (1 - self.sign * logits).clamp_min(0)
            gradient = w - self.transposed @ (2 * self.cost * self.sign * slack)
            norm = gradient.norm(dim=0)
            first = norm if first is None else first
            unsolved = norm > tolerance * first
            if not bool(unsolved.any()):
                return w.cpu().numpy(), n_iter, True
            forcing = (_ratio(norm, first).sqrt()).clamp_max(_FORCING)
            # A solved column takes no step.
            step = self._find_step(-gradient * unsolved, forcing * norm, slack > 0)
            image = self.matrix @ step
            length = self._search(w, step, logits, image, (gradient * step).sum(dim=0))
            w += length * step
            logits += length * image
        return w.cpu().numpy(), _MAX_NEWTON, False

    def _find_step(self, residual: Tensor, enough: Tensor, inside: Tensor) -> Tensor:
        """Conjugate gradients on ``(I + 2 X' D X) step = residual``."""
        curvature = 2 * self.cost * inside
        step, direction = torch.zeros_like(residual), residual.clone()
        squared = residual.square().sum(dim=0)
        for _ in range(_MAX_CG):
            bent = direction + self.transposed @ (curvature * (self.matrix @ direction))
            length = _ratio(squared, (direction * bent).sum(dim=0))
            step += length * direction
            residual = residual - length * bent
            previous, squared = squared, residual.square().sum(dim=0)
            if bool((squared.sqrt() <= enough).all()):
                break
            direction = residual + _ratio(squared, previous) * direction
        return step

    def _search(
        self, w: Tensor, step: Tensor, logits: Tensor, image: Tensor, slope: Tensor
    ) -> Tensor:
        """The lengths of the steps, halved where they gain too little."""
        cross, square = (w * step).sum(dim=0), step.square().sum(dim=0)
        before = self._loss(logits)
        length = torch.ones_like(slope)
        for _ in range(_MAX_HALVINGS):
            gain = before - self._loss(logits + length * image)
            gain -= length * cross + 0.5 * length.square() * square
            # Equal within rounding counts as no worse.
            worse = gain < -_SUFFICIENT * length * slope - _ROUNDING * before
            if not bool(worse.any()):
                break
            length = torch.where(worse, length / 2, length)
        return length

    def _loss(self, logits: Tensor) -> Tensor:
        return (self.cost * (1 - self.sign * logits).clamp_min(0).square()).sum(dim=0)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, zero where b is zero."""
    return torch.where(b > 0, a / b, 0)


def _move(matrix: csr_array | NDArray[np.floating], device: torch.device) -> Tensor:
    if isinstance(matrix, csr_array):
        return sparse_tensor(matrix, device)
    return as_tensor(matrix).to(device)
