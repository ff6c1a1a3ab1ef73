from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sklearn_transfer._utils.texts import TokenizedText
from sklearn_transfer.text.tokenization.places import (
    PlacedTokens,
    align,
    merge_tokens,
    place_tokens,
)
from sklearn_transfer.text.tokenization.tokens import Tokenization

WORDS = r"\w+|[^\w\s]"
# Letters whose lower case or normal form has another length, marks, joiners, format characters.
ODD = "İıẞßΣςǅÅ\u212b\u0130\u0301\u0307\u0323\u0345\u00ad\u200d\u200b\ufeff한\u1112\u1161\u11abقे"
TEXTS = st.one_of(st.text(max_size=30), st.text(alphabet=f"{ODD}aA .-'😀", max_size=20))


def place(
    text: str, *, tokenizer: Any = None, pattern: str = WORDS, **settings: Any
) -> PlacedTokens:
    return place_tokens(
        [text], Tokenization(tokenizer, pattern, settings.pop("lowercase", True), **settings), []
    )


def found(placed: PlacedTokens) -> list[tuple[str, str | None]]:
    """Each token and the characters at its place."""
    (text,) = placed.texts
    tokens = [placed.tokens[i] for i in placed.token_ids.ids]
    places = zip(placed.start.tolist(), placed.end.tolist(), strict=True)
    return [
        (token, text[a:b] if a >= 0 else None) for token, (a, b) in zip(tokens, places, strict=True)
    ]


def normal(characters: str) -> str:
    """Without differences of case, normal form and format characters."""
    kept = "".join(c for c in characters if unicodedata.category(c) != "Cf" or c in "\u200c\u200d")
    folded = unicodedata.normalize("NFD", kept).casefold()
    return unicodedata.normalize("NFD", folded)


def check_places(placed: PlacedTokens) -> None:
    """The characters at a place are the token; no fewer of them hold it."""
    for token, characters in found(placed):
        name = normal(token)
        if characters is None:
            assert not name
            continue
        assert name in normal(characters)
        assert name not in normal(characters[1:])
        assert name not in normal(characters[:-1])


@pytest.mark.parametrize("pattern", [WORDS, r"\w+", r"(?u)\b\w\w+\b", r"#(\w+)"])
@settings(derandomize=True, max_examples=40, deadline=None)
@given(text=TEXTS, lowercase=st.booleans())
@example(text="e\u0301\u00ad\u0323x İ\u0323 ΑΣ ẞ", lowercase=True)
@example(text="co\u00adopera\u00adtion", lowercase=False)
@example(text=" \u0301 stray \u0316\u0300", lowercase=True)
@example(text="0İ", lowercase=True)
def test_the_characters_at_a_place_are_the_token(pattern: str, lowercase: bool, text: str) -> None:
    check_places(place(text, pattern=pattern, lowercase=lowercase))


@settings(derandomize=True, max_examples=40, deadline=None)
@given(text=TEXTS)
@example(text="\ufeff a")
def test_tokens_of_a_callable_are_found_as_they_stand(text: str) -> None:
    check_places(place(text, tokenizer=str.split))


def test_places_are_those_of_the_original_text() -> None:
    assert found(place("İstanbul, CAFE\u0301 ÅNGSTRÖM")) == [
        ("i\u0307stanbul", "İstanbul"),
        (",", ","),
        ("café", "CAFE\u0301"),
        ("ångström", "ÅNGSTRÖM"),
    ]


def test_a_pattern_finds_its_own_matches() -> None:
    placed = place("cat #cat", pattern=r"#(\w+)")
    assert (placed.start.tolist(), placed.end.tolist()) == ([5], [8])


def test_tokens_behind_the_limit_have_no_place() -> None:
    assert found(place("one two three", max_tokens=2)) == [("one", "one"), ("two", "two")]


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("Cats are running.", ["cat", "be", "run"], ["Cat", None, "run"]),
        ("it is because", ["it", "be", "because"], ["it", None, "because"]),
        ("unaffable me", ["un", "##aff", "##able", "me"], ["un", "aff", "able", "me"]),
        ("a b", ["▁a", "▁b"], ["a", "b"]),
        ("我喜欢电影", ["喜欢", "电影"], ["喜欢", "电影"]),
        ("ha, na na", ["na", "na"], ["na", "na"]),
        ("Straße", ["strasse"], ["Straße"]),
        ("", ["a"], [None]),
        ("a", [""], [None]),
    ],
)
def test_tokens_are_aligned_in_order(
    text: str, tokens: list[str], expected: list[str | None]
) -> None:
    places = align(text, tokens)
    assert [text[a:b] if a >= 0 else None for a, b in places] == expected


def test_a_list_of_tokens_is_joined_by_spaces() -> None:
    placed = place(TokenizedText.of(["Good", "film !"]), tokenizer=list)
    assert placed.texts == ["Good film !"]
    assert found(placed) == [("good", "Good"), ("film !", "film !")]


def test_parts_have_the_tokens_of_the_whole() -> None:
    texts = ["a b a", "", "b c", "c c c c"]
    placed = place_tokens(texts, Tokenization(None, WORDS, lowercase=True), [])
    parts = list(placed.split(3))
    assert len(parts) > 1
    assert [text for part in parts for text in part.texts] == texts
    spelled = [part.tokens[i] for part in parts for i in part.token_ids.ids]
    assert spelled == [placed.tokens[i] for i in placed.token_ids.ids]
    assert [a for part in parts for a in part.start.tolist()] == placed.start.tolist()


def test_merged_tokens() -> None:
    first, second = place("ab, cd", pattern=r"\w+"), place("ab, cd", pattern=r"\w|[^\w\s]")
    merged, of_first, of_second = merge_tokens(first, second)
    assert found(merged) == [("ab", "ab"), (",", ","), ("cd", "cd")]
    assert of_first.tolist() == [0, 2]
    assert of_second.tolist() == [0, 0, 1, 2, 2]
    nothing = PlacedTokens.none(["ab, cd"])
    assert found(merge_tokens(nothing, second)[0]) == found(second)
    merged, of_first, of_second = merge_tokens(second, nothing)
    assert (found(merged), of_first.tolist(), len(of_second)) == (found(second), [0, 1, 2, 3, 4], 0)
