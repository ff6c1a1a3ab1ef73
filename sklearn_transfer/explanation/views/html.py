"""Explanations as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..._utils.display.characters import make_safe
from .segments import Segment, choose_shown, split_segments

if TYPE_CHECKING:
    from ..explanation import Explanation

# Translucent colours, so that dark and light pages keep the colour of their text. Blue and orange
# differ for readers who cannot tell red from green.
_POSITIVE, _NEGATIVE = (38, 132, 255), (255, 122, 0)
_LEAST, _MOST = 0.01, 0.6
_TABLE = 'style="border-collapse:collapse;margin:.3em 0"'
_TEXT = (
    'dir="auto" style="line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere;'
    'unicode-bidi:isolate;text-align:start;max-width:60em"'
)
# Tokens without a place in the text that are listed.
_N_OTHERS = 30


def render_html(explanation: Explanation, *, numbers: Sequence[int] | None = None) -> str:
    """Render texts with the contributions of their tokens as background colours.

    Everything that comes from texts and labels is escaped.

    Parameters
    ----------
    explanation : Explanation
    numbers : sequence of int, default=None
        Numbers of the texts; None counts from 0.

    Returns
    -------
    str
    """
    shown, rest = choose_shown(explanation, numbers)
    parts = [_render_target(*part) for part in shown]
    if rest:
        parts.append(f"<p>{rest}</p>")
    legend = (
        f"<p>{_mark('lowers the output', -1, 1)} {_mark('raises the output', 1, 1)} "
        f"<small>method: {_clean(explanation.method.replace('_', ' '))}; the darkest colour is the "
        f"largest contribution to each output</small></p>"
    )
    return f'<div class="sklearn-transfer-explanation">{legend}{"".join(parts)}</div>'


def _render_target(number: int, one: Explanation, target: int) -> str:
    """One text and one target."""
    shown, others = split_segments(one, target)
    largest = float(abs(one.contributions[:, target]).max(initial=0))
    body = "".join(_render_segment(segment, largest) for segment in shown)
    name = _clean(str(one.targets[0, target]))
    heading = (
        f"<b>{number}</b> · target <b><bdi>{name}</bdi></b> · output {one.logits[0, target]:.3f} = "
        f"baseline {one.baseline[0, target]:.3f} + contributions {one.sums[0, target]:.3f}"
    )
    parts = [f"<div style='margin:.6em 0'><div>{heading}</div>"]
    if body:
        parts.append(f"<div {_TEXT}>{body}</div>")
    if others:
        parts.append(_render_others(others, largest))
    if not (body or others):
        parts.append("<div><i>no tokens</i></div>")
    return "".join([*parts, "</div>"])


def _render_others(others: list[Segment], largest: float) -> str:
    """A table of tokens without a place, or of features."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{_render_segment(segment, largest)}</td>"
        f"<td style='text-align:right;padding-left:1em'>{segment.contribution:+.3f}</td></tr>"
        for segment in others[:_N_OTHERS]
    )
    more = len(others) - _N_OTHERS
    rest = f"<div><small>… and {more:,} more</small></div>" if more > 0 else ""
    return f"<table {_TABLE}>{rows}</table>{rest}"


def _render_segment(segment: Segment, largest: float) -> str:
    if segment.contribution is None:
        return _clean(segment.characters)
    token = "" if segment.token is None else segment.token
    title = f"{token}: {segment.contribution:+.4f}"
    return _mark(segment.characters, segment.contribution, largest, title)


def _mark(characters: str, contribution: float, largest: float, title: str = "") -> str:
    """Characters on the colour of a contribution, relative to the largest one."""
    alpha = _MOST * abs(contribution) / largest if largest else 0.0
    if alpha < _LEAST:
        return f'<span title="{_clean(title)}">{_clean(characters)}</span>'
    red, green, blue = _POSITIVE if contribution > 0 else _NEGATIVE
    style = f"background:rgba({red},{green},{blue},{alpha:.2f});border-radius:.2em"
    return f'<span style="{style}" title="{_clean(title)}">{_clean(characters)}</span>'


def _clean(characters: str) -> str:
    return escape(make_safe(characters), quote=True)
