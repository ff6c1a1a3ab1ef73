"""Networks, modules of users and sentence encoders after a way through a model file."""

from __future__ import annotations

import copy
import pickle
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from model_files import SHORT, UNSEEN, assert_equal_models, moved
from safetensors.numpy import load_file, save_file

from sklearn_transfer import (
    ContextualModel,
    FineTunedClassifier,
    FineTunedRegressor,
    ModelFormatError,
    PretrainedEmbeddingTransformer,
    load,
)

NETWORKS: dict[str, dict[str, Any]] = {
    "mean": {"optimizer": "adam", "dropout": 0.1},
    "anchored": {"optimizer": "adam", "l2_sp": 0.1, "weighting": "sif"},
    "attention": {"encoder": "attention", "hidden_layer_sizes": (5,)},
    "cnn": {"encoder": "cnn", "encoder_params": {"filters": 4, "multichannel": True}},
    "rnn": {"encoder": "rnn", "encoder_params": {"units": 3}, "adaptation": "lp-ft"},
    "hidden": {"hidden_layer_sizes": (5, 4), "activation": "gelu", "adaptation": "frozen"},
    "stopped early": {"optimizer": "sgd", "early_stopping": True, "average_last": 0},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_words(name, vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, **SHORT, **NETWORKS[name]).fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, [*reviews[0], *UNSEEN])
    assert loaded.n_iter_ == model.n_iter_
    assert loaded.history_[:, "train_loss"] == model.history_[:, "train_loss"]
    assert loaded.temperature_ == model.temperature_


def test_networks_of_features(numbers, tmp_path):
    X, y = numbers
    model = FineTunedRegressor(hidden_layer_sizes=(4,), **SHORT).fit(X, y)
    assert_equal_models(model, moved(model, tmp_path), X)


def test_networks_trained_in_parts_go_on(vectors, reviews, tmp_path):
    texts, labels = reviews
    model = FineTunedClassifier(vectors, **SHORT).partial_fit(
        texts[:30], labels[:30], ["no", "yes"]
    )
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    loaded.partial_fit(["a zork that is new", "bad"], ["yes", "no"])
    assert loaded.n_iter_ == 2
    assert_equal_models(loaded, pickle.loads(pickle.dumps(loaded)), UNSEEN)
    assert_equal_models(model, load(tmp_path / "elsewhere" / "moved"), UNSEEN)


def body() -> torch.nn.Module:
    """A module from (n, 8) to (n, 5), with the same weights at each call."""
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return module


ADAPTED: dict[str, dict[str, Any]] = {
    "frozen": {"adaptation": "frozen"},
    "top": {"adaptation": "top-1", **SHORT},
    "full": {"adaptation": "full", "l2_sp": 0.1, **SHORT},
    "contrastive": {"adaptation": "contrastive", "random_state": 0, "device": "cpu"},
    "contrastive, hidden": {"adaptation": "contrastive", "hidden_layer_sizes": (3,), **SHORT},
}


@pytest.mark.parametrize("name", ADAPTED)
def test_modules_of_the_user_give_the_architecture(name, numbers, tmp_path):
    X, y = numbers[0].astype(np.float32), numbers[1]
    model = FineTunedClassifier(body(), **ADAPTED[name]).fit(X, y)
    model.save(tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"weights of a Sequential.*pretrained=module"):
        load(tmp_path / "m")
    other = body()
    torch.nn.init.zeros_(other[0].weight)
    assert_equal_models(model, load(tmp_path / "m", pretrained=other), X)
    with pytest.raises(ModelFormatError, match="do not fit"):
        load(tmp_path / "m", pretrained=torch.nn.Linear(8, 5))


class Pooled(torch.nn.Module):
    """A reader of the user."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.linear(vectors).sum(1)


def test_readers_of_the_user_give_the_architecture(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, encoder=Pooled(), **SHORT).fit(*reviews)
    model.save(tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"weights of a Pooled.*encoder=module"):
        load(tmp_path / "m")
    assert_equal_models(model, load(tmp_path / "m", encoder=Pooled()), UNSEEN)


@pytest.mark.parametrize("name", ADAPTED)
def test_sentence_encoders(name, tiny_model, reviews, tmp_path):
    model = FineTunedClassifier(ContextualModel(tiny_model, device="cpu"), **ADAPTED[name])
    model.fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    assert loaded.pretrained_.fingerprint == model.pretrained_.fingerprint
    tensors = (tmp_path / "elsewhere" / "moved" / "tensors.safetensors").stat().st_size
    weights = (tiny_model / "model.safetensors").stat().st_size
    assert tensors > weights if name == "full" else name != "frozen" or tensors < weights


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_features_of_sentence_encoders(suffix, tiny_model, vectors, reviews, tmp_path):
    contextual = ContextualModel(tiny_model, max_tokens=4, device="cpu")
    model = PretrainedEmbeddingTransformer([vectors, contextual]).fit(reviews[0])
    loaded = moved(model, tmp_path, suffix)
    assert_equal_models(model, loaded, UNSEEN)
    assert_equal_models(model, pickle.loads(pickle.dumps(loaded)), UNSEEN)


def test_sentence_encoders_by_reference(tiny_model, reviews, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "encoder")
    weights = load_file(copy / "model.safetensors")  # other content than that of other folders
    changed = {name: 1.01 * tensor for name, tensor in weights.items()}
    save_file(changed, copy / "model.safetensors", metadata={"format": "pt"})
    model = FineTunedClassifier(ContextualModel(copy, device="cpu"), adaptation="frozen")
    model.fit(*reviews).save(tmp_path / "m", vectors="reference")
    assert_equal_models(model, load(tmp_path / "m"), UNSEEN)
    assert not list((tmp_path / "m").glob("encoder*"))
    shutil.rmtree(copy)
    with pytest.raises(ModelFormatError, match="not there"):
        load(tmp_path / "m")


def test_opened_sentence_encoders(tiny_model, reviews, tmp_path):
    library = ContextualModel(tiny_model, device="cpu").library_model
    model = FineTunedClassifier(copy.deepcopy(library), adaptation="frozen").fit(*reviews)
    assert_equal_models(model, moved(model, tmp_path), UNSEEN)


@pytest.mark.parametrize("name", ADAPTED)
def test_modules_in_bfloat16(name, numbers, tmp_path):
    X, y = numbers[0].astype(np.float32), numbers[1]
    model = FineTunedClassifier(body().to(torch.bfloat16), **ADAPTED[name]).fit(X, y)
    model.save(tmp_path / "m")
    loaded = load(tmp_path / "m", pretrained=body().to(torch.bfloat16))
    assert_equal_models(model, loaded, X)
