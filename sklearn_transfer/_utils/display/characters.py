"""Texts of users as they may be shown."""

from __future__ import annotations

import re

# Control characters, halves of surrogate pairs, and marks that reverse the order of what follows.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def make_safe(characters: str) -> str:
    """Replace characters that a terminal or a page would act on; tabs and newlines stay."""
    return _UNSAFE.sub("\ufffd", characters)


def make_line(characters: str, longest: int) -> str:
    """Make a text safe, put it on one line, and shorten it."""
    line = make_safe(characters[:longest]).replace("\n", " ").replace("\t", " ")
    return line if len(characters) <= longest else f"{line[: longest - 1]}…"
