from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn
from toys import (
    CPU,
    N,
    array_samples,
    bag_samples,
    net_of,
    same,
    samples,
    state_of,
    whole,
)

from sklearn_transfer.fine_tuning.inputs.arrays import Arrays
from sklearn_transfer.models.network import ArrayEncoder
from sklearn_transfer.training.batches import Samples
from sklearn_transfer.training.nets.net import FrozenOutputs, TransferNet, one_thread
from sklearn_transfer.training.optimization.losses import CrossEntropy
from sklearn_transfer.training.policies import Discriminative, Frozen, Full, Gradual, LinearProbing

KINDS = {"design": samples, "bags": bag_samples, "arrays": array_samples}
every_kind = pytest.mark.parametrize("data", [KINDS[kind]() for kind in KINDS], ids=KINDS)


class States(Callback):
    """The weights after every epoch."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.states = [state_of(net.module_)]

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.states.append(state_of(net.module_))


# ---- a step ----


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


def test_training_touches_no_global_generator() -> None:
    before, torch_before = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    data = samples()
    net_of(data).fit(data)
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
    net = net_of(data, encoder_lr=0.0).fit(data)
    expected = torch.linspace(-1, 1, 16).reshape(8, 2)
    np.testing.assert_array_equal(net.module_.encoder.rows.detach(), expected)


def test_a_net_predicts_after_a_pickle() -> None:
    data = array_samples()
    net = net_of(data, compiled="eager").fit(data)
    copied = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(copied.logits(data.X), net.logits(data.X))


@pytest.mark.usefixtures("two_threads")
def test_one_thread_gives_the_others_back() -> None:
    with one_thread(CPU):
        inside = torch.get_num_threads()
    assert (inside, torch.get_num_threads()) == (1, 2)


@every_kind
@pytest.mark.filterwarnings("ignore:A batch of")
@pytest.mark.parametrize("message", ["out of memory", "another error"])
def test_what_parts_of_a_batch_do_not_mend_is_raised(
    data: Samples, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def infer(self: TransferNet, batch: Any, **_: Any) -> Tensor:
        sizes.append(len(batch))
        raise RuntimeError(message)

    monkeypatch.setattr(TransferNet, "infer", infer)
    with pytest.raises(RuntimeError, match=message):
        net_of(data).fit(data)
    in_parts = message == "out of memory" and isinstance(data.X, Arrays)
    assert sizes == ([5, 3, 2, 1] if in_parts else [5])


@every_kind
def test_a_loss_that_is_not_finite_stops_with_advice(data: Samples) -> None:
    broken = Samples(data.X, data.y, np.where(np.arange(N) == 7, np.nan, 1.0))
    message = r"The loss is nan in epoch 1 \(learning rates .*0\.05\)\. Lower lr .* max_grad_norm"
    with pytest.raises(ValueError, match=message):
        net_of(data).fit(broken)


def test_long_gradients_are_shortened_before_the_step() -> None:
    data = array_samples()

    class Norms(Callback):
        def __init__(self) -> None:
            self.norms: list[float] = []

        def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
            gradients = [p.grad.flatten() for p in net.module_.parameters() if p.grad is not None]
            self.norms.append(torch.cat(gradients).norm().item())

    seen = Norms()
    net_of(data, max_grad_norm=0.01, callbacks=[seen]).fit(data)
    np.testing.assert_allclose(seen.norms, 0.01, rtol=1e-4)


@every_kind
def test_mixed_precision_is_close(data: Samples) -> None:
    exact, mixed = (net_of(data, mixed_precision=m, lr=0.01).fit(data) for m in (False, True))
    assert mixed.logits(data.X).dtype == np.float32
    np.testing.assert_allclose(mixed.logits(data.X), exact.logits(data.X), atol=0.1)
    assert not np.array_equal(mixed.logits(data.X), exact.logits(data.X))


@pytest.mark.parametrize("kind", ["design", "arrays"])
def test_a_compiled_network_gives_the_same(kind: str) -> None:
    data = KINDS[kind]()
    plain, compiled = (net_of(data, compiled=c).fit(data) for c in (False, "eager"))
    np.testing.assert_allclose(compiled.logits(data.X), plain.logits(data.X), rtol=1e-5, atol=1e-6)


# ---- which layers move ----


def layers_that_moved(net: TransferNet) -> list[list[str]]:
    """By epoch."""
    states = dict(net.callbacks_)["States"].states
    moved = []
    for before, after in pairwise(states):
        names = [name for name in before if not torch.equal(before[name], after[name])]
        moved.append([layer.name for layer in net.rates_.layers if any(map(layer.holds, names))])
    return moved


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))


BODY = ["0", "1", "3"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Frozen(), [["head"]] * 4),
        (Full(), [[*BODY, "head"]] * 4),
        (Gradual(), [["head"], ["3", "head"], ["1", "3", "head"], [*BODY, "head"]]),
        (Gradual(2), [["head"]] * 2 + [["3", "head"]] * 2),
        (Discriminative(), [[*BODY, "head"]] * 4),
    ],
    ids=["frozen", "full", "gradual", "gradual-2", "discriminative"],
)
def test_a_policy_decides_which_layers_move(policy: Any, expected: list[list[str]]) -> None:
    data = array_samples()
    settings = {"max_epochs": 4, "module": two_layers(), "callbacks": [States()]}
    assert layers_that_moved(net_of(data, adaptation=policy, **settings).fit(data)) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(Frozen(), [["head"]] * 2), (Gradual(), [["head"], ["vectors", "head"]])],
)
def test_vectors_are_a_layer(policy: Any, expected: list[list[str]]) -> None:
    data = bag_samples()
    net = net_of(data, adaptation=policy, max_epochs=2, callbacks=[States()])
    assert layers_that_moved(net.fit(data)) == expected


def test_rates_of_all_layers_are_in_the_history() -> None:
    data = array_samples()
    settings = {"adaptation": Discriminative(), "module": two_layers(), "encoder_lr": 0.01}
    net = net_of(data, max_epochs=1, **settings).fit(data)
    expected = {"0": 0.01 / 2.6**3, "1": 0.01 / 2.6**2, "3": 0.01 / 2.6, "head": 0.05}
    assert net.history[-1, "rates"] == pytest.approx(expected)


def test_statistics_of_still_layers_stay() -> None:
    data = array_samples()
    settings = {"adaptation": Gradual(), "module": two_layers(), "callbacks": [States()]}
    net = net_of(data, max_epochs=4, **settings).fit(data)
    means = [s["encoder.module.1.running_mean"] for s in dict(net.callbacks_)["States"].states]
    assert [torch.equal(means[i], means[i + 1]) for i in range(4)] == [True, True, False, False]


def test_still_layers_give_what_they_give_in_prediction() -> None:
    data, modes = array_samples(), []

    class Spy(nn.Dropout):
        def forward(self, x: Tensor) -> Tensor:
            modes.append(self.training)
            return super().forward(x)

    net_of(data, adaptation=Frozen(), module=nn.Sequential(nn.Linear(3, 2), Spy(0.5))).fit(data)
    assert not any(modes)


class Given:
    """A policy of given rates."""

    def __init__(self, *rates: float) -> None:
        self.given = rates

    def rates(self, epoch: int, n_layers: int, history: Sequence[Any]) -> Sequence[float]:
        return self.given

    def __repr__(self) -> str:
        return "Given"


@pytest.mark.parametrize("rates", [(1.0,), (1.0, 1.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), ()])
def test_strange_rates_are_refused(rates: tuple[float, ...]) -> None:
    data = bag_samples()
    message = r"adaptation=Given must give a finite, non-negative rate for each of the 2 layers"
    with pytest.raises(ValueError, match=message):
        net_of(data, adaptation=Given(*rates)).fit(data)


def test_an_epoch_may_move_nothing() -> None:
    data = array_samples()
    net = net_of(data, adaptation=Given(0, 0), callbacks=[States()]).fit(data)
    assert layers_that_moved(net) == [[]] * 3


def test_a_policy_sees_the_epochs_so_far() -> None:
    seen: list[Any] = []

    class Watching(Full):
        def rates(self, epoch: int, n_layers: int, history: Any) -> list[float]:
            seen.append((epoch, n_layers, [sorted(row) for row in history]))
            return [1.0] * n_layers

    data = bag_samples()
    net_of(data, adaptation=Watching(), max_epochs=2, valid=bag_samples()).fit(data)
    assert [row[:2] for row in seen] == [(0, 2), (1, 2)]
    assert {"train_loss", "valid_loss", "rates"} <= set(seen[1][2][0])


def test_probing_comes_before_max_epochs() -> None:
    data = array_samples()
    policy = LinearProbing(tolerance=0.05, patience=2)
    settings = {"adaptation": policy, "max_epochs": 3, "callbacks": [States()], "encoder_lr": 0.01}
    net = net_of(data, **settings).fit(data)
    moved = layers_that_moved(net)
    assert moved[:-3] == [["head"]] * policy.n_probing(net.history)
    assert all("head" not in epoch[:1] for epoch in moved[-3:])
    losses = net.history[:-3, "train_loss"]
    assert min(losses[:-2]) - min(losses[-2:]) < 0.05 * losses[0]


# ---- rates over time ----


class Rates(Callback):
    """Learning rates of the head before every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_grad_computed(self, net: Any, **kwargs: Any) -> None:
        self.rates.append(net.optimizer_.param_groups[-1]["lr"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1.0] * 6),
        ({"schedule": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"warmup": 0.5}, [0, 1 / 3, 2 / 3, 1, 1, 1]),
        ({"schedule": "linear", "warmup": 0.5}, [0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
    ],
)
def test_rates_follow_the_schedule_by_batch(settings: Any, expected: list[float]) -> None:
    data, seen = array_samples(), Rates()  # 23 samples: two batches an epoch
    net_of(data, batch_size=12, lr=0.1, callbacks=[seen], **settings).fit(data)
    np.testing.assert_allclose(seen.rates, 0.1 * np.array(expected), atol=1e-12)


def test_the_head_is_probed_at_its_own_rate() -> None:
    data, seen = array_samples(), Rates()
    policy = LinearProbing(max_probing=2)
    settings = {"adaptation": policy, "max_epochs": 2, "batch_size": N, "schedule": "linear"}
    net_of(data, lr=0.1, callbacks=[seen], **settings).fit(data)
    np.testing.assert_allclose(seen.rates, [0.1, 0.1, 0.1, 0.05])


# ---- averages ----


@pytest.mark.parametrize("average_last", [1, 2, 3, 9])
def test_the_average_is_of_the_last_epochs(average_last: int) -> None:
    data = bag_samples()
    net = net_of(data, average_last=average_last, callbacks=[States()]).fit(data)
    last = dict(net.callbacks_)["States"].states[1:][-average_last:]
    for name, tensor in net.module_.state_dict().items():
        expected = torch.stack([state[name] for state in last]).mean(0)
        torch.testing.assert_close(tensor, expected)


def test_what_follows_an_average_starts_from_it() -> None:
    data = samples()
    net = net_of(data, average_last=2).fit(data)
    before = state_of(net.module_)
    net.partial_fit(data, epochs=0)
    assert same(state_of(net.module_), before)
    net.partial_fit(data, epochs=2)
    moved = state_of(net.module_)
    net.partial_fit(data, epochs=0)
    assert same(state_of(net.module_), moved)


def test_probing_is_not_averaged() -> None:
    data = array_samples()
    policy = LinearProbing(max_probing=3)
    settings = {"adaptation": policy, "max_epochs": 2, "callbacks": [States()]}
    net = net_of(data, average_last=9, **settings).fit(data)
    last = dict(net.callbacks_)["States"].states[-2:]
    for name, tensor in net.module_.state_dict().items():
        torch.testing.assert_close(tensor, (last[0][name] + last[1][name]) / 2)


# ---- outputs of frozen layers are computed once ----


class Counted(nn.Linear):
    """A module that counts the samples that it encodes."""

    n_samples = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).n_samples += len(x)
        return super().forward(x)


@pytest.mark.parametrize(
    ("policy", "expected"), [(Frozen(), N + 11), (LinearProbing(max_probing=3), 3 * N + 3 * 11)]
)
def test_a_still_encoder_sees_each_sample_once(policy: Any, expected: int) -> None:
    train, valid = array_samples(), array_samples(11)
    settings = {"max_epochs": 2, "valid": valid, "adaptation": policy}
    net = net_of(train, module=Counted(3, 2), **settings).initialize()
    Counted.n_samples = 0
    net.fit(train)
    assert Counted.n_samples == expected


def test_features_of_a_still_encoder_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = array_samples(), array_samples(11)
    settings = {"adaptation": Frozen(), "valid": valid, "module": two_layers()}
    cached = net_of(train, **settings).fit(train)
    monkeypatch.setattr(FrozenOutputs, "substitute", lambda self, net, batches, prefix: batches)
    plain = net_of(train, **settings).fit(train)
    assert plain.history[:, "valid_loss"] == pytest.approx(cached.history[:, "valid_loss"])
    for name, tensor in plain.module_.state_dict().items():
        torch.testing.assert_close(tensor, cached.module_.state_dict()[name])


def test_features_are_of_the_samples_at_hand() -> None:
    one, other = array_samples(), array_samples(11)
    other = Samples(other.X[::-1], other.y, other.weight)
    nets = [net_of(one, adaptation=Frozen()).initialize() for _ in range(2)]
    nets[0].partial_fit(one, epochs=1).partial_fit(other, epochs=1)
    nets[1].partial_fit(one, epochs=1)
    nets[1].forget_data()
    nets[1].partial_fit(other, epochs=1)
    assert same(state_of(nets[0].module_), state_of(nets[1].module_))


def test_tokens_are_dropped_before_a_still_encoder() -> None:
    data = bag_samples()
    settings = {"adaptation": Frozen(), "max_epochs": 2}
    first, second = (net_of(data, token_dropout=d, **settings).fit(data) for d in (0.0, 0.5))
    assert not np.array_equal(first.logits(data.X), second.logits(data.X))


def test_encode_gives_what_the_head_sees() -> None:
    data = array_samples()
    net = net_of(data).fit(data)
    encoder = net.module_.encoder
    assert isinstance(encoder, ArrayEncoder)
    expected = encoder.module(torch.from_numpy(data.X.values)).detach()
    np.testing.assert_allclose(net.encode(data.X), expected, rtol=1e-6)


def test_a_net_that_forgot_its_data_holds_no_samples_nor_features() -> None:
    data = array_samples()
    net = net_of(data, valid=array_samples(11), adaptation=Frozen()).fit(data)
    net.forget_data()
    assert net.train_split is None
    assert data.X.values.tobytes() not in pickle.dumps(net)
