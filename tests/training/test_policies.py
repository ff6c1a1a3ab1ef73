from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from sklearn_transfer.models.layers import Layer
from sklearn_transfer.training.policies import (
    POLICIES,
    Contrastive,
    Discriminative,
    Frozen,
    Full,
    Gradual,
    LinearProbing,
    Top,
    check_policy,
)


@pytest.mark.parametrize(
    ("policy", "epoch", "expected"),
    [
        (Frozen(), 5, [0, 0, 1]),
        (Full(), 0, [1, 1, 1]),
        (Gradual(), 0, [0, 0, 1]),
        (Gradual(), 1, [0, 1, 1]),
        (Gradual(), 2, [1, 1, 1]),
        (Gradual(), 99, [1, 1, 1]),
        (Gradual(epochs=3), 2, [0, 0, 1]),
        (Gradual(epochs=3), 3, [0, 1, 1]),
        (Top(), 0, [0, 1, 1]),
        (Top(1), 9, [0, 1, 1]),
        (Top(2), 0, [1, 1, 1]),
        (Top(9), 0, [1, 1, 1]),
        (Discriminative(), 0, [1 / 2.6**2, 1 / 2.6, 1]),
        (Discriminative(factor=10), 7, [0.01, 0.1, 1]),
    ],
)
def test_rates_of_three_layers(policy: Any, epoch: int, expected: list[float]) -> None:
    assert policy.rates(epoch, 3, []) == pytest.approx(expected)


@pytest.mark.parametrize("name", POLICIES)
def test_a_head_alone_always_moves(name: str) -> None:
    assert POLICIES[name]().rates(0, 1, []) == [1.0]


def history(*losses: float, fine: int = 0) -> list[dict[str, Any]]:
    """Epochs of the head, the last ones of all layers."""
    rates = [{"body": 0.0, "head": 0.1}] * (len(losses) - fine) + [
        {"body": 0.1, "head": 0.1}
    ] * fine
    return [{"train_loss": a, "rates": b} for a, b in zip(losses, rates, strict=True)]


HEAD, ALL = [0.0, 1.0], [1.0, 1.0]
PROBING = LinearProbing(tolerance=0.1, patience=2, max_probing=6)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], HEAD),
        ([1.0, 1.0], HEAD),  # too few to tell
        ([1.0, 0.9, 0.8], HEAD),
        ([1.0, 0.95, 0.95], ALL),
        ([1.0, 2.0, 0.5], HEAD),  # the best counts
        ([1.0, 0.8, 0.6, 0.4, 0.2], HEAD),
        ([1.0, 0.8, 0.6, 0.4, 0.2, 0.0], ALL),  # at most so many
    ],
)
def test_the_head_is_probed_until_its_loss_has_stopped_falling(
    losses: list[float], expected: list[float]
) -> None:
    assert PROBING.rates(len(losses), 2, history(*losses)) == expected


def test_all_layers_go_on_moving_after_probing() -> None:
    falling = history(1.0, 1.0, 1.0, 0.5, 0.2, fine=2)
    assert PROBING.rates(5, 2, falling) == ALL


def test_probing_is_counted_in_the_history() -> None:
    assert PROBING.n_probing(history(1.0, 1.0, 1.0, 0.5, 0.2, fine=2)) == 3


@pytest.mark.parametrize("policy", [Gradual(), Discriminative(), LinearProbing()])
def test_a_policy_that_tells_layers_apart_needs_some(policy: Any) -> None:
    with pytest.raises(ValueError, match=r"moves pretrained layers at different .* Use 'full'"):
        check_policy([Layer("head", ())], policy)


@pytest.mark.parametrize("policy", [Frozen(), Full()])
def test_a_head_alone_is_enough_for_the_others(policy: Any) -> None:
    check_policy([Layer("head", ())], policy)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_a_value(name: str) -> None:
    policy = POLICIES[name]()
    assert policy == POLICIES[name]()
    assert hash(policy) == hash(POLICIES[name]())
    with pytest.raises(FrozenInstanceError):
        policy.n_layers = 7


def test_the_layers_of_a_name() -> None:
    found = [POLICIES[f"top-{n}"]().rates(0, 5, []) for n in (1, 2, 3)]
    assert found == [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 1]]


LEAST = {"n_steps": 1, "batch_size": 2, "n_layers": 1, "max_tokens": 1}


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_a_count_of_the_contrastive_stage_has_a_least(name: str, least: int) -> None:
    assert getattr(Contrastive(**{name: least}), name) == least
    with pytest.raises(ValueError, match=rf"needs {name} of at least {least}, got {least - 1}\."):
        Contrastive(**{name: least - 1})


def test_all_layers_and_whole_texts_of_the_contrastive_stage() -> None:
    assert Contrastive(n_layers=None, max_tokens=None).n_layers is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, r"a positive lr, got 0\.0"),
        ({"lr": float("nan")}, "a positive lr, got nan"),
        ({"temperature": 0.0}, r"a positive temperature, got 0\.0"),
        ({"tuned_share": 0.0}, r"above 0, .* up to 1; got 0\.0"),
        ({"tuned_share": 1.1}, r"above 0, .* up to 1; got 1\.1"),
    ],
)
def test_a_contrastive_stage_that_learns_nothing_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contrastive(**settings)
    Contrastive(tuned_share=1)
