"""The settings of mini-batch training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .policies import Adaptation, Full


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of mini-batch training.

    Attributes
    ----------
    optimizer : str or class, default="adam"
        A key of `OPTIMIZERS` or a torch optimizer.
    lr : float, default=0.01
        Learning rate.
    encoder_lr : float or None, default=None
        Learning rate of the pretrained layers. None is `lr`.
    adaptation : Adaptation, default=Full()
        Which layers are trained, when, and how fast.
    layer_groups : sequence or None, default=None
        See :func:`sklearn_transfer.models.layers.find_layers`.
    l2_sp : float, default=0.0
        Penalty towards the pretrained weights.
    schedule : str, default="constant"
        A key of `SCHEDULES`.
    warmup : float, default=0.0
        Share of `max_epochs` in which the learning rates rise from 0.
    max_grad_norm : float or None, default=None
        Longer gradients are scaled to this norm (Pascanu et al. 2013).
    batch_size : int, default=32
        Samples per batch.
    max_epochs : int, default=20
        Epochs after the probing of the adaptation policy, if it has one.
    token_dropout : float, default=0.0
        Share of the tokens that are left out of each training batch.
    average_last : int, default=0
        Number of last epochs whose weights are averaged (Izmailov et al. 2018).
    patience : int or None, default=None
        Stop after this number of epochs without a better validation loss, and restore the best
        weights. None trains all epochs.
    mixed_precision : bool, default=False
        Whether to multiply in bfloat16.
    compiled : bool or str, default=False
        Whether to compile the network; a string is the backend of `torch.compile`.
    seed : int, default=0
    device : torch.device, default=cpu
    callbacks : sequence of skorch callbacks, default=()
    verbose : int, default=0
        0 is silent, 1 prints a line per epoch, 2 shows a progress bar in addition.
    """

    optimizer: str | type[torch.optim.Optimizer] = "adam"
    lr: float = 0.01
    encoder_lr: float | None = None
    adaptation: Adaptation = Full()  # noqa: RUF009 (immutable)
    layer_groups: Sequence[Any] | None = None
    l2_sp: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    max_grad_norm: float | None = None
    batch_size: int = 32
    max_epochs: int = 20
    token_dropout: float = 0.0
    average_last: int = 0
    patience: int | None = None
    mixed_precision: bool = False
    compiled: bool | str = False
    seed: int = 0
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)
    callbacks: Sequence[Any] = ()
    verbose: int = 0
