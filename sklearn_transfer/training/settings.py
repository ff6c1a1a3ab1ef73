"""The settings of mini-batch training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .policies import Adaptation, Full


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of mini-batch training, with the names of the estimators.

    Attributes
    ----------
    optimizer, lr, batch_size, max_epochs, schedule, warmup, max_grad_norm, average_last : object
        See `FineTunedClassifier`; `max_epochs` does not count the epochs of probing.
    token_dropout, mixed_precision, layer_groups, l2_sp, callbacks, verbose : object
        See `FineTunedClassifier`.
    encoder_lr : float or None
        Learning rate of the pretrained layers. None is `lr`.
    adaptation : Adaptation
        Which layers are trained, when, and how fast.
    patience : int or None
        Stop after this number of epochs without a better validation loss, and restore the best
        weights. None trains all epochs.
    compiled : bool or str
        Whether to compile the network; a string is the backend of `torch.compile`.
    seed : int
    device : torch.device
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
