from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer import PretrainedVectors, VectorFormatError
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary


def test_subset_keeps_words_in_the_order_given(vectors: PretrainedVectors, tiny: Table) -> None:
    some = vectors.subset(["sat", "dog", "the", "sat"])
    assert list(some.words) == ["sat", "the"]
    np.testing.assert_array_equal(some.matrix, tiny.matrix[[2, 0]])


def test_subset_keeps_ngrams_and_name(with_ngrams: PretrainedVectors) -> None:
    some = with_ngrams.subset(["cat"])
    assert some.subwords is with_ngrams.subwords
    assert some.name == "fasttext.bin"


def test_subset_of_a_file_is_in_memory(text_file: Path) -> None:
    assert PretrainedVectors.load(text_file).subset(["cat"]).path is None


def test_subset_of_texts_is_their_words_as_they_stand_and_in_lower_case() -> None:
    vectors = PretrainedVectors(["a", "B", "cat", "CAT"], np.eye(4))
    assert list(vectors.subset(texts=["The CAT, cat's!", "b A"]).words) == ["CAT", "cat", "a"]


@pytest.mark.parametrize("given", [{}, {"words": ["a"], "texts": ["a"]}])
def test_subset_needs_words_or_texts(vectors: PretrainedVectors, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs either words or texts, got both or neither"):
        vectors.subset(**given)


def test_subset_of_a_bare_string_is_refused(vectors: PretrainedVectors) -> None:
    with pytest.raises(TypeError, match=r"sequence of str.* got str: 'cat'"):
        vectors.subset("cat")


def naive_components(matrix: NDArray[np.floating], n: int) -> NDArray[np.float64]:
    centred = matrix.astype(np.float64) - matrix.astype(np.float64).mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:n].T


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("n", [1, 3, 4])
def test_reduce_is_a_principal_component_analysis(
    vectors: PretrainedVectors, n: int, dtype: str
) -> None:
    table = vectors.astype(dtype)
    reduced, expected = table.reduce(n), naive_components(table.matrix, n)
    assert reduced.matrix.dtype == np.float32
    assert list(reduced.words) == list(vectors.words)
    np.testing.assert_allclose(np.abs(reduced.matrix), np.abs(expected), atol=1e-5)


def test_reduce_leaves_out_the_first_components(vectors: PretrainedVectors) -> None:
    expected = naive_components(vectors.matrix, 3)[:, 1:]
    found = vectors.reduce(2, n_removed=1).matrix
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_reduce_counts_every_word_of_a_shared_row(scaled: bool) -> None:
    rng = np.random.default_rng(0)
    rows = np.array([0, 1, 2, 3, 3, 3, 3], dtype=np.int32)
    scales = rng.random(7, dtype=np.float32) if scaled else None
    matrix = rng.normal(size=(4, 3)).astype(np.float32)
    table = Table(Vocabulary("abcdefg"), matrix, rows=rows, scales=scales)
    expected = naive_components(table.vectors(slice(None)), 2)
    reduced = PretrainedVectors.from_table(table).reduce(2)
    np.testing.assert_allclose(np.abs(reduced[list("abcdefg")]), np.abs(expected), atol=1e-5)
    assert (reduced.rows is None) == scaled


@pytest.mark.parametrize(("n", "removed"), [(4, 1), (1, 4), (1, -1)])
def test_reduce_beyond_what_is_left_is_refused(
    vectors: PretrainedVectors, n: int, removed: int
) -> None:
    with pytest.raises(
        ValueError, match=r"must lie between .* 4|must lie between 0 and dim - 1 = 3"
    ):
        vectors.reduce(n, n_removed=removed)


def test_reduce_leaves_the_table_as_it_was(vectors: PretrainedVectors, tiny: Table) -> None:
    before = tiny.matrix.copy()
    vectors.reduce(2)
    np.testing.assert_array_equal(vectors.matrix, before)


def test_reduce_takes_the_ngrams_along(with_ngrams: PretrainedVectors) -> None:
    assert with_ngrams.reduce(2).look_up(["zork"], oov="subword")[1].shape == (1, 2)


def test_reduce_to_all_components_keeps_distances_also_of_ngrams(
    with_ngrams: PretrainedVectors,
) -> None:
    before, after = (
        table.look_up(["cat", "zork"], oov="subword")[1]
        for table in (with_ngrams, with_ngrams.reduce(4))
    )
    np.testing.assert_allclose(
        np.linalg.norm(after[0] - after[1]), np.linalg.norm(before[0] - before[1]), rtol=1e-5
    )


@pytest.mark.parametrize("n", [0, 5, -1])
def test_reduce_to_more_than_there_is_is_refused(vectors: PretrainedVectors, n: int) -> None:
    with pytest.raises(ValueError, match=f"must lie between 1 and dim=4, got {n}"):
        vectors.reduce(n)


def test_reduce_of_no_words_is_no_words() -> None:
    assert PretrainedVectors([], np.zeros((0, 3))).reduce(2).matrix.shape == (0, 2)


def test_astype_rounds_as_numpy_does(vectors: PretrainedVectors, tiny: Table) -> None:
    half = vectors.astype("float16")
    assert half.matrix.dtype == np.float16
    np.testing.assert_array_equal(half.matrix, tiny.matrix.astype(np.float16))


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("f4")])
def test_astype_of_the_same_type_is_the_object_itself(
    vectors: PretrainedVectors, dtype: object
) -> None:
    assert vectors.astype(dtype) is vectors


def test_astype_result_is_read_only(vectors: PretrainedVectors) -> None:
    assert not vectors.astype("float16").matrix.flags.writeable


def test_astype_that_overflows_is_an_error_and_no_infinity() -> None:
    vectors = PretrainedVectors(["a"], [[1e30]], name="huge")
    with pytest.raises(VectorFormatError, match="huge as float16: row 0"):
        vectors.astype("float16")


def test_int8_is_looked_up_as_small_numbers(vectors: PretrainedVectors, tiny: Table) -> None:
    small = vectors.astype("int8")
    assert small.matrix.dtype == np.int8
    largest = np.abs(tiny.matrix).max(axis=1, keepdims=True)
    np.testing.assert_allclose(small[list(tiny.words)] / largest, tiny.matrix / largest, atol=0.004)
    again = pickle.loads(pickle.dumps(small)).astype("float32")
    np.testing.assert_array_equal(again.matrix, small[list(tiny.words)])
    assert again.scales is None


def test_int8_goes_through_every_format(vectors: PretrainedVectors, tmp_path: Path) -> None:
    small = vectors.subset(list(vectors.words)[:5]).astype("int8")
    for format in ("word2vec-text", "word2vec-binary", "glove", "gensim", "folder"):
        small.write(tmp_path / format, format=format)
        found = PretrainedVectors.load(tmp_path / format, allow_pickle=True)
        np.testing.assert_allclose(found[list(small.words)], small[list(small.words)], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "int16"])
def test_astype_of_another_type_is_refused(vectors: PretrainedVectors, dtype: str) -> None:
    with pytest.raises(ValueError, match=rf"must be 'float32', 'float16' or 'int8', got '{dtype}'"):
        vectors.astype(dtype)
