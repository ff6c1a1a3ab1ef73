"""Calibration of probabilities."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_predict

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.temperature import fit_temperature


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
