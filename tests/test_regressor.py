"""FineTunedRegressor: continuous targets, next to the common promises."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_regression
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from toys import MINIBATCH, body, same, state_of, weights_of

from sklearn_transfer import FineTunedRegressor, PretrainedVectors

LOSSES = ["squared_error", "absolute_error", "huber"]
TRAINED = {**MINIBATCH, "max_epochs": 30, "lr": 0.03, "activation": "tanh"}
SOLVERS = {"convex": {}, "mini-batch": TRAINED}
every_solver = pytest.mark.parametrize("settings", SOLVERS.values(), ids=SOLVERS.keys())


@pytest.fixture(scope="session")
def rated(reviews):
    """Texts, and stars that the number of favourable words decides."""
    texts, _ = reviews
    tone = {"good": 1, "great": 2, "bad": -1, "awful": -2}
    noise = np.random.default_rng(0).normal(0, 0.1, len(texts))
    return texts, 3 + noise + [sum(tone.get(word, 0) for word in text.split()) for text in texts]


@pytest.fixture(scope="session")
def numbers():
    """120 samples of 8 features, and values that are linear in them but for noise."""
    return make_regression(120, 8, n_informative=5, noise=3.0, bias=50.0, random_state=0)


def rms(a, b):
    return np.sqrt(np.mean(np.square(np.subtract(a, b))))


# Learning


@every_solver
@pytest.mark.parametrize("criterion", LOSSES)
def test_texts_are_learned_under_every_loss(vectors, rated, criterion, settings):
    model = FineTunedRegressor(vectors, criterion=criterion, **settings).fit(*rated)
    assert model.score(*rated) > 0.9
    assert model.predict(["fine great"])[0] > 3 > model.predict(["poor awful"])[0]


@every_solver
@pytest.mark.parametrize("criterion", LOSSES)
def test_numbers_are_learned_under_every_loss(numbers, criterion, settings):
    X, y = numbers
    model = FineTunedRegressor(criterion=criterion, **settings).fit(X[:80], y[:80])
    assert model.score(X[80:], y[80:]) > 0.9


def test_a_linear_head_with_squared_error_is_ridge_regression(numbers):
    X, y = numbers
    ours = FineTunedRegressor().fit(X, y).predict(X)
    standard = (y - y.mean()) / y.std()
    theirs = min(
        (Ridge(alpha).fit(X, standard).predict(X) * y.std() + y.mean() for alpha in (0.5, 1.0)),
        key=lambda predicted: rms(predicted, ours),
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * y.std())


@pytest.mark.parametrize("criterion", LOSSES[1:])
@every_solver
def test_outliers_move_robust_losses_less(numbers, criterion, settings):
    X, y = numbers
    outliers = np.where(np.arange(len(y)) % 20 == 0, y + 1000, y)
    robust, squared = (
        rms(FineTunedRegressor(criterion=c, **settings).fit(X, outliers).predict(X), y)
        for c in (criterion, "squared_error")
    )
    assert robust < 0.7 * squared


@every_solver
def test_predictions_follow_the_units_of_y(numbers, settings):
    X, y = numbers
    plain, other = (
        FineTunedRegressor(**settings).fit(X, target).predict(X) for target in (y, 1e4 * y - 1e6)
    )
    np.testing.assert_allclose(other, 1e4 * plain - 1e6, rtol=1e-4, atol=1e4 * y.std() * 1e-4)


def test_sparse_and_dense_numbers_give_the_same(numbers):
    X, y = numbers
    dense, sparse = (FineTunedRegressor().fit(data, y).predict(X) for data in (X, csr_array(X)))
    np.testing.assert_allclose(sparse, dense, atol=1e-3 * y.std())


def test_several_sources_are_concatenated(vectors, rated):
    other = PretrainedVectors(["good", "great", "bad", "awful"], [[2.0], [3.0], [-2.0], [-3.0]])
    model = FineTunedRegressor([vectors, other]).fit(*rated)
    assert model.pretrained_ == [vectors, other]
    assert model.transform(rated[0]).shape == (60, vectors.dim + 1 + 1)
    assert model.score(*rated) > 0.9


# Targets


@every_solver
def test_several_targets_are_predicted_as_columns(vectors, rated, settings):
    texts, stars = rated
    y = np.stack([stars, -10 * stars, [len(text) for text in texts]], axis=1)
    model = FineTunedRegressor(vectors, **settings).fit(texts, y)
    assert model.predict(texts).shape == (60, 3)
    assert model.score(texts, y) > 0.5
    np.testing.assert_allclose(model.predict(texts[:9])[:, :2], y[:9, :2], atol=12)


@pytest.mark.parametrize("criterion", LOSSES)
def test_targets_of_a_linear_model_do_not_change_each_other(numbers, criterion):
    X, y = numbers
    both = np.stack([y, X[:, 0] ** 2], axis=1)
    model = FineTunedRegressor(criterion=criterion)
    alone = MultiOutputRegressor(model).fit(X, both).predict(X)
    np.testing.assert_allclose(model.fit(X, both).predict(X), alone, rtol=1e-2, atol=1e-2)


@every_solver
@pytest.mark.parametrize("y", [[7] * 60, [0.0] * 60], ids=["seven", "zero"])
def test_a_constant_target_is_predicted(vectors, reviews, settings, y):
    model = FineTunedRegressor(vectors, **settings).fit(reviews[0], y)
    np.testing.assert_allclose(model.predict(reviews[0]), y, atol=0.2)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: np.round(y).astype(np.int32),
        lambda y: np.round(y).tolist(),
        lambda y: np.round(y).astype(np.float32),
        lambda y: pd.Series(np.round(y), index=range(5, 65)),
        lambda y: pd.Series(np.round(y)).astype("Int64"),
    ],
    ids=["int32", "list", "float32", "series", "Int64"],
)
def test_every_container_of_values_gives_the_same(vectors, rated, make):
    texts, y = rated
    found = FineTunedRegressor(vectors).fit(texts, make(y)).predict(texts)
    expected = FineTunedRegressor(vectors).fit(texts, np.round(y)).predict(texts)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_a_column_is_flattened_with_a_warning(vectors, rated):
    texts, y = rated
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        model = FineTunedRegressor(vectors).fit(texts, y[:, None])
    assert model.predict(texts).shape == (60,)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([1.0] * 59, r"inconsistent numbers of samples: \[60, 59\]"),
        ([1.0] * 59 + [np.nan], "Input y contains NaN"),
        ([1.0] * 59 + [-np.inf], "Input y contains infinity"),
        (["good"] * 60, "could not convert string to float"),
    ],
    ids=["none", "short", "nan", "infinite", "strings"],
)
def test_targets_that_are_no_values_are_refused_and_leave_the_fit(vectors, rated, y, message):
    texts, stars = rated
    model = FineTunedRegressor(vectors).fit(texts, stars)
    before, predicted = vars(model).copy(), model.predict(texts)
    with pytest.raises(ValueError, match=message):
        model.fit(texts, y)
    assert all(vars(model)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(model.predict(texts), predicted)


# Weights


@pytest.mark.parametrize("criterion", LOSSES)
def test_weight_two_equals_a_row_twice(vectors, rated, criterion):
    texts, y = rated
    weight = np.random.default_rng(3).integers(0, 4, len(texts))
    rows = np.repeat(np.arange(len(texts)), weight)
    model = FineTunedRegressor(vectors, criterion=criterion)
    weighted = model.fit(texts, y, sample_weight=weight).predict(texts)
    repeated = model.fit([texts[i] for i in rows], y[rows]).predict(texts)
    np.testing.assert_allclose(weighted, repeated, rtol=0.01, atol=0.03)


@every_solver
def test_samples_of_weight_zero_are_left_out(vectors, rated, settings):
    texts, y = rated
    weight = (np.arange(60) % 4 > 0).astype(float)
    wrong = np.where(weight > 0, y, 1e6)
    weighted = FineTunedRegressor(vectors, **settings).fit(texts, wrong, weight)
    kept = np.flatnonzero(weight)
    fewer = FineTunedRegressor(vectors, **settings).fit([texts[i] for i in kept], y[kept])
    np.testing.assert_array_equal(weighted.predict(texts), fewer.predict(texts))


@every_solver
def test_weights_draw_predictions_to_heavy_samples(settings):
    X, y = np.zeros((40, 1)), np.repeat([0.0, 1.0], 20)
    weight = np.repeat([1.0, 9.0], 20)
    predicted = FineTunedRegressor(**settings).fit(X, y, weight).predict(X[:1])
    np.testing.assert_allclose(predicted, 0.9, atol=0.05)


# Mini-batches


def test_early_stopping_holds_samples_out_and_stops(numbers):
    X, y = numbers
    noise = np.random.default_rng(0).permutation(y)
    settings = {**MINIBATCH, "max_epochs": 200, "lr": 0.1}
    model = FineTunedRegressor(early_stopping=True, n_iter_no_change=3, **settings).fit(X, noise)
    losses = model.history_[:, "valid_loss"]
    assert model.n_iter_ == len(losses) < 200
    assert int(np.argmin(losses)) == len(losses) - 4


def test_validation_data_is_evaluated_not_trained_on(vectors, rated):
    for params in ({}, MINIBATCH):
        plain = FineTunedRegressor(vectors, **params).fit(*rated)
        watched = FineTunedRegressor(vectors, **params)
        watched.fit(*rated, X_val=["awful film"], y_val=[9.0])
        assert all("valid_loss" in epoch for epoch in watched.history_)
        for a, b in zip(weights_of(plain), weights_of(watched), strict=True):
            np.testing.assert_array_equal(a, b)


def test_partial_fit_learns_as_parts_come(vectors, rated):
    texts, y = rated
    model = FineTunedRegressor(vectors, lr=0.1, random_state=0)
    for _ in range(10):
        for start in range(0, 60, 20):
            part = slice(start, start + 20)
            model.partial_fit(texts[part], y[part])
    assert model.n_iter_ == 30
    assert model.score(texts, y) > 0.8


def test_partial_fit_goes_on_after_fit(vectors, rated):
    for params in ({}, MINIBATCH):
        model = FineTunedRegressor(vectors, **params).fit(*rated).set_params(lr=0.05)
        before = model.predict(["good plot"])
        for _ in range(20):
            model.partial_fit(["good plot"] * 4, [-5.0] * 4)
        assert model.predict(["good plot"]) < before - 0.5


def test_partial_fit_refuses_another_number_of_targets(numbers):
    X, y = numbers
    model = FineTunedRegressor().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y must have 1 targets, .*; got shape \(120, 2\)"):
        model.partial_fit(X, np.stack([y, y], axis=1))


def test_warm_start_continues(vectors, rated):
    params = {**MINIBATCH, "max_epochs": 2}
    once = FineTunedRegressor(vectors, **params).fit(*rated)
    warm = FineTunedRegressor(vectors, warm_start=True, **params).fit(*rated).fit(*rated)
    assert warm.history_[-1]["train_loss"] < once.history_[-1]["train_loss"]


# Policies


@pytest.mark.parametrize(
    "adaptation", ["frozen", "full", "gradual", "discriminative", "top-1", "lp-ft"]
)
def test_modules_are_adapted_under_every_policy(numbers, adaptation):
    X, y = numbers[0].astype(np.float32), numbers[1]
    settings = {} if adaptation == "frozen" else {"max_epochs": 15, "lr": 0.05}
    model = FineTunedRegressor(body(), adaptation=adaptation, random_state=0, **settings)
    assert model.fit(X, y).score(X, y) > 0.3
    if adaptation != "frozen":
        encoder = model.module_.encoder.module
        assert same(state_of(encoder[0]), state_of(body()[0])) == (adaptation == "top-1")


@pytest.mark.parametrize("encoder", ["attention", "cnn", "rnn"])
def test_texts_are_read_by_every_encoder(vectors, rated, encoder):
    settings = {"max_epochs": 15, "lr": 0.02, "batch_size": 16, "random_state": 0}
    params = {"encoder": encoder, "adaptation": "discriminative" if encoder == "cnn" else "full"}
    assert FineTunedRegressor(vectors, **params, **settings).fit(*rated).score(*rated) > 0.7


def test_auto_compares_policies_by_r2(vectors, rated):
    texts, y = rated
    model = FineTunedRegressor(vectors, adaptation="auto", random_state=0).fit(texts, y)
    scores = model.adaptation_.scores
    assert list(scores) == ["frozen", "full"]
    assert all(0 < score <= 1 for score in scores.values())
    assert model.adaptation_.policy == max(scores, key=scores.get)
    given = FineTunedRegressor(vectors, adaptation=model.adaptation_.policy, random_state=0)
    np.testing.assert_array_equal(given.fit(texts, y).predict(texts), model.predict(texts))


def test_contrastive_brings_similar_values_together(numbers):
    X, y = numbers[0].astype(np.float32), numbers[1]
    model = FineTunedRegressor(body(), adaptation="contrastive", random_state=0).fit(X, y)
    assert model.score(X, y) > 0.3


# With other estimators


def test_a_student_learns_the_predictions_of_its_teacher(vectors, rated):
    texts, y = rated
    teacher = FineTunedRegressor(vectors, adaptation="frozen").fit(texts, y)
    student = FineTunedRegressor(vectors, distill_from=teacher).fit(texts)
    expected = FineTunedRegressor(vectors).fit(texts, teacher.predict(texts))
    np.testing.assert_array_equal(student.predict(texts), expected.predict(texts))
    weight = np.arange(60) % 3
    weighted = FineTunedRegressor(vectors, distill_from=teacher).fit(texts, sample_weight=weight)
    assert not np.array_equal(weighted.predict(texts), student.predict(texts))


def test_a_teacher_must_predict(vectors, rated):
    with pytest.raises(ValueError, match="'distill_from' parameter of FineTunedRegressor"):
        FineTunedRegressor(vectors, distill_from=3).fit(*rated)


def test_a_search_reaches_its_parameters(vectors, rated):
    grid = {"criterion": LOSSES, "ngram_range": [(1, 1), (1, 2)]}
    search = GridSearchCV(FineTunedRegressor(vectors), grid, cv=2).fit(*rated)
    assert (search.cv_results_["mean_test_score"] > 0.3).all()


@pytest.mark.parametrize("name", ["label_smoothing", "class_weight", "calibrate", "threshold"])
def test_parameters_of_classes_are_not_its_own(name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        FineTunedRegressor(**{name: None})


def test_losses_of_classes_are_refused(vectors, rated):
    with pytest.raises(ValueError, match=r"'criterion' parameter .* must be .*squared_error"):
        FineTunedRegressor(vectors, criterion="cross_entropy").fit(*rated)
