"""Calibration of probabilities."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_predict

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.calibration import predict_left_out
from sklearn_transfer.fine_tuning.targets.temperature import fit_temperature
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.training.optimization.solvers import LinearProblem, solve_linear


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
