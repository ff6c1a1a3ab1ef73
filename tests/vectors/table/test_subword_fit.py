from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer import PretrainedVectors
from sklearn_transfer.vectors.table.oov import Subwords
from sklearn_transfer.vectors.table.subword_fit import SubwordFit, fit_subwords
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

UNKNOWN = ["cats", "猫猫", "naïveté", "\ud800x", "", "x" * 300]


def table_of(words: list[str], dim: int = 4) -> Table:
    values = np.random.default_rng(0).standard_normal((len(words), dim)).astype(np.float32)
    return Table(Vocabulary(words), values + 1)


def predict(vectors: PretrainedVectors) -> NDArray[np.float32]:
    return vectors.look_up(UNKNOWN, oov="subword")[1]


def fresh(tiny: Table, name: str = "tiny") -> PretrainedVectors:
    """Another object with the same content, as another process would have it."""
    return PretrainedVectors(list(tiny.words), tiny.matrix, name=name)


# ---- what is fitted ----


def naive(table: Table, parameters: SubwordFit, n_buckets: int) -> NDArray[np.float64]:
    """The same model by dense normal equations, word by word."""
    incidence = np.zeros((len(table.words), n_buckets))
    for row, word in enumerate(table.words):
        buckets = Subwords(np.zeros((n_buckets, 1)), parameters.min_n, parameters.max_n).ngrams(
            [word]
        )[1]
        for bucket in buckets:
            incidence[row, bucket] += 1 / len(buckets)
    mean = table.matrix.mean(axis=0)
    normal = incidence.T @ incidence + parameters.ridge * np.eye(n_buckets)
    return np.linalg.solve(normal, incidence.T @ (table.matrix - mean))


@pytest.mark.parametrize("max_buckets", [1, 8, 1024])
@pytest.mark.parametrize("ridge", [0.03, 1.0])
def test_rows_are_those_of_dense_least_squares(tiny: Table, ridge: float, max_buckets: int) -> None:
    parameters = SubwordFit(min_n=2, max_n=4, max_buckets=max_buckets, ridge=ridge, n_steps=60)
    found = fit_subwords(tiny, parameters).matrix
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive(tiny, parameters, len(found)), atol=2e-5)


def test_each_dimension_is_fitted_separately() -> None:
    table = table_of([f"word{i}" for i in range(50)], dim=40)
    whole = fit_subwords(table).matrix
    for columns in (slice(0, 7), slice(7, 40)):
        part = fit_subwords(Table(table.words, table.matrix[:, columns]))
        np.testing.assert_allclose(part.matrix, whole[:, columns], atol=1e-5)


def test_two_fits_give_the_same_bits(tiny: Table) -> None:
    assert fit_subwords(tiny).matrix.tobytes() == fit_subwords(tiny).matrix.tobytes()


def test_only_the_first_words_are_fitted(tiny: Table) -> None:
    found = fit_subwords(tiny, SubwordFit(max_words=5)).matrix
    np.testing.assert_array_equal(found, fit_subwords(tiny.head(5)).matrix)


def test_an_unseen_combination_of_morphemes_is_predicted() -> None:
    rng = np.random.default_rng(0)
    starts, stems, ends = (
        {
            "".join(rng.choice(list("abcdefghiklmnoprstu"), 4)): rng.standard_normal(10)
            for _ in "x" * n
        }
        for n in (6, 30, 6)
    )
    made = {a + b + c: starts[a] + stems[b] + ends[c] for a, b, c in product(starts, stems, ends)}
    words = list(made)
    rng.shuffle(words)
    seen, unseen = words[:700], words[700:]
    rows = np.array([made[word] for word in seen])
    expected = np.array([made[word] for word in unseen]) - rows.mean(axis=0)
    found = PretrainedVectors(seen, rows).look_up(unseen, oov="subword")[1]
    cosine = (expected * found).sum(axis=1) / (
        np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    )
    assert cosine.mean() > 0.9
    assert np.quantile(cosine, 0.05) > 0.75


def test_a_word_of_unknown_ngrams_counts_as_little_as_one_that_is_ignored() -> None:
    vectors = PretrainedVectors(["aaaa", "bbbb"], [[1.0, 5.0], [3.0, 5.0]])
    found = vectors.look_up(["zzzzzzzz"], oov="subword")[1]
    assert np.abs(found).max() < 0.5


def test_what_all_words_have_in_common_is_not_predicted() -> None:
    vectors = PretrainedVectors(["aaaa", "bbbb"], [[1.0, 5.0], [3.0, 5.0]])
    found = vectors.look_up(["aaab"], oov="subword")[1]
    assert found[0, 0] < 0
    assert found[0, 1] == 0


def test_a_word_without_ngrams_is_zero() -> None:
    found = fresh(table_of(["one", "two"])).look_up(["", "three"], oov="subword")
    assert found[0].tolist() == [0, 1]
    assert found[1][0].tolist() == [0, 0, 0, 0]
    assert found[1][1].any()


def test_words_without_ngrams_give_vectors_that_are_finite() -> None:
    table = table_of([chr(0x4E00 + i) for i in range(300)])
    assert np.isfinite(fit_subwords(table, SubwordFit(min_n=4)).matrix).all()


def test_a_table_without_words_gives_zero() -> None:
    found = PretrainedVectors([], np.zeros((0, 3))).look_up(["dog"], oov="subword")[1]
    assert found.tolist() == [[0, 0, 0]]


def test_vectors_are_finite_whatever_the_words(tiny: Table) -> None:
    found = predict(fresh(tiny))
    assert found.shape == (len(UNKNOWN), 4)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_other_types_of_matrix_give_nearly_the_same(dtype: str, tiny: Table) -> None:
    expected = predict(fresh(tiny))
    np.testing.assert_allclose(predict(fresh(tiny).astype(dtype)), expected, atol=0.01)


def test_words_that_share_rows_are_fitted_by_their_vectors(tiny: Table) -> None:
    rows = np.arange(12, dtype=np.int32) % 3
    scales = np.linspace(1, 2, 12, dtype=np.float32)
    shared = Table(tiny.words, tiny.matrix[:3], rows=rows, scales=scales)
    found, expected = (fit_subwords(table).matrix for table in (shared, shared.expanded()))
    np.testing.assert_array_equal(found, expected)


# ---- tables, and tables made from tables ----


def test_known_words_keep_their_vectors(tiny: Table) -> None:
    index, found = fresh(tiny).look_up(["cats", "cat"], oov="subword")
    np.testing.assert_array_equal(found[index[1]], tiny.matrix[1])


def test_the_model_is_not_among_the_tables_own_rows(tiny: Table) -> None:
    vectors = fresh(tiny)
    predict(vectors)
    assert vectors.subwords is None


def test_a_subset_is_fitted_to_its_own_words(tiny: Table) -> None:
    vectors = fresh(tiny)
    predict(vectors)
    some = vectors.subset(["cat", "mat"])
    expected = fit_subwords(tiny.take(np.array([1, 4]))).vectors(UNKNOWN)
    np.testing.assert_array_equal(predict(some), expected)


def test_reducing_to_all_components_keeps_distances() -> None:
    vectors = fresh(table_of([f"word{i}" for i in range(30)]))
    before, after = (
        t.look_up(["wor", "xyz1"], oov="subword")[1] for t in (vectors, vectors.reduce(4))
    )
    np.testing.assert_allclose(
        np.linalg.norm(after[0] - after[1]), np.linalg.norm(before[0] - before[1]), rtol=0.05
    )


def test_a_table_with_a_tokenizer_needs_no_model(tiny: Table) -> None:
    class Letters(TableTokenizer):
        def split_all(self, texts):  # type: ignore[no-untyped-def]
            return map(list, texts)

    table = Table(tiny.words, tiny.matrix, tokenizer=Letters("{}"))
    index, found = PretrainedVectors.from_table(table).look_up(["zz", "猫z"], oov="subword")
    assert index.tolist() == [-1, 0]
    np.testing.assert_array_equal(found, tiny.matrix[8:9])
