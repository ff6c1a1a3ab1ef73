"""Places of tokens: their first and last characters in the original texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..._utils.texts import TokenizedText
from ...vectors.pretrained_vectors import PretrainedVectors
from ...vectors.table.vocabulary import ragged_arange, to_offsets
from .patterns import left_out, read_pattern
from .token_ids import TokenIds
from .tokens import Tokenization

Spans = list[tuple[int, int]]

NOWHERE = (-1, -1)
# Prefixes by which sub-word tokenizers mark the beginning or the continuation of a word.
_WORD_MARKS = ("##", "\u2581", "\u0120")


@dataclass(frozen=True)
class PlacedTokens:
    """The tokens of texts, and their places.

    Attributes
    ----------
    texts : list of str
        The texts; a list of tokens is joined by spaces.
    tokens : list of str
        Distinct tokens, as the model spells them.
    token_ids : TokenIds, length n_texts
        Positions in `tokens`.
    start, end : ndarray of int64, shape (n_tokens,)
        Token ``i`` is ``text[start[i]:end[i]]``; -1 if it is not found in its text.
    """

    texts: list[str]
    tokens: list[str]
    token_ids: TokenIds
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def none(cls, texts: Sequence[str]) -> Self:
        """Texts without tokens."""
        nothing = np.empty(0, dtype=np.int64)
        token_ids = TokenIds(nothing.astype(np.int32), np.zeros(len(texts) + 1, dtype=np.int64))
        return cls([str(text) for text in texts], [], token_ids, nothing, nothing)

    @classmethod
    def alone(cls, tokens: Sequence[str]) -> Self:
        """A text for each of some distinct tokens."""
        tokens, position = list(tokens), np.arange(len(tokens) + 1)
        token_ids = TokenIds(position[:-1].astype(np.int32), position)
        end = np.fromiter(map(len, tokens), np.int64, len(tokens))
        return cls(tokens, tokens, token_ids, np.zeros_like(end), end)

    def split(self, n_tokens: int) -> Iterator[PlacedTokens]:
        """Consecutive texts in parts of about `n_tokens` tokens, each with its distinct tokens."""
        text = token = 0
        for part in self.token_ids.split(n_tokens):
            texts, inside = slice(text, text + len(part)), slice(token, token + len(part.ids))
            token_ids, distinct = part.distinct(len(self.tokens))
            tokens = [self.tokens[i] for i in distinct.tolist()]
            start, end = self.start[inside], self.end[inside]
            yield PlacedTokens(self.texts[texts], tokens, token_ids, start, end)
            text, token = texts.stop, inside.stop


def merge_tokens(
    first: PlacedTokens, second: PlacedTokens
) -> tuple[PlacedTokens, NDArray[np.int64], NDArray[np.int64]]:
    """Merge two ways to split the same texts: tokens of the second stay where the first has none.

    Parameters
    ----------
    first, second : PlacedTokens, length n_texts

    Returns
    -------
    merged : PlacedTokens, length n_texts
    of_first, of_second : ndarray of int64
        Positions among the merged tokens: of the tokens of the first, and for each token of the
        second that of itself or of the first token that it shares characters with.
    """
    tokens = [*first.tokens, *second.tokens]
    rows: list[tuple[int, int, int]] = []
    lengths = []
    of_first = np.empty(len(first.start), dtype=np.int64)
    of_second = np.empty(len(second.start), dtype=np.int64)
    bounds = zip(pairwise(first.token_ids.offsets), pairwise(second.token_ids.offsets), strict=True)
    for (a, b), (c, d) in bounds:
        begin, i = len(rows), a
        for j in range(c, d):
            while i < b and first.end[i] <= second.start[j]:
                of_first[i] = len(rows)
                rows.append((first.token_ids.ids[i], first.start[i], first.end[i]))
                i += 1
            of_second[j] = len(rows)
            if i == b or first.start[i] >= second.end[j]:
                name = len(first.tokens) + second.token_ids.ids[j]
                rows.append((name, second.start[j], second.end[j]))
        for k in range(i, b):
            of_first[k] = len(rows)
            rows.append((first.token_ids.ids[k], first.start[k], first.end[k]))
        lengths.append(len(rows) - begin)
    ids, start, end = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    token_ids = TokenIds(ids.astype(np.int32), to_offsets(np.array(lengths, dtype=np.int64)))
    return PlacedTokens(first.texts, tokens, token_ids, start, end), of_first, of_second


def place_tokens(
    texts: Sequence[str], tokenization: Tokenization, sources: Sequence[PretrainedVectors]
) -> PlacedTokens:
    """Split texts into tokens, and find the place of each.

    The regular expression gives the places of its matches. The tokens of a callable are aligned
    with the text in order, whatever their case and normal form; a token that is not part of the
    text, such as a lemma, has no place.

    Parameters
    ----------
    texts : sequence of str, length n_texts
    tokenization : Tokenization
    sources : sequence of PretrainedVectors

    Returns
    -------
    PlacedTokens
    """
    tokens, token_ids = tokenization.split(texts, sources)
    shown = [" ".join(t.tokens) if isinstance(t, TokenizedText) else str(t) for t in texts]
    if tokenization.tokenizer is None and tokenization.table_tokenizer(sources) is None:
        lowercase = tokenization.lowers_case(sources)
        start, end = _find_matches(shown, tokenization.token_pattern, token_ids, lowercase)
    else:
        spans: Spans = []
        for text, (a, b) in zip(shown, pairwise(token_ids.offsets.tolist()), strict=True):
            spans += align(text, [tokens[i] for i in token_ids.ids[a:b].tolist()])
        start, end = _as_arrays(spans)
    return PlacedTokens(shown, tokens, token_ids, start, end)


def _as_arrays(spans: Spans) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _find_matches(
    texts: Sequence[str],
    token_pattern: str,
    token_ids: TokenIds,
    lowercase: bool,  # noqa: FBT001 (private)
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the matches of a pattern; of a truncated text, the first ones."""
    pattern, spell = read_pattern(token_pattern, lowercase=lowercase)
    group = pattern.groups
    spans: Spans = []
    n_matches = np.zeros(len(texts), dtype=np.int64)
    for i, text in enumerate(texts):
        spelled = spell(text)
        found = [match.span(group) for match in pattern.finditer(spelled)]
        if not text.isascii() and spelled != text and found:
            found = _map_back(text, spelled, found)
        n_matches[i] = len(found)
        spans += found
    start, end = _as_arrays(spans)
    kept = ragged_arange(to_offsets(n_matches)[:-1], token_ids.lengths)
    return start[kept], end[kept]


def _map_back(text: str, spelled: str, spans: Spans) -> Spans:
    """The places in a text of places in its lower-cased and normalised spelling."""
    if len(spelled) == len(text) and spelled == text.lower():
        return spans  # a character for each character
    original, changed = Folded.of(text), Folded.of(spelled)
    if original.characters != changed.characters:
        return align(text, [spelled[a:b] for a, b in spans])
    first, last = changed.positions()
    return [NOWHERE if a == b else original.place(first[a], last[b - 1] + 1) for a, b in spans]


@dataclass(frozen=True)
class Folded:
    """A text without differences of case and normal form, and the origin of its characters.

    Attributes
    ----------
    characters : str
        Decomposed, the marks of a letter in canonical order, and folded.
    origin : sequence of int, length n_characters
        The position in the text of each of them.
    """

    characters: str
    origin: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Folded:
        """Fold a text."""
        if text.isascii():
            return cls(text.lower(), range(len(text)))
        ignored = left_out()
        decomposed = [
            (part, i)
            for i, character in enumerate(text)
            if ord(character) not in ignored
            for part in unicodedata.normalize("NFD", character)
        ]
        characters: list[str] = []
        origin: list[int] = []
        for is_mark, group in groupby(decomposed, key=lambda part: _order(part) > 0):
            for part, i in sorted(group, key=_order) if is_mark else group:
                folded = unicodedata.normalize("NFD", part.casefold())
                characters.append(folded)
                origin += [i] * len(folded)
        return cls("".join(characters), origin)

    def place(self, first: int, stop: int) -> tuple[int, int]:
        """The place in the text of the folded characters from `first` to `stop`, exclusive."""
        return min(self.origin[first:stop]), max(self.origin[first:stop]) + 1

    def positions(self) -> tuple[dict[int, int], dict[int, int]]:
        """The first and the last folded character of each character of the text."""
        last = {i: position for position, i in enumerate(self.origin)}
        first = {self.origin[i]: i for i in range(len(self.origin) - 1, -1, -1)}
        return first, last


def _order(part: tuple[str, int]) -> int:
    """The place of a mark in the canonical order; 0 for other characters."""
    return unicodedata.combining(part[0])


def align(text: str, tokens: Sequence[str]) -> Spans:
    """Find tokens in a text, in order and without regard to case and normal form.

    Parameters
    ----------
    text : str
    tokens : sequence of str

    Returns
    -------
    list of tuple of int (start, end)
        (-1, -1) for a token that does not occur, or only behind a place of its successor.

    Examples
    --------
    >>> align("Cats are running.", ["cats", "be", "run"])
    [(0, 4), (-1, -1), (9, 12)]
    """
    folded = Folded.of(text)
    names = [_find_name(folded.characters, token) for token in tokens]
    spans, cursor = [], 0
    for name, following in pairwise([*names, ""]):
        place = _search(folded.characters, name, cursor)
        if place > cursor and following != name:
            other = _search(folded.characters, following, cursor)
            if 0 <= other < place or (other == place and len(following) > len(name)):
                place = -1  # it would pass over the token that follows it
        if place < 0:
            spans.append(NOWHERE)
            continue
        spans.append(folded.place(place, place + len(name)))
        cursor = place + len(name)
    return spans


def _find_name(text: str, token: str) -> str:
    """A folded token, without the mark of a sub-word tokenizer if the text does not have it."""
    name = Folded.of(token).characters
    for mark in _WORD_MARKS:
        if token.startswith(mark) and name not in text:
            return Folded.of(token.removeprefix(mark)).characters
    return name


def _search(text: str, name: str, start: int) -> int:
    """The place of a name at `start`, else of one that begins a word, else -1.

    Where words have no spaces between them, as in Chinese, any place begins one.
    """
    place = text.find(name, start) if name else -1
    while place > start and name[0].isalnum() and text[place - 1].isalnum():
        if not text[place - 1].isascii():
            break
        place = text.find(name, place + 1)
    return place
