"""Random numbers of torch that depend on a seed alone, also in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
    backends = [] if device.type == "cpu" else [getattr(torch, device.type)]
    before = torch.get_rng_state(), [backend.get_rng_state() for backend in backends]
    torch.default_generator.manual_seed(seed)
    for backend in backends:
        backend.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        for backend, state in zip(backends, before[1], strict=True):
            backend.set_rng_state(state)
