from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from contextual_toys import DIM, TEXTS, make_router, open_library
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

from sklearn_transfer import ContextualModel, VectorFormatError

Weights = dict[str, torch.Tensor]


def rewrite(source: Path, target: Path, change: Callable[[Weights], object]) -> Path:
    """A copy of the folder of a model with other weights."""
    folder = shutil.copytree(source, target)
    file = next(folder.rglob("model.safetensors"))
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def drop(weights: Weights, part: str) -> None:
    for name in [name for name in weights if part in name]:
        del weights[name]


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("layer.1.", r"16 are missing or have another shape: 0.*encoder.layer.1\..*, \.\.\."),
        ("embeddings.word_embeddings.weight", "1 are missing .*word_embeddings.weight"),
        ("layer.2.output.LayerNorm", "2 are missing .*LayerNorm.weight, .*LayerNorm.bias"),
    ],
)
def test_weights_that_a_file_lacks_are_refused(
    tiny_model: Path, tmp_path: Path, part: str, named: str
):
    def change(weights: Weights) -> None:
        drop(weights, part)
        weights["other"] = torch.zeros(1)

    folder = rewrite(tiny_model, tmp_path / "model", change)
    for _ in range(2):  # also when the process has it open
        with pytest.raises(VectorFormatError, match=f"{folder}: expected all weights.*{named}"):
            ContextualModel(folder).encode(TEXTS)


def test_weights_under_other_names_are_refused(tiny_model: Path, tmp_path: Path):
    def rename(weights: Weights) -> None:
        for name in list(weights):
            weights[f"student.{name}"] = weights.pop(name)

    folder = rewrite(tiny_model, tmp_path / "model", rename)
    with pytest.raises(VectorFormatError, match="expected all weights"):
        ContextualModel(folder).encode(TEXTS)


def test_weights_of_another_shape_are_refused_by_name(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    message = "9 are missing or have another shape: .*layer.0.intermediate.dense.weight"
    with pytest.raises(VectorFormatError, match=message):
        ContextualModel(folder).encode(TEXTS)


def test_weights_that_features_do_not_depend_on_may_be_missing_or_damaged(
    tiny_model: Path, tmp_path: Path
):
    def head(weights: Weights) -> None:
        drop(weights, "pooler.dense.bias")
        weights["pooler.dense.weight"] = torch.full((DIM, DIM), torch.nan)
        weights["cls.predictions.bias"] = torch.zeros(26)

    expected = ContextualModel(tiny_model).encode(TEXTS)
    without = rewrite(tiny_model, tmp_path / "without", lambda weights: drop(weights, "pooler"))
    damaged = rewrite(tiny_model, tmp_path / "damaged", head)
    for folder in (without, damaged):
        np.testing.assert_array_equal(ContextualModel(folder).encode(TEXTS), expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused_on_opening(
    tiny_model: Path, tmp_path: Path, value: float
):
    def damage(weights: Weights) -> None:
        weights["embeddings.word_embeddings.weight"][20] = value  # a word that no probe has

    folder = rewrite(tiny_model, tmp_path / "model", damage)
    message = "expected finite weights, found NaN or infinity in .*word_embeddings.weight. The file"
    with pytest.raises(VectorFormatError, match=message):
        _ = ContextualModel(folder).dim
    with pytest.raises(VectorFormatError, match=f"The SentenceTransformer: {message}"):
        _ = ContextualModel(open_library(folder)).dim


def test_a_frozen_parameter_is_checked_and_stays_frozen(tiny_model: Path):
    library = open_library(tiny_model)
    weight = library[0].auto_model.embeddings.LayerNorm.weight
    weight.requires_grad_(requires_grad=False)
    with torch.no_grad():
        weight[0] = torch.nan
    with pytest.raises(VectorFormatError, match=r"NaN or infinity in .*LayerNorm.weight\."):
        ContextualModel(library).encode(TEXTS)
    assert not weight.requires_grad


def test_a_dense_module_without_weights_is_refused(tiny_model: Path, tmp_path: Path):
    transformer = open_library(tiny_model)[0]
    dense = Dense(DIM, 3)
    model = SentenceTransformer(modules=[transformer, Pooling(DIM), dense], device="cpu")
    model.save(str(tmp_path / "model"), create_model_card=False)
    assert ContextualModel(tmp_path / "model").dim == 3
    file = tmp_path / "model" / "2_Dense" / "model.safetensors"
    weights = load_file(file)
    save_file({"linear.bias": weights["linear.bias"]}, file)
    with pytest.raises(VectorFormatError, match=r"linear.weight"):
        ContextualModel(tmp_path / "model").encode(TEXTS)
    file.unlink()
    with pytest.raises(VectorFormatError):
        ContextualModel(tmp_path / "model").encode(TEXTS)


def test_only_the_route_of_a_router_that_is_in_use_is_checked(tmp_path: Path):
    saved = tmp_path / "saved"
    make_router(tmp_path / "toys", "query").save(str(saved), create_model_card=False)
    for route in ("query", "document"):
        folder = shutil.copytree(saved, tmp_path / route)
        file = folder / f"{route}_0_Transformer" / "model.safetensors"
        weights = load_file(file)
        drop(weights, "layer.1.")
        save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(VectorFormatError, match="16 are missing"):
        ContextualModel(tmp_path / "query").encode(TEXTS)
    np.testing.assert_array_equal(
        ContextualModel(tmp_path / "document").encode(TEXTS), ContextualModel(saved).encode(TEXTS)
    )
