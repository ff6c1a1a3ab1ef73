"""Random numbers of torch that depend on a seed alone, also in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .._utils.locks import ThreadLock

_local = threading.local()
# The global generators of torch belong to the process: one thread at a time may seed them.
_global_lock = ThreadLock()


def derive_seed(seed: int, *place: int) -> int:
    """Derive the seed of a place in a fit, such as an epoch; the same in every process."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0])


def current_generator() -> torch.Generator | None:
    """The generator of the `seeded` block that this thread is in; None, torch's own, outside."""
    return getattr(_local, "generator", None)


@contextmanager
def seeded(
    seed: int, device: torch.device | None = None, *, seed_global: bool = False
) -> Iterator[None]:
    """Seed `current_generator` of this thread inside the block.

    Parameters
    ----------
    seed : int
    device : torch.device or None, default=None
        Of the generator; None is the CPU.
    seed_global : bool, default=False
        Seed the global generators, too, for modules that draw from them; their state is restored at
        the end. Blocks of several threads then wait for each other.
    """
    device = torch.device("cpu") if device is None else device
    before = current_generator()
    _local.generator = torch.Generator(device)
    _local.generator.manual_seed(seed)
    try:
        if seed_global:
            with _global_lock, _seeded_globally(seed, device):
                yield
        else:
            yield
    finally:
        _local.generator = before


@contextmanager
def _seeded_globally(seed: int, device: torch.device) -> Iterator[None]:
    backends, before = _backends(device), _states(device)
    torch.default_generator.manual_seed(seed)
    for backend in backends:
        backend.manual_seed(seed)
    try:
        yield
    finally:
        for backend, state in zip([torch, *backends], before, strict=True):
            backend.set_rng_state(state)


def _backends(device: torch.device) -> list[Any]:
    return [] if device.type == "cpu" else [getattr(torch, device.type)]


def _states(device: torch.device) -> list[torch.Tensor]:
    """States of the global generators of the CPU and of the device."""
    return [backend.get_rng_state() for backend in [torch, *_backends(device)]]


class EvaluationSeed:
    """Seed of a module that may draw from torch's global generators in evaluation mode.

    The first use finds out whether it does. If not, threads do not wait for each other afterwards.

    Parameters
    ----------
    seed : int
    may_draw : bool
        False if the module is known not to draw.
    """

    def __init__(self, seed: int, *, may_draw: bool) -> None:
        self._seed = seed
        self._draws: bool | None = None if may_draw else False

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        """Give the module the same random numbers in each block, and restore the generators."""
        if self._draws is False:
            yield
            return
        with seeded(self._seed, device, seed_global=True):
            before = _states(device)
            yield
            # A module that has drawn once is always seeded.
            after = _states(device)
            self._draws = bool(self._draws) or not all(map(torch.equal, before, after))
