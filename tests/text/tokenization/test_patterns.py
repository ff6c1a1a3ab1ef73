from __future__ import annotations

import re
import unicodedata
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_transfer.text.tokenization.patterns import CHARACTER_PATTERNS, split_by_pattern

# Marks continue a word, and format characters are left out: Unicode, not Python, splits these.
PLAIN = st.text(st.characters(exclude_categories=["Mn", "Mc", "Me", "Cf", "Cs"])).map(
    partial(unicodedata.normalize, "NFC")
)
ASCII = st.text(st.characters(max_codepoint=127))
TEXTS = st.lists(st.one_of(ASCII, PLAIN, st.text(alphabet="aB é猫.'_")), max_size=6)
# Those that have a fast way, and others.
FAST = [r"(?u)\b\w+\b", r"\b\w+\b", r"\w+", r"(?u)\w+", r"\w+|[^\w\s]", r"(?u)\w+|[^\w\s]"]
FAST += dict.fromkeys(CHARACTER_PATTERNS.values())
PATTERNS = [*FAST, r"(?u)\b\w\w+\b", r"#(\w+)"]


def naive(pattern: str, texts: list[str], *, lowercase: bool) -> list[list[str]]:
    return [re.findall(pattern, text.lower() if lowercase else text) for text in texts]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
@settings(derandomize=True, max_examples=40, deadline=None)
@given(texts=TEXTS)
def test_tokens_are_those_of_findall(pattern: str, lowercase: bool, texts: list[str]) -> None:
    found = list(split_by_pattern(pattern, lowercase=lowercase)(texts))
    assert found == naive(pattern, texts, lowercase=lowercase)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("pattern", FAST)
def test_every_ascii_character_splits_as_in_the_pattern(pattern: str, lowercase: bool) -> None:
    texts = [f"a{chr(i)}B" for i in range(128)]
    found = list(split_by_pattern(pattern, lowercase=lowercase)(texts))
    assert found == naive(pattern, texts, lowercase=lowercase)


@pytest.mark.parametrize("pattern", FAST)
def test_long_texts_are_split_like_short_ones(pattern: str) -> None:
    texts = ["a, b " * 150_000, "naïve. one", "x" * 700_000, "", "... no?", "é, " * 200_000, "end"]
    assert list(split_by_pattern(pattern, lowercase=True)(texts)) == naive(
        pattern, texts, lowercase=True
    )


@pytest.mark.parametrize("pattern", [r"\w+", r"\w+|[^\w\s]"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("यह फ़िल्म अच्छी है", ["यह", "फ़िल्म", "अच्छी", "है"]),
        ("كِتَابٌ جَمِيلٌ", ["كِتَابٌ", "جَمِيلٌ"]),
        ("cafe\u0301 nai\u0308ve", ["café", "naïve"]),
        ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
        ("می\u200cخواهم کتاب", ["می\u200cخواهم", "کتاب"]),  # noqa: RUF001
        ("ක්\u200dරීඩාව", ["ක්\u200dරීඩාව"]),
        ("co\u00adopera\u00adtion", ["cooperation"]),
        ("\u200fright\u200e mark\ufeff", ["right", "mark"]),
        ("tamil: தமிழ்", ["tamil", "தமிழ்"]),
        ("\u0301 stray", ["stray"]),
        ("한국어 한국어", ["한국어", "한국어"]),
    ],
)
def test_a_word_is_one_as_unicode_has_it(pattern: str, text: str, words: list[str]) -> None:
    (found,) = split_by_pattern(pattern, lowercase=False)([text])
    expected = [unicodedata.normalize("NFC", word) for word in words]
    assert [token for token in found if token not in (":", "\u0301")] == expected


def test_lower_case_does_not_split_a_word() -> None:
    assert list(split_by_pattern(r"\w+", lowercase=True)(["İstanbul ĞÜZEL"])) == [
        ["i\u0307stanbul", "ğüzel"]
    ]


def test_normal_forms_are_one_word() -> None:
    texts = [unicodedata.normalize(form, "Crème brûlée, họ") for form in ("NFC", "NFD")]
    first, second = split_by_pattern(r"\w+", lowercase=True)(texts)
    assert first == second == ["crème", "brûlée", "họ"]


def test_other_patterns_read_the_text_as_it_is() -> None:
    assert list(split_by_pattern(r"\S+", lowercase=False)(["cafe\u0301"])) == [["cafe\u0301"]]


def test_the_group_of_a_pattern_is_the_token() -> None:
    assert list(split_by_pattern(r"#(\w+)", lowercase=True)(["#One two #THREE"])) == [
        ["one", "three"]
    ]


def test_a_pattern_that_does_not_compile_is_named() -> None:
    with pytest.raises(
        ValueError,
        match=r"token_pattern must be a regular expression, got '\(': missing \), unterminated",
    ):
        split_by_pattern("(", lowercase=True)


def test_a_pattern_of_two_groups_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"token_pattern must have at most one capturing group, got 2 in .* as \(\?:\.\.\.\)",
    ):
        split_by_pattern(r"(\w)(\w)", lowercase=True)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("我用iPhone 7，很好！", ["我", "用", "iphone", "7", "，", "很", "好", "！"]),  # noqa: RUF001
        ("カ\u3099ラスのコーヒー", list("ガラスのコーヒー")),  # composed
        ("ดีมาก cafe\u0301", [*"ดีมาก", "café"]),
        ("ខ្មែរ ລາວ မြန်", list("ខ្មែរລາວမြန်")),
        ("한국어 кот", ["한국어", "кот"]),
        ("x\U00020000人々", ["x", "\U00020000", "人", "々"]),
    ],
)
def test_each_character_of_a_script_without_spaces_is_a_token(text: str, tokens: list[str]) -> None:
    marks, words = CHARACTER_PATTERNS[r"\w+|[^\w\s]"], CHARACTER_PATTERNS[r"\w+"]
    assert list(split_by_pattern(marks, lowercase=True)([text])) == [tokens]
    without = [token for token in tokens if token not in "，！"]  # noqa: RUF001
    assert list(split_by_pattern(words, lowercase=True)([text])) == [without]
