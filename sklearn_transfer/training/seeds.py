"""Random numbers that leave the global generators of torch unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *place: int) -> int:
    """Derive the seed of a place in a fit, such as an epoch; the same in every process."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0])


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the generator of the CPU, and of a device, inside the block."""
    backends = [] if device is None or device.type == "cpu" else [getattr(torch, device.type)]
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
