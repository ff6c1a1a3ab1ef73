"""Scores of features, compared with what their definitions say."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import make_blobs

from sklearn_transfer.ranking import scores
from sklearn_transfer.ranking.scores import h_score, logme, nearest_class_mean

SCORES = [logme, h_score, nearest_class_mean]
every_score = pytest.mark.parametrize("score", SCORES)
every_shape = pytest.mark.parametrize(("n", "d"), [(40, 3), (25, 25), (12, 30), (7, 1)])


def sample(n=40, d=5, k=3, signal=1.0, seed=0):
    """Features whose first column knows the class, and the classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    features = rng.standard_normal((n, d)) * rng.uniform(0.5, 2, d) + 0.5
    features[:, 0] += signal * y
    return features, np.array(["c", "a", "b", "d"])[y]


def rotation(d):
    return np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))[0]


# ---- LogME ----


def naive_logme(features, y):
    """The density of a Gaussian of n dimensions, climbed from the best of a grid."""
    n = len(features)
    gram, noise = features @ features.T, np.eye(n)
    grid = list(product(range(-12, 15), range(-2, 13)))  # logarithms of alpha and beta
    total = 0.0
    for label in np.unique(y):
        target = (y == label).astype(float)

        def loss(logs, target=target):
            alpha, beta = np.exp(logs)
            covariance = gram / alpha + noise / beta
            _, volume = np.linalg.slogdet(2 * np.pi * covariance)
            return 0.5 * (volume + target @ np.linalg.solve(covariance, target))

        start = min(grid, key=loss)
        total -= minimize(loss, start, method="L-BFGS-B", bounds=[(-20, 30), (-10, 20)]).fun
    return total / len(np.unique(y)) / n


@pytest.mark.parametrize(
    ("n", "d", "signal"), [(30, 3, 1.0), (12, 4, 3.0), (10, 25, 1.0), (20, 1, 0.0)]
)
def test_logme_is_the_maximum_of_the_explicit_evidence(n, d, signal):
    features, y = sample(n, d, k=2, signal=signal)
    assert logme(features, y) == pytest.approx(naive_logme(features, y), abs=1e-4)


def test_logme_is_the_highest_of_several_maxima():
    rng = np.random.default_rng(0)
    y = np.arange(20) % 2
    knows = np.eye(2)[y] + 0.1 * rng.standard_normal((20, 2))
    features = np.hstack([rng.standard_normal((20, 2)), 0.1 * knows])  # from 1 / 1, it ends at -1
    assert logme(features, y) > 0
    assert logme(features, y) == pytest.approx(naive_logme(features, y), abs=1e-4)


@every_shape
def test_logme_does_not_see_a_rotation_or_a_scale(n, d):
    features, y = sample(n, d)
    expected = logme(features, y)
    assert logme(features @ rotation(d), y) == pytest.approx(expected, abs=1e-6)
    assert logme(features * 1e-3, y) == pytest.approx(expected, abs=1e-6)


def test_logme_of_features_that_know_nothing_is_that_of_none():
    y = np.array([0, 1, 1, 0])
    expected = -0.5 * (np.log(2 * np.pi * 0.5) + 1)  # noise alone, of variance 1 / 2
    assert logme(np.zeros((4, 3)), y) == pytest.approx(expected)
    orthogonal = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert logme(orthogonal, y) == pytest.approx(expected)


def test_logme_of_a_perfect_fit_is_large_and_finite():
    y = np.arange(12) % 3
    assert 5 < logme(np.eye(3)[y], y) < 20


def test_logme_ends_within_its_steps():
    features, y = sample()
    expected = logme(features, y)
    assert expected - 0.1 < logme(features, y, max_steps=1) <= expected


# ---- H-score ----


def naive_h_score(features, y, covariance, shrinkage=0.0):
    centred = features - features.mean(axis=0)
    means = np.array([centred[y == label].mean(axis=0) for label in y])
    between = means.T @ means / len(y)
    return (1 - shrinkage) * np.trace(np.linalg.inv(covariance) @ between)


@every_shape
def test_h_score_is_the_trace_with_ledoit_and_wolfs_covariance(n, d):
    features, y = sample(n, d)
    covariance, shrinkage = ledoit_wolf(features)
    expected = naive_h_score(features, y, covariance.reshape(d, d), shrinkage)
    assert h_score(features, y) == pytest.approx(expected)


def test_h_score_without_shrinkage_is_bao_s_and_sees_no_invertible_map(monkeypatch):
    monkeypatch.setattr(scores, "ledoit_wolf_shrinkage", lambda *args, **params: 0.0)
    features, y = sample()
    expected = naive_h_score(features, y, np.cov(features.T, bias=True))
    mapping = np.random.default_rng(2).standard_normal((5, 5))
    assert h_score(features, y) == pytest.approx(expected)
    assert h_score(features @ mapping + 3.0, y) == pytest.approx(expected)


@every_shape
def test_h_score_does_not_see_a_rotation_a_scale_or_a_shift(n, d):
    features, y = sample(n, d)
    moved = 0.1 * features @ rotation(d) - 7.0
    assert h_score(moved, y) == pytest.approx(h_score(features, y))


def test_h_score_is_bounded_by_the_directions_between_classes():
    features, y = make_blobs(200, 4, centers=[[0] * 4, [50] * 4, [-50, 50, 0, 0]], random_state=0)
    assert 1.5 < h_score(features, y) <= 2
    assert 0.9 < h_score(features[:, :1], y) <= 1


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_h_score_of_constant_features_is_zero(value):
    assert h_score(np.full((6, 3), value), np.arange(6) % 2) == 0


def test_h_score_of_two_samples_is_defined():  # Ledoit and Wolf do not shrink there
    assert h_score(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1])) == pytest.approx(1)


# ---- nearest class mean ----


def naive_nearest_class_mean(features, y):
    hits = 0
    for i, label in enumerate(y):
        others = np.arange(len(y)) != i
        distance = {}
        for other in np.unique(y[others]):
            mean = features[others & (y == other)].mean(axis=0)
            distance[other] = np.linalg.norm(features[i] - mean)
        hits += min(distance, key=distance.get) == label
    return hits / len(y)


@every_shape
@pytest.mark.parametrize("k", [2, 4])
def test_nearest_class_mean_is_a_loop_that_leaves_each_sample_out(n, d, k):
    features, y = sample(n, d, k)
    assert nearest_class_mean(features, y) == naive_nearest_class_mean(features, y)


def test_samples_in_any_order_have_the_same_nearest_class_mean():
    features, y = sample(37, 2, 4)
    order = np.random.default_rng(0).permutation(37)
    assert nearest_class_mean(features[order], y[order]) == nearest_class_mean(features, y)


def test_noise_is_not_flattered_by_samples_in_their_own_means():
    features = np.random.default_rng(0).standard_normal((20, 500))
    assert nearest_class_mean(features, np.arange(20) % 10) < 0.5


def test_the_only_sample_of_a_class_and_ties_are_misses():
    features = np.array([[0.0], [0.0], [5.0]])
    assert nearest_class_mean(features, np.array(["a", "a", "b"])) == pytest.approx(2 / 3)
    assert nearest_class_mean(np.zeros((4, 2)), np.array([0, 0, 1, 1])) == 0


# ---- all of them ----


@every_score
def test_features_that_know_the_class_are_above_noise(score):
    known, y = sample(signal=3.0)
    noise, _ = sample(signal=0.0, seed=1)
    assert score(known, y) > score(noise, y)


@every_score
@every_shape
def test_constant_and_duplicate_features_are_finite(score, n, d):
    features, y = sample(n, d)
    padded = np.hstack([features, features, np.ones((n, 2)), np.zeros((n, 1))])
    assert np.isfinite(score(padded, y))


@every_score
def test_every_sample_may_have_a_class_of_its_own(score):
    features, _ = sample(6, 3)
    assert np.isfinite(score(features, np.arange(6)))


@every_score
def test_names_of_classes_do_not_matter(score):
    features, y = sample()
    assert score(features, y) == pytest.approx(
        score(features, np.unique(y, return_inverse=True)[1])
    )


@every_score
def test_features_are_not_changed(score):
    features, y = sample()
    before = features.copy()
    features.flags.writeable = False
    score(features, y)
    np.testing.assert_array_equal(features, before)


@every_score
def test_float32_gives_what_float64_gives(score):
    features, y = sample()
    assert score(features.astype(np.float32), y) == pytest.approx(score(features, y), abs=1e-5)
