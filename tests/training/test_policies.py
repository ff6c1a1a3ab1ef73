from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sklearn_transfer.models.linear import LinearBag
from sklearn_transfer.models.network import ArrayEncoder, Network
from sklearn_transfer.models.readers import make_text_encoder
from sklearn_transfer.training.policies import (
    POLICIES,
    Discriminative,
    Frozen,
    Full,
    Gradual,
    Layer,
    LinearProbing,
    check_policy,
    find_layers,
)

# ---- policies ----


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


# ---- layers ----


class Twice(nn.Module):
    """Two layers that share a weight, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)) * self.scale


class Own(nn.Module):
    """Parameters and no children."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))


def network(module: nn.Module) -> Network:
    return Network(ArrayEncoder(module, pulled=True), nn.Sequential(nn.Linear(3, 2)))


def names(layers: list[Layer]) -> list[str]:
    return [layer.name for layer in layers]


LINEAR = nn.Linear(3, 3)
NESTED = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)))
MODULES = {
    "flat": (nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)), ["0", "2", "head"]),
    "nested": (NESTED, ["0", "1", "head"]),
    "only-child": (nn.Sequential(nn.Sequential(NESTED)), ["0.0.0", "0.0.1", "head"]),
    "leaf": (nn.Linear(3, 3), ["Linear", "head"]),
    "leaf-inside": (nn.Sequential(nn.Linear(3, 3), nn.Tanh()), ["0", "head"]),
    "own": (Own(), ["Own", "head"]),
    "tied": (Twice(), ["one", "two", "head"]),
    "shared": (nn.Sequential(LINEAR, nn.Tanh(), LINEAR), ["0", "head"]),
    "none": (nn.Sequential(nn.Flatten(), nn.Tanh()), ["head"]),
}
every_module = pytest.mark.parametrize(
    ("module", "expected"), list(MODULES.values()), ids=list(MODULES)
)


@every_module
def test_layers_are_the_children_that_have_parameters(
    module: nn.Module, expected: list[str]
) -> None:
    assert names(find_layers(network(module))) == expected


@every_module
def test_every_parameter_is_of_one_layer(module: nn.Module, expected: list[str]) -> None:
    made = network(module)
    found = [id(p) for layer in find_layers(made) for p in layer.parameters(made)]
    assert sorted(found) == sorted(id(p) for p in made.parameters())


def test_parameters_of_the_module_itself_go_with_the_lowest_layer() -> None:
    made = network(Twice())
    lowest = find_layers(made)[0].parameters(made)
    assert any(p is made.encoder.module.scale for p in lowest)


def test_a_reader_of_texts_moves_with_the_head() -> None:
    encoder = make_text_encoder(torch.zeros(4, 3), "attention", None, sparse=True, pulled=False)
    made = Network(encoder, nn.Sequential(nn.Linear(3, 2)))
    vectors, head = find_layers(made)
    assert [id(p) for p in vectors.parameters(made)] == [id(encoder.rows)]
    assert len(head.parameters(made)) == len(list(made.parameters())) - 1


@pytest.mark.parametrize(
    "made",
    [LinearBag(3, 2, torch.zeros(1)), Network(None, nn.Sequential(nn.Linear(3, 2)))],
    ids=["linear", "features"],
)
def test_what_reads_features_is_a_head(made: nn.Module) -> None:
    (layer,) = find_layers(made)
    assert len(layer.parameters(made)) == len(list(made.parameters()))


def test_layers_are_those_that_are_given() -> None:
    layers = find_layers(network(NESTED), [["1.1", "0"], "1.0.weight", ("1.0.bias",)])
    assert names(layers) == ["1.1", "1.0.weight", "1.0.bias", "head"]
    assert layers[0].members == ("encoder.module.1.1", "encoder.module.0")


def test_a_layer_holds_what_is_inside_its_members_and_no_more() -> None:
    layer = Layer("a", ("encoder.1", "scale"))
    held = ["encoder.1", "encoder.1.weight", "scale"]
    assert [layer.holds(name) for name in held] == [True] * 3
    assert not any(layer.holds(name) for name in ("encoder", "encoder.10", "scale_2", "head"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["0", "top"], "name 'top', which the pretrained module does not have; its modules: 0, 1."),
        (["0", []], "layer_groups name 'nothing', which"),
        (["0", ""], "layer_groups name '', which"),
        (
            ["0", "1.0"],
            "every parameter of the pretrained module once; '1.1.weight' is named 0",
        ),
        (["0", "1", "1.0"], "module once; '1.0.weight' is named 2 times"),
        (["0", "0", "1"], "module once; '0.weight' is named 2 times"),
        ([], "module once; '0.weight' is named 0 times"),
    ],
)
def test_groups_that_are_no_partition_are_refused(given: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_layers(network(NESTED), given)


def test_groups_without_a_module_are_refused() -> None:
    with pytest.raises(ValueError, match="layer_groups name the layers of a torch module given as"):
        find_layers(Network(None, nn.Sequential(nn.Linear(3, 2))), ["0"])


@pytest.mark.parametrize("policy", [Gradual(), Discriminative(), LinearProbing()])
def test_a_policy_that_tells_layers_apart_needs_some(policy: Any) -> None:
    with pytest.raises(ValueError, match=r"moves pretrained layers at different .* Use 'full'"):
        check_policy([Layer("head", ())], policy)


@pytest.mark.parametrize("policy", [Frozen(), Full()])
def test_a_head_alone_is_enough_for_the_others(policy: Any) -> None:
    check_policy([Layer("head", ())], policy)
