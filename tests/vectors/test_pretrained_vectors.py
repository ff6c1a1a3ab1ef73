from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors, VectorFormatError
from sklearn_transfer.vectors.table.oov import hashed_vectors
from sklearn_transfer.vectors.table.table import Table

SENTENCES = [["the", "cat", "sat"], ["the", "dog", "sat"]]
# Known, known in lower case, unknown, odd, and repeated.
ASKED = ["cat", "CAT", "The", "THE", "zork", "Zork", "猫", "", "cat"]


# ---- what a table is made of ----


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_matrix_of_floats_is_used_and_not_copied(dtype: type) -> None:
    matrix = np.ones((2, 3), dtype=dtype)
    assert np.shares_memory(PretrainedVectors(["a", "b"], matrix).matrix, matrix)


@pytest.mark.parametrize("matrix", [np.eye(2), np.eye(2, dtype=np.int8), [[1, 0], [0, 1]]])
def test_other_numbers_become_float32(matrix: object) -> None:
    found = PretrainedVectors(["a", "b"], matrix).matrix
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.eye(2))


def test_columns_of_memory_become_rows() -> None:
    matrix = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    found = PretrainedVectors(["a", "b"], matrix).matrix
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, matrix)


@pytest.mark.parametrize(
    "words", [("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], dtype=object), iter("ab")]
)
def test_words_may_be_any_sequence_of_strings(words: object) -> None:
    assert list(PretrainedVectors(words, np.eye(2)).words) == ["a", "b"]


def test_a_vocabulary_is_taken_as_it_is(tiny: Table) -> None:
    assert PretrainedVectors(tiny.words, tiny.matrix).words is tiny.words


def test_a_table_without_words_is_a_table() -> None:
    vectors = PretrainedVectors([], np.zeros((0, 3)))
    assert (len(vectors), vectors.dim, vectors.cased) == (0, 3, False)


@pytest.mark.parametrize("shape", [(2,), (2, 0), (2, 1, 1), ()])
def test_a_matrix_that_has_no_rows_and_columns_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"matrix must have shape \(n_words, dim\) .* got shape"):
        PretrainedVectors(["a", "b"], np.zeros(shape))


def test_another_number_of_rows_than_words_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together: got 2 words and 3 rows"):
        PretrainedVectors(["a", "b"], np.eye(3))


def test_a_word_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="must be distinct: 'a' occurs more than once"):
        PretrainedVectors(["a", "b", "a"], np.eye(3))


@pytest.mark.parametrize("words", ["ab", {"a", "b"}, frozenset("ab")])
def test_words_without_an_order_or_a_bare_string_are_refused(words: object) -> None:
    with pytest.raises(TypeError, match=r"sequence of str, in order, such as a list; got (str|f?)"):
        PretrainedVectors(words, np.eye(2))


def test_a_word_that_is_no_string_is_named() -> None:
    with pytest.raises(TypeError, match="words must be strings, got int: 7"):
        PretrainedVectors(["a", 7], np.eye(2))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_value_that_is_not_finite_in_float32_is_named_by_row(value: float) -> None:
    with pytest.raises(VectorFormatError, match=r"pets: row 1 \(counted from 0\) holds NaN or inf"):
        PretrainedVectors(["a", "b"], [[1.0, 2.0], [value, 0.0]], name="pets")


# ---- it never changes ----


def test_the_matrix_is_read_only(vectors: PretrainedVectors) -> None:
    with pytest.raises(ValueError, match="read-only"):
        vectors.matrix[0, 0] = 1


def test_the_callers_array_keeps_its_flags() -> None:
    matrix = np.eye(2, dtype=np.float32)
    PretrainedVectors(["a", "b"], matrix)
    assert matrix.flags.writeable


@pytest.mark.parametrize(
    "name", ["words", "matrix", "name", "dim", "cased", "subwords", "path", "anything"]
)
def test_no_attribute_can_be_set(vectors: PretrainedVectors, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(vectors, name, None)


def test_words_cannot_be_assigned(vectors: PretrainedVectors) -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        vectors.words[0] = "dog"  # type: ignore[index]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, clone])
def test_every_kind_of_copy_is_the_object_itself(vectors: PretrainedVectors, make) -> None:
    assert make(vectors) is vectors


def test_a_deepcopy_of_what_holds_it_shares_it(vectors: PretrainedVectors) -> None:
    assert copy.deepcopy({"held": [vectors]})["held"][0] is vectors


def test_clones_of_an_estimator_share_400_000_words() -> None:
    words = [f"w{i}" for i in range(400_000)]
    vectors = PretrainedVectors(words, np.zeros((400_000, 50), dtype=np.float32))
    copied = clone(PretrainedEmbeddingTransformer(vectors))
    assert np.shares_memory(copied.pretrained.matrix, vectors.matrix)


# ---- looking at it ----


def test_a_word_gives_its_row(vectors: PretrainedVectors, tiny: Table) -> None:
    np.testing.assert_array_equal(vectors["猫"], tiny.matrix[8])


def test_a_list_of_words_gives_rows_in_its_order(vectors: PretrainedVectors, tiny: Table) -> None:
    np.testing.assert_array_equal(vectors[["sat", "the", "sat"]], tiny.matrix[[2, 0, 2]])


def test_no_words_give_no_rows(vectors: PretrainedVectors) -> None:
    assert vectors[[]].shape == (0, 4)


def test_a_word_that_is_not_there_is_a_key_error_with_the_table(vectors: PretrainedVectors) -> None:
    with pytest.raises(KeyError, match=r"not among the words of <PretrainedVectors 'tiny'.*'dog'"):
        vectors["dog"]


def test_the_first_five_missing_words_are_named(vectors: PretrainedVectors) -> None:
    with pytest.raises(KeyError, match=r"in memory>: 'a', 'b', 'c', 'd', 'e'\"$"):
        vectors[["a", "cat", "b", "c", "d", "e", "f"]]


@pytest.mark.parametrize("index", [0, ("cat", "sat"), slice(2), None])
def test_what_is_no_word_is_no_index(vectors: PretrainedVectors, index: object) -> None:
    with pytest.raises(KeyError, match="is no word: index by a str or a list of str"):
        vectors[index]  # type: ignore[index]


def test_an_array_of_tables_holds_tables(vectors: PretrainedVectors) -> None:
    # A search collects its candidates in an array of objects.
    held = np.ma.masked_all(2, dtype=object)
    held[0] = vectors
    assert held[0] is vectors


def test_only_words_are_in_it(vectors: PretrainedVectors) -> None:
    assert [item in vectors for item in ("cat", "dog", "", 3, None)] == [True, *[False] * 4]


def test_the_length_is_the_number_of_words(vectors: PretrainedVectors) -> None:
    assert len(vectors) == len(vectors.words) == len(vectors.matrix) == 12


def test_the_repr_shows_size_type_and_origin(vectors: PretrainedVectors, text_file: Path) -> None:
    assert repr(vectors) == "<PretrainedVectors 'tiny': 12 words x 4, float32, in memory>"
    assert repr(PretrainedVectors.load(text_file)) == (
        f"<PretrainedVectors 'vectors.txt': 12 words x 4, float32, from {text_file}>"
    )


def test_without_a_name_the_repr_has_none() -> None:
    expected = "<PretrainedVectors: 1 words x 2, float16, in memory>"
    assert repr(PretrainedVectors(["a"], np.zeros((1, 2), dtype=np.float16))) == expected


@pytest.mark.parametrize(
    ("n_upper", "n_words", "cased"), [(0, 300, False), (3, 300, False), (4, 300, True)]
)
def test_more_than_one_percent_of_upper_case_is_cased(
    n_upper: int, n_words: int, cased: bool
) -> None:
    words = [f"{'W' if i < n_upper else 'w'}{i}" for i in range(n_words)]
    assert PretrainedVectors(words, np.zeros((n_words, 1))).cased is cased


def test_case_is_judged_by_words_all_over_the_table() -> None:
    words = [f"{'W' if i >= 20_000 else 'w'}{i}" for i in range(30_000)]
    assert PretrainedVectors(words, np.zeros((30_000, 1))).cased


# ---- look_up ----


def naive_look_up(
    vectors: PretrainedVectors, words: list[str], fold_case: bool, oov: str
) -> list[NDArray[np.float32] | None]:
    rows = dict(zip(vectors.words, vectors.matrix.astype(np.float32), strict=True))
    found: list[NDArray[np.float32] | None] = []
    for word in words:
        lowered = word.lower() if fold_case else word
        if word in rows or lowered in rows:
            found.append(rows.get(word, rows.get(lowered)))
        elif oov == "ignore":
            found.append(None)
        elif oov == "hash":
            scale = float(np.sqrt((vectors.matrix.astype(np.float64) ** 2).mean()))
            found.append(hashed_vectors([lowered], vectors.dim, scale=scale)[0])
        else:
            found.append(vectors.subwords.vectors([lowered])[0])
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("oov", ["ignore", "subword", "hash"])
@pytest.mark.parametrize("fold_case", [False, True])
def test_look_up_equals_a_loop(
    with_ngrams: PretrainedVectors, fold_case: bool, oov: str, dtype: str
) -> None:
    vectors = with_ngrams.astype(dtype)
    index, rows = vectors.look_up(ASKED, fold_case=fold_case, oov=oov)
    expected = naive_look_up(vectors, ASKED, fold_case, oov)
    assert (index >= 0).tolist() == [row is not None for row in expected]
    assert len(rows) == (index >= 0).sum()
    for i, row in zip(index, expected, strict=True):
        if row is not None:
            np.testing.assert_allclose(rows[i], row, rtol=1e-6)


def test_look_up_gives_float32_whatever_the_table_holds(vectors: PretrainedVectors) -> None:
    assert vectors.astype("float16").look_up(["cat"])[1].dtype == np.float32


def test_look_up_of_nothing_is_empty(vectors: PretrainedVectors) -> None:
    index, rows = vectors.look_up([], oov="hash")
    assert (index.shape, rows.shape) == ((0,), (0, 4))


def test_ngrams_of_unknown_words_are_those_of_gensim() -> None:
    model = FastText(SENTENCES, vector_size=4, min_count=1, bucket=20, seed=1, workers=1)
    _, rows = PretrainedVectors.from_gensim(model).look_up(["doggy"], oov="subword")
    np.testing.assert_allclose(rows[0], model.wv["doggy"], rtol=1e-5)


def test_a_table_without_words_gives_hashed_vectors_that_are_finite() -> None:
    _, rows = PretrainedVectors([], np.zeros((0, 3))).look_up(["dog"], oov="hash")
    assert rows.shape == (1, 3)
    assert np.isfinite(rows).all()


# ---- gensim ----


def test_gensim_vectors_are_used_and_not_copied() -> None:
    theirs = KeyedVectors(2)
    theirs.add_vectors(["a", "b"], np.eye(2, dtype=np.float32))
    assert np.shares_memory(PretrainedVectors.from_gensim(theirs).matrix, theirs.vectors)


def test_gensim_vectors_are_named_by_their_class_unless_a_name_is_given() -> None:
    theirs = KeyedVectors(2)
    theirs.add_vectors(["a"], np.ones((1, 2), dtype=np.float32))
    assert PretrainedVectors.from_gensim(theirs).name == "KeyedVectors"
    assert PretrainedVectors.from_gensim(theirs, name="mine").name == "mine"


def test_gensim_gets_the_same_words_and_rows(vectors: PretrainedVectors) -> None:
    theirs = vectors.to_gensim()
    assert theirs.index_to_key == list(vectors.words)
    assert np.shares_memory(theirs.vectors, vectors.matrix)


def test_gensim_can_still_change_what_is_its_own() -> None:
    theirs = KeyedVectors(2)
    theirs.add_vectors(["a"], np.ones((1, 2), dtype=np.float32))
    PretrainedVectors.from_gensim(theirs)
    assert theirs.vectors.flags.writeable


# ---- load, save, write ----


def test_a_path_names_its_table_by_the_file(text_file: Path) -> None:
    vectors = PretrainedVectors.load(text_file)
    assert (vectors.name, vectors.path) == ("vectors.txt", str(text_file))


def test_limit_reads_the_first_words(text_file: Path, tiny: Table) -> None:
    vectors = PretrainedVectors.load(text_file, limit=3)
    assert list(vectors.words) == ["the", "cat", "sat"]
    np.testing.assert_array_equal(vectors.matrix, tiny.matrix[:3])


@pytest.mark.parametrize("limit", [0, -2])
def test_a_limit_without_words_is_refused(text_file: Path, limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit must be a positive number .* got {limit}"):
        PretrainedVectors.load(text_file, limit=limit)


def test_a_pickle_is_refused_with_the_reason_and_the_cures(data: Path) -> None:
    with pytest.raises(
        VectorFormatError,
        match=r"gensim.kv is a gensim file, which is a pickle: opening it runs any code that its "
        r"author put inside.*allow_pickle=True.*PretrainedVectors.save",
    ):
        PretrainedVectors.load(data / "gensim.kv")


def test_a_pickle_is_opened_on_request(data: Path, tiny: Table) -> None:
    vectors = PretrainedVectors.load(data / "gensim.kv", allow_pickle=True)
    np.testing.assert_array_equal(vectors.matrix, tiny.matrix)


def is_mapped(array: NDArray[np.floating]) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.mark.parametrize("mmap", [True, False])
def test_a_folder_is_mapped_unless_asked_not_to(folder: Path, mmap: bool) -> None:
    assert is_mapped(PretrainedVectors.load(folder, mmap=mmap).matrix) is mmap


@pytest.mark.parametrize("mmap", [True, False])
def test_a_matrix_from_a_file_is_read_only(folder: Path, mmap: bool) -> None:
    assert not PretrainedVectors.load(folder, mmap=mmap).matrix.flags.writeable


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_save_gives_the_same_table_memory_mapped(
    with_ngrams: PretrainedVectors, tmp_path: Path, dtype: str
) -> None:
    before = with_ngrams.astype(dtype)
    after = before.save(tmp_path / "saved")
    assert after.path == str(tmp_path / "saved")
    assert is_mapped(after.matrix)
    assert list(after.words) == list(before.words)
    assert after.matrix.dtype == before.matrix.dtype
    np.testing.assert_array_equal(after.matrix, before.matrix)
    np.testing.assert_array_equal(after.subwords.matrix, before.subwords.matrix)
    assert PretrainedVectors.load(tmp_path / "saved") is after


def test_a_table_can_be_saved_over_itself(folder: Path, tiny: Table) -> None:
    again = PretrainedVectors.load(folder).save(folder)
    np.testing.assert_array_equal(again.matrix, tiny.matrix)


def test_saving_another_table_leaves_the_one_that_is_mapped(folder: Path, tiny: Table) -> None:
    old = PretrainedVectors.load(folder)
    new = PretrainedVectors(list(tiny.words), -tiny.matrix).save(folder)
    np.testing.assert_array_equal(old.matrix, tiny.matrix)
    np.testing.assert_array_equal(new.matrix, -tiny.matrix)


def test_a_written_file_is_read_back(vectors: PretrainedVectors, tmp_path: Path) -> None:
    vectors.write(tmp_path / "t.txt", format="word2vec-text")
    read = PretrainedVectors.load(tmp_path / "t.txt")
    np.testing.assert_array_equal(read.matrix, vectors.matrix)
