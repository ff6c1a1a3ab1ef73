"""Suggestions for names that do not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(name: str, names: Iterable[str]) -> str:
    """Return a question for the most similar name, in any case of letters; "" if there is none."""
    spelled = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), spelled, n=1, cutoff=0.8)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""
