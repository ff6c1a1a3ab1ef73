from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import N_LAYERS, TEXTS, open_library
from torch import nn

from sklearn_transfer import ContextualModel
from sklearn_transfer.models import sentence_encoder
from sklearn_transfer.models.layers import find_layers
from sklearn_transfer.models.network import Network
from sklearn_transfer.models.sentence_encoder import SentenceEncoder, SentenceInputs

CPU = torch.device("cpu")


@pytest.fixture
def inputs(tiny_model: Path) -> SentenceInputs:
    return SentenceInputs(ContextualModel(tiny_model))


def make(inputs: SentenceInputs, *, pulled: bool = False) -> SentenceEncoder:
    return inputs.make_encoder(inputs.transform(TEXTS[:3]), pulled=pulled).eval()


def tensors(inputs: SentenceInputs, texts: list[str] = TEXTS) -> tuple[torch.Tensor, torch.Tensor]:
    padded = inputs.transform(texts).padded()
    return torch.from_numpy(padded["ids"]), torch.from_numpy(padded["mask"])


def test_it_gives_what_the_model_gives(inputs: SentenceInputs):
    encoder = make(inputs)
    found = encoder(*tensors(inputs)).detach().numpy()
    np.testing.assert_allclose(found, inputs.model.encode(TEXTS), atol=1e-5)


def test_it_is_a_copy(inputs: SentenceInputs):
    before = inputs.model.encode(TEXTS)
    encoder = make(inputs)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    inputs.model.clear_cache()
    np.testing.assert_array_equal(inputs.model.encode(TEXTS), before)


@pytest.mark.parametrize("level", [1, 2])
def test_from_a_layer_upwards_is_the_same(inputs: SentenceInputs, level: int):
    encoder = make(inputs)
    assert encoder.depth == N_LAYERS
    ids, mask = tensors(inputs)
    states = encoder.states(ids, mask, level)
    assert states.shape == (*ids.shape, 16)
    torch.testing.assert_close(encoder(ids, mask, states, level), encoder(ids, mask))
    # What is below is not computed: other ids, the same states.
    torch.testing.assert_close(encoder(0 * ids, mask, states, level), encoder(ids, mask))
    assert len(encoder._stack()) == N_LAYERS


def test_what_fails_in_between_leaves_the_layers_in_place(inputs: SentenceInputs):
    encoder = make(inputs)
    ids, mask = tensors(inputs)
    names = [name for name, _ in encoder.named_parameters()]
    with pytest.raises(RuntimeError):
        encoder(ids, mask, torch.zeros(1, 1, 3), 1)
    assert [name for name, _ in encoder.named_parameters()] == names
    torch.testing.assert_close(encoder(ids, mask), make(inputs)(ids, mask))


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
    inputs = SentenceInputs(ContextualModel(library))
    inputs.transform(TEXTS)  # opened, and found to be as it should be
    stack = library[0].model.encoder.layer
    for i, layer in enumerate(stack):
        stack[i] = Odd(layer)
    encoder = make(inputs)
    assert encoder.depth == 0
    for parameter in list(encoder.parameters())[:-1]:
        parameter.requires_grad_(False)
    assert encoder.n_still() == 0


def test_layers_by_name(inputs: SentenceInputs):
    network = Network(make(inputs), nn.Sequential(nn.Linear(16, 2)))
    layers = find_layers(network)
    names = ["embeddings", "layer 0", "layer 1", "layer 2", "head"]
    assert [layer.name for layer in layers] == names
    found = [parameter for layer in layers for parameter in layer.parameters(network)]
    assert {id(p) for p in found} == {id(p) for p in network.parameters()}
    assert len(found) == len(list(network.parameters()))


def test_how_much_is_still(inputs: SentenceInputs):
    encoder = make(inputs)
    layers = find_layers(Network(encoder, nn.Sequential()))[:-1]
    network = Network(encoder, nn.Sequential())
    for still, expected in ((0, 0), (1, 0), (2, 1), (3, 2)):
        for number, layer in enumerate(layers):
            for parameter in layer.parameters(network):
                parameter.requires_grad_(number >= still)
        assert encoder.n_still() == expected


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_states_are_kept_for_every_token(tiny_model: Path, dtype: str):
    inputs = SentenceInputs(ContextualModel(tiny_model, hidden_dtype=dtype))
    encoder = make(inputs)
    kept = encoder.with_states(inputs.transform(TEXTS), 2, CPU)
    assert kept.level == 2
    assert kept.states.dtype == dtype
    assert kept.states.shape == (kept.lengths.sum(), 16)
    padded = {name: torch.from_numpy(a) for name, a in kept[np.array([3, 0])].padded().items()}
    found = encoder(**padded, level=2).detach().numpy()
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(found, inputs.model.encode([TEXTS[3], TEXTS[0]]), atol=tolerance)


def test_too_many_states_are_not_kept(inputs: SentenceInputs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sentence_encoder, "_MOST", 100)
    with pytest.warns(UserWarning, match="computed anew in every epoch.*hidden_dtype='float16'"):
        kept = make(inputs).with_states(inputs.transform(TEXTS), 1, CPU)
    assert kept.states is None


def test_distance_from_where_it_started(inputs: SentenceInputs):
    encoder = make(inputs, pulled=True)
    assert encoder.squared_distance().item() == 0
    with torch.no_grad():
        encoder.module[0].model.encoder.layer[0].output.dense.bias += 1
    assert encoder.squared_distance().item() == pytest.approx(16)
