"""Seeds of random number generators."""

from __future__ import annotations

from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

_Estimator = TypeVar("_Estimator", bound=BaseEstimator)


def draw_seed(random_state: Any) -> int:
    """Return a seed below 2**32 for a `random_state`; no global generator is used."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(np.iinfo(np.int32).max))


def fill_seeds(estimator: _Estimator, seed: int) -> _Estimator:
    """Set each `random_state` that is None, those of nested estimators included; in place."""
    seeds = {
        name: seed
        for name, value in estimator.get_params().items()
        if value is None and name.rpartition("__")[2] == "random_state"
    }
    estimator.set_params(**seeds)
    return estimator
