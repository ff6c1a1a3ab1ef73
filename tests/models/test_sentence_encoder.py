from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import N_LAYERS, TEXTS, make_library, make_router, open_library
from torch import nn

from sklearn_transfer import ContextualModel
from sklearn_transfer.models.layers import find_layers
from sklearn_transfer.models.network import Network
from sklearn_transfer.models.sentence_encoder import SentenceEncoder


@pytest.fixture
def model(tiny_model: Path) -> ContextualModel:
    return ContextualModel(tiny_model)


def make(model: ContextualModel, *, pulled: bool = False) -> SentenceEncoder:
    return SentenceEncoder(model, pulled=pulled).eval()


def tensors(model: ContextualModel) -> tuple[torch.Tensor, torch.Tensor]:
    padded = model.split(TEXTS).padded()
    return torch.from_numpy(padded["ids"]), torch.from_numpy(padded["mask"])


def test_it_gives_what_the_model_gives(model: ContextualModel):
    encoder = make(model)
    found = encoder(*tensors(model)).detach().numpy()
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=1e-5)


def test_it_is_a_copy(model: ContextualModel):
    before = model.encode(TEXTS)
    encoder = make(model)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    model.clear_cache()
    np.testing.assert_array_equal(model.encode(TEXTS), before)


@pytest.mark.parametrize("layer", [1, 2])
def test_from_a_layer_upwards_is_the_same(model: ContextualModel, layer: int):
    encoder = make(model)
    assert encoder.n_layers == N_LAYERS
    ids, mask = tensors(model)
    states = encoder.states(ids, mask, layer)
    assert states.shape == (*ids.shape, 16)
    torch.testing.assert_close(encoder(ids, mask, states, layer), encoder(ids, mask))
    # The layers below are not computed: other ids, the same states.
    torch.testing.assert_close(encoder(0 * ids, mask, states, layer), encoder(ids, mask))


def test_what_fails_in_between_leaves_the_layers_in_place(model: ContextualModel):
    encoder = make(model)
    ids, mask = tensors(model)
    names = [name for name, _ in encoder.named_parameters()]
    with pytest.raises(RuntimeError):
        encoder(ids, mask, torch.zeros(*ids.shape, 3), 1)
    assert [name for name, _ in encoder.named_parameters()] == names
    torch.testing.assert_close(encoder(ids, mask), make(model)(ids, mask))


def test_an_encoder_that_cannot_be_entered_is_computed_as_a_whole(tiny_model: Path):
    library = open_library(tiny_model)

    class Odd(nn.Module):
        """A layer that gives something else every other time."""

        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, states: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
            seen.append(1)
            turn = torch.arange(states.shape[-1]) % 2 * 5 * (len(seen) % 2)
            return self.layer(states, *args, **kwargs) + turn

    seen: list[int] = []
    model = ContextualModel(library)
    model.split(TEXTS)  # opened and checked
    stack = library[0].model.encoder.layer
    for i, layer in enumerate(stack):
        stack[i] = Odd(layer)
    encoder = make(model)
    assert encoder.n_layers == 0
    for parameter in list(encoder.parameters())[:-1]:
        parameter.requires_grad_(False)
    assert encoder.n_frozen() == 0


def test_layers_by_name(model: ContextualModel):
    network = Network(make(model), nn.Sequential(nn.Linear(16, 2)))
    layers = find_layers(network)
    names = ["embeddings", "layer 0", "layer 1", "layer 2", "head"]
    assert [layer.name for layer in layers] == names
    found = [parameter for layer in layers for parameter in layer.parameters(network)]
    assert {id(p) for p in found} == {id(p) for p in network.parameters()}
    assert len(found) == len(list(network.parameters()))


@pytest.mark.parametrize(("route", "n_layers"), [("query", 3), ("document", 2)])
def test_layers_of_a_router_are_those_of_the_route_in_use(
    tmp_path: Path, route: str, n_layers: int
):
    library = make_router(tmp_path, route)
    encoder = make(ContextualModel(library))
    assert encoder.n_layers == n_layers
    network = Network(encoder, nn.Sequential(nn.Linear(16, 2)))
    layers = find_layers(network)
    names = [name for name, _ in network.named_parameters() if layers[-2].holds(name)]
    top = f"encoder.module.0.sub_modules.{route}.0.model.encoder.layer.{n_layers - 1}."
    assert all(name.startswith((top, f"encoder.module.0.sub_modules.{route}.")) for name in names)
    assert any(name.startswith(top) for name in names)
    assert not any(f".layer.{n_layers - 2}." in name for name in names)
    found = [parameter for layer in layers for parameter in layer.parameters(network)]
    assert len(found) == len(list(network.parameters()))


def test_a_longer_stack_that_texts_do_not_pass_is_none_of_the_layers(tmp_path: Path):
    library = make_library(tmp_path, "bert", intermediate_size=32)
    library[0].model.vision = nn.ModuleList(nn.Linear(2, 2) for _ in range(9))
    encoder = make(ContextualModel(library))
    assert encoder.n_layers == N_LAYERS
    layers = dict(encoder.layer_members())
    assert "0.model.vision" in layers["embeddings"]
    assert not any("vision" in name for name in layers["layer 2"])


def test_frozen_layers_are_counted(model: ContextualModel):
    encoder = make(model)
    layers = find_layers(Network(encoder, nn.Sequential()))[:-1]
    network = Network(encoder, nn.Sequential())
    for n_frozen, expected in ((0, 0), (1, 0), (2, 1), (3, 2)):
        for number, layer in enumerate(layers):
            for parameter in layer.parameters(network):
                parameter.requires_grad_(number >= n_frozen)
        assert encoder.n_frozen() == expected


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_states_are_kept_for_every_token(tiny_model: Path, dtype: str):
    model = ContextualModel(tiny_model, hidden_dtype=dtype)
    encoder = make(model)
    kept = encoder.with_states(model.split(TEXTS), 2)
    assert kept.layer == 2
    assert kept.states.dtype == dtype
    assert kept.states.shape == (kept.lengths.sum(), 16)
    padded = {name: torch.from_numpy(a) for name, a in kept[np.array([3, 0])].padded().items()}
    found = encoder(**padded, layer=2).detach().numpy()
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(found, model.encode([TEXTS[3], TEXTS[0]]), atol=tolerance)


def test_too_many_states_are_not_kept(model: ContextualModel):
    with pytest.warns(UserWarning, match="computed anew in every epoch.*hidden_dtype='float16'"):
        kept = make(model).with_states(model.split(TEXTS), 1, max_bytes=100)
    assert kept.states is None


def test_distance_from_where_it_started(model: ContextualModel):
    encoder = make(model, pulled=True)
    assert encoder.squared_distance().item() == 0
    with torch.no_grad():
        encoder.module[0].model.encoder.layer[0].output.dense.bias += 1
    assert encoder.squared_distance().item() == pytest.approx(16)


def test_truncated_features_stay_truncated(tiny_model: Path):
    model = ContextualModel(open_library(tiny_model, truncate_dim=8))
    features = make(model)(*tensors(model)).detach().numpy()
    np.testing.assert_allclose(features, model.encode(TEXTS), atol=1e-5)
