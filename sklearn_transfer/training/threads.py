"""The number of threads in which small batches are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Restrict torch to one thread on the CPU."""
    # OpenMP threads spin at a barrier while another process occupies one of the cores. With small
    # batches, an epoch then takes many times as long.
    n_threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def is_light(module: torch.nn.Module) -> bool:
    """Decide whether a batch takes too little work for a second thread to pay."""
    encoder = getattr(module, "encoder", None)
    return encoder is None or getattr(encoder, "light", False)
