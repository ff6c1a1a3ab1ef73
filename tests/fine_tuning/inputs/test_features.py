"""Features that are given."""

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array, csr_matrix

from sklearn_transfer.text.linear.scaled_columns import ScaledColumns

X = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, -3.0]])
every_sparse = pytest.mark.parametrize("kind", [csr_array, csr_matrix, csc_array])


def fitted(X, scale=1.0):
    features = ScaledColumns(scale)
    return features, features.fit_transform(X, csr_array(np.eye(2)), np.ones(2))


def test_an_array_is_the_dense_block():
    _, design = fitted(X)
    np.testing.assert_array_equal(design.dense, X)
    assert design.sparse.shape == (2, 0)


@every_sparse
def test_a_sparse_matrix_is_the_sparse_block(kind):
    _, design = fitted(kind(X))
    np.testing.assert_array_equal(design.sparse.toarray(), X)
    assert design.dense.shape == (2, 0)


@every_sparse
def test_the_sparse_block_is_in_csr_format(kind):
    _, design = fitted(kind(X))
    assert isinstance(design.sparse, csr_array)


@every_sparse
def test_sparse_stays_where_training_was_sparse(kind):
    features, _ = fitted(kind(X))
    np.testing.assert_array_equal(features.transform(X).sparse.toarray(), X)


@every_sparse
def test_dense_stays_where_training_was_dense(kind):
    features, _ = fitted(X)
    np.testing.assert_array_equal(features.transform(kind(X)).dense, X)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_scale_is_a_factor_of_all_features(scale):
    _, dense = fitted(X, scale)
    _, sparse = fitted(csr_array(X), scale)
    np.testing.assert_array_equal(dense.dense, scale * X)
    np.testing.assert_array_equal(sparse.sparse.toarray(), scale * X)


@pytest.mark.parametrize("kind", [np.array, csr_array])
def test_x_is_not_changed(kind):
    given = kind(X)
    fitted(given, 3.0)
    assert (given != kind(X)).sum() == 0


def test_a_design_has_as_many_samples_as_x():
    assert len(fitted(X)[1]) == len(fitted(csr_array(X))[1]) == 2
