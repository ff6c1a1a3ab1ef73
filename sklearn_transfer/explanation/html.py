"""Explanations as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from .segments import SHOWN_TEXTS, Segment, make_safe, split_segments

if TYPE_CHECKING:
    from .explanation import Explanation

# Translucent colours, so that dark and light pages keep the colour of their text. Blue and orange
# differ for readers who cannot tell red from green.
_POSITIVE, _NEGATIVE = (38, 132, 255), (255, 122, 0)
_LEAST, _MOST = 0.08, 0.6
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
    shown = [explanation[i] for i in range(min(len(explanation), SHOWN_TEXTS))]
    parts = [
        _render_text(one, number)
        for number, one in zip(numbers or range(len(shown)), shown, strict=False)
    ]
    if len(shown) < len(explanation):
        parts.append(f"<p>… and {len(explanation) - len(shown):,} more texts.</p>")
    legend = (
        f"<p>{_mark(' lowers the output ', -1, 1)} {_mark(' raises the output ', 1, 1)} "
        f"<small>method: {_clean(explanation.method.replace('_', ' '))}; the numbers are "
        f"contributions</small></p>"
    )
    return f'<div class="sklearn-transfer-explanation">{legend}{"".join(parts)}</div>'


def _render_text(one: Explanation, number: int) -> str:
    """One text, once for each target."""
    parts = []
    for target in range(one.n_targets):
        shown, others = split_segments(one, target)
        largest = float(abs(one.contributions[:, target]).max(initial=0))
        body = "".join(_render_segment(segment, largest) for segment in shown)
        heading = (
            f"<b>{number}</b> · target <b>{_clean(str(one.targets[0, target]))}</b> · output "
            f"{one.logits[0, target]:.3f} = baseline {one.baseline[0, target]:.3f} + contributions "
            f"{one.sums[0, target]:.3f}"
        )
        parts.append(f"<div style='margin:.6em 0'><div>{heading}</div>")
        if body:
            parts.append(f"<div {_TEXT}>{body}</div>")
        if others:
            parts.append(_render_others(others, largest))
        if not (body or others):
            parts.append("<div><i>no tokens</i></div>")
        parts.append("</div>")
    return "".join(parts)


def _render_others(others: list[Segment], largest: float) -> str:
    """A table of tokens without a place, or of features."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{_render_segment(segment, largest)}</td>"
        f"<td style='text-align:right'>{segment.contribution:+.3f}</td></tr>"
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
    share = abs(contribution) / largest if largest else 0.0
    if share == 0:
        return f'<span title="{_clean(title)}">{_clean(characters)}</span>'
    red, green, blue = _POSITIVE if contribution > 0 else _NEGATIVE
    alpha = _LEAST + (_MOST - _LEAST) * share
    style = f"background:rgba({red},{green},{blue},{alpha:.2f});border-radius:.2em"
    return f'<span style="{style}" title="{_clean(title)}">{_clean(characters)}</span>'


def _clean(characters: str) -> str:
    return escape(make_safe(characters), quote=True)
