"""Fonts of pictures."""

from __future__ import annotations

import dataclasses

import pytest

from sklearn_transfer._utils.display.fonts import find_families


def test_installed_fonts_for_other_scripts_follow_the_settings(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    manager = pytest.importorskip("matplotlib.font_manager").fontManager
    own = [font for font in manager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(manager, "ttflist", own)
    settings = list(matplotlib.rcParams["font.family"])
    assert find_families() == settings
    chinese = dataclasses.replace(own[0], name="Noto Sans CJK SC")
    monkeypatch.setattr(manager, "ttflist", [*own, chinese])
    assert find_families() == [*settings, "Noto Sans CJK SC"]
