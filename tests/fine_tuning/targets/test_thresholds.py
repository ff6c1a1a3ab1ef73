"""Decision thresholds of independent labels."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.targets.thresholds import fit_thresholds

ONES = np.ones(60)


def draw(n: int = 60, n_labels: int = 3, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    target = (rng.random((n, n_labels)) < 0.3).astype(float)
    return rng.normal(size=(n, n_labels)) + 1.5 * target - 2, target


def micro(target: Any, predicted: Any, weight: Any = None) -> float:
    return float(f1_score(target, predicted, average="micro", sample_weight=weight))


@pytest.mark.parametrize("seed", range(5))
def test_the_shared_threshold_has_the_largest_micro_f1(seed: int):
    logits, target = draw(seed=seed)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60)
    shared = fit_thresholds(logits, target, weight)
    assert len(set(shared)) == 1
    best = max(micro(target, logits > cut, weight) for cut in logits.ravel() - 1e-9)
    assert micro(target, logits > shared, weight) == pytest.approx(best)


def test_a_sample_of_weight_two_counts_as_two():
    logits, target = draw()
    twice = np.r_[np.arange(60), np.arange(10)]
    weight = np.bincount(twice).astype(float)
    for per_label in (False, True):
        np.testing.assert_allclose(
            fit_thresholds(logits, target, weight, per_label=per_label),
            fit_thresholds(logits[twice], target[twice], np.ones(70), per_label=per_label),
        )


def test_labels_with_many_positives_have_thresholds_of_their_own():
    logits, target = draw(6000, seed=1)
    shifted = logits + np.array([0, 2, 4])
    cuts = fit_thresholds(shifted, target, np.ones(6000), per_label=True)
    for label in range(3):
        best = max(f1_score(target[:, label], shifted[:, label] > c) for c in np.arange(-4, 6, 0.1))
        found = f1_score(target[:, label], shifted[:, label] > cuts[label])
        assert found == pytest.approx(best, abs=0.01)


def test_a_label_with_few_positives_is_near_the_shared_threshold():
    logits, target = draw(3000, 2)
    target[2:, 1] = 0
    target[:2, 1] = 1
    logits[:2, 1] = 9.0
    shared = fit_thresholds(logits, target, np.ones(3000))[0]
    cut = fit_thresholds(logits, target, np.ones(3000), per_label=True)[1]
    assert abs(cut - shared) < 1 < 9.0 - cut


def test_a_label_without_positives_has_the_shared_threshold():
    logits, target = draw()
    target[:, 1] = 0
    shared = fit_thresholds(logits, target, ONES)
    assert fit_thresholds(logits, target, ONES, per_label=True)[1] == shared[1]


@pytest.mark.parametrize("per_label", [False, True])
@pytest.mark.parametrize("n", [0, 60])
def test_without_any_label_the_threshold_is_zero(n: int, per_label: bool):
    logits = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    cuts = fit_thresholds(logits, np.zeros((n, 2)), np.ones(n), per_label=per_label)
    assert cuts.tolist() == [0.0, 0.0]


def test_equal_logits_are_on_one_side():
    logits = np.array([[1.0], [0.0], [0.0], [0.0], [-1.0]])
    target = np.array([[1.0], [1.0], [0.0], [1.0], [0.0]])
    cut = fit_thresholds(logits, target, np.ones(5))
    assert cut.tolist() == [-0.5]
    assert fit_thresholds(logits, np.ones((5, 1)), np.ones(5)).tolist() == [-1.5]


# Estimators


@pytest.fixture(scope="module")
def samples() -> tuple[Any, Any]:
    X, y = make_multilabel_classification(
        400, 20, n_classes=6, n_labels=1, allow_unlabeled=False, random_state=0
    )
    return X / 10, y


@pytest.mark.parametrize("threshold", ["shared", "per-label", 0.5, 0.2, np.float32(0.75)])
def test_predictions_are_the_probabilities_above_the_thresholds(samples, threshold):
    X, y = samples
    model = FineTunedClassifier(threshold=threshold).fit(X[:300], y[:300])
    expected = model.predict_proba(X[300:]) > model.thresholds_
    np.testing.assert_array_equal(model.predict(X[300:]), expected)
    assert model.thresholds_.shape == (6,)
    if not isinstance(threshold, str):
        np.testing.assert_allclose(model.thresholds_, threshold, rtol=1e-6)
    assert (len(set(model.thresholds_)) > 1) == (threshold == "per-label")


def test_the_shared_threshold_raises_f1(samples):
    X, y = samples
    fixed, shared = (
        FineTunedClassifier(threshold=t).fit(X[:300], y[:300]).predict(X[300:])
        for t in (0.5, "shared")
    )
    assert micro(y[300:], shared) > micro(y[300:], fixed)


@pytest.mark.parametrize("threshold", ["shared", "per-label"])
def test_thresholds_need_no_calibrated_probabilities(samples, threshold):
    X, y = samples
    plain, calibrated = (
        FineTunedClassifier(threshold=threshold, calibrate=c).fit(X, y) for c in (False, True)
    )
    assert plain.temperature_ == 1
    np.testing.assert_array_equal(plain.predict(X), calibrated.predict(X))


def test_validation_samples_decide_where_they_are_given(samples):
    X, y = samples
    settings = {"optimizer": "adam", "max_epochs": 3, "random_state": 0, "batch_size": 32}
    model = FineTunedClassifier(**settings).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    logits = model.decision_function(X[200:])
    expected = fit_thresholds(logits, y[200:].astype(float), np.ones(200))
    np.testing.assert_allclose(
        model.thresholds_, 1 / (1 + np.exp(-expected / model.temperature_)), rtol=1e-5
    )


def test_without_left_out_samples_the_threshold_is_one_half(samples):
    X, y = samples
    model = FineTunedClassifier(hidden_layer_sizes=(3,), max_epochs=1).fit(X, y)
    assert model.thresholds_.tolist() == [0.5] * 6
    with pytest.warns(UserWarning, match=r"threshold \(used by indicator matrices"):
        model.set_params(threshold="per-label").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.set_params(threshold=0.25).fit(X, y).thresholds_.tolist() == [0.25] * 6


def test_a_threshold_of_classes_is_named_in_a_warning(samples):
    X, y = samples
    with pytest.warns(UserWarning, match="threshold"):
        model = FineTunedClassifier(threshold=0.2).fit(X, y[:, 0])
    assert model.thresholds_ is None
    assert model.fit(X, y).thresholds_ is not None
    with pytest.warns(UserWarning, match="threshold"):
        assert model.fit(X, y[:, 0]).thresholds_ is None


def test_later_parts_keep_the_thresholds(samples):
    X, y = samples
    model = FineTunedClassifier().fit(X, y)
    before = model.thresholds_
    assert before[0] != 0.5
    np.testing.assert_array_equal(model.partial_fit(X, y).thresholds_, before)
    model.set_params(threshold=0.25).partial_fit(X, y)
    np.testing.assert_allclose(model.thresholds_, 0.25)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_the_thresholds(samples, copied):
    X, y = samples
    model = FineTunedClassifier(threshold="per-label").fit(X, y)
    np.testing.assert_array_equal(copied(model).thresholds_, model.thresholds_)
    np.testing.assert_array_equal(copied(model).predict(X), model.predict(X))


def test_a_teacher_gives_the_labels_that_it_predicts(samples):
    X, y = samples
    teacher = FineTunedClassifier(threshold=0.2).fit(X, y)
    taught, by_hand = FineTunedClassifier(distill_from=teacher), FineTunedClassifier()
    taught.fit(X)
    by_hand.fit(X, teacher.predict(X))
    np.testing.assert_array_equal(taught.decision_function(X), by_hand.decision_function(X))


@pytest.mark.parametrize("threshold", ["each", 0.0, 1.0, None, -1])
def test_other_thresholds_are_refused(samples, threshold):
    with pytest.raises(ValueError, match="'threshold' parameter"):
        FineTunedClassifier(threshold=threshold).fit(*samples)
