"""The description of a vector table in a notebook."""

from __future__ import annotations

from ..._utils.display.tables import html_properties
from .table import Table

_SHOWN_WORDS, _SHOWN_CHARACTERS = 6, 20


def describe_table(table: Table | None, name: str | None, path: str | None) -> str:
    """Describe vectors in HTML.

    Parameters
    ----------
    table : Table or None
        None: of a pickle whose file has not been found yet.
    name, path : str or None
        None: without a name, in memory.

    Returns
    -------
    str
    """
    title = "PretrainedVectors" if name is None else f"PretrainedVectors {name}"
    place = ("place", "in memory" if path is None else path)
    if table is None:
        return html_properties([("words", "not opened"), place], title=title)
    first = " ".join(word[:_SHOWN_CHARACTERS] for word in table.words[:_SHOWN_WORDS])
    properties = [
        ("words", f"{len(table.words):,}"),
        ("dimensions", str(table.dim)),
        ("type", str(table.matrix.dtype)),
        ("case", "as written" if table.cased else "lower case"),
        ("first words", first),
        place,
    ]
    if table.tokenizer is not None:
        properties.insert(4, ("tokenizer", "sub-words"))
    if table.subwords is not None:
        properties.insert(4, ("n-grams", f"{len(table.subwords.matrix):,} rows"))
    return html_properties(properties, title=title)
