"""The skorch net of a linear model, which a convex solver fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.helper import predefined_split

from ..models.linear import LinearBag
from ..text.design import Design
from .batches import Samples
from .losses import per_sample
from .net import TransferNet
from .setup import make_iterators
from .solvers import LinearSolution, solve_linear


class LinearNet(TransferNet):
    """Net whose `fit` is one epoch: the solution of a convex problem on all samples.

    Parameters
    ----------
    module : LinearBag
    criterion : nn.Module
        Of the losses in the history.
    loss : str
        See :func:`~sklearn_transfer.training.solvers.solve_linear`.
    seed : int
        Of solvers that draw random numbers.
    valid : Samples or None
        Evaluated, not trained on.
    device : torch.device
        Of predictions; the solvers of scikit-learn run on the CPU.
    callbacks : list of skorch callbacks
    verbose : int

    Attributes
    ----------
    n_solver_iter_ : int
        Iterations of the solver.
    converged_ : bool
    """

    module_: LinearBag
    optimizer_ = None

    def __init__(
        self,
        module: LinearBag,
        criterion: torch.nn.Module,
        *,
        loss: str,
        seed: int,
        valid: Samples | None,
        device: torch.device,
        callbacks: list[Any],
        verbose: int,
    ) -> None:
        super().__init__(
            module,
            criterion=criterion,
            train_split=None if valid is None else predefined_split(valid),
            max_epochs=1,
            callbacks=callbacks,
            device=device,
            verbose=verbose,
            seed=seed,
            **make_iterators(device, module),
        )
        self.loss = loss

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> LinearNet:
        """A convex solver needs no optimizer."""
        self._average, self._rest = {}, {}
        return self

    def fit_loop(
        self, X: Samples, y: Any = None, epochs: int | None = None, **fit_params: Any
    ) -> LinearNet:
        """Solve the problem on all samples, and record it as an epoch."""
        train, valid = self.get_split_datasets(X, y, **fit_params)
        datasets = {"dataset_train": train, "dataset_valid": valid}
        self.notify("on_epoch_begin", **datasets)
        solution = self.solve(train.X, train.y, train.weight)
        self.module_.set_solution(solution.coefficients, solution.intercept)
        self.n_solver_iter_, self.converged_ = solution.n_iter, solution.converged
        self.history.record("train_loss", self._mean_loss(train))
        if valid is not None:
            self.history.record("valid_loss", self._mean_loss(valid))
        self.notify("on_epoch_end", **datasets)
        return self

    def solve(
        self, design: Design, target: NDArray[Any], weight: NDArray[np.floating]
    ) -> LinearSolution:
        """Solve the problem of this net on some samples."""
        n_threads = torch.get_num_threads()
        return solve_linear(design, target, weight, self.loss, seed=self.seed, n_threads=n_threads)

    @property
    def n_iter(self) -> int:
        """Iterations of the solver."""
        return self.n_solver_iter_

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin the epoch; there are no layers to freeze."""
        NeuralNet.on_epoch_begin(self, net, **kwargs)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End the epoch; there are no weights to average."""
        NeuralNet.on_epoch_end(self, net, **kwargs)

    def logits(self, inputs: Design) -> NDArray[np.floating]:
        """Logits of inputs, shape (n_samples, n_outputs)."""
        if torch.device(self.device).type == "cpu":
            return self.module_.predict(inputs)
        return super().logits(inputs)

    def _mean_loss(self, samples: Samples) -> float:
        logits = torch.from_numpy(self.logits(samples.X))
        losses = per_sample(self.criterion_(logits, torch.from_numpy(samples.y)), logits)
        return float(losses.double() @ torch.from_numpy(samples.weight)) / len(samples)
