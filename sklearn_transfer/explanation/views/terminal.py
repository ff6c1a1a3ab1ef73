"""Explanations as text, for terminals and files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._utils.display.characters import make_line, make_safe
from .segments import Segment, choose_shown, split_segments

if TYPE_CHECKING:
    from ..explanation import Explanation

# Black on three shades of blue and orange of the table of 256 colours, weakest first.
_POSITIVE, _NEGATIVE = (195, 117, 75), (230, 221, 214)
_RESET = "\x1b[0m"
# Contributions that are listed, and the characters of a token in the list.
_N_LISTED, _WIDTH = 10, 40


def render_text(
    explanation: Explanation, *, colour: bool | None = None, numbers: Sequence[int] | None = None
) -> str:
    """Render texts and their largest contributions.

    Control characters in texts are replaced, so that they have no effect on a terminal.

    Parameters
    ----------
    explanation : Explanation
    colour : bool or None, default=None
        Show contributions as background colours. None is True where the standard output is a
        terminal and the environment variable NO_COLOR is not set.
    numbers : sequence of int, default=None
        Numbers of the texts; None counts from 0.

    Returns
    -------
    str
    """
    if colour is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown, rest = choose_shown(explanation, numbers)
    parts = [_render_target(*part, colour=colour) for part in shown]
    return "\n\n".join([*parts, rest] if rest else parts)


def _render_target(number: int, one: Explanation, target: int, *, colour: bool) -> str:
    shown, others = split_segments(one, target)
    largest = float(abs(one.contributions[:, target]).max(initial=0))
    lines = [
        f"text {number}, target {make_line(str(one.targets[0, target]), _WIDTH)}: output "
        f"{one.logits[0, target]:.3f} = baseline {one.baseline[0, target]:.3f} + contributions "
        f"{one.sums[0, target]:.3f} ({one.method})"
    ]
    body = "".join(_render_segment(segment, largest, colour=colour) for segment in shown)
    if body:
        lines.append(body)
    tokens = [segment for segment in [*shown, *others] if segment.contribution]
    tokens.sort(key=lambda segment: -abs(segment.contribution or 0))
    lines += [
        f"  {segment.contribution:+9.3f}  {make_line(segment.token or '', _WIDTH)}"
        for segment in tokens[:_N_LISTED]
    ]
    if len(tokens) > _N_LISTED:
        lines.append(f"  ... and {len(tokens) - _N_LISTED:,} more tokens")
    return "\n".join(lines)


def _render_segment(segment: Segment, largest: float, *, colour: bool) -> str:
    characters = make_safe(segment.characters)
    if not colour or not segment.contribution:
        return characters
    shades = _POSITIVE if segment.contribution > 0 else _NEGATIVE
    share = abs(segment.contribution) / largest
    shade = shades[min(int(share * len(shades)), len(shades) - 1)]
    return f"\x1b[30;48;5;{shade}m{characters}{_RESET}"
