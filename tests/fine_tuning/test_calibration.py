"""Temperatures, and models without some of the samples."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.datasets import make_classification
from sklearn_transfer.training.newton import NewtonNet

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.calibration import N_FOLDS, assign_folds, fit_temperature


def test_folds_are_stratified_and_keep_equal_samples_together():
    generator = np.random.default_rng(0)
    keys, groups = generator.integers(0, 40, 300), generator.integers(0, 3, 300)
    folds = assign_folds(keys, groups)
    assert set(folds) == set(range(N_FOLDS))
    for group in range(3):
        counts = np.bincount(folds[groups == group], minlength=N_FOLDS)
        assert counts.min() > 0
        for key in np.unique(keys[groups == group]):
            assert len(np.unique(folds[(groups == group) & (keys == key)])) == 1


def test_class_with_one_distinct_sample_is_never_left_out():
    folds = assign_folds(np.array([1, 1, 2, 3]), np.array([0, 0, 1, 1]))
    assert folds.tolist() == [-1, -1, 0, 1]


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


@pytest.mark.parametrize("n_features", [6, 400])
@pytest.mark.parametrize("criterion", ["squared_hinge", "cross_entropy"])
def test_left_out_logits_are_those_of_models_fitted_without(monkeypatch, n_features, criterion):
    X, y = make_classification(
        200, n_features, n_informative=5, n_classes=3, random_state=0, n_redundant=0
    )
    found = {}

    def keep(net, samples, folds, cross_fit=NewtonNet.cross_fit):
        found["folds"] = folds
        found["logits"], found["rows"] = cross_fit(net, samples, folds)
        return found["logits"], found["rows"]

    monkeypatch.setattr(NewtonNet, "cross_fit", keep)
    FineTunedClassifier(criterion=criterion, max_epochs=200).fit(X, y)
    assert sorted(found["rows"]) == list(range(200))
    for fold in range(N_FOLDS):
        left_out = found["folds"] == fold
        model = FineTunedClassifier(criterion=criterion, calibrate=False, max_epochs=200)
        expected = model.fit(X[~left_out], y[~left_out]).decision_function(X[left_out])
        # The intercept starts from other class shares here.
        inside = left_out[found["rows"]]
        order = np.argsort(found["rows"][inside])
        np.testing.assert_allclose(found["logits"][inside][order], expected, rtol=0.02, atol=0.05)


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


def test_folds_larger_than_a_batch_of_prediction_are_calibrated():
    X = np.random.default_rng(0).normal(size=(21_000, 2))
    y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
    assert np.isfinite(FineTunedClassifier().fit(X, y).temperature_)
