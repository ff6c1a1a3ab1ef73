"""The linear model on sparse token columns and dense pretrained ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._utils.compact import Compact, opened
from .._utils.objects.copying import deepcopy_attributes
from ..text.linear.linear_model import LinearModel


class LinearBag(nn.Module):
    """Linear model on the two blocks of a design matrix.

    ``logits = sparse @ token_weights + dense @ head + intercept``: see
    :class:`~sklearn_transfer.text.bag.bag_features.BagFeatures`. Zero token weights are feature
    extraction. All parameters start at zero.

    Parameters
    ----------
    n_sparse, n_dense, n_outputs, dtype : int, int, int, torch.dtype
        Columns of the blocks and of the logits.
    """

    def __init__(
        self, n_sparse: int, n_dense: int, n_outputs: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.token_weights = nn.Parameter(torch.zeros(n_sparse, n_outputs, dtype=dtype))
        self.head = nn.Parameter(torch.zeros(n_dense, n_outputs, dtype=dtype))
        self.intercept = nn.Parameter(torch.zeros(1, n_outputs, dtype=dtype))

    def __getstate__(self) -> dict[str, Any]:
        parameters = dict(self._parameters)
        weights = parameters["token_weights"].detach().cpu().numpy()  # type: ignore[union-attr]
        parameters["token_weights"] = None
        return {**self.__dict__, "_parameters": parameters, "packed": Compact(weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = torch.from_numpy(opened(state.pop("packed")))
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.token_weights = nn.Parameter(weights, self.head.requires_grad)

    __deepcopy__ = deepcopy_attributes

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return len(self.head) + (self.token_weights.shape[1] if len(self.token_weights) else 0)

    @torch.no_grad()
    def set_solution(
        self,
        coefficients: NDArray[np.floating],
        intercept: NDArray[np.floating],
        step: float | None = None,
    ) -> None:
        """Take the solution of a solver.

        Parameters
        ----------
        coefficients, intercept : ndarray
            Shapes (n_sparse + n_dense, n_outputs) and (n_outputs,).
        step : float, default=None
            Power of two to whose multiples token weights are rounded; None keeps them. Rounded
            weights are pickled in a quarter of the bytes, and are the same after it.
        """
        n_sparse = len(self.token_weights)
        self.token_weights.copy_(torch.from_numpy(coefficients[:n_sparse]))
        if step is not None:
            self.token_weights.div_(step).round_().mul_(step).add_(0.0)  # no -0.0
        self.head.copy_(torch.from_numpy(coefficients[n_sparse:]))
        self.intercept.copy_(torch.from_numpy(intercept)[None])

    def features(self, dense: Tensor, sparse: Tensor | None = None) -> Tensor:
        """Dense columns, and the sum of the token weights for each logit: (n_samples, d)."""
        if sparse is None:
            return dense
        return torch.cat([dense, sparse @ self.token_weights], dim=1)

    def forward(self, dense: Tensor, sparse: Tensor | None = None) -> Tensor:
        """Logits, shape (n_samples, n_outputs)."""
        logits = dense @ self.head + self.intercept
        return logits if sparse is None else logits + sparse @ self.token_weights

    def as_arrays(self) -> LinearModel:
        """The model that computes with NumPy and SciPy; on a CPU its arrays are those of torch."""
        token_weights, head, intercept = (
            parameter.detach().cpu().numpy()
            for parameter in (self.token_weights, self.head, self.intercept)
        )
        return LinearModel(token_weights, head, intercept[0])

    def linear_model(self, n_sparse: int) -> LinearModel:  # noqa: ARG002 (as Network has it)
        """The model as arrays."""
        return self.as_arrays()
