"""Random vectors in place of pretrained ones."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_transfer import ContinuedVectors, PretrainedVectors
from sklearn_transfer.text.random_vectors import RandomVectors


def make(source, **params):
    defaults = {"tokenizer": None, "token_pattern": r"\w+", "lowercase": "auto", "random_state": 0}
    return RandomVectors(source, **{**defaults, **params})


def norms(vectors, words):
    return np.linalg.norm(vectors[words], axis=1)


def test_words_of_the_texts_get_other_vectors_of_the_same_norms(vectors):
    drawn = make(vectors).fit(["A good film!", "zork plot", "good"]).vectors_
    words = ["a", "good", "film", "plot"]
    assert set(drawn.words) == set(words)
    np.testing.assert_allclose(
        sorted(norms(drawn, words)), sorted(norms(vectors, words)), rtol=1e-5
    )
    cosine = np.sum(drawn[words] * vectors[words], axis=1)
    assert (np.abs(cosine) < 0.99 * norms(drawn, words) * norms(vectors, words)).all()


def test_a_seed_gives_the_same_vectors_and_another_one_others(vectors):
    one, two, other = (
        make(vectors, random_state=seed).fit(["good film"]).vectors_["film"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_directions_are_uniform():
    words = [f"w{i}" for i in range(2000)]
    drawn = make(PretrainedVectors(words, np.ones((2000, 3)))).fit([" ".join(words)]).vectors_
    np.testing.assert_allclose(drawn.matrix.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(norms(drawn, words), np.sqrt(3), rtol=1e-5)


def test_cased_vectors_keep_the_case_of_the_texts(tiny):
    source = PretrainedVectors.from_table(tiny)
    drawn = make(source).fit(["The cat", "Paris CAT"]).vectors_
    assert set(drawn.words) == {"The", "cat", "Paris", "CAT"}


def test_the_tokenizer_of_the_estimator_is_used(vectors):
    drawn = make(vectors, tokenizer=lambda text: text.split("_")).fit(["good_film", "plot film"])
    assert set(drawn.vectors_.words) == {"good", "film"}


def test_an_estimator_of_vectors_is_fitted_first(vectors):
    source = ContinuedVectors(vectors, epochs=1, min_count=1, random_state=0)
    drawn = clone(make(source)).fit(["good zork film", "zork plot"]).vectors_
    assert "zork" in drawn


def test_texts_without_a_known_word_give_an_empty_table(vectors):
    assert len(make(vectors).fit(["zork"]).vectors_) == 0


def test_another_source_is_refused():
    pytest.importorskip("sentence_transformers", reason="the extra contextual")
    from sklearn_transfer import ContextualModel

    with pytest.raises(TypeError, match="must be a table of word vectors"):
        make(ContextualModel("all-MiniLM-L6-v2")).fit(["a"])
