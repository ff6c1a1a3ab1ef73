from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_transfer.training.losses import CrossEntropy, SquaredHinge
from sklearn_transfer.training.optimizers import (
    OPTIMIZERS,
    LinearProblem,
    RowAdam,
    TruncatedNewton,
    clip_gradients,
    is_row_wise,
    replace_parameter,
)

# ---- truncated Newton ----


class Task:
    """A random linear task: features in two blocks, targets, weights, and where W starts."""

    def __init__(self, n: int, p: int, k: int, criterion: nn.Module, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.X, self.k, self.criterion = normal(n, p), k, criterion
        self.target = torch.randint(0, max(k, 2), (n,), generator=generator)
        self.weight = torch.rand(n, generator=generator, dtype=torch.float64) + 0.5
        self.start = 0.3 * normal(p, k)
        self.first = p // 3  # features of the first block

    def losses(self, logits: Tensor) -> Tensor:
        if isinstance(self.criterion, SquaredHinge):
            return self.criterion.columns(logits, self.target) * self.weight[:, None]
        return (self.criterion(logits, self.target) * self.weight)[:, None]

    def problem(self, tolerance: float = 1e-9, primal: bool = False) -> LinearProblem:
        blocks = self.X[:, : self.first], self.X[:, self.first :]
        n_columns = self.losses(self.X @ self.start).shape[1]
        return LinearProblem(
            forward=lambda params: sum(x @ w for x, w in zip(blocks, params, strict=True)),
            backward=lambda gradient: tuple(x.T @ gradient for x in blocks),
            gram=lambda coefficients: self.X @ (self.X.T @ coefficients),
            loss=self.losses,
            tolerance=torch.full((n_columns,), tolerance, dtype=torch.float64),
            n_samples=10**9 if primal else len(self.X),
        )

    def params(self) -> tuple[nn.Parameter, nn.Parameter]:
        return (
            nn.Parameter(self.start[: self.first].clone()),
            nn.Parameter(self.start[self.first :].clone()),
        )

    def objective(self, W: Tensor) -> Tensor:
        return 0.5 * (W - self.start).square().sum() + self.losses(self.X @ W).sum()

    def solution(self) -> NDArray[np.float64]:
        """The optimum, by L-BFGS of SciPy."""

        def value_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            W = torch.from_numpy(flat.reshape(self.start.shape)).requires_grad_()
            value = self.objective(W)
            value.backward()
            return value.item(), W.grad.numpy().ravel()

        options = {"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-9}
        found = minimize(
            value_and_gradient,
            self.start.numpy().ravel(),
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
        return found.x.reshape(self.start.shape)


def solve(
    task: Task, n_steps: int = 60, *, problem: LinearProblem | None = None, **settings: Any
) -> tuple[Tensor, TruncatedNewton]:
    params = task.params()
    optimizer = TruncatedNewton(params, **settings)
    problem = problem or task.problem()
    for _ in range(n_steps):
        optimizer.step(lambda: problem)
        if optimizer.converged:
            break
    return torch.cat([param.detach() for param in params]), optimizer


# More samples than features: primal. Fewer: dual.
SHAPES = {"primal": (60, 12), "dual": (20, 45)}
CRITERIA = {
    "squared hinge": (4, SquaredHinge()),
    "squared hinge, two classes": (1, SquaredHinge()),
    "cross-entropy": (4, CrossEntropy()),
    "logistic": (1, CrossEntropy()),
    "smoothed": (3, CrossEntropy(0.1)),
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SHAPES[request.param]


@pytest.fixture(params=CRITERIA)
def task(request: pytest.FixtureRequest, shape: tuple[int, int]) -> Task:
    return Task(*shape, *CRITERIA[request.param])


def test_newton_finds_the_optimum_that_scipy_finds(task: Task) -> None:
    found, optimizer = solve(task)
    assert optimizer.converged
    np.testing.assert_allclose(found, task.solution(), atol=1e-6)


def test_newton_makes_the_same_steps_in_dual_as_in_primal(task: Task) -> None:
    for n_steps in (1, 2, 4):
        one, _ = solve(task, n_steps)
        other, _ = solve(task, n_steps, problem=task.problem(primal=True))
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_no_step_of_newton_raises_the_objective(task: Task) -> None:
    values = [task.objective(solve(task, n)[0]).item() for n in range(8)]
    assert (np.diff(values) <= 1e-6 * values[0]).all()


def test_newton_gives_the_loss_before_the_step(task: Task) -> None:
    optimizer, problem = TruncatedNewton(task.params()), task.problem()
    losses = [optimizer.step(lambda: problem).item() for _ in range(3)]
    expected = [task.losses(task.X @ solve(task, n)[0]).sum().item() for n in range(3)]
    np.testing.assert_allclose(losses, expected)


def test_a_converged_newton_stays(task: Task) -> None:
    params, problem = task.params(), task.problem(tolerance=0.1)
    optimizer = TruncatedNewton(params)
    while not optimizer.converged:
        optimizer.step(lambda: problem)
    before = [param.clone() for param in params]
    optimizer.step(lambda: problem)
    assert all(torch.equal(a, b) for a, b in zip(before, params, strict=True))


def test_newton_converges_where_the_gradient_has_fallen_to_the_tolerance(task: Task) -> None:
    found, _ = solve(task, problem=task.problem(tolerance=0.05))
    norms = []
    for W in (task.start, found):
        W = W.clone().requires_grad_()
        task.objective(W).backward()
        norms.append(W.grad.norm().item())
    assert norms[1] <= 0.05 * norms[0]


def test_shorter_steps_find_the_same_optimum(task: Task) -> None:
    found, optimizer = solve(task, 400, lr=0.5)
    assert optimizer.converged
    np.testing.assert_allclose(found, task.solution(), atol=1e-6)


def test_columns_of_the_squared_hinge_are_solved_as_if_alone(shape: tuple[int, int]) -> None:
    task = Task(*shape, 3, SquaredHinge())
    together, _ = solve(task)
    for column in range(3):
        alone = Task(*shape, 1, SquaredHinge())
        alone.X, alone.weight = task.X, task.weight
        alone.target = (task.target == column).long()
        alone.start = task.start[:, [column]]
        np.testing.assert_allclose(solve(alone)[0][:, 0], together[:, column], atol=1e-7)


def test_a_solved_column_waits_for_the_others(shape: tuple[int, int]) -> None:
    task = Task(*shape, 2, SquaredHinge())
    problem = task.problem()
    problem.tolerance[0] = 2.0  # solved from the start
    found, _ = solve(task, problem=problem)
    assert torch.equal(found[:, 0], task.start[:, 0])
    np.testing.assert_allclose(found[:, 1], task.solution()[:, 1], atol=1e-6)


def test_a_task_that_starts_solved_is_converged_at_once() -> None:
    task = Task(10, 4, 1, SquaredHinge())
    task.weight = torch.zeros(10, dtype=torch.float64)
    found, optimizer = solve(task, 1)
    assert optimizer.converged
    assert torch.equal(found, task.start)


@pytest.mark.parametrize(
    ("criterion", "reference"),
    [
        (SquaredHinge(), LinearSVC(fit_intercept=False, dual=False, tol=1e-10, max_iter=10_000)),
        (CrossEntropy(), LogisticRegression(fit_intercept=False, solver="newton-cg", tol=1e-10)),
    ],
)
def test_newton_from_zero_is_scikit_learns_solution(
    criterion: nn.Module, reference: Any, shape: tuple[int, int]
) -> None:
    task = Task(*shape, 1, criterion)
    task.start = torch.zeros_like(task.start)
    reference.fit(task.X.numpy(), task.target.numpy(), task.weight.numpy())
    np.testing.assert_allclose(solve(task)[0].T, reference.coef_, atol=1e-5)


def test_newton_states_its_problem_once() -> None:
    task = Task(10, 4, 1, SquaredHinge())
    optimizer, calls = TruncatedNewton(task.params()), []
    for _ in range(3):
        optimizer.step(lambda: calls.append(1) or task.problem())
    assert len(calls) == 1


def test_a_newton_that_forgot_starts_from_where_it_is() -> None:
    task = Task(10, 4, 1, SquaredHinge())
    params = task.params()
    optimizer = TruncatedNewton(params)
    optimizer.step(task.problem)
    optimizer.forget()
    moved = Task(10, 4, 1, SquaredHinge())
    moved.start = torch.cat([param.detach() for param in params]).clone()
    optimizer.step(task.problem)
    np.testing.assert_allclose(torch.cat(params).detach(), solve(moved, 1)[0], atol=1e-12)


def test_newton_in_float32_comes_as_near_as_float32_can() -> None:
    task = Task(60, 12, 3, SquaredHinge())
    exact = task.solution()
    for name in ("X", "weight", "start"):
        setattr(task, name, getattr(task, name).float())
    problem = task.problem(tolerance=1e-3)
    problem.tolerance = problem.tolerance.float()
    found, optimizer = solve(task, problem=problem)
    assert optimizer.converged
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, exact, atol=1e-2)


# ---- Adam by rows ----


def batches(n: int = 12, every: int = 1) -> list[Tensor]:
    """Token ids of batches; row 0 occurs (twice) in every so many, row 9 in none."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i in range(n):
        ids = torch.randint(1, 9, (6,), generator=generator)
        found.append(torch.cat([ids, torch.tensor([0, 0])]) if i % every == 0 else ids)
    return found


def table() -> Tensor:
    return torch.randn(10, 3, generator=torch.Generator().manual_seed(1))


def loss_of(parameter: Tensor, ids: Tensor, sparse: bool) -> Tensor:
    return (F.embedding(ids, parameter, sparse=sparse) - 1).pow(4).sum()


def train(
    make: Callable[..., torch.optim.Optimizer], ids: list[Tensor], sparse: bool, **settings: Any
) -> Tensor:
    parameter = nn.Parameter(table())
    optimizer = make([parameter], **settings)
    for batch in ids:
        optimizer.zero_grad()
        loss_of(parameter, batch, sparse).backward()
        optimizer.step()
    return parameter.detach()


SETTINGS = [{}, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_adam_with_dense_gradients_is_torchs(settings: dict[str, Any]) -> None:
    torch.testing.assert_close(
        train(RowAdam, batches(), False, **settings),
        train(torch.optim.Adam, batches(), False, **settings),
    )


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_row_of_every_batch_moves_as_in_torchs_adam(settings: dict[str, Any]) -> None:
    torch.testing.assert_close(
        train(RowAdam, batches(), True, **settings)[0],
        train(torch.optim.Adam, batches(), False, **settings)[0],
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_rows_are_updated_as_few(dtype: torch.dtype) -> None:
    start = torch.linspace(-1, 1, 90_000, dtype=dtype).reshape(30_000, 3)
    tables = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = RowAdam(tables[:1], lr=0.1), torch.optim.Adam(tables[1:], lr=0.1)
    for _ in range(3):
        for table, optimizer in zip(tables, optimizers, strict=True):
            optimizer.zero_grad()
            F.embedding(
                torch.arange(30_000), table, sparse=table is tables[0]
            ).sin().sum().backward()
            optimizer.step()
    torch.testing.assert_close(*tables)


def test_a_row_moves_as_if_only_its_batches_were_there() -> None:
    ids = batches(every=3)
    own = [batch for batch in ids if (batch == 0).any()]
    assert 0 < len(own) < len(ids)
    torch.testing.assert_close(
        train(RowAdam, ids, True, lr=0.1)[0], train(torch.optim.Adam, own, False, lr=0.1)[0]
    )


def test_the_first_step_of_a_rare_row_is_as_long_as_a_frequent_ones() -> None:
    ids = [torch.tensor([0])] * 50 + [torch.tensor([3])]
    step = train(RowAdam, ids, True, lr=0.01) - table()
    np.testing.assert_allclose(step[3].abs(), 0.01, rtol=1e-4)


def test_a_row_that_no_batch_has_is_left_bit_for_bit() -> None:
    found = train(RowAdam, batches(), True, lr=0.1)
    assert torch.equal(found[9], table()[9])
    assert not torch.equal(found[0], table()[0])


def test_a_row_rests_bit_for_bit_between_its_batches() -> None:
    parameter = nn.Parameter(table())
    optimizer = RowAdam([parameter], lr=0.1)
    for ids in ([0, 1], [1, 2]):
        before = parameter.detach().clone()
        optimizer.zero_grad()
        loss_of(parameter, torch.tensor(ids), True).backward()
        optimizer.step()
        rest = [i for i in range(10) if i not in ids]
        assert torch.equal(parameter.detach()[rest], before[rest])


def test_a_parameter_without_gradient_rests() -> None:
    parameter = nn.Parameter(table())
    RowAdam([parameter]).step()
    assert torch.equal(parameter.detach(), table())


def test_each_group_has_its_own_learning_rate() -> None:
    slow, fast = nn.Parameter(table()), nn.Parameter(table())
    optimizer = RowAdam([{"params": [slow], "lr": 0.001}, {"params": [fast]}], lr=0.1)
    (loss_of(slow, torch.tensor([0]), True) + loss_of(fast, torch.tensor([0]), True)).backward()
    optimizer.step()
    for parameter, lr in ((slow, 0.001), (fast, 0.1)):
        np.testing.assert_allclose((parameter.detach() - table())[0].abs(), lr, rtol=1e-3)


def test_adam_gives_the_loss_of_its_closure() -> None:
    parameter = nn.Parameter(table())

    def closure() -> Tensor:
        loss = loss_of(parameter, torch.tensor([0]), True)
        loss.backward()
        return loss

    expected = loss_of(table(), torch.tensor([0]), False)
    torch.testing.assert_close(RowAdam([parameter]).step(closure).detach(), expected)


@pytest.mark.parametrize(
    ("optimizer", "rows"),
    [
        ("adam", True),
        ("sgd", True),
        ("adamw", False),
        ("newton", False),
        (RowAdam, True),
        (torch.optim.SGD, True),
        (torch.optim.Adam, False),
    ],
)
def test_row_wise_optimizers_are_known(optimizer: Any, rows: bool) -> None:
    assert is_row_wise(optimizer) == rows


@pytest.mark.parametrize("optimizer", [*filter(is_row_wise, OPTIMIZERS.values())])
def test_a_row_wise_optimizer_takes_sparse_gradients(optimizer: Any) -> None:
    assert not torch.equal(train(optimizer, batches(2), True, lr=0.01)[0], table()[0])


# ---- more rows ----


MAKERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], bool]] = {
    "RowAdam, sparse": (lambda p: RowAdam(p, lr=0.1), True),
    "RowAdam, dense": (lambda p: RowAdam(p, lr=0.1), False),
    "AdamW": (lambda p: torch.optim.AdamW(p, lr=0.1), False),
    "SGD with momentum": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), False),
}


@pytest.mark.parametrize(("make", "sparse"), MAKERS.values(), ids=MAKERS)
def test_old_rows_go_on_as_if_nothing_had_happened(make: Any, sparse: bool) -> None:
    results = []
    for extends in (False, True):
        parameter = nn.Parameter(table())
        optimizer = make([parameter])
        for i, ids in enumerate(batches()):
            if extends and i == 5:
                longer = nn.Parameter(torch.cat([parameter.detach(), torch.ones(4, 3)]))
                replace_parameter(optimizer, parameter, longer)
                parameter = longer
            optimizer.zero_grad()
            loss_of(parameter, ids, sparse).backward()
            optimizer.step()
        results.append(parameter.detach()[:10])
    assert torch.equal(*results)


def test_a_new_row_moves_as_in_a_new_optimizer() -> None:
    parameter = nn.Parameter(table())
    optimizer = RowAdam([parameter], lr=0.1)
    loss_of(parameter, torch.tensor([0]), True).backward()
    optimizer.step()
    longer = nn.Parameter(torch.cat([parameter.detach(), table()[:1]]))
    replace_parameter(optimizer, parameter, longer)
    loss_of(longer, torch.tensor([10]), True).backward()
    optimizer.step()
    assert torch.equal(longer[10], train(RowAdam, [torch.tensor([0])], True, lr=0.1)[0])


def test_a_parameter_without_state_is_replaced_all_the_same() -> None:
    parameter, longer = nn.Parameter(table()), nn.Parameter(torch.zeros(12, 3))
    optimizer = RowAdam([parameter])
    replace_parameter(optimizer, parameter, longer)
    assert optimizer.param_groups[0]["params"][0] is longer


def test_other_parameters_keep_their_state() -> None:
    old, other = nn.Parameter(table()), nn.Parameter(table())
    optimizer = RowAdam([old, other])
    (loss_of(old, torch.tensor([0]), True) + loss_of(other, torch.tensor([1]), True)).backward()
    optimizer.step()
    state = optimizer.state[other]
    replace_parameter(optimizer, old, nn.Parameter(torch.zeros(12, 3)))
    assert optimizer.state[other] is state
    assert optimizer.param_groups[0]["params"][1] is other
    assert old not in optimizer.state


# ---- clipping ----


def given_gradients() -> list[Tensor]:
    parameters = [torch.zeros(3, 2), torch.zeros(4), torch.zeros(2)]
    for i, parameter in enumerate(parameters[:2]):
        parameter.grad = torch.arange(1.0, 1 + parameter.numel()).reshape(parameter.shape) * (i + 1)
    return parameters  # the last has none


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(max_norm: float) -> None:
    ours, theirs = given_gradients(), given_gradients()
    clip_gradients(ours, max_norm)
    nn.utils.clip_grad_norm_(theirs, max_norm)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_sparse_gradient_is_clipped_as_the_dense_one() -> None:
    sparse, dense = (torch.zeros(5, 2, requires_grad=True) for _ in range(2))
    weight = torch.arange(1.0, 7).reshape(3, 2)
    for table in (sparse, dense):
        found = F.embedding(torch.tensor([1, 4, 1]), table, sparse=table is sparse)  # one twice
        (found * weight).sum().backward()
        (clip_gradients if table is sparse else nn.utils.clip_grad_norm_)([table], 2.0)
    torch.testing.assert_close(sparse.grad.to_dense(), dense.grad)


def test_gradients_of_zero_stay_zero() -> None:
    parameter = torch.zeros(3)
    parameter.grad = torch.zeros(3)
    clip_gradients([parameter], 1.0)
    assert parameter.grad.tolist() == [0, 0, 0]


def test_clipping_without_gradients_does_nothing() -> None:
    clip_gradients([torch.zeros(3)], 1.0)
