"""The linear model on sparse and dense columns, which has a solver of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..text.design import Design
from ..training.losses import class_shares
from .columns import SparseColumns


class LinearBag(nn.Module):
    """A linear model on sparse token columns and dense pretrained ones.

    ``logits = sparse @ offsets + dense @ head + intercept``: see
    :class:`~sklearn_transfer.text.bag_features.BagFeatures`. Zero offsets are feature extraction.

    Parameters
    ----------
    n_sparse, n_dense : int
    intercept : Tensor, shape (n_outputs,)
        Where the intercept starts; all else starts at zero, in its dtype.
    """

    def __init__(self, n_sparse: int, n_dense: int, intercept: Tensor) -> None:
        super().__init__()
        self.offsets = nn.Parameter(intercept.new_zeros(n_sparse, len(intercept)))
        self.head = nn.Parameter(intercept.new_zeros(n_dense, len(intercept)))
        self.intercept = nn.Parameter(intercept.clone()[None])

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return len(self.head) + (self.offsets.shape[1] if len(self.offsets) else 0)

    def features(self, dense: Tensor, sparse: SparseColumns | None = None) -> Tensor:
        """The dense columns and, if any, what the offsets add to each logit: (n_samples, d)."""
        return dense if sparse is None else torch.cat([dense, sparse @ self.offsets], dim=1)

    def forward(self, dense: Tensor, sparse: SparseColumns | None = None) -> Tensor:
        """Logits, shape (n_samples, n_outputs)."""
        logits = dense @ self.head + self.intercept
        return logits if sparse is None else logits + sparse @ self.offsets


def make_linear_bag(
    inputs: Design, target: Tensor, weight: Tensor, n_outputs: int, criterion: nn.Module
) -> LinearBag:
    """The linear model of a design, at the intercept that its criterion starts from.

    Parameters
    ----------
    inputs : Design, length n_samples
    target : Tensor, length n_samples
        Class codes or indicators.
    weight : Tensor of float, shape (n_samples,)
    n_outputs : int
    criterion : nn.Module
        Its ``start``, if any, turns the share of each class into the intercept.

    Returns
    -------
    LinearBag
        In the dtype of `inputs`.
    """
    share = class_shares(target, n_outputs, weight)
    start = getattr(criterion, "start", torch.zeros_like)
    # The columns of an indicator are tasks of their own.
    intercept = (
        torch.cat([start(one) for one in share.split(1)]) if target.dim() == 2 else start(share)
    )
    dtype = torch.from_numpy(inputs.dense).dtype
    return LinearBag(inputs.sparse.shape[1], inputs.dense.shape[1], intercept.to(dtype))
