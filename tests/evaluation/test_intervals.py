"""Corrected intervals of scores on splits."""

import numpy as np
import pytest
from scipy import stats

from sklearn_transfer.evaluation.intervals import corrected_interval

VALUES = np.array([[0.71, 0.74, 0.69, 0.80], [0.1, 0.1, 0.1, 0.1]])


def test_without_overlap_it_is_the_interval_of_students_t():
    mean, low, high = corrected_interval(VALUES[0], 0.0, 0.9)
    expected = stats.ttest_1samp(VALUES[0], 0).confidence_interval(0.9)
    assert mean == pytest.approx(VALUES[0].mean())
    assert (low, high) == pytest.approx(tuple(expected))


def test_overlap_widens_it_as_nadeau_and_bengio_do():
    _, low, high = corrected_interval(VALUES[0], 0.25, 0.95)
    _, narrow_low, narrow_high = corrected_interval(VALUES[0], 0.0, 0.95)
    ratio = (high - low) / (narrow_high - narrow_low)
    assert ratio == pytest.approx(np.sqrt((1 / 4 + 0.25) / (1 / 4)))


def test_rows_are_treated_alike():
    rows = corrected_interval(VALUES, 0.25, 0.95)
    assert rows.shape == (2, 3)
    np.testing.assert_allclose(rows[0], corrected_interval(VALUES[0], 0.25, 0.95))
    np.testing.assert_allclose(rows[1], 0.1)


def test_one_split_has_no_interval():
    np.testing.assert_array_equal(
        corrected_interval(np.array([[0.5], [0.7]]), 0.5, 0.95),
        [[0.5, np.nan, np.nan], [0.7, np.nan, np.nan]],
    )


def test_the_interval_of_overlapping_splits_covers():
    # Score of a mean as a prediction: the error of 200 repeated experiments of 5 random splits.
    generator, covered = np.random.default_rng(0), []
    for _ in range(200):
        sample = generator.normal(size=60)
        scores = []
        for _ in range(5):
            shuffled = generator.permutation(sample)
            scores.append(((shuffled[48:] - shuffled[:48].mean()) ** 2).mean())
        _, low, high = corrected_interval(np.array(scores), 12 / 48, 0.95)
        covered.append(low < 1 + 1 / 48 < high)
    assert np.mean(covered) > 0.85
