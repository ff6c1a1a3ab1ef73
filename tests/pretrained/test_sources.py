from __future__ import annotations

import gc
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec

from sklearn_transfer import PretrainedVectors, VectorFormatError, load_pretrained
from sklearn_transfer._validation import VectorsEstimator
from sklearn_transfer.pretrained.sources import load_sources

SENTENCES = [["the", "cat", "sat"], ["the", "dog", "sat"]]


@pytest.fixture
def keyed() -> KeyedVectors:
    vectors = KeyedVectors(2)
    vectors.add_vectors(["a", "b"], np.eye(2, dtype=np.float32))
    return vectors


@pytest.fixture(scope="module", params=[Word2Vec, FastText])
def model(request: pytest.FixtureRequest) -> Word2Vec:
    return request.param(SENTENCES, vector_size=4, min_count=1, seed=1, workers=1)


def test_pretrained_vectors_are_returned_as_they_are() -> None:
    vectors = PretrainedVectors(["a"], [[1.0]])
    assert load_pretrained(vectors) is vectors


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_opened(data: Path, kind: type) -> None:
    path = data / "word2vec.txt"
    assert load_pretrained(kind(path)) is PretrainedVectors.load(path)


def test_a_pickle_is_opened_only_on_request(data: Path) -> None:
    with pytest.raises(VectorFormatError, match="allow_pickle=True"):
        load_pretrained(data / "gensim.kv")
    assert len(load_pretrained(data / "gensim.kv", allow_pickle=True)) == 12


def test_gensim_vectors_are_used_and_not_copied(keyed: KeyedVectors) -> None:
    assert np.shares_memory(load_pretrained(keyed).matrix, keyed.vectors)


def test_models_give_their_word_vectors(model: Word2Vec) -> None:
    vectors = load_pretrained(model)
    assert list(vectors.words) == model.wv.index_to_key
    assert np.shares_memory(vectors.matrix, model.wv.vectors)


def test_only_fast_text_has_ngrams(model: Word2Vec) -> None:
    assert (load_pretrained(model).subwords is not None) == isinstance(model, FastText)


def test_a_model_and_its_vectors_are_one_source(model: Word2Vec) -> None:
    assert load_pretrained(model) is load_pretrained(model.wv)


def test_the_same_gensim_object_is_wrapped_once(keyed: KeyedVectors) -> None:
    assert load_pretrained(keyed) is load_pretrained(keyed)


def test_equal_gensim_objects_are_two_sources(keyed: KeyedVectors) -> None:
    other = KeyedVectors(2)
    other.add_vectors(["a", "b"], np.eye(2, dtype=np.float32))
    assert load_pretrained(keyed) is not load_pretrained(other)


def test_words_added_later_are_seen(keyed: KeyedVectors) -> None:
    load_pretrained(keyed)
    keyed.add_vectors(["c"], np.array([[3, 4]], dtype=np.float32))
    assert load_pretrained(keyed)["c"].tolist() == [3, 4]


def test_a_table_taken_before_words_were_added_stays_as_it_was(keyed: KeyedVectors) -> None:
    before = load_pretrained(keyed)
    keyed.add_vectors(["c"], np.array([[3, 4]], dtype=np.float32))
    load_pretrained(keyed)
    assert list(before.words) == ["a", "b"]
    np.testing.assert_array_equal(before.matrix, np.eye(2))


def test_another_matrix_in_the_same_object_is_seen(keyed: KeyedVectors) -> None:
    load_pretrained(keyed)
    keyed.vectors = keyed.vectors * np.float32(5)
    assert load_pretrained(keyed)["a"].tolist() == [5, 0]


def test_another_matrix_is_seen_where_it_had_to_be_copied() -> None:
    # A matrix that is freed leaves its address to the next one.
    keyed = KeyedVectors(2, dtype=np.float64)
    keyed.add_vectors(["a"], np.array([[1.0, 0.0]]))
    for value in range(20):
        keyed.vectors = None
        keyed.vectors = np.array([[float(value), 0.0]])
        assert load_pretrained(keyed)["a"].tolist() == [value, 0]


def test_a_gensim_object_is_not_kept_alive() -> None:
    source = KeyedVectors(2)
    source.add_vectors(["a"], np.ones((1, 2), dtype=np.float32))
    vectors, held = load_pretrained(source), ref(source)
    del source
    gc.collect()
    assert held() is None
    assert vectors["a"].tolist() == [1, 1]


@pytest.mark.parametrize("source", [3, None, {"a": [1.0]}, ["a"], np.eye(2)])
def test_what_is_no_source_is_named_with_its_type(source: object) -> None:
    with pytest.raises(
        TypeError,
        match=r"pretrained must be a name, a path, a PretrainedVectors or gensim vectors, got "
        rf"{type(source).__name__}: ",
    ):
        load_pretrained(source)


def test_a_long_source_is_cut_in_the_message() -> None:
    with pytest.raises(TypeError) as caught:
        load_pretrained([0] * 1000)
    assert len(str(caught.value)) < 200


class Learner(VectorsEstimator):
    """Its vectors are those of the texts, each a word."""

    def __init__(self, pretrained: object = None) -> None:
        self.pretrained = pretrained

    def fit(self, texts: list[str]) -> Learner:
        self.vectors_ = PretrainedVectors(texts, np.eye(len(texts)))
        return self


def test_one_source_or_several_become_a_list() -> None:
    vectors = PretrainedVectors(["a"], [[1.0]])
    assert load_sources(vectors) == [vectors]
    assert load_sources((vectors, vectors)) == [vectors, vectors]


def test_an_empty_list_of_sources_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one source; got an empty list"):
        load_sources([])


def test_of_an_estimator_of_vectors_a_clone_is_fitted_on_the_texts() -> None:
    vectors, learner = PretrainedVectors(["a"], [[1.0]]), Learner()
    first, second = load_sources([vectors, learner], ["b", "c"])
    assert first is vectors
    assert list(second.words) == ["b", "c"]
    assert not hasattr(learner, "vectors_")
