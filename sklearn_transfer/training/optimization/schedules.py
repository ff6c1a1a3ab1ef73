"""Learning rates over the epochs of a fit, and of each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, pi
from typing import Any

import numpy as np
import torch
from torch import nn

from ...models.layers import Layer, find_layers
from ..names import SCHEDULE_NAMES
from ..nets.inference_net import TrainingSettings

# One cycle: the position of its peak, and its start and end as shares of the peak.
_PEAK, _START, _END = 0.3, 1 / 25, 1e-4 / 25


def constant(_: float) -> float:
    """1 throughout."""
    return 1.0


def linear(progress: float) -> float:
    """From 1 to 0."""
    return 1 - progress


def cosine(progress: float) -> float:
    """Half a wave from 1 to 0 (Loshchilov & Hutter 2017, equation 5, without restarts)."""
    return (1 + cos(pi * progress)) / 2


def one_cycle(progress: float) -> float:
    """From 1/25 to 1 in 30 % of the fit, then to almost 0, as cosine waves (Smith 2018)."""
    if progress < _PEAK:
        return 1 - (1 - _START) * cosine(progress / _PEAK)
    return _END + (1 - _END) * cosine((progress - _PEAK) / (1 - _PEAK))


SCHEDULES: dict[str, Callable[[float], float]] = dict(
    zip(SCHEDULE_NAMES, (constant, linear, cosine, one_cycle), strict=True)
)


def rate_at(schedule: str, warmup: float, progress: float) -> float:
    """Compute the factor of the learning rate at a point of the fit.

    Parameters
    ----------
    schedule, warmup, progress : str, float, float
        In the share `warmup` of the fit, the factor rises from 0; then the schedule begins. The
        share `progress` of the fit is done.

    Returns
    -------
    float

    Examples
    --------
    >>> [rate_at("linear", 0.2, progress) for progress in (0.1, 0.2, 0.6, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    return SCHEDULES[schedule]((progress - warmup) / (1 - warmup) if warmup < 1 else 0.0)


class LayerRates:
    """Learning rates of the layers of a network: base rate x policy x schedule.

    Parameters
    ----------
    network, lr, settings : nn.Module, float, TrainingSettings
        The base rate is `lr` for the head, and for all layers if `settings.encoder_lr` is None.

    Attributes
    ----------
    layers, frozen : list of Layer
        All layers, lowest first, the head last; those that are not trained in this epoch.
    applied : list of float
        The rates that were last set in the optimizer.
    is_probing : bool
        True before `max_epochs` begins to count.
    """

    def __init__(self, network: nn.Module, lr: float, settings: TrainingSettings) -> None:
        self.layers = find_layers(network, settings.layer_groups)
        encoder_lr = lr if settings.encoder_lr is None else settings.encoder_lr
        self._base = [encoder_lr] * (len(self.layers) - 1) + [lr]
        self._settings = settings
        self._factors: list[float] = []
        self._n_done = 0
        self.frozen: list[Layer] = []
        self.applied = list(self._base)
        self.is_probing = False

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Make a parameter group of an optimizer for each layer."""
        return [
            {"params": layer.parameters(network), "lr": rate}
            for layer, rate in zip(self.layers, self._base, strict=True)
        ]

    def count_epochs(self, history: Sequence[Any]) -> int:
        """Count the epochs after probing; negative before its end is known."""
        count = getattr(self._settings.adaptation, "n_probing", None)
        return len(history) - (0 if count is None else int(count(history)))

    def begin_epoch(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, history: Sequence[Any]
    ) -> dict[str, float]:
        """Ask the policy, set the rates, and freeze the layers of rate 0; the rates by layer."""
        self._n_done = self.count_epochs(history)
        self._factors = self._ask_policy(history)
        has_probing = hasattr(self._settings.adaptation, "n_probing")
        self.is_probing = has_probing and not any(self._factors[:-1])
        self.set_rates(optimizer, 0.5)
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.frozen = [layer for layer, rate in zip(self.layers, rates, strict=True) if rate == 0]
        for layer in self.layers:
            for parameter in layer.parameters(network):
                parameter.requires_grad_(layer not in self.frozen)
        return {layer.name: rate for layer, rate in zip(self.layers, rates, strict=True)}

    def set_rates(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """Set the learning rates for a point of the epoch, a share from 0 to 1."""
        settings = self._settings
        progress = min((self._n_done + share) / settings.max_epochs, 1.0)
        # Probing ends when the head has converged, at a constant rate.
        scheduled = not self.is_probing
        factor = rate_at(settings.schedule, settings.warmup, progress) if scheduled else 1.0
        rates = [b * f * factor for b, f in zip(self._base, self._factors, strict=True)]
        for group, rate, before in zip(optimizer.param_groups, rates, self.applied, strict=True):
            if rate != before:  # unchanged rates are left to schedulers among the callbacks
                group["lr"] = rate
        self.applied = rates

    def _ask_policy(self, history: Sequence[Any]) -> list[float]:
        policy, n_layers = self._settings.adaptation, len(self.layers)
        factors = [float(factor) for factor in policy.rates(len(history), n_layers, history)]
        if len(factors) != n_layers or not all(np.isfinite(factors)) or min(factors) < 0:
            raise ValueError(
                f"adaptation={policy!r} must give a finite, non-negative rate for each of the "
                f"{n_layers} layers {[layer.name for layer in self.layers]}, got {factors}."
            )
        return factors
