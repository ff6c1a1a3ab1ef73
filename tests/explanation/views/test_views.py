"""Explanations as HTML and as text."""

from __future__ import annotations

import io
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from sklearn_transfer import Explanation
from sklearn_transfer.explanation.views.terminal import render_text


def explain(
    text: str, spans: list[tuple[int, int]], weights: list[float], **changes: object
) -> Explanation:
    settings = {
        "texts": [text],
        "tokens": np.array(
            [text[a:b].lower() if a >= 0 else "lemma" for a, b in spans], dtype=object
        ),
        "offsets": np.array([0, len(spans)]),
        "start": np.array([a for a, _ in spans], dtype=int),
        "end": np.array([b for _, b in spans], dtype=int),
        "contributions": np.array(weights, dtype=float).reshape(-1, 1),
        "targets": np.array([["yes"]]),
        "logits": np.array([[1.5]]),
        "baseline": np.array([[0.5]]),
        "method": "exact",
    }
    return Explanation(**{**settings, **changes})  # type: ignore[arg-type]


class Page(HTMLParser):
    """The elements of a page, and its text as a reader sees it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


MARKUP = "<script>alert('x')</script> &lt; \"quoted\" </div> good"


def test_markup_has_no_effect() -> None:
    spans = [(0, 8), (8, 13), (len(MARKUP) - 4, len(MARKUP))]
    targets = np.array([["<img src=x onerror=alert(1)>"]])
    tokens = np.array(["<b>", '" onmouseover="alert(1)', "good"], dtype=object)
    explanation = explain(MARKUP, spans, [1, -1, 2], targets=targets, tokens=tokens)
    page = Page(explanation._repr_html_())
    assert {tag for tag, _ in page.elements} <= {"div", "span", "p", "b", "bdi", "small"}
    assert not any("onmouseover" in attributes for _, attributes in page.elements)
    assert MARKUP in page.text
    assert "target <img src=x onerror=alert(1)>" in page.text


def test_colours_are_those_of_contributions() -> None:
    page = Page(explain("good bad x", [(0, 4), (5, 8), (9, 10)], [2, -1, 0])._repr_html_())
    styles = {
        attributes["title"]: attributes.get("style")
        for tag, attributes in page.elements
        if tag == "span" and attributes["title"]
    }
    assert styles["good: +2.0000"] == "background:rgba(38,132,255,0.60);border-radius:.2em"
    assert styles["bad: -1.0000"] == "background:rgba(255,122,0,0.30);border-radius:.2em"
    assert styles["x: +0.0000"] is None
    assert "lowers the output" in page.text
    assert "raises the output" in page.text
    assert "output 1.500 = baseline 0.500 + contributions 1.000" in page.text


def test_tokens_without_a_place_are_listed() -> None:
    page = Page(explain("is", [(-1, -1)], [1.25])._repr_html_())
    assert "lemma+1.250" in page.text
    assert "lemma" in render_text(explain("is", [(-1, -1)], [1.25]), colour=False)


def test_a_text_without_tokens() -> None:
    page = Page(explain("", [], [])._repr_html_())
    assert "no tokens" in page.text
    assert render_text(explain("", [], [])).startswith("text 0, target yes: output 1.500")


@pytest.mark.parametrize(
    "render",
    [lambda e: Page(e._repr_html_()).text, lambda e: render_text(e, colour=False)],
    ids=["html", "text"],
)
def test_a_long_text_is_shortened(render: object) -> None:
    words = [f"w{i}" for i in range(5000)]
    text = " ".join(words)
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
    weights = [0.0] * 5000
    weights[3000] = 1.0
    shown = render(explain(text, spans, weights))  # type: ignore[operator]
    assert " … " in shown
    assert "w2999 w3000 w3001" in shown
    assert len(shown) < 5000
    one_token = render(explain("x" * 10**6, [(0, 10**6)], [1.0]))  # type: ignore[operator]
    assert len(one_token) < 2000


def test_many_texts_are_not_all_shown() -> None:
    one = explain("good", [(0, 4)], [1])
    many = Explanation(
        ["good"] * 50,
        np.array(["good"] * 50, dtype=object),
        np.arange(51),
        np.zeros(50, dtype=int),
        np.full(50, 4),
        *(part.repeat(50, axis=0) for part in (one.contributions, one.targets, one.logits)),
        one.baseline.repeat(50, axis=0),
        "exact",
    )
    assert "<p>... and 30 more texts</p>" in many._repr_html_()
    assert str(many).endswith("... and 30 more texts")
    contributions = np.zeros((50, 30))
    columns = np.tile(np.arange(30), (50, 1))
    wide = replace(
        many, contributions=contributions, targets=columns, logits=columns, baseline=columns
    )
    assert str(wide).count("text 0, target") == 20
    assert str(wide).endswith("... and 49 more texts and 10 more targets")
    assert str(wide[0]).endswith("... and 10 more targets")


def test_controls_have_no_effect_on_a_terminal() -> None:
    text = "\x1b[31mred\x07 \x9b1m \u202e txt \ud800\r\n\tgood"
    shown = render_text(explain(text, [(len(text) - 4, len(text))], [1]), colour=False)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert not set("\x9b\u202e\ud800\x1b") & set(shown)
    shown.encode()  # a lone surrogate could not be written
    explain(text, [], [])._repr_html_().encode()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_print_has_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = explain("good bad", [(0, 4), (5, 8)], [1, -0.2])
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", Terminal())
    coloured = str(explanation)
    assert "\x1b[30;48;5;75mgood\x1b[0m \x1b[30;48;5;230mbad\x1b[0m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in str(explanation)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.delenv("NO_COLOR")
    assert str(explanation).splitlines() == [
        "text 0, target yes: output 1.500 = baseline 0.500 + contributions 0.800 (exact)",
        "good bad",
        "     +1.000  good",
        "     -0.200  bad",
    ]


def test_a_label_from_right_to_left_does_not_turn_the_numbers():
    page = explain("good", [(0, 4)], [1.0], targets=np.array([["نعم"]]))._repr_html_()
    assert "<bdi>نعم</bdi>" in page
    assert "the darkest colour is the largest contribution to each output" in page
