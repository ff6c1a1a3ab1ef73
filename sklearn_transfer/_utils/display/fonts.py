"""Fonts for texts of users in pictures."""

from __future__ import annotations

from ..optional import import_optional

# Fonts of the common systems for scripts that matplotlib's own font lacks, Chinese, Japanese and
# Korean first of all. matplotlib warns of characters that no font has.
_FALLBACKS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Yu Gothic"),
    *("Apple SD Gothic Neo", "Malgun Gothic", "Nirmala UI", "Noto Sans Devanagari"),
    *("Leelawadee UI", "Noto Sans Thai"),
)


def find_families() -> list[str]:
    """List the font families of matplotlib's settings, and installed ones for other scripts."""
    manager = import_optional("matplotlib.font_manager", extra="plot", purpose="A picture")
    settings = import_optional("matplotlib", extra="plot", purpose="A picture").rcParams
    installed = {font.name for font in manager.fontManager.ttflist}
    return [*settings["font.family"], *(name for name in _FALLBACKS if name in installed)]
