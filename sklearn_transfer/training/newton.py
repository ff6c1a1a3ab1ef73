"""The skorch net of a linear model, trained on all samples at once by Newton's method."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.dataset import unpack_data
from torch import Tensor

from ..fine_tuning.calibration import cross_fit
from ..models.linear import LinearBag
from ..text.design import Design
from .batches import Batch, Samples
from .losses import class_shares, per_sample
from .net import TransferNet
from .optimizers import LinearProblem
from .threads import one_thread

# Where the solver stops, for a balanced class, by the precision of the features: more than that
# changes no label of a text, while for numbers it makes the solution independent of the path.
_TOLERANCE = {torch.float32: 2e-2, torch.float64: 1e-7}
# A solver that runs out of steps has failed where its gradient is above this share.
_FAR = 2e-2


class NewtonNet(TransferNet):
    """The net of a linear model that is trained on all samples at once."""

    module_: LinearBag
    _problem: LinearProblem | None

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """One Newton step; the loss before it."""
        Xi, yi = unpack_data(batch)
        self._set_training(True)
        problem = self._problem  # the samples of a fit do not change: neither does the problem
        if problem is None:
            problem = self._problem = self._state_problem(Xi, yi)
        total = self.optimizer_.step(lambda: problem)
        return {"loss": total / len(Xi), "y_pred": None}

    def goes_on(self) -> bool:
        """Whether the solver has something left to do, and a step to do it in."""
        return len(self.history) < self.max_epochs and not self.optimizer_.converged

    @property
    def ran_out(self) -> bool:
        """Whether training ended far from where the solver converges."""
        path = self.optimizer_.path
        if len(self.history) < self.max_epochs or self.optimizer_.converged or path is None:
            return False
        share = path.problem.tolerance / _TOLERANCE[path.logits.dtype]
        return bool((path.gradient_norm > _FAR * share * path.first_norm).any())

    @torch.no_grad()
    def cross_fit(
        self, samples: Samples, folds: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Logits of training samples by models without them.

        Parameters
        ----------
        samples : Samples
            That the net was fitted on, in a Design.
        folds : ndarray of int64, shape (n_samples,)
            See :func:`sklearn_transfer.fine_tuning.calibration.assign_folds`.

        Returns
        -------
        logits : ndarray of float64, shape (n_left_out, n_outputs)
        rows : ndarray of int64, shape (n_left_out,)
            The samples that were left out.
        """
        logits, rows = [np.zeros((0, self.module_.intercept.shape[1]))], [np.zeros(0, dtype=int)]
        design, problem = samples.X, self._problem
        if problem is None or not isinstance(design, Design):
            raise RuntimeError("cross_fit needs the problem of a fit that has just ended.")
        with one_thread(self.device):
            models = cross_fit(problem, self.optimizer_.path, folds, samples.weight)
            for left_out, params in models:
                module = copy.deepcopy(self.module_)
                for param, value in zip(module.parameters(), params, strict=True):
                    param.copy_(value)
                for batch, _ in self.get_iterator(Samples(design.unseen(left_out))):
                    logits.append(module(**batch.tensors).double().cpu().numpy())
                rows.append(left_out)
        return np.concatenate(logits), np.concatenate(rows)

    def forget_data(self) -> None:
        """Let go of the samples that the net was fitted on."""
        super().forget_data()
        self._problem = None
        self.optimizer_.forget()

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> NewtonNet:
        """Forget the problem of an earlier fit with its solver."""
        self._problem = None
        super().initialize_optimizer(*args, **kwargs)
        return self

    def _state_problem(self, batch: Batch, target: Tensor) -> LinearProblem:
        """The objective on a batch that holds all samples."""
        dense = batch.tensors["dense"]
        sparse = batch.tensors.get("sparse")
        n_outputs = self.module_.intercept.shape[1]
        by_column = getattr(self.criterion_, "columns", None)

        def forward(params: tuple[Tensor, ...]) -> Tensor:
            offsets, head, intercept = params
            logits = dense @ head + intercept
            return logits if sparse is None else logits + sparse.product(offsets)

        def backward(gradient: Tensor) -> tuple[Tensor, ...]:
            if sparse is None:
                offsets = gradient.new_zeros(0, gradient.shape[1])
            else:
                offsets = sparse.transposed_product(gradient)
            return offsets, dense.T @ gradient, gradient.sum(0, keepdim=True)

        def gram(coefficients: Tensor) -> Tensor:
            product = dense @ (dense.T @ coefficients) + coefficients.sum(0, keepdim=True)
            return product if sparse is None else product + sparse.gram(coefficients)

        def loss(logits: Tensor) -> Tensor:
            if by_column is not None:
                return by_column(logits, target) * batch.weight[:, None]
            losses = per_sample(self.criterion_(logits, target), len(batch))
            return (losses * batch.weight)[:, None]

        share = class_shares(target, n_outputs, batch.weight)
        # A class may have no weight at all; its column must come to an end like the others.
        rarer = torch.minimum(share, 1 - share).clamp_min(1 / len(batch))
        tolerance = _TOLERANCE[dense.dtype] * rarer
        if by_column is None:
            tolerance = tolerance.min()[None]
        return LinearProblem(forward, backward, gram, loss, tolerance, len(batch))
