"""coef_, intercept_, their names, and the tokens that speak most for a target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, PretrainedVectors


def three_classes(reviews: Any) -> tuple[list[str], np.ndarray]:
    texts, labels = reviews
    third = np.arange(len(texts)) % 3 == 0
    return texts, np.array(["a", "b", "c"])[(labels == "yes").astype(int) + third]


@pytest.mark.parametrize(
    "training", [{}, {"optimizer": "adam", "max_epochs": 1}], ids=["convex", "adam"]
)
@pytest.mark.parametrize("sparse", [False, True])
def test_coefficients_of_features_are_those_of_scikit_learn(
    numbers: Any, training: dict[str, Any], sparse: bool
) -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    X, y = numbers
    samples = scipy_sparse.csr_array(X) if sparse else X
    settings = {"pretrained_scale": 2.0, "random_state": 0, **training}
    for target in (y, y > 0):
        model = FineTunedClassifier(**settings).fit(samples, target)
        theirs = LogisticRegression().fit(X, target)
        assert model.coef_.shape == theirs.coef_.shape
        assert model.intercept_.shape == theirs.intercept_.shape
        logits = X @ model.coef_.T + model.intercept_
        expected = model.decision_function(samples)
        np.testing.assert_allclose(logits.reshape(expected.shape), expected, atol=1e-4)
    for values in (X[:, 0] * 100 + 7, X[:, :2] * 100 + 7):
        regressor = FineTunedRegressor(**settings).fit(samples, values)
        ridge = Ridge().fit(X, values)
        assert regressor.coef_.shape == ridge.coef_.shape
        assert np.shape(regressor.intercept_) == np.shape(ridge.intercept_)
        predicted = X @ regressor.coef_.T + regressor.intercept_
        np.testing.assert_allclose(predicted, regressor.predict(samples), atol=0.01)


def test_names_of_features(numbers: Any) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = numbers
    assert FineTunedClassifier().fit(X, y).coef_names_.tolist() == [f"x{i}" for i in range(8)]
    frame = pandas.DataFrame(X, columns=[f"column {i}" for i in range(8)])
    assert FineTunedClassifier().fit(frame, y).coef_names_[7] == "column 7"


def test_features_can_be_selected(numbers: Any) -> None:
    X, y = numbers
    selected = SelectFromModel(FineTunedClassifier(), max_features=3, threshold=-np.inf).fit(X, y)
    assert selected.transform(X).shape == (len(X), 3)


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 3), (2, 2)], ids=str)
@pytest.mark.parametrize("chars", [None, (1, 3)], ids=["words", "characters"])
def test_names_of_the_columns_of_texts(
    vectors: PretrainedVectors, ngrams: tuple[int, int], chars: Any
) -> None:
    texts = ["good film", "a bad, bad film plot", "the good plot"]
    model = FineTunedClassifier(vectors, ngram_range=ngrams, char_ngram_range=chars)
    model.fit(texts, ["yes", "no", "yes"])
    names, design = model.coef_names_.tolist(), model._fitted.representation.features
    assert model.coef_.shape == (1, len(names))
    assert len(set(names)) == len(names)
    assert names[-4:] == [f"pretrained__{i}" for i in range(4)]
    for text in [*texts, "good bad film zork"]:
        words = text.replace(",", " ,").split()
        expected = {
            f"words__{' '.join(words[i : i + n])}"
            for n in range(ngrams[0], ngrams[1] + 1)
            for i in range(len(words) - n + 1)
        }
        if chars:
            expected |= {
                f"characters__{f' {word} '[i : i + n]}"
                for word in words
                for n in range(1, 4)
                for i in range(len(word) + 3 - n)
            }
        columns = design.transform([text]).sparse.indices
        assert {names[i] for i in columns} == expected & set(names)


def test_names_of_several_sources(vectors: PretrainedVectors, reviews: Any) -> None:
    model = FineTunedClassifier([vectors, vectors], adaptation="frozen").fit(*reviews)
    assert model.coef_names_[[0, 4]].tolist() == ["pretrained0__0", "pretrained1__0"]
    design = model._fitted.representation.features.transform(["good film"])
    logit = design.dense @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(logit[:, 0], model.decision_function(["good film"]), rtol=1e-5)


def test_networks_have_no_coefficients(vectors: PretrainedVectors, reviews: Any) -> None:
    model = FineTunedClassifier(vectors, encoder="cnn", max_epochs=1).fit(*reviews)
    assert not hasattr(model, "coef_")
    assert not hasattr(FineTunedClassifier(), "coef_")
    with pytest.raises(AttributeError, match=r"coef_ needs a linear model, .* hidden layers"):
        _ = model.coef_


NETWORKS = {
    "default": {"ngram_range": (1, 1)},
    "frozen": {"adaptation": "frozen"},
    "hidden": {"hidden_layer_sizes": (4,), "adaptation": "frozen"},
    "cnn": {"encoder": "cnn"},
    "mean": {"optimizer": "adam"},
}


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS.keys())
def test_top_tokens_are_opinions(
    vectors: PretrainedVectors, reviews: Any, settings: dict[str, Any]
) -> None:
    model = FineTunedClassifier(vectors, random_state=0, **settings)
    top = model.fit(*reviews).top_tokens(n=2)
    assert {label: sorted(token for token, _ in tokens) for label, tokens in top.items()} == {
        "no": ["awful", "bad"],
        "yes": ["good", "great"],
    }


def test_the_weight_of_a_word_is_its_contribution_alone(
    vectors: PretrainedVectors, reviews: Any
) -> None:
    model = FineTunedClassifier(vectors, ngram_range=(1, 2)).fit(*three_classes(reviews))
    top = model.top_tokens("b", n=1000)
    assert list(top) == ["b"]
    weights = dict(top["b"])
    assert sorted(weights.values(), reverse=True) == list(weights.values())
    assert set(weights) == {
        name.removeprefix("words__") for name in model.coef_names_ if name.startswith("words__")
    }
    alone = model.explain(["good", "film"], target="b")
    assert weights["good"] == pytest.approx(alone.sums[0, 0])
    assert weights["film"] == pytest.approx(alone.sums[1, 0])
    column = model.coef_names_.tolist().index("words__good film")
    assert weights["good film"] == pytest.approx(0.7 * model.coef_[1, column])
    with pytest.raises(ValueError, match="got 'x'"):
        model.top_tokens("x")
    with pytest.raises(ValueError, match="n must be a positive number of tokens, got 0"):
        model.top_tokens(n=0)


def test_top_tokens_of_a_regressor_have_signs(vectors: PretrainedVectors, reviews: Any) -> None:
    texts, labels = reviews
    model = FineTunedRegressor(vectors, ngram_range=(1, 1)).fit(texts, 100 * (labels == "yes"))
    top = dict(model.top_tokens(n=4)[0])
    assert set(top) == {"good", "great", "bad", "awful"}
    assert top["good"] > 1
    assert top["bad"] < -1


def test_features_have_no_tokens(numbers: Any) -> None:
    with pytest.raises(ValueError, match=r"top_tokens needs texts .* in coef_"):
        FineTunedClassifier().fit(*numbers).top_tokens()
