from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn_transfer.models.columns import SparseColumns
from torch import Tensor, nn

from sklearn_transfer.models.linear import LinearBag, make_linear_bag
from sklearn_transfer.text.design import Design
from sklearn_transfer.training.losses import CrossEntropy, SquaredHinge


def design(dtype: type[np.floating] = np.float32) -> Design:
    rng = np.random.default_rng(0)
    sparse = csr_array(rng.integers(0, 2, (6, 5)).astype(dtype))
    return Design(sparse, rng.standard_normal((6, 2)).astype(dtype))


def linear() -> tuple[LinearBag, Tensor, SparseColumns, Tensor]:
    """A model with weights, its dense and sparse columns, and the latter as a tensor."""
    module = LinearBag(5, 2, torch.tensor([0.5, -1, 2]))
    with torch.no_grad():
        for parameter in (module.offsets, module.head):
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
            )
    inputs = design()
    columns = SparseColumns(inputs.sparse, torch.device("cpu"))
    return (
        module,
        torch.from_numpy(inputs.dense),
        columns,
        torch.from_numpy(inputs.sparse.toarray()),
    )


def test_a_linear_bag_is_linear() -> None:
    module, dense, sparse, tensor = linear()
    expected = tensor @ module.offsets + dense @ module.head + module.intercept
    torch.testing.assert_close(module(dense, sparse), expected)


def test_a_linear_bag_starts_at_its_intercept() -> None:
    _, dense, sparse, _ = linear()
    start = torch.tensor([0.5, -1, 2])
    torch.testing.assert_close(LinearBag(5, 2, start)(dense, sparse), start.expand(6, 3))


def test_a_linear_bag_without_sparse_columns_is_the_head() -> None:
    dense = linear()[1]
    module = LinearBag(0, 2, torch.zeros(3))
    torch.testing.assert_close(module(dense), torch.zeros(6, 3))
    assert module.features(dense) is dense


def test_the_logits_of_a_linear_bag_are_a_sum_over_its_features() -> None:
    module, dense, sparse, _ = linear()
    features = module.features(dense, sparse)
    assert features.shape[1] == module.n_features
    logits = features[:, :2] @ module.head + features[:, 2:] + module.intercept
    torch.testing.assert_close(module(dense, sparse), logits)


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy()])
def test_a_linear_bag_starts_where_its_criterion_says(criterion: Any) -> None:
    target, weight = torch.tensor([0, 1, 2, 2, 2, 1]), torch.ones(6)
    module = make_linear_bag(design(), target, weight, 3, criterion)
    expected = criterion.start(torch.tensor([1, 2, 3]) / 6)[None]
    torch.testing.assert_close(module.intercept.detach(), expected)


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy()])
def test_each_column_of_an_indicator_starts_as_a_task_of_its_own(criterion: Any) -> None:
    target = torch.tensor([[1.0, 0], [1, 1], [0, 0], [1, 0], [1, 0], [0, 0]])
    module = make_linear_bag(design(), target, torch.ones(6), 2, criterion)
    for column in range(2):
        alone = make_linear_bag(design(), target[:, column], torch.ones(6), 1, criterion)
        torch.testing.assert_close(module.intercept[:, column], alone.intercept[:, 0])


def test_a_linear_bag_starts_at_zero_where_its_criterion_says_nothing() -> None:
    module = make_linear_bag(
        design(), torch.tensor([0, 1, 2, 2, 2, 1]), torch.ones(6), 3, nn.CrossEntropyLoss()
    )
    assert not module.intercept.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_linear_bag_has_the_dtype_of_its_design(dtype: type[np.floating]) -> None:
    module = make_linear_bag(
        design(dtype), torch.tensor([0, 1, 0, 0, 1, 1]), torch.ones(6).double(), 1, SquaredHinge()
    )
    assert {str(p.dtype) for p in module.parameters()} == {f"torch.{np.dtype(dtype)}"}
