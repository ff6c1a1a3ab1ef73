"""Seeds of random number generators."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np


def draw_seed(random_state: Any) -> int:
    """Return a seed below 2**32 for a `random_state`; no global generator is used."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(np.iinfo(np.int32).max))
