"""Features are kept by all that changes them, and by nothing else."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import TEXTS, make_library, open_library
from sentence_transformers import SentenceTransformer
from torch import nn

from sklearn_transfer import ContextualModel, FineTunedClassifier
from sklearn_transfer.contextual.library_state import fingerprint_library, stamp_library


@pytest.fixture
def library(tmp_path: Path) -> SentenceTransformer:
    return make_library(tmp_path, "qwen2", intermediate_size=32, num_key_value_heads=2)


def features(library: SentenceTransformer) -> np.ndarray:
    return library.encode(TEXTS, show_progress_bar=False)


def set_weight(library: SentenceTransformer) -> None:
    with torch.no_grad():
        next(library.parameters()).mul_(2)


def replace_weight(library: SentenceTransformer) -> None:
    parameter = next(library.parameters())
    parameter.data = parameter.data * 2


def set_inverse_frequencies(library: SentenceTransformer) -> None:
    library[0].model.rotary_emb.inv_freq.mul_(0.1)  # a buffer that is not saved


def set_heads(library: SentenceTransformer) -> None:
    for layer in library[0].model.layers:
        layer.self_attn.scaling = 0.1


def set_config(library: SentenceTransformer) -> None:
    library[0].model.config.use_sliding_window = True


def set_pooling(library: SentenceTransformer) -> None:
    library[1].pooling_mode = "lasttoken"


def set_normalizer(library: SentenceTransformer) -> None:
    from tokenizers import normalizers

    library.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("t", "")


def set_dimension(library: SentenceTransformer) -> None:
    library.truncate_dim = 8


def set_activation(library: SentenceTransformer) -> None:
    for layer in library[0].model.layers:
        layer.mlp.act_fn = nn.Tanh()


CHANGES = [
    set_weight,
    replace_weight,
    set_inverse_frequencies,
    set_heads,
    set_config,
    set_pooling,
    set_normalizer,
    set_dimension,
    set_activation,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_another_model(
    library: SentenceTransformer, tmp_path: Path, change: Callable[[SentenceTransformer], None]
) -> None:
    cache = tmp_path / "cache"
    before = ContextualModel(library, cache=cache)
    expected, fingerprint = before.encode(TEXTS), before.fingerprint
    changed = copy.deepcopy(library)
    change(changed)
    after = ContextualModel(changed, cache=cache)
    np.testing.assert_allclose(after.encode(TEXTS), features(changed), atol=1e-5)
    if change is not set_dimension:
        assert after.fingerprint != fingerprint
    # In place, too, where the object is the same.
    change(library)
    again = ContextualModel(library, cache=cache)
    np.testing.assert_allclose(again.encode(TEXTS), features(library), atol=1e-5)
    assert again.fingerprint == after.fingerprint
    if change is not set_config:
        assert expected.shape != again.encode(TEXTS).shape or not np.allclose(
            expected, again.encode(TEXTS)
        )


def test_the_adapter_in_use_is_part_of_the_state(library: SentenceTransformer) -> None:
    layer = library[0].model.layers[0].mlp
    fingerprints = set()
    for active, disabled in ((["a"], False), (["b"], False), (["a"], True)):
        layer._active_adapter, layer._disable_adapters = active, disabled  # as peft has them
        fingerprints.add(fingerprint_library(library))
    assert len(fingerprints) == 3


def test_use_changes_nothing(library: SentenceTransformer) -> None:
    before, stamp = fingerprint_library(library), stamp_library(library)
    features(library)
    library.encode(TEXTS, prompt="a cat ", show_progress_bar=False)
    library.tokenizer(["the cat"], truncation=True, max_length=3, padding="max_length")
    library.train()
    assert (fingerprint_library(library), stamp_library(library)) == (before, stamp)
    assert fingerprint_library(pickle.loads(pickle.dumps(library))) == before


def test_the_place_of_a_model_is_not_part_of_its_state(tmp_path: Path) -> None:
    libraries = [
        make_library(tmp_path / name, "bert", intermediate_size=32) for name in ("one", "two")
    ]
    one, two = map(fingerprint_library, libraries)
    assert one == two


def test_a_truncated_model_beside_a_whole_one(tiny_model: Path, tmp_path: Path) -> None:
    for dim, options in ((8, {"truncate_dim": 8}), (16, {}), (4, {"truncate_dim": 4})):
        library = open_library(tiny_model, **options)
        found = ContextualModel(library, cache=tmp_path).encode(TEXTS)
        assert found.shape == (len(TEXTS), dim)
        np.testing.assert_allclose(found, features(library), atol=1e-5)


def test_weights_made_for_inference(tmp_path: Path) -> None:
    with torch.inference_mode():
        library = make_library(tmp_path, "bert", intermediate_size=32)
    assert ContextualModel(library).encode(TEXTS).shape == (len(TEXTS), 16)


@pytest.mark.filterwarnings("ignore:torch")  # which deprecates it
def test_a_quantized_model(tmp_path: Path) -> None:
    library = make_library(tmp_path, "bert", intermediate_size=32)
    whole = ContextualModel(library)
    quantized: Any = torch.ao.quantization.quantize_dynamic(library, {nn.Linear})
    model = ContextualModel(quantized, cache=None)
    expected = quantized.encode(TEXTS, batch_size=1, show_progress_bar=False)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-4)
    assert model.batching == "single"  # the states of a batch are quantized together
    assert model.fingerprint != whole.fingerprint
    with pytest.raises(ValueError, match=r"are quantized, and cannot be trained.*'frozen'"):
        FineTunedClassifier(model, adaptation="top-1").fit(TEXTS, [0, 1] * 3)
    FineTunedClassifier(model, adaptation="frozen").fit(TEXTS, [0, 1] * 3)
    with torch.no_grad():
        library[0].model.encoder.layer[0].output.dense.weight.mul_(2)
    other = torch.ao.quantization.quantize_dynamic(library, {nn.Linear})
    assert ContextualModel(other).fingerprint != model.fingerprint
