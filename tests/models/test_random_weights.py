"""Copies of modules with random weights."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_transfer.models.random_weights import randomise_encoder, randomise_module
from sklearn_transfer.models.seeds import seeded


def trained(make):
    """A module whose parameters and statistics are not those of its constructor."""
    with seeded(1, seed_global=True):
        module = make()
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    tensor.add_(torch.rand_like(tensor) + 1)
    return module


MODULES = {
    "linear": lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
    "normalised": lambda: nn.Sequential(nn.Conv1d(1, 2, 2), nn.BatchNorm1d(2), nn.LayerNorm(4)),
    "recurrent": lambda: nn.GRU(3, 2),
    "transformer": lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    "table": lambda: nn.EmbeddingBag(5, 3),
}


@pytest.mark.parametrize("name", MODULES)
def test_all_weights_are_new_as_after_the_constructor(name):
    pretrained = trained(MODULES[name])
    before = {key: tensor.clone() for key, tensor in pretrained.state_dict().items()}
    fresh = randomise_module(pretrained, 0)
    assert not fresh.state_dict().keys() ^ before.keys()
    for key, tensor in fresh.state_dict().items():
        assert torch.equal(pretrained.state_dict()[key], before[key])  # a copy
        if tensor.is_floating_point():
            assert not torch.equal(tensor, before[key]), key
            assert tensor.abs().max() < 2.5, key


@pytest.mark.parametrize("name", MODULES)
def test_a_seed_gives_the_same_weights_and_leaves_global_generators(name):
    state = torch.get_rng_state()
    one, two, other = (randomise_module(trained(MODULES[name]), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    vectors = [nn.utils.parameters_to_vector(module.parameters()) for module in (one, two, other)]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.tensor([0.5, 2.0]))

    def forward(self, x):
        return self.linear(x) * self.scale


class Forgetful(Scaled):
    def reset_parameters(self):
        """Reset, but not the scale."""


def test_a_parameter_without_a_reset_is_refused():
    with pytest.raises(ValueError, match="parameter 'scale' has a method reset_parameters"):
        randomise_module(Scaled(), 0)


def test_a_parameter_that_a_reset_forgets_is_refused():
    with pytest.raises(ValueError, match="parameter 'scale' keeps its pretrained values"):
        randomise_module(Forgetful(), 0)


def test_a_module_without_parameters_is_copied():
    assert isinstance(randomise_module(nn.Flatten(), 0), nn.Flatten)


def test_an_encoder_has_new_weights_of_its_configuration(tiny_model):
    from sklearn_transfer import ContextualModel

    texts = ["the cat sat", "a good film and a bad plot"]
    model = ContextualModel(tiny_model, max_tokens=6)
    before = model.encode(texts)
    one, two, other = (randomise_encoder(model, seed) for seed in (10, 10, 11))
    np.testing.assert_array_equal(one.encode(texts), two.encode(texts))
    assert np.abs(one.encode(texts) - before).max() > 0.1
    assert np.abs(one.encode(texts) - other.encode(texts)).max() > 0.1
    np.testing.assert_array_equal(model.encode(texts), before)
    assert (one.dim, one.n_layers, one.max_tokens) == (model.dim, model.n_layers, 6)
    weight = one.library_model[0].state_dict()
    name = next(name for name in weight if name.endswith("layer.0.attention.self.query.weight"))
    assert weight[name].std() == pytest.approx(0.5, rel=0.15)  # its initializer_range
    assert not any(parameter.requires_grad is False for parameter in one.library_model.parameters())
