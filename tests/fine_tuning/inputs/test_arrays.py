"""Arrays in the dtype of a module."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from sklearn_transfer.fine_tuning.inputs.arrays import ModuleInputs


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_inputs_are_the_arrays_that_the_module_takes(dtype: type) -> None:
    X = np.ones((4, 3, 2), dtype=dtype)
    found = ModuleInputs(nn.Linear(2, 2)).fit_transform(X, None, np.ones(4)).values
    assert found.dtype == (np.float32 if dtype is np.float64 else np.int64)
    np.testing.assert_array_equal(found, X)
