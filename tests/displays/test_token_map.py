"""TokenMapDisplay: words before and after fine-tuning."""

import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedRegressor,
    MissingDependencyError,
    PretrainedVectors,
    TokenMapDisplay,
    load,
)


@pytest.fixture(scope="module")
def model(vectors, reviews):
    return FineTunedClassifier(
        vectors, optimizer="adam", hidden_layer_sizes=(3,), max_epochs=3, random_state=0
    ).fit(*reviews)


def rows_of(model):
    """Vectors of the words after fine-tuning."""
    words = list(model._fitted.representation.features.vocabulary)
    return dict(zip(words, model.module_.encoder.rows.detach().numpy(), strict=True))


def test_an_arrow_leads_from_the_pretrained_to_the_fine_tuned_vector(pyplot, model, vectors):
    display = TokenMapDisplay.from_estimator(model, words=["good", "bad", "film"])
    before, after = vectors[display.words], np.stack([rows_of(model)[w] for w in display.words])
    places = PCA(2, svd_solver="full").fit_transform(np.concatenate([before, after]))
    np.testing.assert_allclose(display.before, places[:3], atol=1e-5)
    np.testing.assert_allclose(display.after, places[3:], atol=1e-5)
    arrows = display.arrows_
    np.testing.assert_allclose(np.stack([arrows.X, arrows.Y], 1), places[:3], atol=1e-5)
    np.testing.assert_allclose(
        np.stack([arrows.U, arrows.V], 1), places[3:] - places[:3], atol=1e-5
    )
    assert [text.get_text() for text in display.texts_] == ["good", "bad", "film"]
    np.testing.assert_allclose([text.xy for text in display.texts_], places[3:], atol=1e-5)
    assert display.ax_.get_xlabel().startswith("Principal component 1 (")
    assert "before (dots) and after" in display.ax_.get_title()
    display.figure_.canvas.draw()


def test_the_words_that_moved_most_are_taken(pyplot, model, vectors):
    moved = {
        word: np.linalg.norm(row - vectors[word])
        for word, row in rows_of(model).items()
        if word in vectors
    }
    expected = sorted(moved, key=lambda word: -moved[word])[:4]
    assert TokenMapDisplay.from_estimator(model, n_words=4).words == expected
    everything = TokenMapDisplay.from_estimator(model, n_words=99).words
    assert set(everything) == set(moved)  # without "zork", which has no vector
    assert "zork" in rows_of(model)


def test_words_that_came_later_have_a_place(pyplot, vectors):
    model = FineTunedRegressor(vectors, optimizer="adam", random_state=0)
    model.partial_fit(["good film", "bad film"], [1.0, 0.0])
    model.partial_fit(["great plot", "awful plot"], [1.0, 0.0])
    display = TokenMapDisplay.from_estimator(model, words=["great", "awful", "plot"])
    assert display.words == ["great", "awful", "plot"]


def test_the_axes_of_the_user_are_used(pyplot, model):
    figure, axes = pyplot.subplots(2)
    before, other = dict(pyplot.rcParams), pyplot.figure()
    display = TokenMapDisplay.from_estimator(model, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].has_data()
    assert pyplot.gcf() is other
    assert dict(pyplot.rcParams) == before


def test_all_words_lie_inside(pyplot):
    display = TokenMapDisplay(["a", "b"], [[0, 0], [1, 1]], [[5.0, -3.0], [-4.0, 9.0]]).plot()
    (left, right), (low, high) = display.ax_.get_xlim(), display.ax_.get_ylim()
    assert left < -4 < 5 < right
    assert low < -3 < 9 < high
    assert display.ax_.get_xlabel() == "Principal component 1"


def test_long_words_are_cut(pyplot):
    display = TokenMapDisplay(["x" * 500, "y"], [[0, 0], [1, 1]], [[1, 0], [0, 1]]).plot()
    assert [text.get_text() for text in display.texts_] == ["x" * 29 + "…", "y"]


def test_words_with_dollar_signs_are_no_formulas(pyplot):
    display = TokenMapDisplay(["$x$", "$\\frac"], [[0, 0], [1, 1]], [[1, 0], [0, 1]]).plot()
    display.figure_.canvas.draw()
    assert [text.get_text() for text in display.texts_] == ["$x$", "$\\frac"]


# ---- what is refused ----


def test_models_without_trained_vectors_are_refused(pyplot, vectors, reviews, numbers):
    linear = FineTunedClassifier(vectors).fit(*reviews)
    frozen = FineTunedClassifier(
        vectors, adaptation="frozen", hidden_layer_sizes=(3,), max_epochs=1
    )
    features = FineTunedClassifier(hidden_layer_sizes=(3,), max_epochs=1).fit(*numbers)
    for model in (linear, frozen.fit(*reviews), features):
        with pytest.raises(ValueError, match=r"are fixed, or there are none.*set optimizer='adam'"):
            TokenMapDisplay.from_estimator(model)


def test_models_from_files(pyplot, model, vectors, reviews, tmp_path):
    model.save(tmp_path / "network")
    loaded = TokenMapDisplay.from_estimator(load(tmp_path / "network"), n_words=5)
    expected = TokenMapDisplay.from_estimator(model, n_words=5)
    assert loaded.words == expected.words
    np.testing.assert_array_equal(loaded.after, expected.after)
    FineTunedClassifier(vectors).fit(*reviews).save(tmp_path / "linear")
    with pytest.raises(ValueError, match="are fixed, or there are none"):
        TokenMapDisplay.from_estimator(load(tmp_path / "linear"))


def test_vectors_that_have_not_moved_are_refused(pyplot, vectors, reviews):
    model = FineTunedClassifier(vectors, encoder="cnn", adaptation="frozen", max_epochs=1)
    with pytest.raises(ValueError, match=r"No pretrained vector .* has moved.*adaptation='full'"):
        TokenMapDisplay.from_estimator(model.fit(*reviews))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": ["good", "Good", "nowhere"]}, "got 'Good', 'nowhere'"),
        ({"words": []}, "words must be tokens of the training texts.*got none"),
        ({"n_words": 0}, "n_words must be at least 1, got 0"),
    ],
)
def test_words_that_the_model_does_not_have_are_refused(pyplot, model, options, message):
    with pytest.raises(ValueError, match=message):
        TokenMapDisplay.from_estimator(model, **options)
    assert pyplot.get_fignums() == []


def test_one_dimension_is_refused(pyplot):
    vectors = PretrainedVectors(["good", "bad"], [[1.0], [-1.0]])
    model = FineTunedClassifier(vectors, optimizer="adam", max_epochs=1)
    with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
        TokenMapDisplay.from_estimator(model.fit(["good", "bad"], [1, 0]))


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"TokenMapDisplay\.plot needs.*\[plot\]"):
        TokenMapDisplay(["a"], [[0, 0]], [[1, 1]]).plot()
