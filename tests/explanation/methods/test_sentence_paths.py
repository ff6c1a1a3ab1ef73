"""Explanations of sentence encoders: words from pieces, completeness, lists of sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedVectors

pytest.importorskip("sentence_transformers")

TEXTS = ["the cat sat on the mat", "a good film", "the dog ran", "a great plot"]
TEXTS += ["it was bad", "a bad plot and awful film", "an awful cat", "the film was not good"]
LABELS = np.repeat(["yes", "no"], 4)
NEW = [
    "The good Films, and the dogs!",
    "",
    "zebra 猫 good",
    "the plot was very very bad and awful and not good and it was a bad film",
]
SETTINGS = {
    "frozen": {"adaptation": "frozen"},
    "hidden": {"adaptation": "frozen", "hidden_layer_sizes": (3,), "max_epochs": 2},
    "top": {"adaptation": "top-1", "max_epochs": 1},
    "contrastive": {"adaptation": "contrastive"},
}


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ContextualModel:
    return ContextualModel(tiny_model)


def fit(source: Any, **settings: Any) -> FineTunedClassifier:
    return FineTunedClassifier(source, random_state=0, **settings).fit(TEXTS, LABELS)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_words_of_a_sentence_encoder(encoder: ContextualModel, settings: dict[str, Any]) -> None:
    model = fit(encoder, **settings)
    explanation = model.explain(NEW, target="yes")
    np.testing.assert_allclose(
        explanation.logits[:, 0], model.decision_function(NEW), rtol=1e-5, atol=1e-6
    )
    assert explanation.gaps.max() < 0.01
    assert explanation[0].tokens.tolist() == [
        "The",
        "good",
        "Films",
        ",",
        "and",
        "the",
        "dogs",
        "!",
    ]
    assert explanation[2].tokens.tolist() == ["zebra", "猫", "good"]
    # Ten tokens and two special ones are the maximum.
    assert explanation[3].tokens.tolist() == NEW[3].split()[:10]
    for token, text, start, end in zip(
        explanation.tokens,
        np.arange(len(NEW)).repeat(np.diff(explanation.offsets)),
        explanation.start,
        explanation.end,
        strict=True,
    ):
        assert NEW[text][start:end] == token
    assert np.abs(explanation.contributions).min() > 0


def test_occlusion_removes_characters(encoder: ContextualModel) -> None:
    model = fit(encoder, adaptation="frozen")
    explanation = model.explain(["the good Films"], "yes", method="occlusion")
    whole, *others = model.decision_function(
        ["the good Films", " good Films", "the  Films", "the good "]
    )
    np.testing.assert_allclose(explanation.contributions[:, 0], whole - np.array(others), atol=1e-6)


@pytest.mark.parametrize("order", [0, 1], ids=["words first", "encoder first"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"adaptation": "frozen"},
        {"adaptation": "frozen", "hidden_layer_sizes": (3,), "max_epochs": 2},
    ],
    ids=["default", "frozen", "hidden"],
)
def test_lists_of_words_and_encoders(
    encoder: ContextualModel, vectors: PretrainedVectors, settings: dict[str, Any], order: int
) -> None:
    sources = [vectors, encoder]
    model = fit(sources[:: 1 - 2 * order], **settings)
    explanation = model.explain(NEW, target="yes")
    np.testing.assert_allclose(
        explanation.logits[:, 0], model.decision_function(NEW), rtol=1e-5, atol=1e-6
    )
    assert explanation.gaps.max() < 0.01
    assert explanation[0].tokens.tolist() == [
        "the",
        "good",
        "films",
        ",",
        "and",
        "the",
        "dogs",
        "!",
    ]
    # The table reads all words, the encoder the first ones.
    assert explanation[3].tokens.tolist() == NEW[3].split()


def test_a_word_that_only_the_encoder_reads_is_a_token(
    encoder: ContextualModel, vectors: PretrainedVectors
) -> None:
    model = fit([vectors, encoder], adaptation="frozen", token_pattern=r"[a-z]{4,}")
    explanation = model.explain(["the good cat"], target="yes")
    assert explanation.tokens.tolist() == ["the", "good", "cat"]
    assert explanation.gaps.max() < 0.01


def test_texts_of_equal_length_are_read_together(tmp_path: Path) -> None:
    toys = pytest.importorskip("contextual_toys")
    encoder = ContextualModel(toys.make_library(tmp_path, "fnet", num_hidden_layers=1))
    assert encoder.batching == "equal lengths"
    explanation = fit(encoder, adaptation="frozen").explain(NEW[:3])
    assert explanation.gaps.max() < 0.01


def test_a_prompt_is_no_token(tiny_model: Path) -> None:
    model = fit(ContextualModel(tiny_model, prompt="it was: "), adaptation="frozen")
    explanation = model.explain(["good film"])
    assert explanation.tokens.tolist() == ["good", "film"]
    assert explanation.start.tolist() == [0, 5]
    assert explanation.gaps.max() < 0.01


def test_the_encoder_is_unchanged(encoder: ContextualModel) -> None:
    before = encoder.encode(["the good cat"])
    fit(encoder, adaptation="frozen").explain(NEW)
    encoder.clear_cache()
    np.testing.assert_array_equal(encoder.encode(["the good cat"]), before)
    assert not any(part._forward_hooks for part in encoder.library_model.modules())
