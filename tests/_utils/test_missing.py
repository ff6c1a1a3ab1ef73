import numpy as np
import pandas as pd
import pytest

from sklearn_transfer._utils.missing import is_missing


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")], ids=repr
)
def test_missing_values_are_missing(value):
    assert is_missing(value)


@pytest.mark.parametrize(
    "value", ["", "nan", 0, False, 1.5, [], np.zeros(2), object()], ids=lambda v: type(v).__name__
)
def test_other_values_are_not(value):
    assert not is_missing(value)
