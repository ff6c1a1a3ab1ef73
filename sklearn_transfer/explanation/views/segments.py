"""Texts as segments for the views: tokens with contributions, and the characters between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..explanation import Explanation

# Characters of a text that a view shows; of a longer text, the segments on both sides of a token,
# and the characters of one segment.
SHOWN_CHARACTERS, _AROUND, _LONGEST = 2000, 12, 200
# Pairs of a text and a target that a view shows.
SHOWN_PAIRS = 20


class Segment(NamedTuple):
    """Characters of a text; a token with its spelling and contribution, or None for both."""

    characters: str
    token: str | None = None
    contribution: float | None = None


ELLIPSIS = Segment(" … ")


def choose_shown(
    explanation: Explanation, numbers: Sequence[int] | None = None
) -> tuple[list[tuple[int, Explanation, int]], str]:
    """Choose what a view shows: the first texts, with all targets of each where there are few.

    Parameters
    ----------
    explanation : Explanation
    numbers : sequence of int, default=None
        Numbers of the texts; None counts from 0.

    Returns
    -------
    shown : list of tuple (number of the text, its explanation, column of the target)
    rest : str
        A line that counts the others; empty if there are none.
    """
    n_targets = min(explanation.n_targets, SHOWN_PAIRS)
    n_texts = min(len(explanation), SHOWN_PAIRS // n_targets)
    numbers = range(n_texts) if numbers is None else numbers
    shown = [
        (numbers[i], one, j)
        for i in range(n_texts)
        for one in [explanation[i]]
        for j in range(n_targets)
    ]
    counts = len(explanation) - n_texts, explanation.n_targets - n_targets
    names = [
        f"{n:,} more {kind}" for n, kind in zip(counts, ("texts", "targets"), strict=True) if n
    ]
    return shown, f"... and {' and '.join(names)}" if names else ""


def split_segments(explanation: Explanation, target: int) -> tuple[list[Segment], list[Segment]]:
    """Split the text of an explanation of one text into segments.

    Parameters
    ----------
    explanation : Explanation
        Of one text.
    target : int
        Column of the contributions.

    Returns
    -------
    shown : list of Segment
        The text. Of one with more than 2,000 characters, the tokens with the largest contributions
        and their surroundings; an ellipsis stands for the rest.
    others : list of Segment
        Tokens without a place in the text, by decreasing absolute contribution.
    """
    text = explanation.texts[0]
    weights = explanation.contributions[:, target].tolist()
    shown, others, cursor = list[Segment](), list[Segment](), 0
    for i in np.lexsort((explanation.end, explanation.start)).tolist():
        a, b, token = int(explanation.start[i]), int(explanation.end[i]), str(explanation.tokens[i])
        if a < cursor:  # without a place, or inside another token
            others.append(Segment(token, token, weights[i]))
            continue
        if a > cursor:
            shown.append(Segment(text[cursor:a]))
        shown.append(Segment(text[a:b], token, weights[i]))
        cursor = b
    if cursor < len(text):
        shown.append(Segment(text[cursor:]))
    others.sort(key=_strength)
    return _shorten(shown), others


def _strength(segment: Segment) -> float:
    return -abs(segment.contribution or 0.0)


def _shorten(segments: list[Segment]) -> list[Segment]:
    """The segments that are shown of a text."""
    if sum(len(segment.characters) for segment in segments) <= SHOWN_CHARACTERS:
        return segments
    short = [segment._replace(characters=_cut(segment.characters)) for segment in segments]
    kept: set[int] = set()
    n_characters = 0
    for i in sorted(range(len(short)), key=lambda i: _strength(short[i])):
        new = set(range(max(0, i - _AROUND), min(len(short), i + _AROUND + 1))) - kept
        n_characters += sum(len(short[j].characters) for j in new)
        if n_characters > SHOWN_CHARACTERS:
            break
        kept |= new
    shown, last = list[Segment](), -1
    for i in sorted(kept):
        if i > last + 1:
            shown.append(ELLIPSIS)
        shown.append(short[i])
        last = i
    return [*shown, ELLIPSIS] if last < len(short) - 1 else shown


def _cut(characters: str) -> str:
    """The characters of a segment, at most 200."""
    if len(characters) <= _LONGEST:
        return characters
    return characters[: _LONGEST // 2] + "…" + characters[-_LONGEST // 2 :]
