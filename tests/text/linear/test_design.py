from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sklearn_transfer.text.linear.design import Design, dense_design

BOUNDS = (0, 3, 7)


def make_design(seed: int = 0, dtype: type[np.floating] = np.float32) -> Design:
    rng = np.random.default_rng(seed)
    sparse = rng.random((9, 7)) * (rng.random((9, 7)) < 0.3)
    return Design(csr_array(sparse.astype(dtype)), rng.random((9, 2)).astype(dtype), BOUNDS)


def test_samples_keep_their_rows() -> None:
    design, chosen = make_design(), np.array([5, 0, 5])
    np.testing.assert_array_equal(design[chosen].sparse.toarray(), design.sparse.toarray()[chosen])
    np.testing.assert_array_equal(design[chosen].dense, design.dense[chosen])
    assert design[chosen].bounds == BOUNDS


def test_the_length_is_the_number_of_samples() -> None:
    assert len(make_design()) == 9
    assert len(make_design()[:4]) == 4


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.sets(st.integers(0, 8), min_size=1, max_size=8))
def test_unseen_samples_lose_what_no_other_has_and_keep_their_length(
    seed: int, out: set[int]
) -> None:
    design, rows = make_design(seed), sorted(out)
    expected = design.sparse.toarray()
    others = np.delete(expected, rows, axis=0)
    expected = expected[rows]
    for start, stop in ((0, 3), (3, 7)):
        block = expected[:, start:stop]  # a view
        before = np.linalg.norm(block, axis=1)
        block *= (others[:, start:stop] != 0).any(axis=0)
        after = np.linalg.norm(block, axis=1)
        block *= np.divide(before, after, out=np.zeros_like(before), where=after > 0)[:, None]
    unseen = design.unseen(np.array(rows))
    np.testing.assert_allclose(unseen.sparse.toarray(), expected, rtol=1e-5)
    np.testing.assert_array_equal(unseen.dense, design.dense[rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unseen_samples_keep_their_type_and_the_design_its_values(dtype: type) -> None:
    design = make_design(dtype=dtype)
    before = design.sparse.toarray()
    assert design.unseen(np.arange(5)).sparse.dtype == dtype
    np.testing.assert_array_equal(design.sparse.toarray(), before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dense_design_has_its_columns_and_no_sparse_ones(dtype: type[np.floating]) -> None:
    features = np.arange(6, dtype=dtype).reshape(3, 2)
    design = dense_design(features)
    assert design.dense is features
    assert (design.sparse.shape, design.sparse.dtype) == ((3, 0), dtype)


def test_samples_of_a_dense_design_are_rows_of_its_features() -> None:
    features = np.arange(6.0).reshape(3, 2)
    chosen = dense_design(features)[np.array([2, 0])]
    np.testing.assert_array_equal(chosen.dense, features[[2, 0]])
    assert chosen.sparse.shape == (2, 0)
