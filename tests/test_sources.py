from __future__ import annotations

import gc
import pickle
from pathlib import Path
from weakref import ref

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from gensim.models import FastText, KeyedVectors, Word2Vec
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from sklearn_transfer import (
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    VectorFormatError,
    clear_cache,
    load_pretrained,
)
from sklearn_transfer._utils.objects.cloning import VectorsEstimator
from sklearn_transfer.sources import (
    are_several,
    find_input_kind,
    load_sources,
    resolve_source,
)

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
        match=r"pretrained must be a name, a path, a PretrainedVectors, a ContextualModel, gensim "
        r"vectors, a SentenceTransformer, a pair "
        rf"\(words, matrix\) or a frame, got {type(source).__name__}: ",
    ):
        load_pretrained(source)


def test_a_long_source_is_cut_in_the_message() -> None:
    with pytest.raises(TypeError) as caught:
        load_pretrained([0] * 1000)
    assert len(str(caught.value)) < 250


WORDS = ["the", "cat", "sat"]
VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)
FRAMES = {
    "pandas": lambda: pd.DataFrame(VALUES, index=WORDS),
    "polars": lambda: pl.DataFrame({"word": WORDS, "vector": VALUES}),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_gives_its_words_and_numbers(frame: str) -> None:
    assert load_pretrained(FRAMES[frame]())["cat"].tolist() == [2, 3]


def test_a_changed_frame_is_seen() -> None:
    frame = FRAMES["pandas"]()
    assert load_pretrained(frame)["cat"].tolist() == [2, 3]
    frame.loc["cat"] = 7.0
    assert load_pretrained(frame)["cat"].tolist() == [7, 7]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_matrix_of_a_pair_is_not_copied(dtype: type) -> None:
    matrix = VALUES.astype(dtype)
    vectors = load_pretrained((WORDS, matrix))
    assert list(vectors.words) == WORDS
    assert np.shares_memory(vectors.matrix, matrix)
    assert matrix.flags.writeable


@pytest.mark.parametrize("words", [tuple, np.array, pd.Index, pd.Series, pl.Series])
def test_the_words_of_a_pair_are_any_sequence(words) -> None:
    assert list(load_pretrained((words(WORDS), VALUES)).words) == WORDS


def test_the_same_pair_is_one_object_as_long_as_it_is_held() -> None:
    pair = (list(WORDS), VALUES.copy())
    vectors = load_pretrained(pair)
    assert load_pretrained(pair) is vectors
    assert load_pretrained((list(WORDS), pair[1])) is vectors
    assert load_pretrained((pair[0], VALUES.copy())) is not vectors


@pytest.mark.parametrize("words", [tuple, np.array, pd.Index])
def test_a_pair_of_any_sequence_is_one_object(words) -> None:
    pair = (words(WORDS), VALUES.copy())
    vectors = load_pretrained(pair)
    assert load_pretrained(pair) is vectors


def test_another_word_in_the_list_of_a_pair_is_seen() -> None:
    pair = (list(WORDS), VALUES.copy())
    before = load_pretrained(pair)
    pair[0][1] = "dog"
    assert list(load_pretrained(pair).words) == ["the", "dog", "sat"]
    assert list(before.words) == WORDS


def test_another_value_in_the_matrix_of_a_pair_is_seen() -> None:
    for dtype in (np.float32, np.float64):
        pair = (WORDS, VALUES.astype(dtype))
        held = load_pretrained(pair)
        pair[1][0] = 9
        assert load_pretrained(pair)["the"].tolist() == [9, 9]
        del held


def test_a_matrix_is_not_kept_alive() -> None:
    matrix = VALUES.copy()
    held = ref(matrix)
    load_pretrained((WORDS, matrix))
    del matrix
    gc.collect()
    assert held() is None


@pytest.mark.parametrize(
    ("pair", "error", "message"),
    [
        (("cat", VALUES), TypeError, "words must be a sequence of str, in order"),
        (([1, 2, 3], VALUES), TypeError, "words must be strings, got int: 1"),
        ((["a", "b", "a"], VALUES), ValueError, "'a' occurs more than once"),
        ((["a", "b"], VALUES), ValueError, "got 2 words and 3 rows"),
        ((WORDS, VALUES + np.inf), ValueError, "holds NaN or infinity"),
        ((WORDS, VALUES.astype(object)), TypeError, r"a matrix of numbers, got object\. Convert"),
        ((WORDS, VALUES.astype(str)), TypeError, "a matrix of numbers, got <U"),
    ],
)
def test_what_is_wrong_with_a_pair_is_said(pair, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        load_pretrained(pair)


def test_a_pair_is_one_source_and_a_tuple_of_sources_several() -> None:
    pair, frame = (WORDS, VALUES), FRAMES["pandas"]()
    assert not are_several(pair)
    for several in ([pair], (frame, frame), ("name", frame), [pair, frame], (pair, pair)):
        assert are_several(several)
    assert [v.dim for v in load_sources([pair, frame])] == [2, 2]
    assert len(load_sources(pair)) == 1


@pytest.mark.parametrize("frame", FRAMES)
def test_clones_share_pairs_and_frames(frame: str) -> None:
    pair, frame = (WORDS, VALUES), FRAMES[frame]()
    assert clone(PretrainedEmbeddingTransformer(pair)).pretrained is pair
    assert clone(PretrainedEmbeddingTransformer(frame)).pretrained is frame
    several = clone(PretrainedEmbeddingTransformer([pair, frame])).pretrained
    assert several[0] is pair
    assert several[1] is frame


def test_estimators_use_a_pair_as_one_source() -> None:
    transformer = PretrainedEmbeddingTransformer((WORDS, VALUES))
    np.testing.assert_array_equal(transformer.fit_transform(["cat", "sat"]), VALUES[1:])
    assert isinstance(transformer.pretrained_, PretrainedVectors)


def test_a_search_goes_over_pairs_and_frames() -> None:
    model = make_pipeline(PretrainedEmbeddingTransformer(), DecisionTreeClassifier(random_state=0))
    candidates = [(WORDS, VALUES), FRAMES["pandas"](), FRAMES["polars"](), [(WORDS, VALUES)]]
    grid = {"pretrainedembeddingtransformer__pretrained": candidates}
    search = GridSearchCV(model, grid, cv=2).fit(["cat", "the"] * 4, ["a", "b"] * 4)
    assert search.cv_results_["mean_test_score"].tolist() == [1.0] * 4


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


def test_an_estimator_of_vectors_is_resolved_with_the_texts() -> None:
    vectors, learner = PretrainedVectors(["a"], [[1.0]]), Learner()
    assert resolve_source(learner) is learner
    assert resolve_source(vectors) is vectors
    assert list(resolve_source((WORDS, VALUES)).words) == WORDS


def test_an_opened_static_model_is_one_source_until_it_changes() -> None:
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from static_toys import word_level

    module = StaticEmbedding(word_level(), embedding_dim=3)
    model = library.SentenceTransformer(modules=[module], device="cpu")
    vectors = load_pretrained(model)
    assert isinstance(vectors, PretrainedVectors)
    assert load_pretrained(model) is vectors
    before = vectors["cat"]
    with torch.no_grad():
        module.embedding.weight.mul_(2)
    changed = load_pretrained(model)
    np.testing.assert_allclose(changed["cat"], 2 * before, rtol=1e-6)
    np.testing.assert_array_equal(vectors["cat"], before)


def test_parameters_are_set_and_sources_that_are_there_are_not_looked_up() -> None:
    transformer = PretrainedEmbeddingTransformer((WORDS, VALUES)).fit(["cat"])
    assert transformer.set_params(pretrained="org/no-such-model", pooling="max") is transformer
    assert (transformer.pretrained, transformer.pooling) == ("org/no-such-model", "max")
    unfitted = PretrainedEmbeddingTransformer().set_params(pretrained="org/no-such-model")
    assert unfitted.pretrained == "org/no-such-model"


@pytest.mark.filterwarnings("ignore:.*Put it back")
def test_missing_sources_are_given_anew_by_their_content(tmp_path: Path) -> None:
    path, moved = tmp_path / "vectors.txt", tmp_path / "moved.txt"
    path.write_text("cat 1 2\ndog 3 4\n")
    for pretrained in (path, [path, (WORDS, VALUES)]):
        content = pickle.dumps(PretrainedEmbeddingTransformer(pretrained).fit(["cat"]))
        path.rename(moved)
        clear_cache()
        opened = pickle.loads(content)
        given = moved if pretrained is path else [moved, (WORDS, VALUES)]
        opened.set_params(pretrained=given)
        assert opened.transform(["cat"])[0, :2].tolist() == [1, 2]
        moved.rename(path)


def test_an_empty_list_of_sources_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one source; got an empty list"):
        load_sources([])


def test_of_an_estimator_of_vectors_a_clone_is_fitted_on_the_texts() -> None:
    vectors, learner = PretrainedVectors(["a"], [[1.0]]), Learner()
    first, second = load_sources([vectors, learner], ["b", "c"])
    assert first is vectors
    assert list(second.words) == ["b", "c"]
    assert not hasattr(learner, "vectors_")


@pytest.mark.parametrize(
    ("pretrained", "kind"),
    [
        (None, "features"),
        (torch.nn.Linear(2, 2), "arrays"),
        ("org/no-such-model", "texts"),
        ([(WORDS, VALUES), "org/no-such-model"], "texts"),
    ],
)
def test_the_kind_of_input_is_told_without_a_look_up(pretrained: object, kind: str) -> None:
    assert find_input_kind(pretrained) == kind


def test_a_name_is_looked_up_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    calls = []

    def snapshot_download(name: str, **options: object) -> str:
        calls.append(name)
        return str(tiny_model)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    model = load_pretrained("org/some-model")
    transformer = PretrainedEmbeddingTransformer(model)
    transformer.fit_transform(["the cat"])
    assert transformer.fit_transform(["a dog"]).shape == (1, model.dim)
    assert calls == ["org/some-model"]
