"""The tokenizer of some parameters, and of the tables of some sources."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from segmenters import Fields, Segmenter, identity, lcut, segmenter
from sklearn.model_selection import GridSearchCV

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
)
from sklearn_transfer._utils.texts import check_texts
from sklearn_transfer.text.tokenization.tokens import (
    TOKEN_PATTERN,
    Splitter,
    TokenIds,
    Tokenization,
    find_tokenizer,
    split_for_vectors,
)
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer
from sklearn_transfer.vectors.table.vocabulary import Vocabulary


def rows(token_ids: TokenIds) -> list[list[int]]:
    return [token_ids.ids[a:b].tolist() for a, b in pairwise(token_ids.offsets.tolist())]


def written(result: tuple[list[str], TokenIds]) -> list[list[str]]:
    """The tokens of each text as strings."""
    tokens, token_ids = result
    return [[tokens[i] for i in row] for row in rows(token_ids)]


def split(texts: Sequence[str], tokenizer: Splitter) -> tuple[list[str], TokenIds]:
    """Texts as the estimators split them."""
    return Tokenization(tokenizer, "", lowercase=False).split(texts, [])


# ---- which tokenizer ----


def test_equal_settings_share_one_tokenizer() -> None:
    first, second = (find_tokenizer(None, r"[a-z]+", lowercase=True) for _ in range(2))
    assert first is second


def test_the_last_four_tokenizers_are_kept() -> None:
    patterns = [r"\w+", r"[a-z]+", r"[a-y]+", r"[a-x]+"]
    first, *others = (find_tokenizer(None, p, lowercase=True) for p in patterns)
    assert find_tokenizer(None, patterns[0], lowercase=True) is first
    find_tokenizer(None, r"[a-w]+", lowercase=True)
    again = [find_tokenizer(None, p, lowercase=True) for p in (patterns[0], *patterns[2:])]
    assert again == [first, *others[1:]]
    assert find_tokenizer(None, patterns[1], lowercase=True) is not others[0]


@pytest.mark.parametrize(
    ("tokenizer", "pattern", "lowercase"),
    [(None, r"[a-z]+", False), (None, r"[a-z]+ ?", True), (str.split, r"[a-z]+", True)],
)
def test_other_settings_have_a_tokenizer_of_their_own(
    tokenizer: Callable[[str], list[str]] | None, pattern: str, lowercase: bool
) -> None:
    texts = ["Ab cd"]
    usual = find_tokenizer(None, r"[a-z]+", lowercase=True)
    other = find_tokenizer(tokenizer, pattern, lowercase=lowercase)
    usual(texts)
    assert other is not usual


def test_the_group_of_a_pattern_is_the_token() -> None:
    found = find_tokenizer(None, r"#(\w+)", lowercase=True)(["#One two #THREE"])
    assert written(found) == [["one", "three"]]


def test_a_callable_may_give_any_iterable() -> None:
    found = find_tokenizer(lambda text: iter(text.split("-")), "", lowercase=False)(["A-b"])
    assert written(found) == [["A", "b"]]


def test_tokens_of_a_callable_are_lower_cased_after_splitting() -> None:
    found = find_tokenizer(lambda text: re.findall("[A-Z][a-z]*", text), "", lowercase=True)
    assert written(found(["AbCd"])) == [["ab", "cd"]]


def test_a_callable_that_cannot_be_hashed_is_used_all_the_same() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, text: str) -> list[str]:
            return text.split()

    assert written(find_tokenizer(Unhashable(), "", lowercase=True)(["A b"])) == [["a", "b"]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (segmenter.cut, segmenter.cut),
        (partial(lcut, upper=True), partial(segmenter.cut, upper=True)),
        (partial(lcut, "a"), partial(lcut, "a")),
        (partial(Fields(";"), "a"), partial(Fields(";"), "a")),
        (Fields(";"), Fields(";")),
    ],
    ids=["method", "partial", "argument", "partial-object", "object"],
)
def test_equal_callables_share_one_tokenizer(first: Splitter, second: Splitter) -> None:
    assert first is not second
    assert find_tokenizer(first, "", lowercase=True) is find_tokenizer(second, "", lowercase=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lcut, Segmenter().cut),
        (lcut, partial(lcut, upper=False)),
        (partial(lcut, upper=True), partial(lcut, upper=False)),
        (partial(lcut, "a"), partial(lcut, "b")),
        (partial(str.split, sep="maxsplit"), partial(str.split, "sep", "maxsplit")),
        (Fields(";"), Fields(",")),
    ],
    ids=["method", "partial", "keyword", "argument", "position", "object"],
)
def test_other_callables_have_a_tokenizer_of_their_own(first: Splitter, second: Splitter) -> None:
    tokenizer = find_tokenizer(first, "", lowercase=True)
    assert find_tokenizer(second, "", lowercase=True) is not tokenizer


def test_an_object_that_is_equal_by_value_may_change() -> None:
    fields = Fields(" ")
    assert written(split(["a b;c"], fields)) == [["a", "b;c"]]
    fields.separator = ";"
    assert written(split(["a b;c"], fields)) == [["a b", "c"]]


def test_a_tokenizer_that_is_empty_is_a_tokenizer() -> None:
    class Words(list[str]):
        def __call__(self, text: str) -> list[str]:
            return text.split("-")

    tokenization = Tokenization(Words(), r"\w+", lowercase=False, as_pretrained=True)
    assert written(tokenization.split(["a-b c"], [])) == [["a", "b c"]]
    assert tokenization.table_tokenizer([]) is None


@pytest.mark.parametrize(
    "tokenizer",
    [lcut, segmenter, Fields(), partial(lcut, upper=True)],
    ids=lambda t: type(t).__name__,
)
def test_a_search_splits_each_text_once(tokenizer: Splitter, vectors: PretrainedVectors) -> None:
    texts = [f"good {i}" if i % 2 else f"bad {i}" for i in range(12)]
    segmenter.calls.clear()
    estimator = FineTunedClassifier(vectors, tokenizer=tokenizer)
    search = GridSearchCV(estimator, {"pretrained_scale": [0.5, 1]}, cv=3)
    search.fit(texts, [i % 2 for i in range(12)])
    assert segmenter.calls == dict.fromkeys(texts, 1)


@pytest.mark.parametrize(
    "tokenizer", [lcut, segmenter, partial(lcut, upper=True)], ids=lambda t: type(t).__name__
)
@pytest.mark.parametrize("settings", [{}, {"encoder": "cnn", "max_epochs": 1}], ids=["bag", "cnn"])
def test_a_fitted_estimator_pickles_its_tokenizer_by_name(
    tokenizer: Splitter, settings: dict[str, Any], vectors: PretrainedVectors
) -> None:
    texts = ["good film", "bad film", "good plot", "bad plot"]
    estimator = FineTunedClassifier(vectors, tokenizer=tokenizer, **settings)
    estimator.fit(texts, [1, 0, 1, 0])
    opened = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(opened.predict_proba(texts), estimator.predict_proba(texts))


def test_words_are_spelled_as_the_first_word_of_a_table_too() -> None:
    cased = PretrainedVectors(["The", "cat", "the", "Cat"], np.eye(4))
    tokenization = Tokenization(None, TOKEN_PATTERN, "auto")
    spelled = split_for_vectors(["The cat sat", "", "Cat THE Zork"], cased, tokenization)
    assert spelled == [["The", "cat", "sat"], [], ["Cat", "the", "zork"]]


# ---- the tokenizer of a table ----


def table(words: list[str], tokenizer: TableTokenizer | None) -> PretrainedVectors:
    matrix = np.eye(len(words), dtype=np.float32)
    return PretrainedVectors.from_table(Table(Vocabulary(words), matrix, tokenizer=tokenizer))


def at_spaces(words: list[str]) -> TableTokenizer:
    """A tokenizer of the library, which knows these words and keeps punctuation in them."""
    library = pytest.importorskip("tokenizers")
    ids = {word: i for i, word in enumerate(["[UNK]", *words])}
    made = library.Tokenizer(library.models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    return TableTokenizer(made.to_str())


PIECES = ["Cat", "cat", "sat!"]
PATTERN = Tokenization(None, TOKEN_PATTERN, "auto", as_pretrained=True)


def test_the_tokenizer_of_all_sources_splits_the_texts() -> None:
    own, plain = table(PIECES, at_spaces(PIECES)), table(PIECES, None)
    by_table, by_pattern = [["Cat", "sat!"], ["[UNK]"]], [["Cat", "sat"], ["dog"]]
    for sources, expected in [
        ([own], by_table),
        ([own, table(PIECES[:1], at_spaces(PIECES))], by_table),
        ([own, plain], by_pattern),
        ([own, table(PIECES, at_spaces(PIECES[:1]))], by_pattern),
        ([plain], by_pattern),
    ]:
        assert written(PATTERN.split(["Cat sat!", "dog"], sources)) == expected
        is_table = expected is by_table
        assert PATTERN.table_tokenizer(sources) == (own.tokenizer if is_table else None)
        assert PATTERN.folds_case(sources) is not is_table
    assert PATTERN.table_tokenizer([]) is None


@pytest.mark.parametrize(
    "settings",
    [(None, TOKEN_PATTERN, False), (None, r"\w+", False, None, True)],
    ids=["words", "pattern"],
)
def test_words_and_patterns_on_request_split_the_texts(settings: Any) -> None:
    own = table(PIECES, at_spaces(PIECES))
    tokenization = Tokenization(*settings)
    assert tokenization.table_tokenizer([own]) is None
    assert written(tokenization.split(["Cat sat!"], [own])) == [["Cat", "sat"]]


@pytest.mark.parametrize(
    ("lowercase", "tokens"),
    [("auto", ["Cat", "sat!"]), (False, ["Cat", "sat!"]), (True, ["cat", "sat!"])],
)
def test_texts_are_lower_cased_for_the_tokenizer_of_a_table_on_request(
    lowercase: Any, tokens: list[str]
) -> None:
    tokenization = Tokenization(None, TOKEN_PATTERN, lowercase, as_pretrained=True)
    own = table(PIECES, at_spaces(PIECES))
    assert written(tokenization.split(["Cat sat!"], [own])) == [tokens]


@pytest.mark.parametrize(
    ("lowercase", "words", "folds", "tokens"),
    [
        ("auto", ["Cat"], True, ["Cat"]),
        ("auto", ["cat"], False, ["cat"]),
        (True, ["Cat"], False, ["cat"]),
        (False, ["Cat"], False, ["Cat"]),
    ],
)
def test_case_is_folded_for_cased_sources_by_default(
    lowercase: Any, words: list[str], folds: bool, tokens: list[str]
) -> None:
    tokenization = Tokenization(None, TOKEN_PATTERN, lowercase)
    sources = [table(["the"], None), table(words, None)]
    assert tokenization.folds_case(sources) is folds
    assert written(tokenization.split(["Cat"], sources)) == [tokens]


# ---- lists of tokens ----


def test_a_tokenizer_gets_the_tokens_of_a_tokenized_text() -> None:
    given = check_texts([["New York", "is"], ["New", "York", "is"]], accept_tokens=True)
    assert written(split(given, identity)) == [["New York", "is"], ["New", "York", "is"]]
    joined = written(split(given, lambda tokens: [*tokens[:1], "-".join(tokens[1:])]))
    assert joined == [["New York", "is"], ["New", "York-is"]]


def test_a_tokenizer_that_returns_a_text_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must return a list of tokens, got a single str: 'good f"):
        split(["good film"], identity)


@pytest.mark.parametrize("estimator", [FineTunedClassifier, PretrainedEmbeddingTransformer])
def test_estimators_read_lists_of_tokens(estimator: Any, vectors: PretrainedVectors) -> None:
    texts, y = ["good film", "bad film", "good plot", "bad plot"], [1, 0, 1, 0]
    tokens = [text.split() for text in texts]
    expected = estimator(vectors, tokenizer=str.split).fit(texts, y).transform(texts)
    found = estimator(vectors, tokenizer=identity).fit(tokens, y).transform(tokens)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(TypeError, match="For lists of tokens, give word vectors and a tokenizer"):
        estimator(vectors).fit(tokens, y)


def test_vectors_are_continued_on_lists_of_tokens(vectors: PretrainedVectors) -> None:
    tokens = [["good", "film"], ["bad", "film"]]
    continued = ContinuedVectors(vectors, tokenizer=identity, unlabelled=tokens, random_state=0)
    expected = ContinuedVectors(vectors, unlabelled=["good film", "bad film"], random_state=0)
    found = continued.fit(tokens).vectors_
    np.testing.assert_array_equal(
        found.matrix, expected.fit(["good film", "bad film"]).vectors_.matrix
    )


def test_a_search_over_lists_of_tokens(vectors: PretrainedVectors) -> None:
    tokens = [["good", "film"], ["bad", "film"], ["good"], ["bad"]] * 3
    estimator = FineTunedClassifier(vectors, tokenizer=identity)
    search = GridSearchCV(estimator, {"calibrate": [False]}, cv=2).fit(tokens, [1, 0, 1, 0] * 3)
    assert search.best_score_ == 1


def test_a_token_that_is_no_string_is_named_with_a_cure() -> None:
    tokenizer = find_tokenizer(lambda _: [b"a"], "", lowercase=True)
    with pytest.raises(
        TypeError, match=r"The tokenizer must return strings, got bytes: b'a'\. For spaCy: lambda"
    ):
        tokenizer(["a"])


def test_an_error_in_a_tokenizer_comes_through() -> None:
    def split(text: str) -> list[str]:
        raise TypeError("my own mistake")

    with pytest.raises(TypeError, match="my own mistake"):
        find_tokenizer(split, "", lowercase=True)(["a"])
