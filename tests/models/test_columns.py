from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, random_array

from sklearn_transfer.models.columns import SparseColumns, _sparse_tensor

CPU = torch.device("cpu")


def matrix(n: int = 7, p: int = 5, dtype: type[np.floating] = np.float32) -> csr_array:
    rng = np.random.default_rng(0)
    return csr_array(random_array((n, p), density=0.4, rng=rng), dtype=dtype)


def weights(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("transposed_first", [False, True])
def test_product_is_that_of_the_dense_matrix(k: int, transposed_first: bool) -> None:
    sparse = matrix()
    columns, w = SparseColumns(sparse, CPU), weights(5, k)
    if transposed_first:  # from then on both products read the transpose
        columns.transposed_product(weights(7, k))
    torch.testing.assert_close(columns.product(w), torch.from_numpy(sparse.toarray()) @ w)


@pytest.mark.parametrize("k", [1, 3])
def test_transposed_product_is_that_of_the_dense_matrix(k: int) -> None:
    sparse = matrix()
    g = weights(7, k)
    found = SparseColumns(sparse, CPU).transposed_product(g)
    torch.testing.assert_close(found, torch.from_numpy(sparse.toarray()).T @ g)


@pytest.mark.parametrize("k", [1, 3])
def test_gradient_is_that_of_the_dense_matrix(k: int) -> None:
    sparse = matrix()
    ours, theirs = (weights(5, k).requires_grad_() for _ in range(2))
    (SparseColumns(sparse, CPU) @ ours).square().sum().backward()
    (torch.from_numpy(sparse.toarray()) @ theirs).square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradient_agrees_with_finite_differences() -> None:
    columns = SparseColumns(matrix(dtype=np.float64), CPU)
    w = weights(5, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: columns @ w, (w,))


def test_an_expanded_gradient_is_read_rightly() -> None:
    sparse = matrix()
    w = weights(5, 2).requires_grad_()
    (SparseColumns(sparse, CPU) @ w).sum().backward()  # its gradient is one number, expanded
    expected = np.repeat(sparse.sum(axis=0)[:, None], 2, axis=1)
    np.testing.assert_allclose(w.grad, expected, rtol=1e-6)


def test_weights_that_are_not_contiguous_are_read_rightly() -> None:
    sparse, w = matrix(), weights(3, 5).T
    torch.testing.assert_close(
        SparseColumns(sparse, CPU) @ w, torch.from_numpy(sparse.toarray()) @ w
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype: type[np.floating]) -> None:
    columns = SparseColumns(matrix(dtype=dtype), CPU)
    w = torch.from_numpy(np.ones((5, 2), dtype=dtype))
    assert (columns @ w).dtype == w.dtype
    assert columns.transposed_product(columns @ w).dtype == w.dtype


def test_products_leave_the_matrix_as_it_is() -> None:
    sparse = matrix()
    before = sparse.toarray()
    columns = SparseColumns(sparse, CPU)
    columns.transposed_product(columns.product(weights(5, 2)))
    np.testing.assert_array_equal(sparse.toarray(), before)


def test_shape_is_that_of_the_matrix() -> None:
    assert SparseColumns(matrix(7, 5), CPU).shape == (7, 5)


def test_rows_without_values_give_zero() -> None:
    product = SparseColumns(csr_array((3, 5), dtype=np.float32), CPU) @ weights(5, 2)
    assert product.tolist() == [[0, 0]] * 3


def test_as_a_tensor_of_torch_it_is_the_same_matrix() -> None:
    sparse = matrix()
    np.testing.assert_array_equal(_sparse_tensor(sparse, CPU).to_dense(), sparse.toarray())
