"""Temperatures of probabilities."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import expit, log_softmax
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_predict

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.calibration import fit_temperature, predict_left_out
from sklearn_transfer.text.design import Design
from sklearn_transfer.training.solvers import LinearProblem, solve_linear


@pytest.mark.parametrize("n_columns", [1, 4])
def test_temperature_is_where_the_smoothed_log_loss_is_least(n_columns):
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (400, n_columns))
    target = generator.integers(0, max(2, n_columns), 400)
    target[:200] = (logits[:200, 0] > 0) if n_columns == 1 else logits[:200].argmax(axis=1)
    weight = generator.random(400)
    smoothing = 1 / (weight.sum() + 2)

    def loss(temperature):
        z = logits / temperature
        if n_columns == 1:
            goal = target * (1 - smoothing) + smoothing / 2
            p = expit(z[:, 0])
            values = -(goal * np.log(p) + (1 - goal) * np.log1p(-p))
        else:
            goal = np.eye(n_columns)[target] * (1 - smoothing) + smoothing / n_columns
            values = -(goal * log_softmax(z, axis=1)).sum(axis=1)
        return weight @ values

    best = minimize_scalar(loss, bounds=(0.1, 50), method="bounded", options={"xatol": 1e-8}).x
    assert fit_temperature(logits, target, weight) == pytest.approx(best, rel=1e-4)


def test_temperature_of_nothing_is_one():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int), np.zeros(0)) == 1.0
    assert fit_temperature(np.zeros((5, 1)), np.ones(5, dtype=int), np.ones(5)) == 1.0


def test_temperature_of_samples_without_an_error_is_finite():
    logits = np.array([[5.0], [-5.0], [4.0], [-4.0]])
    assert 0 < fit_temperature(logits, np.array([1, 0, 1, 0]), np.ones(4)) < np.inf


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("criterion", ["squared_hinge", "cross_entropy"])
def test_the_temperature_suits_models_fitted_without_the_samples(criterion, n_classes):
    X, y = make_classification(
        600, 20, n_informative=6, n_classes=n_classes, random_state=0, flip_y=0.1
    )
    model = FineTunedClassifier(criterion=criterion)
    logits = cross_val_predict(model, X, y, cv=5, method="decision_function").reshape(600, -1)
    expected = fit_temperature(logits, y, np.ones(600))
    assert model.fit(X, y).temperature_ == pytest.approx(expected, rel=0.15)


def test_calibrated_probabilities_have_a_smaller_log_loss():
    X, y = make_classification(600, 200, n_informative=6, random_state=0, flip_y=0.2)
    plain, calibrated = (
        FineTunedClassifier(calibrate=c).fit(X[:300], y[:300]).predict_proba(X[300:])
        for c in (False, True)
    )
    loss = [-np.log(p[np.arange(300), y[300:]]).mean() for p in (plain, calibrated)]
    assert loss[1] < loss[0]


def test_calibration_changes_no_label():
    X, y = make_classification(200, 10, n_informative=6, n_classes=3, random_state=0)
    plain, calibrated = (FineTunedClassifier(calibrate=c).fit(X, y) for c in (False, True))
    np.testing.assert_array_equal(plain.predict(X), calibrated.predict(X))
    np.testing.assert_array_equal(calibrated.predict_proba(X).argmax(axis=1), plain.predict(X))


def test_temperature_of_logits_worse_than_chance_stays_moderate():
    logits = np.random.default_rng(0).normal(size=(50, 1))
    target = (logits[:, 0] < 0).astype(int)
    assert fit_temperature(logits, target, np.ones(50)) <= 10 * np.abs(logits).mean() * (1 + 1e-9)


# ---- left out ----


def linear_problem(weight, n_outputs=1):
    generator = np.random.default_rng(0)
    dense = generator.normal(size=(len(weight), 4))
    target = (dense[:, 0] + generator.normal(size=len(weight)) > 0) * 1
    if n_outputs > 1:
        target = np.arange(len(weight)) % n_outputs
    design = Design(csr_array((len(weight), 0)), dense)
    return LinearProblem(design, target, weight, "cross_entropy", n_outputs)


def left_out(weight, folds, n_outputs=1):
    problem = linear_problem(weight, n_outputs)
    logits = solve_linear(problem).predict(problem.design)
    return problem, *predict_left_out(problem, folds, logits)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_samples_are_predicted_by_models_that_were_fitted_without_them(n_outputs):
    folds = np.arange(60) % 4
    folds[::7] = -1  # always train
    folds[folds == 2] = 3  # no sample is left
    problem, logits, rows = left_out(np.linspace(1, 2, 60), folds, n_outputs)
    assert rows.tolist() == [i for fold in (0, 1, 3) for i in np.flatnonzero(folds == fold)]
    assert logits.shape == (len(rows), n_outputs)
    for fold in (0, 1, 3):
        solution = solve_linear(problem[np.flatnonzero(folds != fold)])
        expected = solution.predict(problem.design[np.flatnonzero(folds == fold)])
        np.testing.assert_allclose(logits[folds[rows] == fold], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("each", "n_folds"), [(74.9, 3), (75.0, 2), (1500.0, 1), (10.0, 5)])
def test_folds_are_left_out_until_they_weigh_1500(each, n_folds):
    folds = np.repeat(np.arange(5), 10)
    _, _, rows = left_out(np.full(50, each), folds)
    assert np.unique(folds[rows]).tolist() == list(range(n_folds))


def test_samples_that_always_train_are_not_predicted():
    _, logits, rows = left_out(np.ones(50), np.full(50, -1))
    assert (logits.shape, rows.shape) == ((0, 1), (0,))
    assert rows.dtype == np.int64


# ---- bounds ----


@pytest.mark.parametrize("n_columns", [1, 3])
def test_temperature_lies_between_a_hundredth_and_ten_times_the_mean_logit(n_columns):
    logits = np.random.default_rng(0).normal(size=(50, n_columns))
    right = (logits[:, 0] > 0) * 1 if n_columns == 1 else logits.argmax(axis=1)
    wrong = 1 - right if n_columns == 1 else logits.argmin(axis=1)
    mean = np.abs(logits).mean()
    assert fit_temperature(logits, wrong, np.ones(50)) == pytest.approx(10 * mean)
    sure = np.array([[1.0], [-1.0]]) if n_columns == 1 else np.eye(3)
    target = np.array([1, 0]) if n_columns == 1 else np.arange(3)
    found = fit_temperature(sure, target, np.full(len(sure), 1e50))
    assert found == pytest.approx(np.abs(sure).mean() / 100)
    assert fit_temperature(logits, right, np.ones(50)) < 10 * mean


def test_temperature_of_an_indicator_is_that_of_its_columns_together():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (200, 2))
    target = (logits + generator.normal(0, 3, (200, 2)) > 0) * 1
    weight = generator.random(200)
    smoothing = 1 / (weight.sum() + 2)
    goal = target * (1 - smoothing) + smoothing / 2

    def loss(temperature):
        p = expit(logits / temperature)
        return weight @ -(goal * np.log(p) + (1 - goal) * np.log1p(-p)).sum(axis=1)

    best = minimize_scalar(loss, bounds=(0.1, 50), method="bounded", options={"xatol": 1e-8}).x
    found = fit_temperature(logits, target.astype(np.float32), weight)
    assert found == pytest.approx(best, rel=1e-4)


def test_samples_without_weight_do_not_count():
    logits = np.random.default_rng(0).normal(size=(60, 1))
    target = (logits[:, 0] + 0.5 > 0) * 1
    weight = np.repeat([1.0, 0.0], 30)
    found = fit_temperature(logits, target, weight)
    assert found == pytest.approx(fit_temperature(logits[:30], target[:30], weight[:30]), rel=1e-6)
