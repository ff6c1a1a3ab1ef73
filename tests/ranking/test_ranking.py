"""rank_pretrained: candidates of every kind, the table of results, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from gensim.models import KeyedVectors
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sklearn_transfer._utils.optional
from sklearn_transfer import (
    ContinuedVectors,
    MissingDependencyError,
    PretrainedEmbeddingTransformer,
    rank_pretrained,
)
from sklearn_transfer.ranking.ranking import SCORES, Ranking
from sklearn_transfer.ranking.scores import h_score, logme, nearest_class_mean


def scores_of(ranking, name):
    (row,) = (row for row in ranking if row.name == name)
    return row[1:5]


def expected_scores(features, y):
    return *(score(features, y) for score in (logme, h_score, nearest_class_mean)), len(features.T)


def embed(source, texts):
    return PretrainedEmbeddingTransformer(source).fit_transform(texts)


def check(candidate, X, y, features, **params):
    """A candidate is scored by these features."""
    found = rank_pretrained({"it": candidate}, X, y, **params)
    assert scores_of(found, "it") == pytest.approx(expected_scores(features, y))


class Drawing(TransformerMixin, BaseEstimator):
    """Features that are random numbers."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.rng_ = np.random.default_rng(self.random_state)
        return self

    def transform(self, X):
        return self.rng_.standard_normal((len(X), 3))


class Failing(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        raise KeyError("broken")

    def transform(self, X):
        return X


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# ---- what a candidate may be ----


def test_pretrained_vectors_are_scored_by_their_embeddings(vectors, reviews):
    texts, y = reviews
    check(vectors, texts, y, embed(vectors, texts))


def test_a_path_and_a_gensim_object_are_what_their_vectors_are(vectors, reviews, tmp_path):
    texts, y = reviews
    vectors.save(tmp_path / "saved")
    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(list(vectors.words), np.array(vectors.matrix))
    found = rank_pretrained({"path": tmp_path / "saved", "gensim": keyed}, texts, y)
    assert found[0][1:5] == found[1][1:5]
    check(str(tmp_path / "saved"), texts, y, embed(vectors, texts))


def test_a_list_of_sources_is_one_candidate(vectors, reviews):
    texts, y = reviews
    check([vectors, vectors], texts, y, embed([vectors, vectors], texts))


def test_a_transformer_is_fitted_on_a_clone(numbers):
    X, y = numbers
    scaler = StandardScaler()
    check(scaler, X, y, StandardScaler().fit_transform(X))
    assert not hasattr(scaler, "mean_")


def test_a_fitted_transformer_is_fitted_anew_and_left_as_it_was(numbers):
    X, y = numbers
    scaler = StandardScaler().fit(X[:5])
    mean = scaler.mean_.copy()
    check(scaler, X, y, StandardScaler().fit_transform(X))
    np.testing.assert_array_equal(scaler.mean_, mean)


def test_a_frozen_transformer_keeps_what_it_was_fitted_on(numbers):
    X, y = numbers
    pca = PCA(2).fit(X[:20])
    check(FrozenEstimator(pca), X, y, pca.transform(X))


def test_a_pipeline_over_texts_is_a_candidate(reviews):
    texts, y = reviews
    pipe = make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0))
    check(pipe, texts, y, pipe.fit_transform(texts))


def test_a_frame_of_features_is_read_by_its_values(numbers):
    X, y = numbers
    check(StandardScaler().set_output(transform="pandas"), X, y, StandardScaler().fit_transform(X))
    check(pd.DataFrame(X), X, y, X)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_features_are_taken_as_they_are_and_need_no_x(numbers, kind):
    X, y = numbers
    check(kind(X), None, y, X)


def test_continued_vectors_are_fitted_on_the_texts_in_a_clone(vectors, reviews):
    texts, y = reviews
    continued = ContinuedVectors(vectors, epochs=1)
    expected = embed(ContinuedVectors(vectors, epochs=1, random_state=3), texts)
    check(continued, texts, y, expected, random_state=3)
    assert not hasattr(continued, "vectors_")
    assert continued.random_state is None


# ---- modules ----


def make_module():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )


def test_a_module_is_scored_by_its_output_in_evaluation_mode(numbers):
    X, y = numbers
    module = make_module()
    with torch.no_grad():
        expected = make_module().eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    check(module, X.reshape(-1, 2, 4), y, expected)


def test_a_module_is_left_as_it_was(numbers):
    X, y = numbers
    module = make_module()
    module[3].eval()
    modes = [part.training for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    rank_pretrained([module], X, y)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_more_samples_than_a_batch_give_what_one_batch_gives():
    X = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    y = np.arange(600) % 3
    with torch.no_grad():
        expected = make_module().eval()(torch.tensor(X)).numpy()
    check(make_module(), X, y, expected)


def test_x_is_neither_changed_nor_made_writable_by_a_module(numbers):
    X = numbers[0].astype(np.float32)
    before = X.copy()
    X.flags.writeable = False
    rank_pretrained([nn.ReLU(inplace=True)], X, numbers[1])
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Lambda(lambda x: x[:, None]), r"must give .* \(n_samples, d\).* got shape \(120, 1, 8\)"),
        (Lambda(lambda x: x.sum()), r"must give .* \(n_samples, d\).* got shape \(\)"),
        (Lambda(lambda x: (x, x)), r"must give .* got an object of type tuple.*Wrap it"),
        (Lambda(lambda x: x / 0), r"gives NaN or infinite features for 120 of 120 samples"),
        (nn.Linear(5, 2), r"Linear, refused a batch of shape \(120, 8\)"),
    ],
)
def test_a_module_that_gives_no_features_is_refused_with_what_it_gave(numbers, module, message):
    with pytest.raises(ValueError, match=message) as caught:
        rank_pretrained({"odd one": module}, *numbers)
    assert "candidate 'odd one'" in caught.value.__notes__[0]


def test_a_module_refuses_texts(reviews):
    with pytest.raises(ValueError, match="reads an array of numbers, got texts"):
        rank_pretrained([nn.Linear(2, 2)], *reviews)


# ---- random numbers ----


def test_the_same_random_state_gives_the_same_ranking(numbers):
    X, y = numbers
    noisy = Lambda(lambda x: x + torch.randn_like(x))
    candidates = {"drawing": Drawing(), "pipe": make_pipeline("passthrough", Drawing()), "m": noisy}
    one, two = (rank_pretrained(candidates, X, y, random_state=3) for _ in range(2))
    other = rank_pretrained(candidates, X, y)
    for name in candidates:
        assert scores_of(one, name) == scores_of(two, name) != scores_of(other, name)
    assert scores_of(one, "drawing") == scores_of(one, "pipe")
    assert candidates["drawing"].random_state is None


def test_a_random_state_of_a_transformer_comes_first(numbers):
    check(Drawing(5), *numbers, Drawing(5).fit_transform(numbers[0]), random_state=3)


def test_global_generators_are_left_as_they_were(numbers):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    noisy = Lambda(lambda x: x + torch.randn_like(x))
    rank_pretrained([noisy, Drawing()], *numbers, random_state=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


# ---- the ranking ----


@pytest.fixture
def two(numbers):
    """Informative features, and noise."""
    return {"noise": np.random.default_rng(0).standard_normal((120, 9)), "signal": numbers[0]}


@pytest.mark.parametrize("score", SCORES)
def test_the_best_by_the_chosen_score_comes_first(two, numbers, score):
    found = rank_pretrained(two, None, numbers[1], score=score)
    assert [row.name for row in found] == ["signal", "noise"]
    assert getattr(found[0], score) > getattr(found[1], score)
    assert found.score == score


def test_the_order_of_candidates_does_not_matter(two, numbers):
    backwards = dict(reversed(two.items()))
    one, other = (rank_pretrained(c, None, numbers[1]) for c in (two, backwards))
    assert [row[:5] for row in one] == [row[:5] for row in other]


def test_equal_candidates_stay_in_the_order_given(numbers):
    found = rank_pretrained({"b": numbers[0], "a": numbers[0]}, None, numbers[1])
    assert [row.name for row in found] == ["b", "a"]


def test_a_sequence_names_candidates_by_what_they_are(numbers, vectors, tmp_path, reviews):
    found = rank_pretrained([numbers[0], StandardScaler()], *numbers)
    assert {row.name for row in found} == {"ndarray[0]", "StandardScaler[1]"}
    vectors.save(tmp_path / "saved")
    found = rank_pretrained((vectors, str(tmp_path / "saved")), *reviews)
    assert {row.name for row in found} == {"PretrainedVectors[0]", str(tmp_path / "saved")}
    (row,) = rank_pretrained([Path(tmp_path / "saved")], *reviews)
    assert row.name == str(tmp_path / "saved")


def test_rows_say_dimension_and_time(two, numbers):
    found = rank_pretrained(two, None, numbers[1])
    assert [row.dim for row in found] == [8, 9]
    assert all(row.seconds > 0 for row in found)


def test_a_ranking_is_a_sequence(two, numbers):
    found = rank_pretrained(two, None, numbers[1])
    assert isinstance(found, Ranking)
    assert len(found) == 2
    assert found[-1] in found
    assert found[:1] == (found[0],)


def test_the_repr_is_a_table_with_aligned_columns(two, numbers):
    found = rank_pretrained(two, None, numbers[1], score="h_score")
    title, header, *lines = repr(found).splitlines()
    assert title == "Ranking by h_score, best first"
    assert header.split() == list(found[0]._fields)
    assert [line.split()[0] for line in lines] == ["signal", "noise"]
    assert len({len(line) for line in (header, *lines)}) == 1


def test_the_notebook_view_is_a_table_whose_names_are_escaped(numbers):
    found = rank_pretrained({"<b>a&b</b>": numbers[0]}, None, numbers[1], score="h_score")
    shown = found._repr_html_()
    assert "&lt;b&gt;a&amp;b&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert "Ranking by h_score" in shown
    assert all(f">{name}</th>" in shown for name in found[0]._fields)


def test_the_frame_has_a_row_a_candidate(two, numbers):
    found = rank_pretrained(two, None, numbers[1])
    frame = found.to_frame()
    assert list(frame) == ["name", *SCORES, "dim", "seconds"]
    assert [tuple(row) for row in frame.itertuples(index=False)] == list(found)


def test_a_frame_without_pandas_names_the_extra(two, numbers, monkeypatch):
    def missing(module):
        raise ImportError(module)

    found = rank_pretrained(two, None, numbers[1])
    monkeypatch.setattr(sklearn_transfer._utils.optional.importlib, "import_module", missing)
    with pytest.raises(
        MissingDependencyError, match=r"Ranking\.to_frame needs the package 'pandas'"
    ):
        found.to_frame()


# ---- what is refused ----


@pytest.mark.parametrize("candidates", ["glove", b"glove", None, np.eye(3), nn.ReLU(), 3])
def test_candidates_that_are_not_several_are_refused_with_a_cure(candidates, numbers):
    with pytest.raises(TypeError, match=r"must be a mapping .* or a sequence .*into a list"):
        rank_pretrained(candidates, *numbers)


@pytest.mark.parametrize("candidates", [[], {}, ()])
def test_no_candidates_are_refused(candidates, numbers):
    message = f"at least one candidate, got an empty {type(candidates).__name__}"
    with pytest.raises(ValueError, match=message):
        rank_pretrained(candidates, *numbers)


@pytest.mark.parametrize("candidates", [["a", "a"], {1: "a", "1": "b"}])
def test_two_candidates_of_one_name_are_refused(candidates, numbers):
    name = "a" if isinstance(candidates, list) else "1"
    with pytest.raises(ValueError, match=f"name of its own, got '{name}' twice. Name them by a"):
        rank_pretrained(candidates, *numbers)


def test_an_unknown_score_is_refused_with_those_that_there_are(two, numbers):
    with pytest.raises(ValueError, match=r"'score' parameter of rank_pretrained.*'logme'.*'leep'"):
        rank_pretrained(two, None, numbers[1], score="leep")


def test_a_random_state_of_another_kind_is_refused(two, numbers):
    with pytest.raises(ValueError, match="'random_state' parameter of rank_pretrained"):
        rank_pretrained(two, None, numbers[1], random_state="0")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y must have one per sample, got None"),
        (["a"] * 120, "at least two classes, got one class: 'a'"),
        (
            np.eye(120, dtype=int),
            r"one label per sample, got an indicator matrix of shape \(120, 1",
        ),
        (np.linspace(0, 1, 120), "Unknown label type: continuous"),
        ([0.0, np.nan] * 60, "y contains NaN"),
    ],
)
def test_labels_that_are_not_one_of_several_classes_are_refused(two, y, message):
    with pytest.raises(ValueError, match=message):
        rank_pretrained(two, None, y)


def test_labels_of_another_length_than_x_are_refused(two, numbers):
    X, y = numbers
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[120, 119\]"):
        rank_pretrained(two, X, y[1:])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros(120), r"shape \(120, d\), a row for each label of y, got shape \(120,\)"),
        (np.zeros((120, 2, 2)), r"got shape \(120, 2, 2\). Give one vector"),
        (np.zeros((119, 2)), r"got shape \(119, 2\)"),
        (np.zeros((120, 0)), r"got shape \(120, 0\)"),
        (np.full((120, 2), "a"), "that holds numbers: could not convert"),
        (csr_array(np.eye(120)), "got a csr_array, which is sparse. .* TruncatedSVD"),
        (np.where(np.arange(240) == 7, np.nan, 0).reshape(120, 2), "in 1 of 120 rows, first in ro"),
        (np.where(np.arange(240) > 7, np.inf, 0).reshape(120, 2), "in 116 of 120 rows.*row 4. Imp"),
    ],
)
def test_features_that_are_not_a_finite_matrix_are_refused_by_name(numbers, features, message):
    with pytest.raises(ValueError, match=f"features of the candidate 'odd one' .*{message}"):
        rank_pretrained({"odd one": features}, None, numbers[1])


@pytest.mark.parametrize(
    ("candidate", "error", "message"),
    [
        (Failing(), KeyError, "broken"),
        (StandardScaler, TypeError, "class"),
        (None, TypeError, "must be a name, a path"),
        ("/nowhere/vectors.txt", FileNotFoundError, "nowhere"),
    ],
)
def test_the_error_of_a_candidate_keeps_its_type_and_names_the_candidate(
    numbers, candidate, error, message
):
    with pytest.raises(error, match=re.compile(message, re.DOTALL)) as caught:
        rank_pretrained({"odd one": candidate}, *numbers)
    assert "for the candidate 'odd one' of rank_pretrained, a" in caught.value.__notes__[0]


def test_texts_for_vectors_are_checked(vectors):
    with pytest.raises(TypeError, match="at position 1") as caught:
        rank_pretrained([vectors], ["good", 3], [0, 1])
    assert "candidate 'PretrainedVectors[0]'" in caught.value.__notes__[0]
