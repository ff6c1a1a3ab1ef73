from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from sklearn_transfer.models.linear import LinearBag
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.training.batches import as_tensors


def design(n_sparse: int = 5, dtype: type[np.floating] = np.float32) -> Design:
    rng = np.random.default_rng(0)
    sparse = csr_array(rng.integers(0, 2, (6, n_sparse)).astype(dtype))
    return Design(sparse, rng.standard_normal((6, 2)).astype(dtype))


def solved(n_sparse: int = 5, dtype: torch.dtype = torch.float32) -> LinearBag:
    """A model with weights."""
    rng = np.random.default_rng(1)
    module = LinearBag(n_sparse, 2, 3, dtype)
    module.set_solution(rng.standard_normal((n_sparse + 2, 3)), rng.standard_normal(3))
    return module


@pytest.mark.parametrize("n_sparse", [5, 0])
def test_a_linear_bag_is_linear(n_sparse: int) -> None:
    module, inputs = solved(n_sparse), design(n_sparse)
    tensors = as_tensors(inputs, torch.device("cpu"))
    columns = torch.from_numpy(np.concatenate([inputs.sparse.toarray(), inputs.dense], axis=1))
    weights = torch.cat([module.token_weights, module.head])
    torch.testing.assert_close(module(**tensors), columns @ weights + module.intercept)


def test_a_linear_bag_starts_at_zero() -> None:
    module = LinearBag(5, 2, 3)
    assert not any(parameter.any() for parameter in module.parameters())


@pytest.mark.parametrize("n_sparse", [5, 0])
def test_predictions_by_numpy_are_those_of_torch(n_sparse: int) -> None:
    module, inputs = solved(n_sparse), design(n_sparse)
    tensors = as_tensors(inputs, torch.device("cpu"))
    model = module.as_arrays()
    for mine, theirs in [
        (model.logits(inputs), module(**tensors)),
        (model.features(inputs), module.features(**tensors)),
    ]:
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert model.n_features == module.n_features


def test_a_linear_bag_without_sparse_columns_has_its_dense_features() -> None:
    dense = torch.from_numpy(design().dense)
    module = LinearBag(0, 2, 3)
    assert module.features(dense) is dense
    assert module.n_features == 2


def test_the_logits_of_a_linear_bag_are_a_sum_over_its_features() -> None:
    module = solved()
    tensors = as_tensors(design(), torch.device("cpu"))
    features = module.features(**tensors)
    assert features.shape[1] == module.n_features
    logits = features[:, :2] @ module.head + features[:, 2:] + module.intercept
    torch.testing.assert_close(module(**tensors), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_linear_bag_keeps_its_dtype(dtype: torch.dtype) -> None:
    assert {parameter.dtype for parameter in solved(dtype=dtype).parameters()} == {dtype}
