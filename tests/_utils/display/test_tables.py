from html.parser import HTMLParser
from itertools import chain

from sklearn_transfer._utils.display.tables import format_table, html_properties, html_table

ROWS = [["name", "score"], ["a", "0.5"], ["<script>alert(1)</script>", "12"]]


class Reader(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_columns_are_aligned():
    assert format_table([*ROWS[:2], ["longer", "12"]]) == (
        "name    score\na         0.5\nlonger     12"
    )


def test_a_table_shows_its_texts_and_no_markup_of_theirs():
    page = Reader(html_table(ROWS, title="<i>T</i>", notes=["a & b", "<script>x</script>"]))
    assert page.open == []
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert page.texts == ["<i>T</i>", *chain(*ROWS), "a & b", "<script>x</script>"]
    assert page.tags.count("tr") == 3


def test_properties_are_escaped_and_shortened():
    page = Reader(html_properties([("name", "<b>" + "x" * 500)], title="T"))
    assert page.tags == ["div", "table", "caption", "tbody", "tr", "th", "td"]
    assert page.texts[-1].startswith("<b>xxx")
    assert len(page.texts[-1]) == 80


def test_characters_that_act_are_not_shown():
    rows = [["name"], ["a\x1b[2J\nb\ud800\u202e"]]
    assert format_table(rows) == "name\na\ufffd[2J b\ufffd\ufffd"
    html_table(rows, title="\ud800", notes=["\x00\ud800"]).encode()
    html_properties([("\ud800", "\ud800")], title="\ud800").encode()


def test_a_table_has_no_colours_of_its_own():
    shown = html_table(ROWS, title="T") + html_properties([("a", "b")], title="T")
    assert "background" not in shown
    assert "#" not in shown
