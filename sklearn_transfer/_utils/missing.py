"""Missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._missing import is_pandas_na


def is_missing(value: Any) -> bool:
    """Return True for None, NaN, NaT and the NA of pandas."""
    if value is None or is_pandas_na(value):
        return True
    if isinstance(value, str):
        return False
    differs = value != value
    return isinstance(differs, bool | np.bool_) and bool(differs)
