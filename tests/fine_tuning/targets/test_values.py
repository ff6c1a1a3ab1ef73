"""Continuous values to numbers and back, and their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score

from sklearn_transfer.fine_tuning.targets.values import Values
from sklearn_transfer.training.nets.outputs import ValueOutputs

Y = np.array([1.0, 3.0, 8.0, 2.0])
TWO = np.stack([Y, -10 * Y], axis=1)
WEIGHT = np.array([1.0, 2, 1, 4])


def learned(y: np.ndarray, weight: Any = None) -> Values:
    return Values.learn(y, np.ones(len(y)) if weight is None else weight)


@pytest.mark.parametrize("y", [Y, TWO], ids=["one", "two"])
def test_values_are_standardised_by_weight(y: np.ndarray) -> None:
    repeated = np.repeat(y, WEIGHT.astype(int), axis=0)
    task = learned(y, WEIGHT)
    np.testing.assert_allclose(task.mean, np.atleast_1d(repeated.mean(axis=0)))
    np.testing.assert_allclose(task.scale, np.atleast_1d(repeated.std(axis=0)))
    encoded = task.encode(repeated)
    assert encoded.shape == (8, task.n_outputs)
    assert encoded.dtype == np.float64
    np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(encoded.std(axis=0), 1)


def test_a_constant_target_is_centred_only() -> None:
    task = learned(np.stack([Y, np.full(4, 7.0)], axis=1))
    assert task.scale[1] == 1
    np.testing.assert_array_equal(task.encode(np.array([[1.0, 9.0]]))[:, 1], [2])


@pytest.mark.parametrize("y", [Y, TWO], ids=["one", "two"])
def test_predictions_have_the_units_and_the_shape_of_y(y: np.ndarray) -> None:
    task = learned(y, WEIGHT)
    found = task.predictions(task.encode(y))
    assert found.shape == y.shape
    np.testing.assert_allclose(found, y)
    assert isinstance(task.outputs, ValueOutputs)
    assert task.outputs.n_outputs == task.n_outputs == y.ndim


@pytest.mark.parametrize(("y", "other"), [(Y, TWO), (TWO, Y), (TWO, TWO[:, :1])])
def test_another_number_of_targets_is_refused(y: np.ndarray, other: np.ndarray) -> None:
    with pytest.raises(ValueError, match=rf"must have {y.ndim} targets, as in the first fit; got"):
        learned(y).encode(other)


def test_the_score_is_the_coefficient_of_determination() -> None:
    task = learned(TWO)
    target = task.encode(TWO)
    logits = target + np.random.default_rng(0).normal(size=target.shape)
    score, loss = task.evaluate(logits, target)
    assert score.shape == loss.shape == (4,)
    np.testing.assert_allclose(loss, ((logits - target) ** 2).mean(axis=1))
    expected = r2_score(TWO, task.predictions(logits))
    np.testing.assert_allclose(score.mean(), expected)


def test_values_belong_to_quarters() -> None:
    column = np.arange(8.0)
    found = learned(np.stack([column, -column], axis=1)).membership(
        np.stack([column, -column], axis=1)
    )
    assert isinstance(found, csr_array)
    quarters = np.repeat(np.eye(4), 2, axis=0)
    np.testing.assert_array_equal(found.toarray(), np.hstack([quarters, quarters[::-1]]))


def test_values_have_one_stratum_no_classes_and_no_temperature() -> None:
    task = learned(Y)
    target = task.encode(Y)
    assert task.groups(target).tolist() == [0] * 4
    assert task.weights(target, WEIGHT, "balanced") is WEIGHT
    assert task.find_temperature(5 * target, target, WEIGHT) == 1.0
    assert task.named(pd.DataFrame({"a": Y})) is task


# ---- validation ----


@pytest.mark.parametrize(
    "y", [[1, 2, 3, 4], (1.5, 2, 3, 4), pd.Series([1, 2, 3, 4]), np.arange(4, dtype=np.float32)]
)
def test_values_become_an_array_of_float64(y: Any) -> None:
    found = Values.check(y, [None] * 4)
    assert (found.dtype, found.shape) == (np.float64, (4,))
    np.testing.assert_array_equal(found, np.asarray(y, dtype=float))


def test_several_targets_keep_their_columns() -> None:
    assert Values.check(TWO.tolist(), [None] * 4).tolist() == TWO.tolist()


def test_a_column_is_flattened_with_a_warning() -> None:
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        assert Values.check(Y[:, None], [None] * 4).tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([1, 2, 3], r"inconsistent numbers of samples: \[4, 3\]"),
        ([1, 2, np.inf, 3], "Input y contains infinity"),
        ([1, 2, None, 3], "Input y contains NaN"),
        (np.zeros((4, 2, 2)), "Found array with dim 3"),
        (["a", "b", "c", "d"], "could not convert string to float"),
    ],
)
def test_other_targets_are_refused(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Values.check(y, [None] * 4)
