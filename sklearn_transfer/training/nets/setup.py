"""Configuration of the skorch net."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import Callback, EarlyStopping, ProgressBar
from skorch.helper import predefined_split
from torch import Tensor, nn

from ...models.network import Network
from ..batches import Batches, Samples
from ..checkpoints import Checkpoint
from ..optimization.optimizers import OPTIMIZERS
from ..policies import RATES
from .inference_net import TrainingSettings
from .net import TransferNet, is_light
from .outputs import Outputs

# Samples per batch of predictions; fewer if the encoder needs much memory for each.
_LIGHT_BATCH, _ENCODED_BATCH = 4096, 256


class WeightAveraging(Callback):
    """Average the weights of the last epochs at the end of training (Izmailov et al. 2018)."""

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_train_begin(self, _net: Any, **_: Any) -> None:
        """Begin an average."""
        self.average_: dict[str, Tensor] = {}
        self.n_averaged_ = 0

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Add the weights of one of the last epochs."""
        n_left = net.max_epochs - net.rates_.count_epochs(net.history)
        if n_left >= min(self.n_epochs, net.max_epochs):
            return
        self.n_averaged_ += 1
        for name, tensor in net.module_.state_dict().items():
            if tensor.is_floating_point():
                average = self.average_.get(name, tensor.clone()).to(tensor.device)
                self.average_[name] = average.lerp_(tensor, 1 / self.n_averaged_)

    def on_train_end(self, net: Any, **_: Any) -> None:
        """Replace the weights by their average."""
        net.module_.load_state_dict(self.average_, strict=False)
        self.average_ = {}


class _EarlyStopping(EarlyStopping):
    """Early stopping that ignores the epochs of probing.

    It is the last callback, so that the others see the end of the last epoch. The best weights are
    restored by `_BestWeights`, so that the others see them at the end of training.
    """

    def on_epoch_end(self, net: TransferNet, **kwargs: Any) -> None:
        if not net.rates_.is_probing:
            super().on_epoch_end(net, **kwargs)

    def on_train_end(self, net: TransferNet, **kwargs: Any) -> None:
        """Do nothing; see :meth:`restore`."""

    def restore(self, net: TransferNet) -> None:
        """Restore the best weights."""
        super().on_train_end(net)


class _BestWeights(Callback):
    """Restore the best weights before other callbacks see the end of training."""

    def __init__(self, stopping: _EarlyStopping) -> None:
        self.stopping = stopping

    def on_train_end(self, net: TransferNet, **_: Any) -> None:
        """Restore the weights of the epoch that early stopping has found."""
        self.stopping.restore(net)


def build_net(  # noqa: PLR0913 (a constructor)
    module: Network,
    criterion: nn.Module,
    settings: TrainingSettings,
    *,
    outputs: Outputs,
    valid: Samples | None = None,
    checkpoint: Checkpoint | None = None,
) -> TransferNet:
    """Configure a net, not initialised; the criterion returns a loss for each sample."""
    optimizer = settings.optimizer
    if settings.compiled:
        module.use_plain_dropout()
    callbacks: list[tuple[str, Any]] = []
    last: list[tuple[str, Any]] = []
    if settings.average_last:
        callbacks.append(("weight_averaging", WeightAveraging(settings.average_last)))
    if settings.patience is not None:
        stopping = _EarlyStopping(patience=settings.patience, load_best=True)
        callbacks.append(("best_weights", _BestWeights(stopping)))
        last.append(("early_stopping", stopping))
    if settings.verbose > 1:
        callbacks.append(("progress_bar", ProgressBar()))
    return TransferNet(
        module,
        criterion=criterion,
        outputs=outputs,
        settings=settings,
        checkpoint=checkpoint,
        optimizer=OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer,
        lr=settings.lr,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=[*callbacks, *settings.callbacks, *last],
        callbacks__print_log__keys_ignored=[RATES],
        device=settings.device,
        verbose=settings.verbose,
        **make_iterators(module, settings.device, settings.token_dropout),
    )


def make_iterators(
    module: nn.Module, device: torch.device, token_dropout: float = 0.0
) -> dict[str, Any]:
    """Configure the iterators over batches, as arguments of a skorch net."""
    together = getattr(getattr(module, "encoder", None), "together", _ENCODED_BATCH)
    return {
        "iterator_train": Batches,
        "iterator_train__device": device,
        "iterator_train__token_dropout": token_dropout,
        "iterator_valid": Batches,
        "iterator_valid__device": device,
        "iterator_valid__batch_size": _LIGHT_BATCH if is_light(module) else together,
    }
