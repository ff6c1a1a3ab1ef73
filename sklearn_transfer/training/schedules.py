"""Schedules: the learning rate over the epochs of a fit."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

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


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "one-cycle": one_cycle,
}


def rate_at(schedule: str, warmup: float, progress: float) -> float:
    """Compute the factor of the learning rate at a point of the fit.

    Parameters
    ----------
    schedule : str
        A key of `SCHEDULES`.
    warmup : float
        Share of the fit in which the factor rises from 0, before the schedule begins.
    progress : float
        Share of the fit that is done, from 0 to 1.

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
