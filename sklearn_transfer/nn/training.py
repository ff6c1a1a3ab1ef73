"""The skorch nets that train in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, ProgressBar
from skorch.dataset import unpack_data
from skorch.helper import predefined_split
from torch import Tensor, nn

from ..text.design import Design
from .batches import Batch, Batches, Inputs, Samples
from .calibration import cross_fit
from .criteria import class_shares, per_sample
from .encoders import LinearBag
from .optimizers import OPTIMIZERS, LinearProblem

# Where the solver stops, for a balanced class, by the precision of the features: more than that
# changes no label of a text, while for numbers it makes the solution independent of the path.
_TOLERANCE = {torch.float32: 2e-2, torch.float64: 1e-7}
# A solver that runs out of steps has failed where its gradient is above this share.
_FAR = 2e-2
# Samples that are predicted at a time.
_PREDICTED_TOGETHER = 4096


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Keep torch to one thread where the CPU trains.

    The batches are small, and the threads of OpenMP spin at a barrier whenever another process has
    one of the cores, so that an epoch takes many times as long. Products with sparse columns have
    threads of their own, which sleep.
    """
    n_threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class TransferNet(NeuralNet):
    """The skorch net of the estimators: its X is :class:`Samples`, or inputs.

    The loss of a batch is ``sum(weight * loss) / n_samples``, plus ``l2_sp / 2`` times the squared
    distance of the encoder's rows from the pretrained ones (L2-SP, Li et al. 2018).

    Parameters
    ----------
    *args : tuple
        See :class:`skorch.NeuralNet`.
    l2_sp : float, default=0.0
        Strength of the pull.
    **kwargs : dict
        See :class:`skorch.NeuralNet`.
    """

    def __init__(self, *args: Any, l2_sp: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.l2_sp = l2_sp

    def get_dataset(self, X: Any, y: Any = None) -> Samples:
        """Inputs and targets as samples."""
        return X if isinstance(X, Samples) else Samples(X, y)

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train or validate one epoch."""
        with _one_thread(torch.device(self.device)):
            super().run_single_epoch(*args, **kwargs)

    @property
    def ran_out(self) -> bool:
        """Whether training ended before its solver had converged."""
        return False

    def forget_data(self) -> None:
        """Let go of the samples that the net was fitted on."""
        self.set_params(train_split=None)

    def infer(self, x: Batch, **fit_params: Any) -> Tensor:
        """The logits of a batch, shape (n_samples, n_outputs)."""
        logits: Tensor = self.module_(**x.tensors)
        return logits

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Batch, training: bool = False) -> Tensor:
        """The weighted mean of the losses of a batch, shape ()."""
        losses = per_sample(self.criterion_(y_pred, y_true), len(X))
        loss = (losses * X.weight).sum() / len(X)
        if training and self.l2_sp:
            loss = loss + self.l2_sp / 2 * self.module_.encoder.squared_distance(**X.tensors)
        return loss

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Logits of inputs, shape (n_samples, n_outputs)."""
        return np.concatenate([batch.detach().cpu().numpy() for batch in self.forward_iter(inputs)])

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Softmax of the logits, or sigmoid of a single one, shape (n_samples, n_classes)."""
        logits = torch.from_numpy(self.logits(X))
        if logits.shape[1] == 1:
            positive = torch.sigmoid(logits)
            return torch.cat([1 - positive, positive], dim=1).numpy()
        return torch.softmax(logits, dim=1).numpy()

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Codes of the most probable classes, shape (n_samples,)."""
        return self.predict_proba(X).argmax(axis=1)


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
            See :func:`sklearn_transfer.nn.calibration.assign_folds`.

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
        with _one_thread(self.device):
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


class _StopWhenSolved(Callback):
    """Ends training when the Newton solver has nothing left to do."""

    def on_epoch_end(self, net: NewtonNet, **kwargs: Any) -> None:
        if net.optimizer_.converged:
            raise KeyboardInterrupt  # skorch's way to end training


def build_net(
    module: nn.Module,
    criterion: nn.Module,
    *,
    optimizer: str | type[torch.optim.Optimizer],
    lr: float,
    embedding_lr: float | None,
    batch_size: int,
    max_epochs: int,
    device: torch.device,
    seed: int,
    token_dropout: float,
    l2_sp: float,
    valid: Samples | None,
    patience: int | None,
    callbacks: Sequence[Any],
    verbose: int,
) -> TransferNet:
    """Configure skorch.

    Parameters
    ----------
    module : nn.Module
        A `LinearBag` for the optimizer "newton".
    criterion : nn.Module
        Gives a loss a sample.
    optimizer : str or class
        A key of `OPTIMIZERS` or a torch optimizer.
    lr, embedding_lr : float
        Learning rates of all parameters, and of the encoder's where that is not None.
    batch_size, max_epochs : int
        In samples and epochs; the Newton solver takes all samples and one step an epoch.
    device : torch.device
    seed : int
        Of the order of the samples, and of token dropout.
    token_dropout, l2_sp : float
    valid : Samples or None
        Evaluated after every epoch.
    patience : int or None
        Stop after so many epochs without a better validation loss, and restore the best weights.
    callbacks : sequence of skorch callbacks
    verbose : int
        0 is silent, 1 prints a line an epoch, 2 shows a progress bar too.

    Returns
    -------
    TransferNet
        Not initialised yet.
    """
    newton = optimizer == "newton"
    own: list[tuple[str, Any]] = []
    if newton:
        own.append(("stop_when_solved", _StopWhenSolved()))
    if patience is not None:
        own.append(("early_stopping", EarlyStopping(patience=patience, load_best=True)))
    if verbose > 1:
        own.append(("progress_bar", ProgressBar()))
    settings: dict[str, Any] = {}
    if embedding_lr is not None and not newton:
        settings["optimizer__param_groups"] = [("encoder.*", {"lr": embedding_lr})]
    return (NewtonNet if newton else TransferNet)(
        module,
        criterion=criterion,
        optimizer=OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer,
        lr=1.0 if newton else lr,
        max_epochs=max_epochs,
        batch_size=-1 if newton else batch_size,
        iterator_train=Batches,
        iterator_train__device=device,
        iterator_train__generator=np.random.default_rng(seed),
        iterator_train__token_dropout=token_dropout,
        iterator_train__linear=isinstance(module, LinearBag),
        iterator_valid=Batches,
        iterator_valid__device=device,
        iterator_valid__batch_size=_PREDICTED_TOGETHER,
        iterator_valid__linear=isinstance(module, LinearBag),
        train_split=None if valid is None else predefined_split(valid),
        callbacks=[*own, *callbacks],
        device=device,
        l2_sp=l2_sp,
        verbose=verbose,
        **settings,
    )
