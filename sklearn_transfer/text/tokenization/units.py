"""Units of text that tokens are, words or characters, and the columns that suit each."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..._utils.objects.state import State
from ..._utils.texts import TokenizedText
from .token_ids import TokenIds

UnitName = Literal["word", "character"]

# Tokens are characters if at least this share of all characters are tokens of their own. Words of
# Chinese, where about half of the tokens are one character long, stay below it.
_MOST = 2 / 3


@dataclass(frozen=True)
class TokenUnit:
    """The columns of a bag of tokens that suit a unit.

    Attributes
    ----------
    name : {"word", "character"}
    ngram_range : tuple of int (min_n, max_n)
        Lengths of n-grams of tokens, by default.
    ngram_norm : float or None
        Norm of the n-grams of each length from 2 on; that of single tokens is 1. None makes all
        lengths one block of norm 1.
    has_char_ngrams : bool
        Short texts have columns of the character n-grams inside tokens, by default.

    Notes
    -----
    A single character says as little as a letter; its n-grams are the words. In one block each
    length takes the part of the norm that its tf-idf has: the large one of longer n-grams.
    """

    name: UnitName
    ngram_range: tuple[int, int]
    ngram_norm: float | None
    has_char_ngrams: bool


WORD = TokenUnit("word", (1, 2), 0.7, has_char_ngrams=True)
CHARACTER = TokenUnit("character", (1, 4), None, has_char_ngrams=False)
UNITS = {unit.name: unit for unit in (WORD, CHARACTER)}


def find_unit(tokens: Sequence[str], token_ids: TokenIds) -> TokenUnit:
    """Find the unit of the tokens of texts.

    Parameters
    ----------
    tokens : sequence of str, length n_tokens
    token_ids : TokenIds, length n_texts
        Positions in `tokens`.

    Returns
    -------
    TokenUnit
        `CHARACTER` if at least two thirds of the characters are tokens of their own, else `WORD`. A
        letter and its combining marks are one character.
    """
    times = np.bincount(token_ids.ids, minlength=len(tokens))
    length = np.fromiter(map(_count_characters, tokens), np.int64, len(tokens))
    n_characters = int(times @ length)
    n_alone = int(times[length == 1].sum())
    return CHARACTER if n_characters and n_alone >= _MOST * n_characters else WORD


def tokenize_like(texts: Sequence[str], examples: Sequence[TokenizedText]) -> list[TokenizedText]:
    """Split texts into tokens of the unit that lists of tokens have: at spaces, or characters."""
    position: dict[str, int] = {}
    ids = [position.setdefault(t, len(position)) for text in examples for t in text.tokens]
    one_text = TokenIds(np.array(ids, dtype=np.int32), np.array([0, len(ids)]))
    found = find_unit(list(position), one_text)
    words = (text.split() for text in texts)
    return [TokenizedText.of("".join(w) if found is CHARACTER else w) for w in words]


def read_unit(state: State) -> UnitName | None:
    """The unit of a model file; None where texts are not split, and in files of older versions."""
    name: UnitName | None = None
    if "token_unit" in state:
        name = state.choice("token_unit", *UNITS, None)
    return name


def _count_characters(token: str) -> int:
    if token.isascii() or len(token) == 1:
        return len(token)
    n_marks = sum(unicodedata.category(character).startswith("M") for character in token)
    return max(len(token) - n_marks, 1)
