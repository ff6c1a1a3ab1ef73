from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from skorch.callbacks import Callback
from torch import nn
from toys import N, design, net_of, samples, whole

from sklearn_transfer.training.batches import Samples
from sklearn_transfer.training.losses import CrossEntropy, SquaredHinge
from sklearn_transfer.training.newton import NewtonNet
from sklearn_transfer.training.optimizers import Path


def newton(data: Samples, k: int = 3, **settings: Any) -> NewtonNet:
    settings = {"criterion": SquaredHinge(), "max_epochs": 50, **settings}
    net = net_of(data, k, optimizer="newton", **settings)
    assert isinstance(net, NewtonNet)
    return net


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy(), CrossEntropy(0.1)])
@pytest.mark.parametrize(("n", "k"), [(80, 3), (80, 1), (7, 3)])
def test_the_newton_net_comes_near_the_optimum(n: int, k: int, criterion: nn.Module) -> None:
    data = samples(n, k, dtype=np.float64)
    X = torch.from_numpy(np.hstack([data.X.sparse.toarray(), data.X.dense, np.ones((n, 1))]))
    net = newton(data, k, criterion=criterion).initialize()
    start = torch.cat([param.detach().clone() for param in net.module_.parameters()])

    def objective(W: torch.Tensor) -> torch.Tensor:
        losses = criterion(X @ W, torch.from_numpy(data.y)) * torch.from_numpy(data.weight)
        return 0.5 * (W - start).square().sum() + losses.sum()

    def value_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        W = torch.from_numpy(flat.reshape(start.shape)).requires_grad_()
        value = objective(W)
        value.backward()
        return value.item(), W.grad.numpy().ravel()

    best = minimize(value_and_gradient, start.numpy().ravel(), jac=True, method="L-BFGS-B").fun
    net.fit(data)
    found = objective(torch.cat([param.detach() for param in net.module_.parameters()])).item()
    from_start = objective(start).item() - best
    assert not net.ran_out
    assert found - best <= 0.02 * from_start


def test_a_newton_net_ends_when_it_has_converged() -> None:
    data = samples()
    assert len(newton(data).fit(data).history) < 50


def test_a_newton_net_that_has_not_converged_ran_out() -> None:
    data = samples()
    assert newton(data, max_epochs=1).fit(data).ran_out


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy()])
def test_a_newton_net_converges_where_a_class_has_no_weight(criterion: nn.Module) -> None:
    data = samples(dtype=np.float64)
    net = newton(data, criterion=criterion)  # starts from the shares with weight
    data.weight = np.where(data.y == 0, 0.0, data.weight)
    assert not net.fit(data).ran_out


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy()])
def test_a_newton_net_converges_where_a_label_never_occurs(criterion: nn.Module) -> None:
    data = samples()
    data.y = np.eye(3, dtype=np.float32)[data.y] * np.array([1, 0, 1], dtype=np.float32)
    assert not newton(data, criterion=criterion).fit(data).ran_out


def test_a_sample_of_weight_two_is_a_sample_twice() -> None:
    twice = np.repeat(np.arange(N), 1 + np.arange(N) % 2)
    inputs, target = design(dtype=np.float64), np.arange(N) % 3
    weighted = Samples(inputs, target, 1.0 + np.arange(N) % 2)
    repeated = Samples(inputs[twice], target[twice])
    first, second = (newton(data).fit(data).logits(inputs) for data in (weighted, repeated))
    np.testing.assert_allclose(first, second, atol=1e-8)


def test_the_history_of_a_newton_net_is_its_mean_loss() -> None:
    data = samples()
    net = newton(data).fit(data)
    batch, target = whole(data, linear=True)
    start = newton(data).initialize()
    expected = start.get_loss(start.infer(batch), target, batch).item()
    assert net.history[0, "train_loss"] == pytest.approx(expected, rel=1e-5)


def test_fitting_again_states_the_new_problem() -> None:
    data, other = samples(), samples(40)
    net = newton(data).fit(data).fit(other)
    assert net._problem.n_samples == 40


@pytest.mark.usefixtures("two_threads")
def test_a_newton_net_steps_on_one_thread_and_gives_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, step = [], Path.advance

    def advance(path: Path) -> Any:
        seen.append(torch.get_num_threads())
        return step(path)

    monkeypatch.setattr(Path, "advance", advance)
    data = samples()
    newton(data).fit(data)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_newton_net_that_fails_gives_the_threads_back() -> None:
    class Failing(Callback):
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            raise OSError("disk full")

    data = samples()
    with pytest.raises(OSError, match="disk full"):
        newton(data, callbacks=[Failing()]).fit(data)
    assert torch.get_num_threads() == 2


def test_a_net_that_forgot_its_data_holds_no_samples() -> None:
    data, valid = samples(), samples(11)
    net = newton(data, valid=valid).fit(data)
    net.forget_data()
    assert (net.train_split, net._problem, net.optimizer_.path) == (None, None, None)


def test_a_net_that_forgot_its_data_predicts() -> None:
    data = samples()
    net = newton(data, valid=samples(11)).fit(data)
    before = net.logits(data.X)
    net.forget_data()
    np.testing.assert_array_equal(net.logits(data.X), before)


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "linear", "warmup": 0.5},
        {"average_last": 50},
        {"max_grad_norm": 1e-3},
        {"mixed_precision": True},
        {"compiled": "eager"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_concerns_batches_plays_no_part(settings: dict[str, Any]) -> None:
    data = samples()
    plain, set_ = (newton(data, **given).fit(data).logits(data.X) for given in ({}, settings))
    np.testing.assert_array_equal(plain, set_)


def test_cross_fit_without_a_fit_is_refused() -> None:
    data = samples()
    with pytest.raises(RuntimeError, match="needs the problem of a fit that has just ended"):
        newton(data).initialize().cross_fit(data, np.zeros(N, dtype=np.int64))
