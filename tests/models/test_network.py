from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import same, state_of

from sklearn_transfer.models.network import (
    ACTIVATIONS,
    ArrayEncoder,
    Dropout,
    Network,
    as_array,
    make_head,
    measure_width,
)
from sklearn_transfer.models.seeds import seeded
from sklearn_transfer.models.text_encoder import TextEncoder


def head(*hidden: int, n: int = 4, seed: int = 0, **settings: Any) -> nn.Sequential:
    with seeded(seed):
        return make_head(n, hidden, 3, **{"activation": "relu", "dropout": 0.0, **settings})


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


# ---- heads ----


def test_a_head_without_hidden_layers_is_linear() -> None:
    (layer,) = head()
    assert (layer.in_features, layer.out_features) == (4, 3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_head_is_a_multi_layer_perceptron(activation: str) -> None:
    made, x = head(5, 2, activation=activation), numbers(6, 4)
    expected = x
    for i, layer in enumerate(layer for layer in made if isinstance(layer, nn.Linear)):
        expected = ACTIVATIONS[activation]()(expected) if i else expected
        expected = expected @ layer.weight.T + layer.bias
    torch.testing.assert_close(made(x), expected)


def test_dropout_stands_before_every_linear_layer() -> None:
    kinds = [type(layer) for layer in head(5, dropout=0.1)]
    assert kinds == [Dropout, nn.Linear, nn.ReLU, Dropout, nn.Linear]


def test_the_seed_decides_the_initial_weights() -> None:
    assert same(state_of(head(50)), state_of(head(50)))
    assert not same(state_of(head(50)), state_of(head(50, seed=1)))


def test_initial_weights_are_glorot_uniform() -> None:
    weight = head(200, n=300)[0].weight.detach()
    bound = (6 / (300 + 200)) ** 0.5
    assert 0.99 * bound < float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.01)


def test_initial_biases_are_zero() -> None:
    assert not any(layer.bias.any() for layer in head(5) if isinstance(layer, nn.Linear))


# ---- a module of the user's ----


class Images(nn.Module):
    """From (n, 3, height, width) to (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.filters(x).amax((2, 3))


class Gives(nn.Module):
    """A module that gives what a function makes of its input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def test_an_array_is_encoded_by_the_module() -> None:
    module, x = Images(), numbers(5, 3, 6, 6)
    torch.testing.assert_close(ArrayEncoder(module)(x), module(x))


def test_the_module_is_a_copy() -> None:
    module = Images()
    before = state_of(module)
    encoder = ArrayEncoder(module, pulled=True).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1)
    assert same(state_of(module), before)
    assert module.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_module_of_any_precision_gives_float32(dtype: torch.dtype) -> None:
    encoder = ArrayEncoder(nn.Linear(4, 2).to(dtype))
    assert encoder(numbers(5, 4).double()).dtype == torch.float32


def test_integers_reach_the_module_as_integers() -> None:
    encoder = ArrayEncoder(nn.Sequential(nn.Embedding(9, 4), nn.Flatten()))
    assert encoder(torch.arange(6).reshape(2, 3)).shape == (2, 12)


@pytest.mark.parametrize(
    ("module", "x", "message"),
    [
        (Images(), numbers(5, 1, 6, 6), r"module, Images, refused a batch of shape \(5, 1, 6, 6\)"),
        (nn.Linear(4, 2), numbers(5, 3), r"Linear, refused a batch of shape \(5, 3\) and dtype to"),
        (nn.Linear(4, 2), torch.ones(5, 4).long(), r"shape \(5, 4\) and dtype torch.int64: .*Long"),
        (nn.Embedding(9, 4), numbers(5, 3), r"shape \(5, 3\) and dtype torch.float32: "),
        (nn.Embedding(9, 4), torch.full((5, 3), 9), r"dtype torch.int64: index out of range"),
    ],
)
def test_what_the_module_refuses_is_named_by_its_shape(
    module: nn.Module, x: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ArrayEncoder(module)(x)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda x: x[:, None], r"shape \(5, 1, 4\)"),
        (lambda x: x.sum(1), r"shape \(5,\)"),
        (lambda x: x[:2], r"shape \(2, 4\)"),
        (lambda x: (x, x), "an object of type tuple"),
        (lambda x: None, "an object of type NoneType"),
    ],
)
def test_an_output_that_is_not_a_row_a_sample_is_refused(function: Any, found: str) -> None:
    message = rf"Gives must give a tensor of shape \(n_samples, d\), here \(5, d\), got {found}. Wr"
    with pytest.raises(ValueError, match=message):
        ArrayEncoder(Gives(function))(numbers(5, 4))


def test_squared_distance_is_of_all_parameters_from_where_they_started() -> None:
    encoder = ArrayEncoder(nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)), pulled=True)
    with torch.no_grad():
        encoder.module[0].weight += 0.5
        encoder.module[1].bias += 2
    assert encoder.squared_distance().item() == pytest.approx(8 * 0.25 + 2 * 4)


def test_the_starts_of_parameters_with_like_names_are_told_apart() -> None:
    module = nn.Module()
    module.a, module.a_b = nn.Module(), nn.Module()
    module.a.b_c, module.a_b.c = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
    assert ArrayEncoder(module, pulled=True).squared_distance().item() == 0


def test_the_distance_of_a_free_module_is_refused() -> None:
    with pytest.raises(
        RuntimeError, match="needs the initial parameters: make the module with pulled=Tr"
    ):
        ArrayEncoder(nn.Linear(4, 2)).squared_distance()


# ---- an encoder and a head ----


def test_logits_are_the_last_layer_of_the_features() -> None:
    module, x = Network(None, head(5)), numbers(6, 4)
    torch.testing.assert_close(module(dense=x), module.head[-1](module.features(dense=x)))


@pytest.mark.parametrize("hidden", [(), (5,), (5, 2)])
def test_n_features_is_the_width_of_the_features(hidden: tuple[int, ...]) -> None:
    module = Network(None, head(*hidden))
    assert module.features(dense=torch.zeros(2, 4)).shape[1] == module.n_features


def test_a_network_of_features_hands_them_to_the_head() -> None:
    module, x = Network(None, head(5)), numbers(6, 4)
    torch.testing.assert_close(module(dense=x), module.head(x))


def test_features_that_are_known_are_not_encoded_again() -> None:
    module, x = Network(ArrayEncoder(nn.Linear(2, 4)), head()), numbers(6, 2)
    known = module.encode(x=x)
    torch.testing.assert_close(module(dense=known), module(x=x))


# ---- the width of an encoder ----


def test_the_width_is_that_of_what_the_module_gives() -> None:
    assert measure_width(ArrayEncoder(Images()), {"x": numbers(2, 3, 6, 6)}) == 2


def test_the_width_of_texts_is_that_of_the_reader() -> None:
    class Reader(nn.Module):
        def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
            return torch.ones(len(offsets) - 1, 7)

    nothing = torch.zeros(0, dtype=torch.int64)
    given = {"tokens": nothing, "ids": nothing, "offsets": torch.zeros(3).long()}
    given |= {"extra": torch.zeros(0, 4), "weights": torch.zeros(0)}
    assert measure_width(TextEncoder(torch.zeros(2, 4), Reader()), given) == 7


def test_measuring_leaves_mode_and_buffers() -> None:
    encoder = ArrayEncoder(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)))
    before = copy.deepcopy(state_of(encoder))
    measure_width(encoder, {"x": numbers(2, 4)})
    assert encoder.training
    assert same(state_of(encoder), before)


def test_features_that_are_not_finite_are_refused() -> None:
    encoder = ArrayEncoder(Gives(lambda x: x / 0))
    with pytest.raises(ValueError, match="Gives gives NaN or infinite features for the first sam"):
        measure_width(encoder, {"x": numbers(2, 4)})


def test_a_module_that_changes_its_own_parameters_is_refused() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.count += 1
            return x * self.count

    with pytest.raises(ValueError, match="module Counts changes its own parameters when it is ca"):
        measure_width(ArrayEncoder(Counts()), {"x": numbers(2, 4)})


# ---- arrays as a module takes them ----


@pytest.mark.parametrize(
    ("given", "module", "wanted"),
    [
        (np.float64, torch.float32, np.float32),
        (np.float16, torch.float32, np.float32),
        (np.float32, torch.float64, np.float64),
        (np.float32, torch.float16, np.float32),
        (np.uint8, torch.float32, np.int64),
        (np.int32, torch.float64, np.int64),
        (bool, torch.float32, np.int64),
    ],
)
def test_arrays_take_the_type_that_suits_the_module(given: Any, module: Any, wanted: Any) -> None:
    X = np.ones((2, 3), dtype=given)
    assert as_array(X, nn.Linear(3, 2).to(module)).dtype == wanted


def test_a_module_without_parameters_takes_float32() -> None:
    assert as_array(np.ones((2, 3)), nn.Flatten()).dtype == np.float32


def test_an_array_that_suits_the_module_is_not_copied() -> None:
    X = np.ones((2, 3), dtype=np.float32)
    assert as_array(X, nn.Linear(3, 2)) is X
