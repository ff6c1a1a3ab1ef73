from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sklearn_transfer.models.layers import Layer, find_layers
from sklearn_transfer.models.linear import LinearBag
from sklearn_transfer.models.network import ArrayEncoder, Network
from sklearn_transfer.models.text_encoder import make_text_encoder


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
    [LinearBag(3, 2, 1), Network(None, nn.Sequential(nn.Linear(3, 2)))],
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
