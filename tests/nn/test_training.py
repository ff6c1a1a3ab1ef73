from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from skorch.callbacks import Callback
from torch import nn
from toys import N, bags, design, samples

from sklearn_transfer.nn.batches import Batch, Batches, Samples
from sklearn_transfer.nn.criteria import CrossEntropy, SquaredHinge
from sklearn_transfer.nn.encoders import make_encoder_with_head, make_linear_bag
from sklearn_transfer.nn.optimizers import Path
from sklearn_transfer.nn.training import NewtonNet, TransferNet, build_net
from sklearn_transfer.text.rows import Bags

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The nets are tiny: threads would only wait for each other."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Something to come back to."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


# ---- the net ----


def net_of(
    train: Samples, k: int = 3, criterion: nn.Module | None = None, **settings: Any
) -> TransferNet:
    """A net over the inputs of samples, "newton" on a linear bag or else a network."""
    usual: dict[str, Any] = {
        "optimizer": "adam",
        "lr": 0.05,
        "embedding_lr": None,
        "batch_size": 5,
        "max_epochs": 3,
        "device": CPU,
        "seed": 0,
        "token_dropout": 0.0,
        "l2_sp": 0.0,
        "valid": None,
        "patience": None,
        "callbacks": [],
        "verbose": 0,
    }
    settings = {**usual, **settings}
    criterion = criterion or CrossEntropy()
    module: nn.Module
    if settings["optimizer"] == "newton":
        module = make_linear_bag(
            train.X, torch.from_numpy(train.y), torch.from_numpy(train.weight), k, criterion
        )
    else:
        table = np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)
        module = make_encoder_with_head(
            train.X,
            table if isinstance(train.X, Bags) else None,
            (4,),
            k,
            activation="tanh",
            dropout=0.2,
            sparse=True,
            pulled=settings["l2_sp"] > 0,
            generator=torch.Generator().manual_seed(settings["seed"]),
        )
    return build_net(module, criterion, **settings)


def bag_samples() -> Samples:
    return Samples(bags(), np.arange(N) % 3, np.random.default_rng(1).random(N) + 0.5)


def whole(data: Samples, **settings: Any) -> tuple[Batch, torch.Tensor]:
    ((batch, target),) = Batches(data, len(data), CPU, **settings)
    return batch, target


def test_the_loss_is_the_weighted_sum_by_the_number_of_samples() -> None:
    data = samples()
    net = net_of(data).initialize()
    batch, target = whole(data)
    logits = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
    by_hand = nn.functional.cross_entropy(logits, target, reduction="none").double()
    expected = (by_hand * torch.from_numpy(data.weight)).sum() / N
    assert net.get_loss(logits, target, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_pull_is_half_the_squared_distance_times_l2_sp() -> None:
    data = bag_samples()
    net = net_of(data, l2_sp=0.3).initialize()
    with torch.no_grad():
        net.module_.encoder.rows += 0.5
    batch, target = whole(data)
    logits = torch.zeros(N, 3)
    used = np.unique(data.X.token_ids.ids[data.X.token_ids.ids < 8])
    more = net.get_loss(logits, target, batch, training=True) - net.get_loss(logits, target, batch)
    assert more.item() == pytest.approx(0.15 * len(used) * 2 * 0.25, rel=1e-4)


def test_a_reduced_criterion_is_refused() -> None:
    data = samples()
    with pytest.raises(ValueError, match=r"must give a loss for each of the 5 samples"):
        net_of(data, criterion=nn.CrossEntropyLoss()).fit(data)


def test_the_history_has_the_mean_loss_of_validation() -> None:
    train, valid = samples(), samples(11)
    net = net_of(train, valid=valid, max_epochs=1).fit(train)
    logits = torch.from_numpy(net.logits(valid.X))
    losses = CrossEntropy()(logits, torch.from_numpy(valid.y)).numpy()
    assert net.history[0, "valid_loss"] == pytest.approx((losses * valid.weight).mean(), rel=1e-5)


@pytest.mark.parametrize("data", [samples(), bag_samples()], ids=["design", "bags"])
def test_training_lowers_the_loss(data: Samples) -> None:
    net = net_of(data, max_epochs=12, lr=0.1).fit(data)
    assert net.history[-1, "train_loss"] < 0.9 * net.history[0, "train_loss"]


@pytest.mark.parametrize("data", [samples(), bag_samples()], ids=["design", "bags"])
def test_the_same_seed_gives_the_same_weights(data: Samples) -> None:
    settings = {"seed": 5, "token_dropout": 0.2}
    first, second = (net_of(data, **settings).fit(data).module_ for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_seed_gives_other_weights() -> None:
    data = samples()
    first, second = (net_of(data, seed=seed).fit(data) for seed in (0, 1))
    assert not np.array_equal(first.logits(data.X), second.logits(data.X))


@pytest.mark.parametrize("optimizer", ["adam", "newton"])
def test_training_touches_no_global_generator(optimizer: str) -> None:
    before, torch_before = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    data = samples()
    net_of(data, optimizer=optimizer).fit(data)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_logits_keep_the_order_of_the_samples() -> None:
    data = samples()
    net = net_of(data).fit(data)
    one_by_one = [net.logits(data.X[np.array([i])])[0] for i in range(N)]
    np.testing.assert_allclose(net.logits(data.X), one_by_one, rtol=1e-5, atol=1e-6)


def test_prediction_is_without_dropout() -> None:
    data = samples()
    net = net_of(data).fit(data)
    np.testing.assert_array_equal(net.logits(data.X), net.logits(data.X))


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    data = samples()
    net = net_of(data).fit(data)
    powers = np.exp(net.logits(data.X).astype(np.float64))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict_proba(data.X), expected, rtol=1e-5)


def test_probabilities_of_one_output_are_its_sigmoid() -> None:
    data = samples(k=1)
    net = net_of(data, k=1).fit(data)
    positive = 1 / (1 + np.exp(-net.logits(data.X)[:, 0]))
    np.testing.assert_allclose(net.predict_proba(data.X).T, [1 - positive, positive], rtol=1e-5)


def test_the_most_probable_class_is_predicted() -> None:
    data = samples()
    net = net_of(data).fit(data)
    np.testing.assert_array_equal(net.predict(data.X), net.logits(data.X).argmax(axis=1))


def test_the_rows_have_a_learning_rate_of_their_own() -> None:
    data = bag_samples()
    net = net_of(data, embedding_lr=0.0).fit(data)
    expected = np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)
    np.testing.assert_array_equal(net.module_.encoder.rows.detach(), expected)


def test_training_stops_after_patience_epochs_without_gain() -> None:
    train, valid = samples(), samples(11)
    valid.y = (valid.y + 1) % 3  # what is learned makes it worse
    net = net_of(train, valid=valid, patience=2, max_epochs=50, lr=0.2).fit(train)
    losses = net.history[:, "valid_loss"]
    assert len(losses) == np.argmin(losses) + 1 + 2


def test_the_best_weights_come_back() -> None:
    train, valid = samples(), samples(11)
    valid.y = (valid.y + 1) % 3
    net = net_of(train, valid=valid, patience=3, max_epochs=50, lr=0.2).fit(train)
    losses = CrossEntropy()(torch.from_numpy(net.logits(valid.X)), torch.from_numpy(valid.y))
    best = min(net.history[:, "valid_loss"])
    assert (losses.numpy() * valid.weight).mean() == pytest.approx(best, rel=1e-5)


def test_callbacks_of_the_user_are_called() -> None:
    class Counts(Callback):
        n = 0

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            self.n += 1

    data, callback = samples(), Counts()
    net_of(data, callbacks=[callback], max_epochs=4).fit(data)
    assert callback.n == 4


@pytest.mark.parametrize(("verbose", "words"), [(0, []), (1, ["epoch", "train_loss"])])
def test_verbose_says_how_much_is_printed(
    verbose: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = samples()
    net_of(data, verbose=verbose).fit(data)
    printed = capsys.readouterr().out
    assert bool(printed) == bool(words)
    assert all(word in printed for word in words)


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.Adam, torch.optim.RMSprop])
def test_an_optimizer_is_given_by_name_or_class(optimizer: Any) -> None:
    data = samples()
    assert len(net_of(data, optimizer=optimizer).fit(data).history) == 3


def test_a_net_in_mini_batches_never_runs_out() -> None:
    data = samples()
    assert not net_of(data).fit(data).ran_out


# ---- the net of the Newton solver ----


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
