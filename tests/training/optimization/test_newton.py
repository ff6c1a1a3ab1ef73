from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, random_array
from sklearn.svm import LinearSVC

from sklearn_transfer.training.optimization.newton import solve_squared_hinge

N, D, K = 120, 40, 5
SIGNS = np.arange(N)[:, None] % K == np.arange(K)


def features(*, sparse: bool, dtype: Any = np.float64) -> csr_array | NDArray[Any]:
    rng = np.random.default_rng(0)
    if sparse:
        return csr_array(random_array((N, D), density=0.2, rng=rng), dtype=dtype)
    return rng.normal(size=(N, D)).astype(dtype)


def weights() -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(0.2, 5, N)


def reference(X: csr_array | NDArray[Any]) -> NDArray[np.float64]:
    columns = []
    for positive in SIGNS.T:
        model = LinearSVC(fit_intercept=False, dual=False, tol=1e-12, max_iter=10_000)
        columns.append(model.fit(X, positive, sample_weight=weights()).coef_[0])
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("sparse", [True, False])
def test_the_solution_is_that_of_liblinear(sparse: bool) -> None:
    X = features(sparse=sparse)
    found, n_iter, converged = solve_squared_hinge(
        X, SIGNS, weights(), tolerance=1e-10, device="cpu"
    )
    assert converged
    assert 0 < n_iter < 30
    np.testing.assert_allclose(found, reference(X), atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
def test_single_precision_converges_however_small_the_tolerance(sparse: bool) -> None:
    X = features(sparse=sparse, dtype=np.float32)
    found, _, converged = solve_squared_hinge(X, SIGNS, weights(), tolerance=1e-9, device="cpu")
    assert converged
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(X), atol=1e-3)


def test_large_features_take_halved_steps() -> None:
    X = 1e3 * features(sparse=False)
    found, _, converged = solve_squared_hinge(X, SIGNS, weights(), tolerance=1e-8, device="cpu")
    assert converged
    margin = np.where(SIGNS, 1, -1) * (X @ found)
    gradient = found - X.T @ (
        2 * weights()[:, None] * np.where(SIGNS, 1, -1) * np.maximum(1 - margin, 0)
    )
    first = np.abs(X.T @ (2 * weights()[:, None] * np.where(SIGNS, 1, -1))).max()
    assert np.abs(gradient).max() < 1e-6 * first


def test_no_class_at_all() -> None:
    found, n_iter, converged = solve_squared_hinge(
        features(sparse=False), SIGNS[:, :0], weights(), tolerance=1e-6, device="cpu"
    )
    assert found.shape == (D, 0)
    assert (n_iter, converged) == (0, True)
