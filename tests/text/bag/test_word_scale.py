from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedVectors
from sklearn_transfer import load as load_model
from sklearn_transfer.text.bag.bag_features import BagFeatures
from sklearn_transfer.text.bag.word_scale import choose_word_scale
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.text.tokenization.tokens import Tokenization

VECTORS = PretrainedVectors(
    ["good", "bad", "film", "plot"], np.eye(4, 3, dtype=np.float32) + 0.1, name="tiny"
)
N_TEXTS = 240


def make(n_texts: int, *, words_tell: bool) -> tuple[list[str], Design, csr_array]:
    """Texts whose class either the words or the encoder tells; the other block is noise."""
    generator = np.random.default_rng(0)
    code = np.arange(n_texts) % 2
    signal = np.eye(2)[code] + generator.normal(0, 0.2, (n_texts, 2))
    noise = generator.normal(size=(n_texts, 20))
    words, encoder = (signal, noise) if words_tell else (noise, signal)
    blocks = [block / np.linalg.norm(block, axis=1, keepdims=True) for block in (words, encoder)]
    design = Design(csr_array(blocks[0].astype(np.float32)), 3 * blocks[1].astype(np.float32))
    membership = csr_array(np.eye(2)[code])
    return [f"text {i}" for i in range(n_texts)], design, membership


def choose(texts, design, membership, weight=None) -> float:
    is_encoder = np.ones(design.dense.shape[1], dtype=bool)
    weight = np.ones(len(texts)) if weight is None else weight
    return choose_word_scale(texts, design, is_encoder, membership, weight)


def test_words_are_scaled_by_their_use():
    scales = {tell: choose(*make(N_TEXTS, words_tell=tell)) for tell in (True, False)}
    assert scales == {True: 1.4, False: 0.5}


def test_the_scale_of_words_grows_with_texts_beyond_those_that_are_compared():
    assert choose(*make(1200, words_tell=True)) == 1.4
    assert choose(*make(2400, words_tell=True)) == pytest.approx(1.4 * 2**0.25)


def test_few_texts_and_values_have_the_least_scale():
    assert choose(*make(100, words_tell=True)) == 0.5
    texts, design, _ = make(N_TEXTS, words_tell=True)
    assert choose(texts, design, None) == 0.5


def test_losses_are_those_of_models_without_the_text():
    from sklearn_transfer.text.bag.word_scale import _loss_left_out

    generator = np.random.default_rng(1)
    features = generator.normal(size=(12, 4))
    target, weight = np.sign(generator.normal(size=(12, 3))), generator.uniform(0.5, 2, 12)
    kernel = features @ features.T
    expected = []
    for i in range(12):
        others = np.arange(12) != i
        inside = kernel[others][:, others] + 1 + np.diag(1 / weight[others])
        predicted = (kernel[i, others] + 1) @ np.linalg.solve(inside, target[others])
        expected.append(np.square(np.maximum(0, 1 - target[i] * predicted)).sum())
    assert _loss_left_out(kernel, target, weight) == pytest.approx(
        np.average(expected, weights=weight)
    )


def test_a_weight_of_two_is_two_texts():
    texts, design, membership = make(N_TEXTS, words_tell=True)
    weight = 1.0 + np.arange(N_TEXTS) % 2
    rows = np.repeat(np.arange(N_TEXTS), weight.astype(int))
    repeated = [texts[i] for i in rows], design[rows], membership[rows]
    assert choose(*repeated) == choose(texts, design, membership, weight)


def test_the_order_of_texts_does_not_matter():
    texts, design, membership = make(1500, words_tell=True)
    order = np.random.default_rng(0).permutation(1500)
    shuffled = [texts[i] for i in order], design[order], membership[order]
    assert choose(*shuffled) == choose(texts, design, membership)


def test_each_block_has_its_own_norm(tiny_model: Path):
    model = ContextualModel(tiny_model)
    tokens = Tokenization(None, r"(?u)\b\w\w+\b", "auto", None)
    features = BagFeatures(
        [VECTORS, model, model],
        tokens,
        char_ngram_range=None,
        encoder_scale=3.0,
        ngram_range=(1, 1),
    )
    texts = ["good film", "bad plot", "good plot", "bad film"]
    design = features.fit_transform(texts, csr_array(np.eye(2)[[0, 1, 0, 1]]), np.ones(4))
    assert features.word_scale == 1.5
    norms = [
        np.linalg.norm(design.dense[:, block.columns], axis=1).mean() for block in features.blocks
    ]
    expected = [1.5 * features.pretrained_scale, *[3 / np.sqrt(2)] * 2]
    np.testing.assert_allclose(norms, expected, rtol=1e-5)
    sparse = design.sparse.toarray()
    np.testing.assert_allclose(np.linalg.norm(sparse, axis=1), 1.5, rtol=1e-5)
    again = features.transform(texts)
    np.testing.assert_allclose(again.sparse.toarray(), sparse, rtol=1e-5)
    np.testing.assert_allclose(again.dense, design.dense, rtol=1e-5)


TEXTS = ["good film", "bad plot", "a good plot", "the bad film", "great", "awful"]
LABELS = ["yes", "no"] * 3


def test_model_files_keep_the_scales(tiny_model: Path, tmp_path: Path):
    model = FineTunedClassifier([VECTORS, ContextualModel(tiny_model)]).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(TEXTS), model.predict_proba(TEXTS), atol=1e-6)


def test_a_given_scale_is_that_of_all_sources(tiny_model: Path):
    sources = [VECTORS, ContextualModel(tiny_model)]
    model = FineTunedClassifier(sources, pretrained_scale=2.0, ngram_range=(1, 1))
    model.fit(TEXTS, LABELS)
    features = model.transform(TEXTS)[:, :19]
    np.testing.assert_allclose(np.linalg.norm(features[:, 3:], axis=1), np.sqrt(2.0), rtol=1e-5)
