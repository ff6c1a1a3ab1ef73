"""Temperatures of probabilities."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax

from sklearn_transfer.fine_tuning.targets.temperature import fit_temperature


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


def test_temperature_of_logits_worse_than_chance_stays_moderate():
    logits = np.random.default_rng(0).normal(size=(50, 1))
    target = (logits[:, 0] < 0).astype(int)
    assert fit_temperature(logits, target, np.ones(50)) <= 10 * np.abs(logits).mean() * (1 + 1e-9)


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
