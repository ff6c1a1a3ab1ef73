from __future__ import annotations

import numpy as np
import pytest

from sklearn_transfer._utils.objects.state import State
from sklearn_transfer.text.tokenization.token_ids import TokenIds
from sklearn_transfer.text.tokenization.units import find_unit, read_unit


def unit_of(*texts: list[str]) -> str:
    tokens = list(dict.fromkeys(token for text in texts for token in text))
    ids = np.array([tokens.index(token) for text in texts for token in text], dtype=np.int32)
    return find_unit(tokens, TokenIds(ids, np.cumsum([0, *map(len, texts)]))).name


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        ([list("very good food")], "character"),
        ([list("很好吃!"), ["iphone", *"太好了送得快我们都喜欢。"]], "character"),
        ([["ลั", "ง", "ดี", "มั่"]], "character"),  # letters with their marks
        ([["very", "good", ",", "a", "b", "!"]], "word"),
        ([["我", "喜欢", "这", "家", "饭店", "。", "味道", "不", "错"]], "word"),  # segmented
        ([["a", "bb"]] * 2, "word"),
        ([["a", "bb", "c", "d", "e"]], "character"),  # two thirds of the characters
        ([["a", "bb", "c", "d"]], "word"),
        ([[], []], "word"),
    ],
)
def test_tokens_are_characters_if_most_characters_are_tokens(
    texts: list[list[str]], unit: str
) -> None:
    assert unit_of(*texts) == unit


def test_tokens_count_as_often_as_they_occur() -> None:
    assert unit_of(["a", "word"]) == "word"
    assert unit_of(["a"] * 8 + ["word"]) == "character"


def test_a_file_of_an_older_version_has_no_unit() -> None:
    assert read_unit(State("features", {})) is None
    assert read_unit(State("features", {"token_unit": "character"})) == "character"
    with pytest.raises(ValueError, match=r"expected one of .* as 'token_unit'"):
        read_unit(State("features", {"token_unit": "syllable"}))
