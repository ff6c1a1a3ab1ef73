"""Tokens of texts by a regular expression; words as Unicode has them; ASCII by arrays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain, groupby

import numpy as np

# From several texts to the tokens of each.
SplitAll = Callable[[Sequence[str]], Iterator[list[str]]]

# Characters that are processed as arrays at a time.
_CHARACTERS = 1 << 20
# For a single text below this length, a regular expression is faster.
_SHORT = 2000

# The ASCII characters that are neither in a word nor white space.
_MARKS = np.array([re.match(r"[^\w\s]", chr(i)) is not None for i in range(128)])

# Code points that may have the categories below: all but ideographs and private ones.
_SEARCHED = range(0x80, 0x20000), range(0xE0000, 0xE0200)
_MARKS_AND_JOINERS = frozenset(["Mn", "Mc", "Me"])
_FORMAT, _JOINERS = "Cf", "\u200c\u200d"

# Characters of scripts without spaces between words: Thai and Lao, Burmese, Khmer, Japanese kana,
# Chinese characters. Korean and Tibetan divide words or syllables.
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u3005-\u3007\u3040-\u30fa"
    r"\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U0003ffff"
)
_BY_CHARACTER = rf"[{UNSPACED}]|[^\W{UNSPACED}]+"
_MARK = r"|[^\w\s]"

_SPACED_WORDS = (r"\w+", r"(?u)\w+", r"\b\w+\b", r"(?u)\b\w+\b")
_SPACED_WORDS_AND_MARKS = (r"\w+|[^\w\s]", r"(?u)\w+|[^\w\s]")
_WORDS = frozenset([*_SPACED_WORDS, _BY_CHARACTER])
_WORDS_AND_MARKS = frozenset([*_SPACED_WORDS_AND_MARKS, _BY_CHARACTER + _MARK])
# The pattern that splits texts as a pattern of words does, but each character of these scripts is a
# token of its own.
CHARACTER_PATTERNS = {
    **dict.fromkeys(_SPACED_WORDS, _BY_CHARACTER),
    **dict.fromkeys(_SPACED_WORDS_AND_MARKS, _BY_CHARACTER + _MARK),
}


def split_by_pattern(token_pattern: str, *, lowercase: bool) -> SplitAll:
    r"""Make a function that splits texts into the matches of a pattern.

    Parameters
    ----------
    token_pattern : str
        Regular expression of a token, with at most one capturing group, which is then the token.
    lowercase : bool
        Lower-case the texts before they are split.

    Returns
    -------
    callable
        From a sequence of texts to an iterator over the list of tokens of each.

    Raises
    ------
    ValueError
        If the pattern is not a regular expression or has more than one group.

    Notes
    -----
    In the patterns of words, ``\w+``, and of words and single marks, ``\w+|[^\w\s]``, a word is one
    as Unicode has it: combining marks and joiners continue it (UAX #29, rule WB4), other format
    characters, such as the soft hyphen, are left out, and texts are in the normal form NFC. The
    ``\w`` of Python would cut Hindi, vowelled Arabic and decomposed accents at every mark.

    ASCII texts are rewritten by array operations so that ``str.split`` gives the same tokens: the
    marks become spaces, or are surrounded by spaces.

    Examples
    --------
    >>> list(split_by_pattern(r"\w+|[^\w\s]", lowercase=True)(["Well, no.", "Naïve!"]))
    [['well', ',', 'no', '.'], ['naïve', '!']]
    >>> list(split_by_pattern(r"\w+", lowercase=True)(["Cafe\u0301 हिन्दी"]))
    [['café', 'हिन्दी']]
    """
    pattern = _compile(token_pattern)

    def find(text: str) -> list[str]:
        return pattern.findall(text.lower() if lowercase else text)

    def find_words(text: str) -> list[str]:
        words, spell = read_pattern(token_pattern, lowercase=lowercase)
        return words.findall(spell(text))

    ascii_ = bytes(range(128))
    spelled = ascii_.lower() if lowercase else ascii_
    if token_pattern in _WORDS:
        spelled = bytes(
            ord(" ") if mark else code for code, mark in zip(spelled, _MARKS, strict=True)
        )
    if token_pattern in _WORDS | _WORDS_AND_MARKS:
        table, spread = bytes.maketrans(ascii_, spelled), token_pattern not in _WORDS
        return partial(_split_all, find=find_words, find_ascii=find, spell=table, spread=spread)
    return partial(map, find)


def read_pattern(
    token_pattern: str, *, lowercase: bool
) -> tuple[re.Pattern[str], Callable[[str], str]]:
    """Return the expression that finds tokens, and the function that spells a text for it."""
    pattern = _compile(token_pattern)
    change_case: Callable[[str], str] = str.lower if lowercase else str
    if token_pattern not in _WORDS | _WORDS_AND_MARKS:
        return pattern, change_case

    def spell(text: str) -> str:
        return unicodedata.normalize("NFC", change_case(text)).translate(left_out())

    with_marks = token_pattern not in _WORDS
    return _word_pattern(with_marks, token_pattern.startswith(_BY_CHARACTER)), spell


def describe_pattern(token_pattern: str) -> dict[str, str | None]:
    """The expression that finds tokens, and what is done to texts before, for other programs."""
    expression, _ = read_pattern(token_pattern, lowercase=False)
    is_plain = token_pattern not in _WORDS | _WORDS_AND_MARKS
    return {
        "pattern": expression.pattern,
        "normal_form": None if is_plain else "NFC",
        "left_out": "" if is_plain else "".join(map(chr, left_out())),
    }


def _compile(token_pattern: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(token_pattern)
    except re.error as error:
        raise ValueError(
            f"token_pattern must be a regular expression, got {token_pattern!r}: {error}."
        ) from error
    if pattern.groups > 1:
        raise ValueError(
            f"token_pattern must have at most one capturing group, got {pattern.groups} in "
            f"{token_pattern!r}. Write the others as (?:...)."
        )
    return pattern


@cache
def _word_pattern(with_marks: bool, by_character: bool) -> re.Pattern[str]:  # noqa: FBT001
    inside = "".join(_ranges(_of_category(_MARKS_AND_JOINERS))) + _JOINERS
    word = rf"\w[\w{inside}]*"
    if by_character:
        word = rf"[{UNSPACED}]|[^\W{UNSPACED}](?:(?![{UNSPACED}])[\w{inside}])*"
    return re.compile(word + (_MARK if with_marks else ""))


@cache
def left_out() -> dict[int, None]:
    """The format characters that do not join letters, for `str.translate`."""
    codes = _of_category(frozenset([_FORMAT]))
    return dict.fromkeys(code for code in codes if chr(code) not in _JOINERS)


def _of_category(categories: frozenset[str]) -> list[int]:
    codes = chain(*_SEARCHED)
    return [code for code in codes if unicodedata.category(chr(code)) in categories]


def _ranges(codes: Iterable[int]) -> Iterator[str]:
    """Ascending code points as the ranges of a character class."""
    for _, group in groupby(enumerate(codes), key=lambda place: place[1] - place[0]):
        run = [code for _, code in group]
        yield f"{chr(run[0])}-{chr(run[-1])}"


def _split_all(
    texts: Sequence[str],
    *,
    find: Callable[[str], list[str]],
    find_ascii: Callable[[str], list[str]],
    spell: bytes,
    spread: bool,
) -> Iterator[list[str]]:
    """The tokens of texts: by `find`; of ASCII texts by `_rewrite`, of a short one by regex."""
    if len(texts) == 1 and len(texts[0]) < _SHORT and texts[0].isascii():
        yield find_ascii(texts[0])
        return
    start = 0
    while start < len(texts):
        stop, size = start, 0
        while stop < len(texts) and size < _CHARACTERS:
            size += len(texts[stop])
            stop += 1
        part = texts[start:stop]
        in_ascii = _rewrite([text for text in part if text.isascii()], spell, spread=spread)
        for text in part:
            yield next(in_ascii).split() if text.isascii() else find(text)
        start = stop


def _rewrite(texts: list[str], spell: bytes, *, spread: bool) -> Iterator[str]:
    """Replace the characters of ASCII texts and, if `spread`, put spaces around the marks."""
    written = "".join(texts).encode("ascii").translate(spell)
    end = np.cumsum([len(text) for text in texts], dtype=np.int64)
    if spread:
        codes = np.frombuffer(written, dtype=np.uint8)
        marks = _MARKS[codes]
        position = np.cumsum(1 + 2 * marks.view(np.uint8), dtype=np.int64)
        end = np.append(0, position)[end]
        spaced = np.full(end[-1] if len(end) else 0, ord(" "), dtype=np.uint8)
        spaced[position - 1 - marks] = codes
        written = spaced.tobytes()
    everything = written.decode("ascii")
    start = 0
    for stop in end.tolist():
        yield everything[start:stop]
        start = stop
