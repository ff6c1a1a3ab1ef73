"""skorch, configured in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from skorch.callbacks import EarlyStopping, ProgressBar
from skorch.helper import predefined_split
from torch import nn

from ..models.linear import LinearBag
from .batches import Batches, Samples
from .net import TransferNet, is_light
from .optimizers import OPTIMIZERS
from .policies import RATES


def _at_a_time(module: nn.Module) -> int:
    """Samples that are predicted at a time."""
    if is_light(module):
        return _PREDICTED_TOGETHER
    return int(getattr(module.encoder, "together", _ENCODED_TOGETHER))


class _EarlyStopping(EarlyStopping):
    """Early stopping that begins to count where `max_epochs` does."""

    def on_epoch_end(self, net: TransferNet, **kwargs: Any) -> None:
        if not net.probes:
            super().on_epoch_end(net, **kwargs)


# Samples that are predicted at a time, and fewer where an encoder makes much of each.
_PREDICTED_TOGETHER = 4096
_ENCODED_TOGETHER = 256


def build_net(
    module: nn.Module,
    criterion: nn.Module,
    *,
    optimizer: str | type[torch.optim.Optimizer],
    lr: float,
    batch_size: int,
    max_epochs: int,
    device: torch.device,
    token_dropout: float,
    valid: Samples | None,
    patience: int | None,
    callbacks: Sequence[Any],
    verbose: int,
    **settings: Any,
) -> TransferNet:
    """Configure skorch.

    Parameters
    ----------
    module : nn.Module
        A `LinearBag` for the optimizer "newton", a `Network` elsewhere.
    criterion : nn.Module
        Gives a loss a sample.
    optimizer : str or class
        A key of `OPTIMIZERS` or a torch optimizer.
    lr : float
        Learning rate.
    batch_size, max_epochs : int
        In samples and epochs; the Newton solver takes all samples and one step an epoch.
    device : torch.device
    token_dropout : float
    valid : Samples or None
        Evaluated after every epoch.
    patience : int or None
        Stop after so many epochs without a better validation loss, and restore the best weights.
    callbacks : sequence of skorch callbacks
    verbose : int
        0 is silent, 1 prints a line an epoch, 2 shows a progress bar too.
    **settings : dict
        See `TransferNet`; the Newton solver passes over what concerns batches.

    Returns
    -------
    TransferNet
        Not initialised yet.
    """
    own: list[tuple[str, Any]] = []
    if patience is not None:
        own.append(("early_stopping", _EarlyStopping(patience=patience, load_best=True)))
    if verbose > 1:
        own.append(("progress_bar", ProgressBar()))
    return TransferNet(
        module,
        criterion=criterion,
        optimizer=OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=[*own, *callbacks],
        callbacks__print_log__keys_ignored=[RATES],
        device=device,
        verbose=verbose,
        **make_iterators(device, module, token_dropout),
        **settings,
    )


def make_iterators(
    device: torch.device, module: nn.Module, token_dropout: float = 0.0
) -> dict[str, Any]:
    """Settings of the iterators over batches."""
    linear = isinstance(module, LinearBag)
    return {
        "iterator_train": Batches,
        "iterator_train__device": device,
        "iterator_train__token_dropout": token_dropout,
        "iterator_train__linear": linear,
        "iterator_valid": Batches,
        "iterator_valid__device": device,
        "iterator_valid__batch_size": _at_a_time(module),
        "iterator_valid__linear": linear,
    }
