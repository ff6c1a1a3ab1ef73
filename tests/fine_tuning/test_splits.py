"""Stratified folds, and samples that are held out."""

import numpy as np
import pytest

from sklearn_transfer.fine_tuning.splits import assign_folds, hold_out, order_stratified, take

# Folds


def shuffled_folds(groups, seed=0):
    return assign_folds(groups, np.random.default_rng(seed).permutation(len(groups)), 5)


@pytest.mark.parametrize("seed", range(3))
def test_every_training_part_has_every_class(seed):
    y = np.array([0] * 11 + [1] * 2 + [2] * 3 + [3])
    fold = shuffled_folds(y, seed)
    for number in range(5):
        assert set(y[fold != number]) == {0, 1, 2, 3}


def test_folds_are_of_one_size_and_stratified():
    y = np.repeat([0, 1], [50, 10])
    fold = shuffled_folds(y)
    assert np.bincount(fold).tolist() == [12] * 5
    assert np.bincount(fold[y == 1]).tolist() == [2] * 5


def test_the_only_sample_of_a_class_is_never_left_out():
    assert shuffled_folds(np.array([0, 1, 0, 0]))[1] == -1


def test_equal_samples_are_in_one_fold():
    keys = np.array([7, 3, 7, 1, 3, 9, 7])
    fold = assign_folds(np.zeros(7, dtype=np.int64), keys, 2)
    assert fold.tolist() == [0, 1, 0, 0, 1, 1, 0]


def test_folds_of_a_class_do_not_depend_on_other_classes():
    generator = np.random.default_rng(0)
    groups, keys = generator.integers(0, 4, 200), generator.integers(0, 9, 200)
    fold = assign_folds(groups, keys, 3)
    for group in range(4):
        own = keys[groups == group]
        rank = np.searchsorted(np.unique(own), own)
        assert fold[groups == group].tolist() == (rank % 3).tolist()


def test_a_class_of_equal_samples_is_never_left_out():
    fold = assign_folds(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 6]), 2)
    assert fold.tolist() == [-1, -1, 0, 1]


def test_rows_are_taken_from_lists_and_arrays():
    rows = np.array([2, 0])
    assert take(["a", "b", "c"], rows) == ["c", "a"]
    assert take(np.arange(3), rows).tolist() == [2, 0]


# Held out


def held(target, fraction=0.2, seed=0):
    return hold_out(target, fraction, np.random.default_rng(seed))


def test_the_fraction_of_every_class_is_held_out():
    target = np.repeat([0, 1, 2], [10, 50, 5])
    assert np.bincount(target[held(target)]).tolist() == [2, 10, 1]


def test_a_large_fraction_leaves_one_sample_of_every_class():
    target = np.repeat([0, 1, 2, 3], [10, 3, 1, 2])
    assert np.bincount(target[held(target, 0.95)], minlength=4).tolist() == [9, 2, 0, 1]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("counts", [[1, 1, 30], [2, 3, 40], [1, 2, 100]])
def test_no_class_is_held_out_whole(fraction, counts):
    target = np.repeat([0, 1, 2], counts)
    assert set(target[~held(target, fraction)].tolist()) == {0, 1, 2}


def test_the_generator_alone_decides_which():
    target = np.repeat([0, 1], 50)
    first, again, other = held(target), held(target), held(target, seed=1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(("n", "fraction"), [(3, 0.1), (1, 0.9)])
def test_nothing_to_hold_out_is_an_error_with_the_cures(n, fraction):
    target = np.repeat([0, 1], n)
    with pytest.raises(
        ValueError,
        match=rf"early_stopping=True has nothing to hold out: validation_fraction={fraction} of "
        rf"{2 * n} samples in 2 classes rounds to no sample\. Give more samples, a larger "
        r"fraction, or X_val and y_val\.",
    ):
        held(target, fraction)


# Growing parts


def test_each_beginning_of_the_order_has_the_shares_of_the_classes():
    groups = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    order = order_stratified(groups, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    assert set(groups[order[:3]]) == {0, 1, 2}
    for size in (10, 20, 50):
        counts = np.bincount(groups[order[:size]])
        assert np.abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 1


def test_the_order_depends_on_the_generator_alone():
    groups = np.arange(20) % 2
    one, two, other = (order_stratified(groups, np.random.default_rng(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
