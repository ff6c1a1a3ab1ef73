from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from sklearn_transfer.text import pooling as module
from sklearn_transfer.text.pooling import (
    Pooling,
    common_components,
    idf,
    pool,
    remove_components,
    sif,
)
from sklearn_transfer.text.tokenization.token_ids import TokenIds

POOLINGS: list[Pooling] = ["mean", "sum", "max", "min"]
# Beside short ones: empty, at the switch to "one by one" and past it, longer than a block.
LENGTHS = [3, 0, 1, module._LONG, 7, module._LONG + 1, 0, 1, (1 << 16) + 5, 700, 2]


def ragged(lengths: Sequence[int], n_rows: int, seed: int = 0) -> TokenIds:
    ids = np.random.default_rng(seed).integers(0, n_rows, sum(lengths), dtype=np.int32)
    return TokenIds(ids, np.cumsum([0, *lengths], dtype=np.int64))


def table(n_rows: int, dim: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_rows, dim), dtype=np.float32)


def naive(token_ids: TokenIds, rows: NDArray[np.float32], how: str) -> NDArray[np.float64]:
    pooled = np.zeros((len(token_ids), rows.shape[1]))
    for i in range(len(token_ids)):
        ids = token_ids.ids[token_ids.offsets[i] : token_ids.offsets[i + 1]]
        if len(ids):
            pooled[i] = getattr(np, how)(rows[ids].astype(np.float64), axis=0)
    return pooled


@pytest.mark.parametrize("how", POOLINGS)
def test_pools_as_a_loop_over_texts_does(how: Pooling) -> None:
    token_ids, rows = ragged(LENGTHS, 50), table(50, 3)
    # A sum of 65,000 numbers in float32 is good to a share of the way, not of where it ends.
    scale = np.maximum(token_ids.lengths, 1)[:, None] if how == "sum" else 1
    found, expected = pool(token_ids, rows, [how]), naive(token_ids, rows, how)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("how", ["max", "min"])
@settings(derandomize=True, max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 6), max_size=8), seed=st.integers(0, 99))
def test_extremes_are_exact_on_both_sides_of_the_switch(
    how: Pooling, lengths: list[int], seed: int
) -> None:
    token_ids, rows = ragged(lengths, 9, seed), table(9, 2, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LONG", 3)
        np.testing.assert_array_equal(pool(token_ids, rows, [how]), naive(token_ids, rows, how))


@pytest.mark.parametrize("how", POOLINGS)
def test_a_row_is_multiplied_by_its_weight_before_it_is_pooled(how: Pooling) -> None:
    token_ids, rows = ragged([4, 0, 2, 600], 20), table(20, 3)
    weights = np.linspace(-1, 2, 20, dtype=np.float32)
    np.testing.assert_allclose(
        pool(token_ids, rows, [how], weights),
        naive(token_ids, rows * weights[:, None], how),
        rtol=1e-4,
        atol=1e-5,
    )


def test_weights_leave_the_vectors_as_they_are() -> None:
    rows = table(5, 2)
    before = rows.copy()
    pool(ragged([3], 5), rows, ["sum"], np.full(5, 2, dtype=np.float32))
    np.testing.assert_array_equal(rows, before)


def test_several_poolings_are_concatenated_in_order() -> None:
    token_ids, rows = ragged([4, 0, 2], 20), table(20, 3)
    together = pool(token_ids, rows, ["min", "mean", "sum", "mean"])
    alone = [pool(token_ids, rows, [how]) for how in ("min", "mean", "sum", "mean")]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))


@pytest.mark.parametrize("how", POOLINGS)
def test_a_text_without_tokens_is_zero(how: Pooling) -> None:
    assert pool(ragged([0, 2, 0], 5), table(5, 3) + 10, [how])[[0, 2]].tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_nothing_but_empty_texts_can_be_pooled(how: Pooling, lengths: list[int]) -> None:
    assert pool(ragged(lengths, 1), table(0, 3), [how]).tolist() == [[0] * 3] * len(lengths)


@pytest.mark.parametrize("how", POOLINGS)
def test_a_text_is_pooled_alike_alone_and_among_others(how: Pooling) -> None:
    token_ids, rows = ragged(LENGTHS, 50), table(50, 3)
    chosen = np.array([9, 3, 0, 1])
    np.testing.assert_array_equal(
        pool(token_ids[chosen], rows, [how]), pool(token_ids, rows, [how])[chosen]
    )


def test_pooled_vectors_are_float32() -> None:
    assert pool(ragged([2, 0], 5), table(5, 3), POOLINGS).dtype == np.float32


# ---- weights ----


def test_idf_is_that_of_scikit_learn() -> None:
    counts = np.random.default_rng(0).integers(0, 2, (12, 30))
    expected = TfidfTransformer().fit(counts).idf_
    np.testing.assert_allclose(idf(counts.sum(axis=0), 12), expected, rtol=1e-6)


def test_sif_is_equation_3_of_arora() -> None:
    frequency = np.array([0.0, 0.001, 0.1])
    np.testing.assert_allclose(sif(frequency), [1, 0.5, 0.001 / 0.101], rtol=1e-6)
    np.testing.assert_allclose(sif(frequency, a=0.1), [1, 0.1 / 0.101, 0.5], rtol=1e-6)


# ---- common components ----


def features(n_texts: int = 40, dim: int = 6) -> NDArray[np.float32]:
    return table(n_texts, dim) * np.geomspace(4, 1, dim, dtype=np.float32) + np.float32(0.5)


def test_components_are_the_first_singular_vectors() -> None:
    X = features()
    expected = TruncatedSVD(2, algorithm="arpack").fit(X.astype(np.float64)).components_
    found = common_components(X, 2)
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=1)), 1, atol=1e-5)


def test_components_are_orthonormal() -> None:
    found = common_components(features(), 4)
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-6)


def test_the_largest_value_of_a_component_is_positive() -> None:
    found = common_components(features(), 6)
    largest = np.abs(found).argmax(axis=1)
    assert (found[np.arange(6), largest] > 0).all()


@pytest.mark.parametrize(("n_texts", "dim", "wanted", "n"), [(3, 6, 5, 3), (9, 2, 5, 2)])
def test_there_are_no_more_components_than_texts_or_features(
    n_texts: int, dim: int, wanted: int, n: int
) -> None:
    assert common_components(features(n_texts, dim), wanted).shape == (n, dim)


def test_what_remains_is_orthogonal_to_the_components() -> None:
    X = features()
    components = common_components(X, 2)
    np.testing.assert_allclose(remove_components(X, components) @ components.T, 0, atol=1e-5)


def test_removing_components_twice_is_removing_them_once() -> None:
    X = features()
    components = common_components(X, 2)
    once = remove_components(X, components)
    np.testing.assert_allclose(remove_components(once, components), once, atol=1e-5)


def test_an_empty_text_stays_zero_without_components() -> None:
    X = features()
    X[3] = 0
    assert not remove_components(X, common_components(X, 2))[3].any()
