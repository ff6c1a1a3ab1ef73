"""Tables for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .characters import make_line, make_safe

# No colours of its own: a notebook may be light or dark.
_RULE = "border-bottom:1px solid currentColor"
_TABLE = "border-collapse:collapse;border:none;margin:0.5em 0;font-variant-numeric:tabular-nums"
_CAPTION = "caption-side:top;text-align:left;font-weight:bold;color:inherit"
_LONGEST = 80  # characters of a cell


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Align the cells of a table: the first column to the left, the others to the right.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first row holds the names of the columns.

    Returns
    -------
    str
    """
    rows = [[make_line(cell, _LONGEST) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip()
        for first, *cells in rows
    )


def html_table(rows: Sequence[Sequence[str]], *, title: str, notes: Sequence[str] = ()) -> str:
    """Make an HTML table in the colours of the page; every text is escaped.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first row holds the names of the columns.
    title : str
    notes : sequence of str, default=()
        Paragraphs below the table.

    Returns
    -------
    str
    """
    header, *body = rows
    head = "".join(_cell("th", cell, i, _RULE) for i, cell in enumerate(header))
    lines = (
        "<tr>" + "".join(_cell("td", cell, i) for i, cell in enumerate(row)) + "</tr>"
        for row in body
    )
    return _wrap(title, f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>", notes)


def html_properties(properties: Sequence[tuple[str, str]], *, title: str) -> str:
    """Make an HTML table of names and values; see :func:`html_table`."""
    lines = (
        f'<tr><th scope="row" style="text-align:left;padding:1px 1em 1px 0">{_escape(name)}</th>'
        f'<td style="text-align:left">{_escape(value)}</td></tr>'
        for name, value in properties
    )
    return _wrap(title, f"<tbody>{''.join(lines)}</tbody>", ())


def _wrap(title: str, content: str, notes: Sequence[str]) -> str:
    caption = f'<caption style="{_CAPTION}">{escape(make_safe(title))}</caption>'
    paragraphs = "".join(f"<p>{escape(make_safe(note))}</p>" for note in notes)
    return f'<div><table style="{_TABLE}">{caption}{content}</table>{paragraphs}</div>'


def _cell(tag: str, text: str, column: int, style: str = "") -> str:
    side = "right" if column else "left"
    return f'<{tag} style="text-align:{side};padding:1px 0.7em;{style}">{_escape(text)}</{tag}>'


def _escape(text: str) -> str:
    return escape(make_line(text, _LONGEST))
