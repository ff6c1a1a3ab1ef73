import pickle
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from sklearn_transfer._utils.texts import (
    LONGEST_WORD,
    TokenizedText,
    check_texts,
    in_parts,
    looks_like_texts,
)

TEXTS = ["one", "two"]


# ---- check_texts ----


@pytest.mark.parametrize(
    "X",
    [
        ("one", "two"),
        iter(TEXTS),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array([["one"], ["two"]]),
        np.array(TEXTS, dtype=np.dtypes.StringDType()),
        pd.Series(TEXTS, index=[7, 8]),
        pd.Series(TEXTS, dtype="category"),
        pd.Index(TEXTS),
        pd.DataFrame({"t": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"t": TEXTS}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_every_sequence_of_texts_becomes_a_list(X):
    found = check_texts(X)
    assert type(found) is list
    assert found == TEXTS


def test_subclasses_of_str_are_strings():
    class Text(str):
        __slots__ = ()

    assert check_texts([Text("one"), np.str_("two")]) == TEXTS


@pytest.mark.parametrize(("X", "kind"), [("one", "str"), (b"one", "bytes")])
def test_a_single_text_is_refused_with_a_cure(X, kind):
    with pytest.raises(ValueError, match=rf"a single {kind}, which .* Wrap it in a list: \[text\]"):
        check_texts(X)


@pytest.mark.parametrize("X", [3, None, {"one": 1}, {"one"}, frozenset({"one"}), object()])
def test_what_is_no_sequence_is_named_by_its_type(X):
    with pytest.raises(TypeError, match=rf"\(list, array, Series\), got {type(X).__name__}\.$"):
        check_texts(X)


@pytest.mark.parametrize(
    ("X", "shape"),
    [
        (np.array([["a", "b"]]), r"\(1, 2\)"),
        (np.array("a"), r"\(\)"),
        (np.zeros((2, 1, 1)), r"\(2, 1, 1\)"),
        (pd.DataFrame({"a": TEXTS, "b": TEXTS}), r"\(2, 2\)"),
        (pl.DataFrame({"a": TEXTS, "b": TEXTS}), r"\(2, 2\)"),
        (csr_array(np.eye(2)), r"\(2, 2\)"),
        (csr_array(np.ones((2, 1))), r"\(2, 1\)"),
    ],
)
def test_another_shape_than_a_column_is_refused_with_a_cure(X, shape):
    with pytest.raises(ValueError, match=f"array of shape {shape}. Select the column of texts, .*"):
        check_texts(X)


@pytest.mark.parametrize("X", [[], (), np.array([], dtype=str), pd.Series([], dtype=str), iter([])])
def test_no_texts_are_refused_in_the_words_of_scikit_learn(X):
    with pytest.raises(ValueError, match=r"found array with 0 sample\(s\) while a minimum of 1"):
        check_texts(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["a", None], "NoneType at position 1: None. Replace missing texts, for example by the"),
        (["a", "b", np.nan], "float at position 2: nan. Replace missing texts"),
        ([np.float32("nan")], "float32 at position 0: .* Replace missing texts"),
        (pd.Series(["a", None]), "float at position 1: nan. Replace missing texts"),
        (pd.Series(["a", None], dtype="string"), "NAType at position 1: <NA>. Replace missing te"),
        (pl.Series(["a", None]), "NoneType at position 1: None. Replace missing texts"),
        ([b"a"], r"bytes at position 0: b'a'. Decode it first, for example with .decode"),
        (np.array([b"a"]), "bytes at position 0: b'a'. Decode it first"),
        (["a", 3], r"int at position 1: 3. Convert it with str\(\), or pass numbers to an esti"),
        ([["a", "b"]], r"list at position 0: \['a', 'b'\]. For lists of tokens, give .* tokenizer"),
        (
            ["a", ("b",)],
            r"tuple at position 1: \('b',\). For lists of tokens, .*'\.join\(tokens\)\.$",
        ),
        ([[]], r"list at position 0: \[\]. For lists of tokens, give"),
        ([np.array(["a"])], r"ndarray at position 0: .* For lists of tokens, give"),
        ([TokenizedText.of(["a"])], "TokenizedText at position 0: .* For lists of tokens, give"),
        ([["a", None]], r"list at position 0: \['a', None\]. Every token of a text must be a str"),
        ([[1, 2]], r"list at position 0: \[1, 2\]. Convert it"),
        ([np.ones(2)], r"ndarray at position 0: array\(\[1., 1.\]\). Convert it"),
        (np.array([1.5]), "float at position 0: 1.5. Convert it"),
    ],
)
def test_what_is_no_text_is_named_with_position_and_cure(X, message):
    with pytest.raises(TypeError, match=f"every element of X to be a str, got {message}"):
        check_texts(X)


def test_the_first_of_several_is_named():
    with pytest.raises(TypeError, match="at position 1"):
        check_texts(["a", 1, "b", None])


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(TypeError, match=r"position 0: b'x{55}\.\.\.\. Decode"):
        check_texts([b"x" * 1000])


@pytest.mark.parametrize("X", ["text", 3, np.eye(2), [], [3]])
def test_messages_begin_with_who_asks(X):
    with pytest.raises((TypeError, ValueError), match=r"^MyEstimator expected "):
        check_texts(X, estimator="MyEstimator")


def test_the_message_on_a_long_value_is_short():
    value = ["x" * 10**7] * 10**5
    tracemalloc.start()
    with pytest.raises(TypeError, match="list at position 0: ") as caught:
        check_texts([value])
    assert len(str(caught.value)) < 500
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


# ---- lists of tokens ----


@pytest.mark.parametrize(
    "X",
    [
        [["a b", "c"], []],
        [("a b", "c"), ()],
        [np.array(["a b", "c"]), np.array([], dtype=str)],
        pd.Series([["a b", "c"], []]),
        pl.Series([["a b", "c"], []]),
        iter([["a b", "c"], []]),
    ],
    ids=lambda X: type(X).__name__,
)
def test_lists_of_tokens_become_texts_that_hold_them(X):
    texts = check_texts(X, accept_tokens=True)
    assert [text.tokens for text in texts] == [["a b", "c"], []]
    assert check_texts(texts, accept_tokens=True) == texts


def test_tokens_tell_texts_apart():
    assert len(set(check_texts([["a b"], ["a", "b"], ["a b", ""]], accept_tokens=True))) == 3


@pytest.mark.parametrize("tokens", [["\ud800"], ['"', "\\", "\n"], ["\x1f", "é", ""]])
def test_tokens_come_back_as_they_were(tokens):
    text = pickle.loads(pickle.dumps(TokenizedText.of(tokens)))
    assert text.tokens == tokens


def test_where_tokens_are_accepted_other_elements_are_refused():
    with pytest.raises(TypeError, match=r"int at position 1: 3. Convert it"):
        check_texts([["a"], 3], accept_tokens=True)
    with pytest.raises(TypeError, match=r"at position 0: \['a', 3\]. Every token of a text must"):
        check_texts([["a", 3]], accept_tokens=True)


# ---- looks_like_texts ----


@pytest.mark.parametrize(
    "X",
    [
        "text",
        b"text",
        TEXTS,
        ("one",),
        [b"one"],
        [["good", "film"], ["bad"]],
        [("good",)],
        np.array(TEXTS),
        np.array([["one"], ["two"]], dtype=object),
        np.array([], dtype=str),
        pd.Series(TEXTS),
        pd.DataFrame({"t": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"t": TEXTS}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_strings_look_like_texts(X):
    assert looks_like_texts(X)


@pytest.mark.parametrize(
    "X",
    [
        3,
        None,
        [],
        [[]],
        [[1.0, 2.0]],
        np.eye(2),
        np.eye(2, dtype=object),
        np.array([], dtype=object),
        csr_array(np.eye(2)),
        pd.DataFrame({"x": [1.0]}),
        pl.DataFrame({"x": [1.0]}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_numbers_do_not_look_like_texts(X):
    assert not looks_like_texts(X)


def test_looking_takes_nothing_from_an_iterator():
    texts = iter(TEXTS)
    looks_like_texts(texts)
    assert list(texts) == TEXTS


# ---- words in parts ----


def test_parts_are_the_words_in_order():
    words = ["a" * n for n in (3, 0, 4, 1, 9, 2, 2)]
    assert list(in_parts(words, 5)) == [words[:3], words[3:5], words[5:]]
    assert list(in_parts(words[:3], 7)) == [words[:3]]
    assert list(in_parts([], 5)) == [[]]


def test_a_long_word_counts_with_the_characters_that_are_read():
    words = ["a" * 10 * LONGEST_WORD] * 4
    assert list(in_parts(words, 2 * LONGEST_WORD)) == [words[:2], words[2:]]
