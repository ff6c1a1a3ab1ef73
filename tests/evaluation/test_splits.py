"""Splits, and numbers of labels."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, ShuffleSplit

from sklearn_transfer.evaluation.splits import make_splits, resolve_sizes

Y = np.repeat([0, 1, 2], [30, 20, 10])
X = [str(i) for i in range(60)]


def test_folds_are_shuffled_and_stratified_and_their_beginnings_too():
    splits = make_splits(5, X, Y, Y, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), range(60))
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(60))
        assert np.bincount(Y[test]).tolist() == [6, 4, 2]
        assert set(Y[train[:3]]) == {0, 1, 2}
        assert np.abs(np.bincount(Y[train[:12]]) - [6, 4, 2]).max() <= 1
        assert train.tolist() != sorted(train)


def test_values_are_shuffled_before_they_are_split():
    values = np.arange(60.0)
    splits = make_splits(3, X, values, np.zeros(60, dtype=np.int64), 0)
    assert all(test.min() < 15 < 45 < test.max() for _, test in splits)


def test_a_seed_gives_the_same_splits():
    one, two, other = (make_splits(3, X, Y, Y, seed) for seed in (0, 0, 1))
    for (train, test), (same_train, same_test) in zip(one, two, strict=True):
        np.testing.assert_array_equal(train, same_train)
        np.testing.assert_array_equal(test, same_test)
    assert one[0][1].tolist() != other[0][1].tolist()


def test_splitters_and_lists_of_splits_are_taken():
    assert [len(test) for _, test in make_splits(ShuffleSplit(2, test_size=9), X, Y, Y, 0)] == [
        9,
        9,
    ]
    given = list(GroupKFold(3).split(X, Y, np.arange(60) // 20))
    made = make_splits(given, X, Y, Y, 0)
    for (train, test), (given_train, given_test) in zip(made, given, strict=True):
        assert sorted(train) == given_train.tolist()
        np.testing.assert_array_equal(test, given_test)


def test_shares_and_numbers_become_ascending_sizes():
    sizes = resolve_sizes([1.0, 7, 0.5, np.float32(0.5), np.int64(30)], 100, 2)
    assert sizes.tolist() == [7, 30, 50, 100]
    assert resolve_sizes([0.001, 0.1], 100, 4).tolist() == [4, 10]


@pytest.mark.parametrize("size", [0, 1, 101, 0.0, -0.5, 1.5, "all", None, True])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ValueError, match=r"shares above 0 .* whole numbers from 2 \(one label"):
        resolve_sizes([size], 100, 2)


def test_no_size_is_refused():
    with pytest.raises(ValueError, match="at least one number of labels"):
        resolve_sizes([], 100, 2)
