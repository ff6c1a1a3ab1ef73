from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sklearn_transfer.text.rows import Bags, WordRows
from sklearn_transfer.text.tokenization.tokens import Tokenization
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors
from sklearn_transfer.vectors.table.table import Table

TRAIN = ["the cat sat", "cat unheard cat", ""]


@pytest.fixture(scope="module")
def vectors(tiny: Table) -> PretrainedVectors:
    return PretrainedVectors(tiny.words, tiny.matrix)


@pytest.fixture(scope="module")
def lower(vectors: PretrainedVectors) -> PretrainedVectors:
    return vectors.subset(["the", "cat", "sat", "on", "mat", "naïve"])


def word_rows(*sources: PretrainedVectors, lowercase: Any = "auto", **settings: Any) -> WordRows:
    tokenization = Tokenization(str.split, "", lowercase, settings.pop("max_tokens", None))
    return WordRows(sources, tokenization, **settings)


def fitted(*sources: PretrainedVectors, texts: list[str] = TRAIN, **settings: Any) -> WordRows:
    rows = word_rows(*sources, **settings)
    rows.fit_transform(texts, None, np.ones(len(texts)))
    return rows


def texts_of(bags: Bags) -> list[list[int]]:
    return [bags.token_ids[np.array([i])].ids.tolist() for i in range(len(bags))]


def test_each_word_of_the_training_texts_has_a_row(lower: PretrainedVectors) -> None:
    rows = fitted(lower)
    assert list(rows.vocabulary) == ["the", "cat", "sat", "unheard"]
    assert rows.rows.shape == (4, 4)


def test_rows_start_at_the_pretrained_vectors(lower: PretrainedVectors) -> None:
    np.testing.assert_array_equal(fitted(lower).rows[:3], lower[["the", "cat", "sat"]])


def test_the_row_of_a_word_without_a_vector_starts_at_zero(lower: PretrainedVectors) -> None:
    assert not fitted(lower).rows[3].any()


def test_training_texts_are_rows_of_the_table(lower: PretrainedVectors) -> None:
    bags = word_rows(lower).fit_transform(TRAIN, None, np.ones(3))
    assert texts_of(bags) == [[0, 1, 2], [1, 3, 1], []]


def test_transform_of_the_training_texts_is_fit_transform(lower: PretrainedVectors) -> None:
    rows = word_rows(lower)
    assert texts_of(rows.fit_transform(TRAIN, None, np.ones(3))) == texts_of(rows.transform(TRAIN))


def test_an_unseen_word_is_used_with_its_pretrained_vector(lower: PretrainedVectors) -> None:
    bags = fitted(lower).transform(["mat the mat", "on"])
    assert texts_of(bags) == [[4, 0, 4], [5]]
    np.testing.assert_array_equal(bags.extra, lower[["mat", "on"]])


def test_an_unseen_word_without_a_vector_is_left_out(lower: PretrainedVectors) -> None:
    bags = fitted(lower).transform(["the strange cat", "strange"])
    assert (texts_of(bags), bags.extra.shape) == ([[0, 1], []], (0, 4))


def test_hashed_words_have_rows_of_their_own(lower: PretrainedVectors) -> None:
    rows = fitted(lower, oov="hash")
    bags = rows.transform(["strange", "unheard"])
    assert rows.rows[3].any()
    assert texts_of(bags) == [[4], [3]]
    assert bags.extra[0].any()


def test_extending_gives_a_row_to_each_new_word(lower: PretrainedVectors) -> None:
    rows = fitted(lower)
    starts = rows.extend(["the mat", "unheard strange mat"])
    assert list(rows.vocabulary)[4:] == ["mat", "strange"]
    np.testing.assert_array_equal(starts, [lower["mat"], np.zeros(4)])


def test_extending_by_known_words_adds_nothing(lower: PretrainedVectors) -> None:
    rows = fitted(lower)
    assert rows.extend(["cat the", ""]).shape == (0, 4)


def test_extending_leaves_the_numbers_of_earlier_words(lower: PretrainedVectors) -> None:
    rows = fitted(lower)
    rows.extend(["mat on"])
    assert texts_of(rows.transform(TRAIN)) == [[0, 1, 2], [1, 3, 1], []]


def test_two_sources_stand_side_by_side(
    lower: PretrainedVectors, vectors: PretrainedVectors
) -> None:
    other = PretrainedVectors(["cat", "unheard"], [[1.0, 2.0], [3.0, 4.0]])
    rows = fitted(lower, other)
    assert rows.dim == 6
    np.testing.assert_array_equal(rows.rows[1], [*lower["cat"], 1, 2])
    np.testing.assert_array_equal(rows.rows[3], [0, 0, 0, 0, 3, 4])


def test_words_of_cased_vectors_keep_their_case(vectors: PretrainedVectors) -> None:
    rows = fitted(vectors, texts=["The the"])
    np.testing.assert_array_equal(rows.rows, vectors[["The", "the"]])


def test_an_unseen_spelling_takes_the_row_of_the_lower_cased_word(
    vectors: PretrainedVectors,
) -> None:
    assert texts_of(fitted(vectors, texts=["the cat"]).transform(["CAT THE"])) == [[1, 0]]


def test_an_unseen_spelling_takes_the_vector_of_the_lower_cased_word(
    vectors: PretrainedVectors,
) -> None:
    bags = fitted(vectors, texts=["the cat"]).transform(["MAT"])
    np.testing.assert_array_equal(bags.extra, vectors[["mat"]])


def test_lower_cased_vectors_see_lower_cased_words(lower: PretrainedVectors) -> None:
    assert list(fitted(lower, texts=["The THE Cat"]).vocabulary) == ["the", "cat"]


def test_without_weighting_every_row_weighs_one(lower: PretrainedVectors) -> None:
    assert fitted(lower).transform(["mat the"]).weights.tolist() == [1] * 5


@pytest.mark.parametrize("lowercase", ["auto", True])
def test_rows_weigh_by_the_first_texts(vectors: PretrainedVectors, lowercase: Any) -> None:
    rows = fitted(vectors, weighting="idf", lowercase=lowercase)
    rows.extend(["sat sat", "mat"])
    bags = rows.transform(["CAT the", "mat on"])
    assert texts_of(bags) == [[1, 0], [4, 5]]
    # "mat" and "on" are words that the first texts do not have.
    expected = np.log([4 / 2, 4 / 3, 4, 4]) + 1
    np.testing.assert_allclose(bags.weights[[0, 1, 4, 5]], expected, rtol=1e-6)


def test_a_text_of_weight_two_counts_as_two(lower: PretrainedVectors) -> None:
    weighted, repeated = (word_rows(lower, weighting="sif") for _ in range(2))
    once = weighted.fit_transform(TRAIN, None, np.array([1.0, 2.0, 1.0]))
    twice = repeated.fit_transform([TRAIN[i] for i in (0, 1, 1, 2)], None, np.ones(4))
    np.testing.assert_allclose(once.weights, twice.weights, rtol=1e-6)


def test_what_follows_max_tokens_has_no_row(lower: PretrainedVectors) -> None:
    rows = fitted(lower, texts=["the cat sat", "on mat"], max_tokens=1)
    assert list(rows.vocabulary) == ["the", "on"]


def test_texts_without_tokens_can_be_fitted(lower: PretrainedVectors) -> None:
    rows = fitted(lower, texts=["", ""])
    assert rows.rows.shape == (0, 4)
    assert texts_of(rows.transform(["mat", ""])) == [[0], []]


def test_some_of_the_texts_keep_their_rows(lower: PretrainedVectors) -> None:
    bags = fitted(lower).transform(["mat the", "", "cat"])
    assert texts_of(bags[np.array([2, 0])]) == [[1], [4, 0]]
    np.testing.assert_array_equal(bags[:1].extra, bags.extra)
