from __future__ import annotations

import copy
import hashlib
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gensim.models import KeyedVectors
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    clear_cache,
    load_pretrained,
)
from sklearn_transfer.vectors.table.oov import Subwords
from sklearn_transfer.vectors.table.table import Table

# In conftest, "zork" is a word of the reviews that the vectors do not have.


@pytest.fixture
def continued(vectors) -> ContinuedVectors:
    return ContinuedVectors(vectors, random_state=0)


def make_estimator(kind: type, pretrained: object) -> object:
    return kind(pretrained, **({"random_state": 0} if kind is FineTunedClassifier else {}))


every_door = pytest.mark.parametrize("kind", [PretrainedEmbeddingTransformer, FineTunedClassifier])


def test_vectors_of_all_words_of_the_source_and_of_the_texts(continued, vectors, reviews) -> None:
    assert continued.fit(reviews[0]) is continued
    assert list(continued.vectors_.words) == [*vectors.words, "zork"]
    assert continued.vectors_.matrix.dtype == np.float32
    np.testing.assert_array_equal(continued.vectors_["poor"], vectors["poor"])


def test_unlabelled_texts_are_trained_on_as_those_of_fit(continued, reviews) -> None:
    texts, _ = reviews
    whole = clone(continued).fit(texts).vectors_
    parts = clone(continued).set_params(unlabelled=texts[20:]).fit(texts[:20]).vectors_
    np.testing.assert_array_equal(parts.matrix, whole.matrix)


@pytest.mark.parametrize("container", [tuple, np.array, pd.Series, iter])
def test_every_container_of_texts_gives_the_same(continued, reviews, container) -> None:
    texts, _ = reviews
    expected = clone(continued).set_params(unlabelled=texts).fit(texts).vectors_
    found = clone(continued).set_params(unlabelled=container(texts)).fit(container(texts)).vectors_
    np.testing.assert_array_equal(found.matrix, expected.matrix)


def test_parameters_are_stored_untouched_and_left_by_fit(continued, reviews) -> None:
    before = continued.get_params()
    continued.fit(reviews[0])
    assert continued.get_params() == before
    for name, value in before.items():
        assert getattr(type(continued)(**{name: value}), name) is value


def test_a_tokenizer_is_used(continued) -> None:
    texts = ["good-film-plot"] * 50
    continued.set_params(tokenizer=lambda text: text.split("-")).fit(texts)
    assert continued.vectors_.words[-1] == "a"  # nothing new
    assert not np.array_equal(continued.vectors_["film"], continued.pretrained["film"])


def test_lower_case_vectors_see_lower_case(continued) -> None:
    continued.fit(["GOOD Zork Film", "Good ZORK film"] * 25)
    assert continued.vectors_.words[-1] == "zork"
    assert not np.array_equal(continued.vectors_["good"], continued.pretrained["good"])


def test_cased_vectors_see_words_as_they_stand_then_in_lower_case() -> None:
    vectors = PretrainedVectors(["Paris", "film", "us", "US"], np.eye(4))
    texts = ["Paris Film US Zork"] * 50
    found = ContinuedVectors(vectors, random_state=0).fit(texts).vectors_
    assert list(found.words) == [*vectors.words, "zork"]
    moved = (found.matrix[:4] != vectors.matrix).any(axis=1)
    assert moved.tolist() == [True, True, False, True]
    found = ContinuedVectors(vectors, lowercase=False, random_state=0).fit(texts).vectors_
    assert list(found.words) == [*vectors.words, "Film", "Zork"]


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0)])
def test_a_seed_gives_the_same_bits(continued, reviews, random_state) -> None:
    one, two = (
        clone(continued).set_params(random_state=copy.deepcopy(random_state)).fit(reviews[0])
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.vectors_.matrix, two.vectors_.matrix)


def test_without_a_seed_fits_differ(continued, reviews) -> None:
    one, two = (clone(continued).set_params(random_state=None).fit(reviews[0]) for _ in range(2))
    assert not np.array_equal(one.vectors_.matrix, two.vectors_.matrix)


_SCRIPT = """
import hashlib
from sklearn_transfer import ContinuedVectors, PretrainedVectors
vectors = PretrainedVectors(["good", "bad", "film"], [[1.0, 0.2], [-1.0, 0.2], [0.0, 1.0]])
found = ContinuedVectors(vectors, random_state=0).fit(["good film zork", "bad film a zork"] * 9)
digest = hashlib.sha256(found.vectors_.matrix.tobytes()).hexdigest()
"""


def test_another_process_gives_the_same_bits() -> None:
    here: dict[str, str] = {"hashlib": hashlib}
    exec(_SCRIPT, here)
    there = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{_SCRIPT}\nprint(digest)"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "12345"},
    )
    assert there.stdout.strip() == here["digest"]
    assert there.stderr == ""


@pytest.mark.parametrize("random_state", [None, 0])
def test_global_generators_are_left_as_found(continued, reviews, random_state) -> None:
    states = lambda: (random.getstate(), np.random.get_state()[1].tolist())  # noqa: E731, NPY002
    before = states()
    continued.set_params(random_state=random_state).fit(reviews[0])
    assert states() == before


def test_clone_shares_vectors_and_texts_and_forgets_the_fit(continued, vectors, reviews) -> None:
    continued.set_params(unlabelled=reviews[0]).fit(reviews[0])
    copied = clone(continued)
    assert copied is not continued
    assert copied.get_params() == continued.get_params()
    assert copied.pretrained is vectors
    assert copied.unlabelled is reviews[0]
    assert not hasattr(copied, "vectors_")


def test_a_gensim_object_inside_is_not_copied(vectors) -> None:
    keyed = KeyedVectors(4)
    keyed.add_vectors(list(vectors.words), vectors.matrix)
    outer = clone(FineTunedClassifier(ContinuedVectors(keyed)))
    assert outer.pretrained.pretrained is keyed


def test_pickle_gives_the_same_vectors(continued, reviews) -> None:
    again = pickle.loads(pickle.dumps(continued.fit(reviews[0])))
    np.testing.assert_array_equal(again.vectors_.matrix, continued.vectors_.matrix)
    assert list(again.vectors_.words) == list(continued.vectors_.words)


@pytest.mark.parametrize("form", ["table", "fasttext", "float16", "shared rows", "chain"])
def test_a_pickle_holds_the_difference(form: str, tmp_path: Path, reviews) -> None:
    rng = np.random.default_rng(0)
    words = ["good", "bad", "film", *(f"word{i}" for i in range(5000))]
    source = PretrainedVectors(words, rng.normal(size=(len(words), 8)).astype(np.float32))
    if form == "float16":
        source = source.astype("float16")
    elif form == "shared rows":
        source = source.astype("int8")
    source = source.save(tmp_path / "vectors")
    if form == "fasttext":
        table = Table(
            source.words, source.matrix, Subwords(rng.normal(size=(999, 8)).astype("f4"), 3, 4)
        )
        source = PretrainedVectors.from_table(table).save(tmp_path / "ngrams")
    fitted = ContinuedVectors(source, min_count=1, random_state=0).fit(reviews[0])
    if form == "chain":
        fitted = ContinuedVectors(fitted.vectors_, min_count=1, random_state=1).fit(reviews[0])
    content = pickle.dumps(fitted)
    assert len(content) < 0.3 * fitted.vectors_.matrix.nbytes
    for again in (pickle.loads(content), pickle.loads(pickle.dumps(pickle.loads(content)))):
        assert again.vectors_.matrix.tobytes() == fitted.vectors_.matrix.tobytes()
        assert list(again.vectors_.words) == list(fitted.vectors_.words)
        unknown = again.vectors_.look_up(["goodness"], oov="subword")[1]
        np.testing.assert_array_equal(
            unknown, fitted.vectors_.look_up(["goodness"], oov="subword")[1]
        )


def test_the_source_of_a_pickle_is_found_later(tmp_path: Path, vectors, reviews) -> None:
    source = vectors.save(tmp_path / "vectors")
    model = FineTunedClassifier(ContinuedVectors(source, random_state=0)).fit(*reviews)
    expected, content = model.predict_proba(reviews[0]), pickle.dumps(model)
    moved = (tmp_path / "vectors").rename(tmp_path / "moved")
    clear_cache()
    with pytest.warns(UserWarning, match=r"not there\. Put it back"):
        again = pickle.loads(content)
    assert again.pretrained_.is_missing
    with pytest.raises(FileNotFoundError, match=r"not there\. Put it back"):
        again.predict_proba(reviews[0])
    load_pretrained(moved)
    np.testing.assert_array_equal(again.predict_proba(reviews[0]), expected)
    assert not again.pretrained_.is_missing


@every_door
def test_a_door_fits_a_clone_on_its_texts(kind, continued, reviews) -> None:
    texts, labels = reviews
    fitted = make_estimator(kind, continued).fit(texts, labels)
    assert fitted.pretrained is continued
    assert not hasattr(continued, "vectors_")
    expected = clone(continued).fit(texts).vectors_
    np.testing.assert_array_equal(fitted.pretrained_.matrix, expected.matrix)
    same = make_estimator(kind, expected).fit(texts, labels)
    np.testing.assert_array_equal(fitted.transform(texts), same.transform(texts))
    assert fitted.coverage_ == same.coverage_ == 1


@every_door
def test_a_fitted_one_is_fitted_anew_and_its_vectors_are_not(kind, continued, reviews) -> None:
    texts, labels = reviews
    continued.fit(texts[:10])
    vectors = continued.vectors_
    fitted = make_estimator(kind, continued).fit(texts, labels)
    assert fitted.pretrained_ is not vectors
    assert not np.array_equal(fitted.pretrained_["good"], vectors["good"])
    assert continued.vectors_ is vectors
    assert make_estimator(kind, vectors).fit(texts, labels).pretrained_ is vectors


@every_door
def test_clones_of_a_door_clone_it(kind, continued, vectors) -> None:
    for pretrained in (continued, [vectors, continued], (continued, vectors)):
        outer = make_estimator(kind, pretrained)
        inner = clone(outer).pretrained
        assert type(inner) is type(pretrained)
        if pretrained is not continued:
            assert inner[pretrained.index(vectors)] is vectors
            inner = inner[pretrained.index(continued)]
        assert inner is not continued
        assert inner.get_params() == continued.get_params()
        inner.set_params(epochs=3)
        assert continued.epochs == 5


@every_door
def test_it_may_stand_in_a_list(kind, continued, vectors, reviews) -> None:
    texts, labels = reviews
    fitted = make_estimator(kind, [vectors, continued]).fit(texts, labels)
    assert fitted.pretrained_[0] is vectors
    assert "zork" in fitted.pretrained_[1]


@every_door
def test_pickles_of_a_door_give_the_same(kind, continued, reviews) -> None:
    texts, labels = reviews
    fitted = make_estimator(kind, continued).fit(texts, labels)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(texts), fitted.transform(texts))


@pytest.mark.parametrize(
    "options", [{}, {"adaptation": "frozen"}, {"hidden_layer_sizes": (4,), "max_epochs": 5}]
)
def test_a_search_reaches_its_parameters(continued, reviews, options) -> None:
    model = FineTunedClassifier(continued, random_state=0, **options)
    assert model.get_params()["pretrained__pull"] == 0.1
    grid = {"pretrained__epochs": [1, 2], "pretrained__pull": [0.0, 0.5]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(*reviews)
    assert search.best_estimator_.pretrained.epochs == search.best_params_["pretrained__epochs"]
    assert continued.epochs == 5


def test_a_search_chooses_between_it_and_fixed_vectors(continued, vectors, reviews) -> None:
    pipeline = make_pipeline(PretrainedEmbeddingTransformer(), LogisticRegression())
    key = "pretrainedembeddingtransformer__pretrained"
    search = GridSearchCV(pipeline, {key: [vectors, continued]}, cv=2, error_score="raise")
    assert np.isfinite(search.fit(*reviews).cv_results_["mean_test_score"]).all()


def test_cross_validation_sees_the_training_texts_alone(continued, reviews, monkeypatch) -> None:
    seen = []
    fit = ContinuedVectors.fit
    monkeypatch.setattr(
        ContinuedVectors, "fit", lambda self, X, y=None: seen.append(list(X)) or fit(self, X)
    )
    texts, labels = reviews
    cross_val_score(FineTunedClassifier(continued), texts, labels, cv=3, error_score="raise")
    assert [len(part) for part in seen] == [40, 40, 40]


def test_held_out_rows_are_not_trained_on(continued, reviews, monkeypatch) -> None:
    seen = []
    fit = ContinuedVectors.fit
    monkeypatch.setattr(
        ContinuedVectors, "fit", lambda self, X, y=None: seen.append(list(X)) or fit(self, X)
    )
    settings = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
    FineTunedClassifier(continued, early_stopping=True, **settings).fit(*reviews)
    assert [len(part) for part in seen] == [54]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("pull", 1.5),
        ("pull", -0.1),
        ("window", 0),
        ("negative", 0),
        ("min_count", 0),
        ("lr", 0.0),
        ("lr", 2.0),
        ("lowercase", "never"),
        ("token_pattern", None),
        ("random_state", "a"),
        ("n_jobs", 1.5),
    ],
)
def test_values_that_are_not_allowed_are_named_also_inside_another_estimator(
    continued, reviews, name, value
) -> None:
    continued.set_params(**{name: value})
    for estimator in (continued, FineTunedClassifier(continued)):
        with pytest.raises(ValueError, match=f"The '{name}' parameter of ContinuedVectors must be"):
            estimator.fit(*reviews)


@pytest.mark.parametrize("pretrained", [3, None, [3]])
def test_what_is_no_source_is_refused(continued, reviews, pretrained) -> None:
    with pytest.raises(TypeError, match="pretrained must be a name, a path, a PretrainedVectors"):
        continued.set_params(pretrained=pretrained).fit(reviews[0])


def test_it_is_no_source_without_texts(continued) -> None:
    with pytest.raises(TypeError, match="got ContinuedVectors"):
        load_pretrained(continued)


def test_strange_texts_are_named_with_where_they_are(continued, reviews) -> None:
    with pytest.raises(ValueError, match=r"ContinuedVectors expected .* got a single str"):
        continued.fit("a good film")
    with pytest.raises(TypeError, match=r"ContinuedVectors expected .* NoneType at position 1"):
        continued.fit(["a good film", None])
    continued.set_params(unlabelled=["a", 3])
    with pytest.raises(TypeError, match=r"ContinuedVectors\.unlabelled .* int at position 1"):
        continued.fit(reviews[0])
    continued.set_params(unlabelled="a text")
    with pytest.raises(ValueError, match=r"ContinuedVectors\.unlabelled .* got a single str"):
        continued.fit(reviews[0])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["good film", "?"], "No word occurs at least min_count=2 times: the texts have 2 tokens"),
        (["zork zork"], "None of the 1 distinct words that occur at least min_count=2 times"),
    ],
)
@every_door
def test_texts_to_learn_nothing_from_are_refused_through_a_door(
    continued, kind, texts, message
) -> None:
    with pytest.raises(ValueError, match=message):
        make_estimator(kind, continued).fit([*texts, ""], ["a", "b", "a"][: len(texts) + 1])


def test_its_vectors_are_not_there_before_fit(continued) -> None:
    with pytest.raises(AttributeError, match="vectors_"):
        _ = continued.vectors_
    with pytest.raises(NotFittedError):
        PretrainedEmbeddingTransformer(continued).transform(["a"])
