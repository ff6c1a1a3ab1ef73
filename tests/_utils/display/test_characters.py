import pytest

from sklearn_transfer._utils.display.characters import make_line, make_safe


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\r", "\x7f", "\x9b", "\ud800", "\u202e"])
def test_characters_that_act_are_replaced(character):
    assert make_safe(f"a{character}b") == "a\ufffdb"


def test_other_characters_stay():
    text = "naïve\t猫\n<b>"
    assert make_safe(text) == text


def test_a_line_is_short_and_has_no_breaks():
    assert make_line("a\nb\tc", 5) == "a b c"
    assert make_line("abcdef", 5) == "abcd…"
    assert len(make_line("x" * 10**7, 80)) == 80
