from __future__ import annotations

import warnings

import numpy as np
import pytest

from sklearn_transfer.text.tokenization.coverage import (
    has_vector,
    learn_tokenization,
    measure_coverage,
)
from sklearn_transfer.text.tokenization.token_ids import TokenIds
from sklearn_transfer.text.tokenization.tokens import TOKEN_PATTERN, Tokenization
from sklearn_transfer.vectors.pretrained_vectors import OutOfVocabulary, PretrainedVectors

TOKENS = ["the", "Cat", "zork", "cat", "blub"]
FIRST = PretrainedVectors(["the", "cat"], np.eye(2))
SECOND = PretrainedVectors(["zork"], np.ones((1, 3)))


def ids(*tokens: int) -> TokenIds:
    return TokenIds(np.array(tokens, dtype=np.int32), np.array([0, len(tokens)]))


def measure(token_ids: TokenIds, *sources: PretrainedVectors, fold_case: bool = False) -> float:
    known = has_vector(TOKENS, sources, fold_case=fold_case)
    return measure_coverage(TOKENS, token_ids, known, "ignore")


def test_tokens_count_as_often_as_they_occur() -> None:
    assert measure(ids(0, 0, 0, 4), FIRST) == 0.75


def test_any_source_may_know_a_token() -> None:
    assert measure(ids(0, 2, 3, 4), FIRST, SECOND) == 0.75


@pytest.mark.parametrize(("fold_case", "share"), [(False, 0.5), (True, 1.0)])
def test_the_lower_cased_form_may_count(fold_case: bool, share: float) -> None:
    assert measure(ids(0, 1), FIRST, fold_case=fold_case) == share


def test_nothing_is_covered_by_nothing() -> None:
    assert measure(ids(), FIRST) == 0
    assert not has_vector(TOKENS, [], fold_case=True).any()


def test_half_is_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure(ids(0, 4), FIRST) == 0.5


def test_less_is_said_with_the_most_frequent_unknown_words() -> None:
    with pytest.warns(UserWarning, match=r"Only 20% .* without one: 'blub', 'Cat', 'zork'\. Are"):
        assert measure(ids(0, 4, 2, 1, 4), FIRST) == 0.2


def test_a_long_word_is_cut_in_the_message() -> None:
    covered = np.zeros(1, dtype=bool)
    with pytest.warns(UserWarning, match=r"without one: 'x{12}\.\.\.x{13}'\. Are") as caught:
        measure_coverage(["x" * 10**6], ids(0), covered, "ignore")
    assert len(str(caught[0].message)) < 500


@pytest.mark.parametrize("oov", ["hash", "subword"])
def test_a_vector_for_every_word_is_enough(oov: OutOfVocabulary) -> None:
    assert measure_coverage(TOKENS, ids(4), np.zeros(5, dtype=bool), oov) == 0


# ---- scripts without spaces between words ----

CHARACTERS = PretrainedVectors(list("很好吃不了กดี"), np.eye(8))
WORDS = PretrainedVectors(["很", "好吃", "不", "好"], np.eye(4))
BY_PATTERN = Tokenization(None, TOKEN_PATTERN, "auto")
CHINESE, THAI = ["很好吃,不好,好", "好了，很好 ok"], ["กดีกดี", "ดีดี ok"]  # noqa: RUF001


@pytest.mark.parametrize("texts", [CHINESE, THAI])
@pytest.mark.parametrize("sources", [[CHARACTERS], [FIRST], []], ids=["characters", "other", "no"])
@pytest.mark.parametrize("pattern", [TOKEN_PATTERN, r"\w+|[^\w\s]"])
def test_text_that_a_pattern_does_not_split_is_read_by_character(
    texts: list[str], sources: list[PretrainedVectors], pattern: str
) -> None:
    learned = learn_tokenization(texts, Tokenization(None, pattern, "auto", 3), sources)
    assert learned.token_pattern != pattern
    assert learned.max_tokens == 3
    tokens, _ = learned.split(texts, sources)
    assert {len(token) for token in tokens if token != "ok"} == {1}
    assert learn_tokenization(texts, learned, sources) == learned


@pytest.mark.parametrize(
    ("texts", "tokenization", "source"),
    [
        (["很 好吃", "不 好吃"], BY_PATTERN, WORDS),  # segmented
        (CHINESE, Tokenization(list, TOKEN_PATTERN, "auto"), CHARACTERS),
        (CHINESE, Tokenization(None, r"\w\w+", "auto"), CHARACTERS),
        (["the cat 好吃好", *["the cat"] * 60], BY_PATTERN, FIRST),  # a few words
        (["한국어 한국어"], BY_PATTERN, FIRST),
        (["zork blub"], BY_PATTERN, FIRST),
        ([""], BY_PATTERN, FIRST),
    ],
)
def test_other_text_is_split_as_the_parameters_say(
    texts: list[str], tokenization: Tokenization, source: PretrainedVectors
) -> None:
    assert learn_tokenization(texts, tokenization, [source]) is tokenization


def test_words_of_other_scripts_stay_words() -> None:
    texts = ["the cat sat on the mat 好吃好", "the cat iphone15很好吃"]
    learned = learn_tokenization(texts, BY_PATTERN, [FIRST])
    tokens, _ = learned.split(texts, [FIRST])
    assert set(tokens) == {"the", "cat", "sat", "on", "mat", "iphone15", *"好吃很"}


def test_marks_with_a_vector_do_not_hide_that_no_word_is_read() -> None:
    # A pattern of the user: every second token is a comma, which has a vector.
    tokens, covered = ["很好吃", ",", "不好吃"], np.array([False, True, False])
    with pytest.warns(UserWarning, match="no spaces between words: tokenizer=list splits texts"):
        assert measure_coverage(tokens, ids(0, 1, 2, 1), covered, "ignore") == 0.5
