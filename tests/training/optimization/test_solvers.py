from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, random_array
from scipy.special import log_softmax
from sklearn.svm import LinearSVC

from sklearn_transfer.text.linear.design import Design, dense_design
from sklearn_transfer.training.optimization.newton import solve_squared_hinge
from sklearn_transfer.training.optimization.solvers import (
    LinearProblem,
    LinearSolution,
    Loss,
    solve_linear,
)

N = 60
CLASSIFICATION: list[Loss] = ["squared_hinge", "cross_entropy"]
REGRESSION: list[Loss] = ["squared_error", "absolute_error", "huber"]
PENALISED_INTERCEPT = ("squared_hinge", "absolute_error")


def make_design(n: int = N, n_sparse: int = 30, *, dtype: Any = np.float64) -> Design:
    generator = np.random.default_rng(0)
    sparse = csr_array(random_array((n, n_sparse), density=0.3, rng=generator), dtype=dtype)
    return Design(sparse, generator.normal(size=(n, 4)).astype(dtype))


def make_texts(n: int = 800, n_classes: int = 60) -> tuple[Design, NDArray[np.int64]]:
    """Many rare classes, each with columns of its own, in float32."""
    generator = np.random.default_rng(1)
    codes = np.arange(n) % n_classes
    common = random_array((n, 2_000), density=0.01, rng=generator).toarray()
    common[np.arange(n), 30 * codes + generator.integers(30, size=n)] += 1
    common /= np.linalg.norm(common, axis=1, keepdims=True)
    dense = generator.normal(size=(n, 5)) / 5
    return Design(csr_array(common, dtype=np.float32), dense.astype(np.float32)), codes


def solve(
    design: Design, target: NDArray[Any], weight: NDArray[Any], loss: Loss, **options: Any
) -> LinearSolution:
    n_outputs = options.pop("n_outputs")
    return solve_linear(LinearProblem(design, target, weight, loss, n_outputs), **options)


def weights(n: int = N) -> NDArray[np.float64]:
    return np.random.default_rng(2).uniform(0.5, 3, n)


def make_target(loss: Loss, kind: str) -> NDArray[Any]:
    generator = np.random.default_rng(3)
    if loss in REGRESSION:
        shape = N if kind == "one" else (N, 3)
        return 20 + 3 * generator.normal(size=shape)
    if kind == "one":
        return generator.integers(0, 2, N)
    if kind == "classes":
        return generator.integers(0, 3, N)
    return generator.integers(0, 2, (N, 3)).astype(np.float32)


def losses(loss: Loss, outputs: NDArray[np.float64], target: NDArray[Any]) -> NDArray[np.float64]:
    """The losses of every sample, summed over its outputs."""
    if loss in REGRESSION:
        error = np.abs(outputs - target.reshape(outputs.shape))
        by_name = {
            "squared_error": error**2,
            "absolute_error": error,
            "huber": np.where(error < 1, error**2 / 2, error - 0.5),
        }
        return by_name[loss].sum(axis=1)
    if loss == "cross_entropy" and target.ndim == 1 and outputs.shape[1] > 1:
        return -log_softmax(outputs, axis=1)[np.arange(len(target)), target]
    if target.ndim == 1:
        target = target[:, None] == (np.arange(3) if outputs.shape[1] > 1 else [1])
    margin = (2 * target.astype(float) - 1) * outputs
    if loss == "squared_hinge":
        return (np.maximum(0, 1 - margin) ** 2).sum(axis=1)
    return np.logaddexp(0, -margin).sum(axis=1)


def objective(
    loss: Loss, solution: LinearSolution, design: Design, target: Any, weight: Any
) -> float:
    squares = (solution.coefficients**2).sum()
    if loss in PENALISED_INTERCEPT:
        shift = 0.0
        if loss == "absolute_error":
            shift = weighted_medians(target.reshape(len(target), -1), weight)
        squares += ((solution.intercept - shift) ** 2).sum()
    return float(0.5 * squares + weight @ losses(loss, solution.predict(design), target))


def weighted_medians(target: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    order = np.argsort(target, axis=0)
    middle = (np.cumsum(weight[order], axis=0) < weight.sum() / 2).sum(axis=0)
    return np.take_along_axis(target, np.take_along_axis(order, middle[None], 0), 0)[0]


@pytest.mark.parametrize("n_sparse", [0, 30, 200])
@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        *((loss, kind) for loss in CLASSIFICATION for kind in ("one", "classes", "indicator")),
        *((loss, kind) for loss in REGRESSION for kind in ("one", "several")),
    ],
)
def test_solution_minimises_the_objective(loss: Loss, kind: str, n_sparse: int) -> None:
    design, weight, target = make_design(n_sparse=n_sparse), weights(), make_target(loss, kind)
    n_outputs = 1 if kind == "one" else 3
    found = solve(design, target, weight, loss, n_outputs=n_outputs)
    assert found.converged
    assert found.coefficients.shape == (n_sparse + 4, n_outputs)
    shape = (n_sparse + 5, n_outputs)

    def value(flat: NDArray[np.float64]) -> float:
        W = flat.reshape(shape)
        return objective(loss, LinearSolution(W[:-1], W[-1], 0, True), design, target, weight)

    best = value(np.concatenate([found.coefficients, found.intercept[None]]).ravel())
    generator = np.random.default_rng(4)
    start = np.concatenate([found.coefficients, found.intercept[None]]).ravel()
    for scale in (1e-3, 1e-2, 0.1):  # the objective is convex: a local minimum is the minimum
        for _ in range(20):
            assert value(start + scale * generator.normal(size=start.size)) > best - 1e-6 * best
    if n_sparse == 0:
        options = {"maxiter": 100_000, "maxfun": 10**7, "ftol": 1e-14, "gtol": 1e-9}
        naive = minimize(value, np.zeros(start.size), method="L-BFGS-B", options=options)
        assert best <= naive.fun * (1 + 1e-6)


@pytest.mark.parametrize("n_sparse", [0, 200])
@pytest.mark.parametrize("loss", CLASSIFICATION + REGRESSION)
def test_weight_of_two_is_a_sample_twice(loss: Loss, n_sparse: int) -> None:
    design, target = make_design(n_sparse=n_sparse), make_target(loss, "one")
    twice = np.repeat(np.arange(N), 1 + np.arange(N) % 2)
    weighted = solve(design, target, 1.0 + np.arange(N) % 2, loss, n_outputs=1)
    repeated = solve(design[twice], target[twice], np.ones(len(twice)), loss, n_outputs=1)
    np.testing.assert_allclose(weighted.predict(design), repeated.predict(design), rtol=1e-4)


def test_squared_hinge_of_float64_is_exact() -> None:
    design, target = make_design(n_sparse=200), make_target("squared_hinge", "one")
    twice = np.repeat(np.arange(N), 1 + np.arange(N) % 2)
    weighted = solve(design, target, 1.0 + np.arange(N) % 2, "squared_hinge", n_outputs=1)
    repeated = solve(
        design[twice], target[twice], np.ones(len(twice)), "squared_hinge", n_outputs=1
    )
    np.testing.assert_allclose(weighted.predict(design), repeated.predict(design), rtol=1e-8)


def test_more_features_than_samples_are_solved_in_the_dual() -> None:
    # These features share a large mean: the primal needs over 4,000 iterations.
    generator = np.random.default_rng(0)
    design = dense_design(np.abs(generator.standard_normal((30, 600))) * 10 + 5)
    target = generator.integers(2, size=30)
    solution = solve(design, target, np.ones(30), "squared_hinge", n_outputs=1)
    assert solution.converged
    assert solution.n_iter < 1_000
    # At the minimum, the coefficients are the gradient of the loss.
    sign = 2 * target - 1
    loss = np.maximum(0, 1 - sign * solution.predict(design)[:, 0])
    expected = 2 * design.dense.T @ (sign * loss)
    np.testing.assert_allclose(solution.coefficients[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_solution_does_not_depend_on_the_number_of_threads(loss: Loss) -> None:
    design, codes = make_texts(n_classes=20)
    indicator = (codes[:, None] == np.arange(20)).astype(np.float32)
    one, three = (
        solve(design, indicator, weights(800), loss, n_outputs=20, n_threads=n) for n in (1, 3)
    )
    np.testing.assert_array_equal(one.coefficients, three.coefficients)
    np.testing.assert_array_equal(one.intercept, three.intercept)


def test_concurrent_solutions_are_those_of_one_at_a_time() -> None:
    design, codes = make_texts(n_classes=20)

    def solve_with(seed: int) -> LinearSolution:
        weight = np.random.default_rng(seed).uniform(0.5, 3, 800)
        return solve(design, codes, weight, "squared_hinge", n_outputs=20, n_threads=2)

    expected = [solve_with(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        concurrent = list(pool.map(solve_with, range(4)))
    for a, b in zip(expected, concurrent, strict=True):
        np.testing.assert_array_equal(a.coefficients, b.coefficients)


def test_global_generator_of_numpy_is_not_touched() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    design, codes = make_texts()
    solve(design, codes, np.ones(800), "squared_hinge", n_outputs=60)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("n_classes", [60, 20])
def test_working_set_gives_the_solution_for_all_samples(n_classes: int, near: bool) -> None:
    design, codes = make_texts(n_classes=n_classes)
    X = np.hstack([design.sparse.toarray(), design.dense])
    expected = LinearSVC(tol=1e-6).fit(X, codes, weights(800)).decision_function(X)
    logits = expected + np.random.default_rng(0).normal(0, 0.3, expected.shape) if near else None
    found = solve(design, codes, weights(800), "squared_hinge", n_outputs=n_classes, near=logits)
    assert found.converged
    assert found.coefficients.dtype == np.float32
    np.testing.assert_allclose(found.predict(design), expected, atol=0.1)
    np.testing.assert_array_equal(found.predict(design).argmax(1), expected.argmax(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_column_of_one_class_says_so(loss: Loss, dtype: Any) -> None:
    indicator = np.zeros((N, 3), dtype=np.float32)
    indicator[:, 1], indicator[::3, 2] = 1, 1
    design = make_design(dtype=dtype)
    solution = solve(design, indicator, weights(), loss, n_outputs=3)
    assert not solution.coefficients[:, :2].any()
    assert solution.intercept[0] <= -1
    assert solution.intercept[1] >= 1
    assert solution.coefficients[:, 2].any()


@pytest.mark.parametrize("present", [[2], [0, 2], [0, 2, 3]])
@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_class_without_a_sample_is_never_predicted(loss: Loss, present: list[int]) -> None:
    codes = np.array(present)[np.arange(N) % len(present)]
    design = make_design()
    solution = solve(design, codes, weights(), loss, n_outputs=4)
    assert not solution.coefficients[:, 1].any()
    assert set(solution.predict(design).argmax(axis=1)) <= set(present)
    assert np.isfinite(solution.intercept).all()


@pytest.mark.parametrize("n_sparse", [0, 30])
@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_samples_of_weight_zero_do_not_count(loss: Loss, n_sparse: int) -> None:
    design, codes, weight = make_design(n_sparse=n_sparse), np.arange(N) % 3, weights()
    weight[codes == 1] = 0
    solution = solve(design, codes, weight, loss, n_outputs=3, near=np.zeros((N, 3)))
    kept, near = np.flatnonzero(weight), np.zeros((40, 3))
    alone = solve(design[kept], codes[kept], weight[kept], loss, n_outputs=3, near=near)
    np.testing.assert_array_equal(solution.coefficients, alone.coefficients)
    np.testing.assert_array_equal(solution.intercept, alone.intercept)
    assert (solution.predict(design).argmax(axis=1) != 1).all()


def test_softmax_of_two_present_classes_minimises_the_objective() -> None:
    codes, design, weight = 2 * (np.arange(N) % 2), make_design(), weights()
    solution = solve(design, codes, weight, "cross_entropy", n_outputs=3)
    best = objective("cross_entropy", solution, design, codes, weight)
    for factor in (0.9, 0.99, 1.01, 1.1):
        scaled = LinearSolution(factor * solution.coefficients, solution.intercept, 0, True)
        assert objective("cross_entropy", scaled, design, codes, weight) > best


def test_absolute_error_does_not_shrink_the_level_of_the_target() -> None:
    target = 1e4 + make_target("absolute_error", "one")
    solution = solve(make_design(), target, np.ones(N), "absolute_error", n_outputs=1)
    assert np.abs(np.median(solution.predict(make_design())[:, 0] - target)) < 1


def test_dense_design_keeps_its_dtype() -> None:
    X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    design = dense_design(X)
    solution = solve(
        design, (X[:, 0] > 0).astype(np.int64), np.ones(N), "squared_hinge", n_outputs=1
    )
    assert solution.predict(design).dtype == np.float32
    assert ((solution.predict(design)[:, 0] > 0) == (X[:, 0] > 0)).mean() > 0.9


@pytest.mark.parametrize("loss", CLASSIFICATION + REGRESSION)
def test_design_without_a_value_has_an_intercept(loss: Loss) -> None:
    design = Design(csr_array((N, 5), dtype=np.float32), np.zeros((N, 0), dtype=np.float32))
    target = (np.arange(N) % 3 > 0).astype(np.int64)
    solution = solve(design, target, np.ones(N), loss, n_outputs=1)
    assert not solution.coefficients.any()
    assert solution.intercept[0] > 0


@pytest.mark.parametrize("loss", CLASSIFICATION + REGRESSION)
def test_indices_of_64_bits_are_read(loss: Loss) -> None:
    design, target = make_design(), make_target(loss, "one")
    wide = design.sparse.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    expected = solve(design, target, weights(), loss, n_outputs=1)
    found = solve(Design(wide, design.dense), target, weights(), loss, n_outputs=1)
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)


# ---- a GPU, which the CPU stands for ----


@pytest.mark.parametrize("n_sparse", [30, 0])
def test_a_gpu_finds_the_same_solution(monkeypatch: pytest.MonkeyPatch, n_sparse: int) -> None:
    devices = []

    def on_cpu(*args: Any, device: str, **options: Any) -> Any:
        devices.append(device)
        return solve_squared_hinge(*args, device="cpu", **options)

    monkeypatch.setattr(
        "sklearn_transfer.training.optimization.solvers.solve_squared_hinge", on_cpu
    )
    design, target = make_design(n_sparse=n_sparse), make_target("squared_hinge", "classes")
    # The fourth class has no sample.
    problem = LinearProblem(design, target, weights(), "squared_hinge", 4)
    found, expected = solve_linear(problem, device="cuda:1"), solve_linear(problem)
    assert devices == ["cuda:1"]
    np.testing.assert_allclose(found.coefficients, expected.coefficients, atol=1e-6)
    np.testing.assert_allclose(found.intercept, expected.intercept, atol=1e-6)
    assert found.intercept[3] == -1


def test_a_gpu_without_enough_memory_leaves_it_to_liblinear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 90.00 GiB")

    monkeypatch.setattr("sklearn_transfer.training.optimization.solvers.solve_squared_hinge", fail)
    target = make_target("squared_hinge", "one")
    problem = LinearProblem(make_design(), target, weights(), "squared_hinge", 1)
    found, expected = solve_linear(problem, device="cuda"), solve_linear(problem)
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)


def test_other_errors_of_a_gpu_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("sklearn_transfer.training.optimization.solvers.solve_squared_hinge", fail)
    target = make_target("squared_hinge", "one")
    problem = LinearProblem(make_design(), target, weights(), "squared_hinge", 1)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        solve_linear(problem, device="cuda")
