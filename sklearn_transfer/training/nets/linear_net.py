"""The skorch net of a linear model, which a convex solver fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import LRScheduler
from skorch.helper import predefined_split
from torch import Tensor

from ...models.linear import LinearBag
from ..batches import Samples, as_tensor
from ..names import Loss
from ..optimization.losses import per_sample
from ..optimization.solvers import LinearProblem, solve_linear
from .inference_net import InferenceNet, TrainingSettings
from .outputs import Outputs
from .setup import make_iterators


class LinearNet(InferenceNet):
    """Net whose `fit` is one epoch: the solution of a convex problem on all samples.

    Parameters
    ----------
    module, criterion, settings, outputs, loss, valid : object
        The criterion computes the losses in the history, of the samples and of `valid`, if any;
        `loss` is that of a :class:`LinearProblem`. The settings give the device, the callbacks
        and the verbosity.
    """

    module_: LinearBag
    optimizer_ = None

    def __init__(  # noqa: PLR0913 (a constructor)
        self,
        module: LinearBag,
        criterion: torch.nn.Module,
        settings: TrainingSettings,
        *,
        outputs: Outputs,
        loss: Loss,
        valid: Samples | None = None,
    ) -> None:
        super().__init__(
            module,
            criterion=criterion,
            outputs=outputs,
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

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Refuse callbacks that need an optimizer."""
        if any(isinstance(callback, LRScheduler) for _, callback in self.callbacks_):
            raise ValueError(
                "Expected callbacks that need no optimizer, got an LRScheduler: the convex solver "
                "has no learning rate. Leave it out, or set optimizer='adam'."
            )
        super().on_train_begin(net, X=X, y=y, **kwargs)

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
        self.notify("on_epoch_begin", **datasets)
        self.run_single_epoch(_all_at_once(train), True, "train", self._solve)  # noqa: FBT003
        if valid is not None:
            self.run_single_epoch(_all_at_once(valid), False, "valid", self._evaluate)  # noqa: FBT003
        self.notify("on_epoch_end", **datasets)
        return self

    def _solve(self, batch: tuple[Samples, Tensor]) -> dict[str, Tensor]:
        """Solve the problem of the training samples: the step of the only batch."""
        problem = self.state_problem(batch[0])
        solution = solve_linear(
            problem,
            n_threads=torch.get_num_threads(),
            device=str(self.device),
            verbose=self.settings.verbose,
        )
        step = problem.design.rounding_step(problem.weight)
        self.module_.set_solution(solution.coefficients, solution.intercept, step)
        self.n_solver_iter_, self.converged_ = solution.n_iter, solution.converged
        return self._evaluate(batch)

    def _evaluate(self, batch: tuple[Samples, Tensor]) -> dict[str, Tensor]:
        """Logits and mean loss of samples, as skorch's callbacks read them."""
        samples, target = batch
        logits = torch.from_numpy(self.logits(samples.X))
        losses = per_sample(self.criterion_(logits, target), logits)
        loss = losses.double() @ as_tensor(samples.weight) / len(samples)
        return {"loss": loss, "y_pred": logits}

    def state_problem(self, samples: Samples) -> LinearProblem:
        """State the problem whose solution the module is, on some samples."""
        design: Any = samples.X
        n_outputs = self.module_.intercept.shape[1]
        return LinearProblem(design, samples.y, samples.weight, self.loss, n_outputs)

    def logits(self, inputs: Any) -> NDArray[np.floating]:
        """Compute logits of a design, shape (n_samples, n_outputs)."""
        design: Any = self.get_dataset(inputs).X
        return self.module_.as_arrays().logits(design)

    def features(self, inputs: Any) -> NDArray[np.floating]:
        """Compute the features of a design, shape (n_samples, n_features)."""
        design: Any = self.get_dataset(inputs).X
        return self.module_.as_arrays().features(design)


def _all_at_once(samples: Samples) -> list[tuple[Samples, Tensor]]:
    return [(samples, as_tensor(samples.y))]
