"""A batch gives the features of single texts, for architectures of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import TEXTS, make_library, make_router, open_library, save_tiny
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from torch import nn

from sklearn_transfer import ContextualModel, FineTunedClassifier, VectorFormatError
from sklearn_transfer.training.policies import Contrastive

CONTRASTIVE = Contrastive(n_steps=2)
LONG = "the cat sat on the mat and the dog ran and it was a very very good film and not bad"
DECODERS = {
    "gpt2": {"n_positions": 64},
    "qwen2": {"intermediate_size": 32, "num_key_value_heads": 1},
    "llama": {"intermediate_size": 32, "num_key_value_heads": 1},
}


def alone(library: SentenceTransformer, texts: list[str]) -> np.ndarray:
    return library.encode(texts, batch_size=1, show_progress_bar=False)


# ---- padding ----


@pytest.mark.parametrize("pooling", ["cls", "lasttoken", "mean", ("cls", "max")])
@pytest.mark.parametrize("architecture", ["bert", "gpt2", "qwen2"])
def test_features_do_not_depend_on_neighbours_with_padding_on_the_left(
    tmp_path: Path, architecture: str, pooling: Any
) -> None:
    config = DECODERS.get(architecture, {"intermediate_size": 32})
    library = make_library(tmp_path, architecture, pooling=pooling, padding_side="left", **config)
    texts = ["a cat", LONG, "the film was bad"]
    together = ContextualModel(library, cache=None).encode(texts)
    np.testing.assert_allclose(together, alone(library, texts), atol=1e-4)


def test_features_that_padding_changes_are_computed_at_equal_lengths(tmp_path: Path) -> None:
    library = make_library(tmp_path, "fnet", intermediate_size=32)
    texts = ["a cat", LONG, "the dog", "", "the film was bad"]
    model = ContextualModel(library, cache=None)
    np.testing.assert_allclose(model.encode(texts), alone(library, texts), atol=1e-4)
    assert model.batching == "equal lengths"
    labels = [0, 1, 0, 1, 1]
    fitted = FineTunedClassifier(model, adaptation="top-1", max_epochs=1, random_state=0)
    fitted.fit(texts, labels)
    expected = [fitted.predict_proba([text])[0] for text in texts]
    np.testing.assert_allclose(fitted.predict_proba(texts), expected, atol=1e-5)


def test_a_module_that_reads_the_last_position(tmp_path: Path) -> None:
    class Last(nn.Module):
        """Pooling that trusts in padding on the left."""

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return {**features, "sentence_embedding": features["token_embeddings"][:, -1]}

    library = make_library(tmp_path, "qwen2", padding_side="left", **DECODERS["qwen2"])
    library[1] = Last()
    texts = ["a cat", LONG, "the dog"]
    found = ContextualModel(library, cache=None).encode(texts)
    np.testing.assert_allclose(found, alone(library, texts), atol=1e-4)


def test_large_features_are_compared_by_their_size(tmp_path: Path) -> None:
    library = make_library(tmp_path, "bert", intermediate_size=32)
    library.append(Dense(16, 16, activation_function=None))
    with torch.no_grad():
        library[2].linear.weight.mul_(1e5)
    assert ContextualModel(library).batching == "padded"


# ---- texts without tokens ----


@pytest.mark.parametrize("pooling", ["mean", "lasttoken", "cls", "max"])
@pytest.mark.parametrize("architecture", DECODERS)
def test_a_text_without_tokens_has_features_of_zeros(
    tmp_path: Path, architecture: str, pooling: str
) -> None:
    config = DECODERS[architecture]
    library = make_library(tmp_path, architecture, pooling=pooling, special=False, **config)
    model = ContextualModel(library, cache=None)
    for texts in (["", "a cat", LONG, " "], [""]):
        found = model.encode(texts)
        filled = [i for i, text in enumerate(texts) if text.strip()]
        np.testing.assert_array_equal(np.delete(found, filled, axis=0), 0)
        if filled:
            expected = alone(library, [texts[i] for i in filled])
            np.testing.assert_allclose(found[filled], expected, atol=1e-4)
    assert model.count_tokens(["", "a cat"]).tolist() == [0, 2]


@pytest.mark.parametrize("adaptation", ["frozen", "top-1", "full", CONTRASTIVE])
def test_texts_without_tokens_in_a_fit(tmp_path: Path, adaptation: Any) -> None:
    library = make_library(tmp_path, "gpt2", special=False, **DECODERS["gpt2"])
    texts = ["", "", "good film", "bad film", "great plot", "awful plot", " ", "\t"] * 3
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 1] * 3)
    options = {"max_epochs": 2, "batch_size": 2} if adaptation in ("top-1", "full") else {}
    fitted = FineTunedClassifier(library, adaptation=adaptation, random_state=0, **options)
    found = fitted.fit(texts, labels).predict_proba(texts)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(fitted.predict_proba([""])[0], found[0], atol=1e-5)
    np.testing.assert_allclose(fitted.predict_proba(["bad film"])[0], found[3], atol=1e-5)


def test_only_texts_without_tokens(tmp_path: Path) -> None:
    library = make_library(tmp_path, "gpt2", special=False, **DECODERS["gpt2"])
    fitted = FineTunedClassifier(library, adaptation="top-1", max_epochs=1, random_state=0)
    fitted.fit(["", " "] * 4, [0, 1] * 4)
    assert np.isfinite(fitted.predict_proba(["", "a cat"])).all()


# ---- the longest text ----


def test_positions_without_a_limit(tmp_path: Path) -> None:
    library = make_library(tmp_path, "xlnet", d_inner=32, d_head=8, padding_side="left")
    assert library[0].config.max_position_embeddings == -1
    model = ContextualModel(library, cache=None)
    texts = ["a cat", LONG * 20]
    np.testing.assert_allclose(model.encode(texts), alone(library, texts), atol=1e-4)
    assert model.max_tokens > 100
    fitted = FineTunedClassifier(model, adaptation="top-1", max_epochs=1, random_state=0)
    fitted.fit(["a cat", "the dog ran"] * 4, [0, 1] * 4)
    expected = [fitted.predict_proba([text])[0] for text in texts]
    np.testing.assert_allclose(fitted.predict_proba(texts), expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_positions_that_begin_after_padding(tmp_path: Path, architecture: str) -> None:
    config = {"intermediate_size": 32, "max_position_embeddings": 22}
    library = make_library(tmp_path, architecture, **config)
    table = library[0].model.embeddings.position_embeddings
    model = ContextualModel(library, cache=None)
    assert model.max_tokens == 22 - table.padding_idx - 1
    features = model.encode([LONG * 3, "a cat"])
    assert np.isfinite(features).all()
    assert ContextualModel(library, max_tokens=500).max_tokens == model.max_tokens


# ---- routers ----


@pytest.mark.parametrize("route", ["query", "document"])
def test_the_route_in_use_gives_the_features(tmp_path: Path, route: str) -> None:
    library = make_router(tmp_path, route)
    model = ContextualModel(library, cache=None)
    texts = ["a cat", LONG]
    np.testing.assert_allclose(model.encode(texts), alone(library, texts), atol=1e-4)
    library.save(str(tmp_path / "saved"), create_model_card=False)
    again = ContextualModel(tmp_path / "saved", cache=None).encode(texts)
    np.testing.assert_allclose(again, alone(open_library(tmp_path / "saved"), texts), atol=1e-4)


def test_the_dimension_is_that_of_the_route(tmp_path: Path) -> None:
    library = make_router(tmp_path, "document")
    library[0].sub_modules["document"].append(Dense(16, 5))
    assert ContextualModel(library).encode(["a cat"]).shape == (1, 5)


def test_a_mapping_of_texts_to_a_route(tmp_path: Path) -> None:
    library = make_router(tmp_path, "query", route_mappings={(None, "text"): "document"})
    texts = ["a cat", LONG]
    found = ContextualModel(library, cache=None).encode(texts)
    np.testing.assert_allclose(found, alone(library, texts), atol=1e-4)


def test_a_router_without_a_route_for_any_task(tmp_path: Path) -> None:
    library = make_router(tmp_path, None, allow_empty_key=False)
    with pytest.raises(VectorFormatError, match=r"none for texts of any task.*default_route="):
        ContextualModel(library).encode(["a cat"])


# ---- prompts ----


@pytest.mark.parametrize("special", [True, False])
def test_a_prompt_that_is_left_out_of_pooling(tmp_path: Path, special: bool) -> None:
    library = make_library(tmp_path, "bert", intermediate_size=32, special=special)
    library[1] = Pooling(16, pooling_mode="mean", include_prompt=False)
    library.prompts, library.default_prompt_name = {"query": "a good dog "}, "query"
    texts = ["the cat", LONG]
    found = ContextualModel(library, cache=None).encode(texts)
    np.testing.assert_allclose(found, alone(library, texts), atol=1e-4)


def test_truncated_features_have_one_meaning(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path)
    opened = open_library(folder, truncate_dim=6)
    opened.save(str(tmp_path / "saved"), create_model_card=False)
    labels = [i % 2 for i in range(len(TEXTS))]
    for source in (opened, tmp_path / "saved"):
        model = ContextualModel(source)
        assert model.dim == 6
        np.testing.assert_allclose(model.encode(TEXTS), opened.encode(TEXTS), atol=1e-5)
        for adaptation in ("frozen", "full", "top-1", CONTRASTIVE):
            options = {"max_epochs": 1} if adaptation in ("full", "top-1") else {}
            fitted = FineTunedClassifier(model, adaptation=adaptation, random_state=0, **options)
            assert fitted.fit(TEXTS, labels).transform(TEXTS).shape == (len(TEXTS), 6)
