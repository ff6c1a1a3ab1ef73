"""Gradient accumulation where a batch does not fit into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from .._utils.devices import lacks_memory
from .._utils.errors import levels_to_caller
from .batches import Batch


class GradientAccumulator:
    """Add up the gradient of a batch from as many parts as memory requires.

    Attributes
    ----------
    n_parts : int
        Parts per batch; doubled whenever memory does not suffice.
    """

    def __init__(self) -> None:
        self.n_parts = 1

    def run(
        self, batch: Batch, step: Callable[[slice], Any], clear: Callable[[], None]
    ) -> list[Any]:
        """Run a step for each part of a batch; `clear` gradients before more parts are tried."""
        while True:
            size = -(-len(batch) // self.n_parts)
            try:
                return [step(slice(i, i + size)) for i in range(0, len(batch), size)]
            except (RuntimeError, MemoryError) as error:
                if not lacks_memory(error) or size == 1 or not batch.divisible:
                    raise
            if self.n_parts == 1:
                warnings.warn(
                    f"A batch of {len(batch)} samples does not fit into memory; its gradient is "
                    f"added up from parts. Lower batch_size.",
                    UserWarning,
                    stacklevel=levels_to_caller(),
                )
            self.n_parts *= 2
            clear()
