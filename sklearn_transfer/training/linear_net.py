"""The skorch net of a linear model, which a convex solver fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.helper import predefined_split

from ..models.linear import LinearBag
from .batches import Samples
from .inference_net import InferenceNet, TrainingSettings
from .losses import per_sample
from .setup import make_iterators
from .solvers import LinearProblem, Loss, solve_linear


class LinearNet(InferenceNet):
    """Net whose `fit` is one epoch: the solution of a convex problem on all samples.

    Parameters
    ----------
    module, criterion, settings, loss, valid : object
        The criterion computes the losses in the history, of the samples and of `valid`, if any;
        `loss` is that of a :class:`LinearProblem`. The settings give the device, the callbacks
        and the verbosity.
    """

    module_: LinearBag
    optimizer_ = None

    def __init__(
        self,
        module: LinearBag,
        criterion: torch.nn.Module,
        settings: TrainingSettings,
        *,
        loss: Loss,
        valid: Samples | None = None,
    ) -> None:
        super().__init__(
            module,
            criterion=criterion,
            settings=settings,
            max_epochs=1,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=list(settings.callbacks),
            device=settings.device,
            verbose=settings.verbose,
            **make_iterators(module, settings.device),
        )
        self.loss = loss

    @property
    def n_iter(self) -> int:
        """Iterations of the solver."""
        return int(self.n_solver_iter_)

    def initialize_optimizer(self, **_: Any) -> LinearNet:
        """Do nothing: a convex solver needs no optimizer."""
        return self

    def fit_loop(
        self,
        X: Samples,
        y: Any = None,
        epochs: int | None = None,  # noqa: ARG002 (as in skorch)
        **fit_params: Any,
    ) -> LinearNet:
        """Solve the problem on all samples, and record it as an epoch."""
        train, valid = self.get_split_datasets(X, y, **fit_params)
        datasets = {"dataset_train": train, "dataset_valid": valid}
        with self.remember_interrupt():
            self.notify("on_epoch_begin", **datasets)
            problem = self.state_problem(train)
            solution = solve_linear(
                problem, n_threads=torch.get_num_threads(), device=str(self.device)
            )
            self.module_.set_solution(solution.coefficients, solution.intercept)
            self.n_solver_iter_, self.converged_ = solution.n_iter, solution.converged
            self.history.record("train_loss", self._mean_loss(train))
            if valid is not None:
                self.history.record("valid_loss", self._mean_loss(valid))
            self.notify("on_epoch_end", **datasets)
        return self

    def state_problem(self, samples: Samples) -> LinearProblem:
        """State the problem whose solution the module is, on some samples."""
        design: Any = samples.X
        n_outputs = self.module_.intercept.shape[1]
        return LinearProblem(design, samples.y, samples.weight, self.loss, n_outputs)

    def logits(self, inputs: Any) -> NDArray[np.floating]:
        """Compute logits of a design, shape (n_samples, n_outputs)."""
        if torch.device(self.device).type == "cpu":
            return self.module_.predict(self.get_dataset(inputs).X)  # type: ignore[arg-type]
        return super().logits(inputs)

    def _mean_loss(self, samples: Samples) -> float:
        logits = torch.from_numpy(self.logits(samples.X))
        losses = per_sample(self.criterion_(logits, torch.from_numpy(samples.y)), logits)
        return float(losses.double() @ torch.from_numpy(samples.weight)) / len(samples)
