from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from contextual_toys import DIM, open_library

from sklearn_transfer import ContextualModel, PretrainedEmbeddingTransformer, PretrainedVectors


@pytest.fixture
def model(tiny_model: Path) -> ContextualModel:
    return ContextualModel(tiny_model)


def upstream(folder: Path, texts: list[str]) -> np.ndarray:
    return open_library(folder).encode(texts, show_progress_bar=False)


def test_distilled_tokens_are_the_features_of_each_alone(tiny_model: Path, model: ContextualModel):
    table = model.distill(n_components=None)
    assert isinstance(table, PretrainedVectors)
    assert table.tokenizer is not None
    position = table.words.find(["cat", "film"])
    alone = upstream(tiny_model, ["cat", "film"])
    np.testing.assert_allclose(table.matrix[position], alone, atol=1e-5)
    share = 1 / np.arange(2, len(table) + 2)
    expected = 1e-4 / (1e-4 + share / share.sum())
    np.testing.assert_allclose(table.scales, expected, rtol=1e-5)
    embedded = PretrainedEmbeddingTransformer(table).fit_transform(["the cat", "zebra"])
    assert embedded.shape == (2, DIM)
    assert embedded[0].any()
    assert not embedded[1].any()  # of unknown tokens


def test_distilled_with_fewer_dimensions(model: ContextualModel, tmp_path: Path):
    table = model.distill(n_components=4)
    assert table.dim == 4
    table.write(tmp_path / "static", format="model2vec")
    again = PretrainedVectors.load(tmp_path / "static")
    np.testing.assert_allclose(again[["cat", "dog"]], table[["cat", "dog"]], rtol=1e-5)


def test_distilled_words_and_texts(tiny_model: Path, model: ContextualModel):
    words = model.distill(["cat", "zebra", "cat"], n_components=None)
    assert list(words.words) == ["cat", "zebra"]
    texts = model.distill(["The cat, the dog", "the film"], n_components=None)
    assert list(texts.words) == ["the", "cat", "dog", "film"]
    np.testing.assert_allclose(texts.scales[0], 1e-4 / (1e-4 + 3 / 6), rtol=1e-5)
    np.testing.assert_allclose(texts.matrix[1], upstream(tiny_model, ["cat"])[0], atol=1e-5)


def test_a_prompt_is_no_part_of_a_token(tiny_model: Path, model: ContextualModel):
    prompted = ContextualModel(tiny_model, prompt="the good film ")
    np.testing.assert_allclose(
        prompted.distill(n_components=None).matrix,
        model.distill(n_components=None).matrix,
        atol=1e-6,
    )


def test_nothing_to_distil(model: ContextualModel):
    with pytest.raises(ValueError, match="at least one word"):
        model.distill(["? !"])
    with pytest.raises(ValueError, match="n_components must be a positive number"):
        model.distill(n_components=0)
