from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import body

from sklearn_transfer.models.network import ArrayEncoder, Network
from sklearn_transfer.training.nets.inference_net import TrainingSettings
from sklearn_transfer.training.optimization.schedules import SCHEDULES, LayerRates, rate_at
from sklearn_transfer.training.policies import Discriminative, Gradual, LinearProbing


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 1, 0.5: 1, 1: 1}),
        ("linear", {0: 1, 0.25: 0.75, 1: 0}),
        ("cosine", {0: 1, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
        ("one-cycle", {0: 1 / 25, 0.15: 0.52, 0.3: 1, 0.65: 0.500002, 1: 1e-4 / 25}),
    ],
)
def test_a_schedule_has_the_values_of_its_formula(
    schedule: str, values: dict[float, float]
) -> None:
    found = [rate_at(schedule, 0.0, progress) for progress in values]
    np.testing.assert_allclose(found, list(values.values()), atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_from_zero_in_a_line(schedule: str) -> None:
    found = [rate_at(schedule, 0.4, progress) for progress in (0.0, 0.1, 0.2, 0.3)]
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_takes_what_warm_up_leaves(schedule: str) -> None:
    for part in (0.0, 0.3, 1.0):
        late = rate_at(schedule, 0.4, 0.4 + 0.6 * part)
        assert late == pytest.approx(rate_at(schedule, 0.0, part))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_factor_is_between_zero_and_one(schedule: str) -> None:
    factors = [rate_at(schedule, 0.2, progress) for progress in np.linspace(0, 1, 101)]
    assert min(factors) >= 0
    assert max(factors) <= 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_fit_that_only_warms_up_ends_at_the_start_of_its_schedule(schedule: str) -> None:
    assert rate_at(schedule, 1.0, 1.0) == rate_at(schedule, 0.0, 0.0)


# ---- rates of layers ----

NAMES = ["0", "2", "4", "head"]


class Given:
    """A policy of the same rates in every epoch."""

    def __init__(self, *rates: float) -> None:
        self.given = rates

    def rates(self, epoch: int, n_layers: int, history: Sequence[Any]) -> Sequence[float]:
        return self.given


def layer_rates(**settings: Any) -> tuple[LayerRates, nn.Module, torch.optim.Optimizer]:
    """Rates of three pretrained layers and a head of base rate 1, their network and optimizer."""
    network = Network(ArrayEncoder(body()), nn.Linear(4, 2))
    rates = LayerRates(network, 1.0, TrainingSettings(**{"max_epochs": 4, **settings}))
    return rates, network, torch.optim.SGD(rates.parameter_groups(network))


def epochs(rates: LayerRates, *optimized: Any, n: int) -> list[dict[str, float]]:
    """The rates by layer of the first epochs; no loss falls."""
    history: list[dict[str, Any]] = []
    for _ in range(n):
        history.append({"rates": rates.begin_epoch(*optimized, history), "train_loss": 1.0})
    return [row["rates"] for row in history]


def test_a_layer_is_a_group_of_the_optimizer() -> None:
    rates, network, optimizer = layer_rates(encoder_lr=0.25)
    assert [layer.name for layer in rates.layers] == NAMES
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25, 0.25, 1.0]
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert grouped == [id(p) for p in network.parameters()]
    assert (rates.applied, rates.frozen, rates.is_probing) == ([0.25] * 3 + [1.0], [], False)


def test_all_layers_have_the_rate_of_the_head_by_default() -> None:
    _, _, optimizer = layer_rates()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0] * 4


def test_the_base_rate_the_policy_and_the_schedule_are_multiplied() -> None:
    rates, *optimized = layer_rates(
        encoder_lr=0.1, adaptation=Discriminative(10), schedule="linear", max_epochs=2
    )
    found = [list(row.values()) for row in epochs(rates, *optimized, n=2)]
    first = np.array([1e-4, 1e-3, 1e-2, 1.0])
    np.testing.assert_allclose(found, [0.75 * first, 0.25 * first])  # in the middle of an epoch
    for share, factor in [(0.0, 0.5), (0.5, 0.25), (1.0, 0.0)]:
        rates.set_rates(optimized[1], share)
        np.testing.assert_allclose(rates.applied, factor * first)
        assert [group["lr"] for group in optimized[1].param_groups] == rates.applied


def test_a_schedule_ends_with_the_fit() -> None:
    rates, *optimized = layer_rates(schedule="linear", max_epochs=2)
    assert [set(row.values()) for row in epochs(rates, *optimized, n=4)][2:] == [{0.0}] * 2


def test_layers_of_rate_zero_have_no_gradients() -> None:
    rates, network, optimizer = layer_rates(adaptation=Gradual())
    assert epochs(rates, network, optimizer, n=2)[1] == dict(zip(NAMES, [0, 0, 1, 1], strict=True))
    assert [layer.name for layer in rates.frozen] == NAMES[:2]
    trained = [all(p.requires_grad for p in layer.parameters(network)) for layer in rates.layers]
    assert trained == [False, False, True, True]
    rates.begin_epoch(network, optimizer, [{}] * 3)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_rate_that_a_callback_has_set_stays_until_the_policy_changes_it() -> None:
    rates, network, optimizer = layer_rates(adaptation=Gradual(2))
    rates.begin_epoch(network, optimizer, [])
    optimizer.param_groups[-1]["lr"] = 0.3
    assert rates.begin_epoch(network, optimizer, [{}]) == {"0": 0, "2": 0, "4": 0, "head": 0.3}
    assert rates.begin_epoch(network, optimizer, [{}] * 2)["4"] == 1.0


def test_probing_has_a_constant_rate_and_comes_before_the_schedule() -> None:
    policy = LinearProbing(max_probing=2)
    rates, *optimized = layer_rates(adaptation=policy, schedule="linear", max_epochs=2)
    probing = {"0": 0.0, "2": 0.0, "4": 0.0, "head": 1.0}
    history: list[dict[str, Any]] = []
    for n_done in (0, 0):
        history.append({"rates": rates.begin_epoch(*optimized, history), "train_loss": 1.0})
        assert (rates.is_probing, history[-1]["rates"]) == (True, probing)
        assert rates.count_epochs(history) == n_done
    assert set(rates.begin_epoch(*optimized, history).values()) == {0.75}
    assert not rates.is_probing


def test_a_policy_that_begins_with_the_head_is_not_probing() -> None:
    rates, *optimized = layer_rates(adaptation=Given(0, 0, 0, 1), schedule="linear")
    assert epochs(rates, *optimized, n=1)[0]["head"] == 0.875
    assert (rates.is_probing, rates.count_epochs([{}])) == (False, 1)


@pytest.mark.parametrize(
    "given",
    [
        (),
        (1.0,) * 3,
        (1.0,) * 5,
        (1.0, 1.0, 1.0, -1e-9),
        (1.0, np.inf, 1.0, 1.0),
        (np.nan, 1.0, 1.0, 1.0),
    ],
)
def test_rates_are_finite_non_negative_and_one_for_each_layer(given: tuple[float, ...]) -> None:
    rates, *optimized = layer_rates(adaptation=Given(*given))
    with pytest.raises(ValueError, match=r"non-negative rate for each of the 4 layers \['0', '2'"):
        rates.begin_epoch(*optimized, [])
