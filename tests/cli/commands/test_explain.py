"""``explain``: contributions of words, in a terminal, a page, a table and JSON lines."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sklearn_transfer import PretrainedEmbeddingTransformer, load, save


def test_from_a_csv_as_it_is_to_explained_predictions(run, vectors_file):
    options = ("--output", "model.zip", "--pretrained", vectors_file, "--skip-bad")
    run("train", "reviews.csv", *options, "--holdout", 0.25)
    assert run("predict", "model.zip", "new.csv").stdout.splitlines()[1::2] == ["1,pos", "3,neg"]
    shown = run("explain", "model.zip", "new.csv")
    assert "text 1, target pos: output " in shown.stdout
    assert "text 3, target neg: output " in shown.stdout
    assert "  superb\n" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert shown.stderr == "Note: new.csv: no text: row 2 (line 3).\n"


def test_contributions_add_up_to_the_output(run, saved_model):
    found = run("explain", saved_model, "new.csv", "--json", "--target", "pos").stdout
    records = [json.loads(line) for line in found.splitlines()]
    model = load(saved_model)
    expected = model.decision_function(["superb acting", "", "how awful"])
    for record, logit in zip(records, expected, strict=True):
        (target,) = record["targets"]
        total = sum(token["contribution"] for token in target["tokens"])
        assert target["target"] == "pos"
        assert target["output"] == pytest.approx(logit, abs=1e-6)
        assert total + target["baseline"] == pytest.approx(target["output"], abs=1e-5)
    token = records[0]["targets"][0]["tokens"][0]
    assert records[0]["text"][token["start"] : token["end"]] == token["token"]


def test_one_text_and_all_targets(run, saved_model):
    found = run("explain", saved_model, "--string", "a good film", "--target", "all", "--json")
    (record,) = map(json.loads, found.stdout.splitlines())
    assert [target["target"] for target in record["targets"]] == ["neg", "pos"]


def test_a_table_has_a_row_per_token(run, saved_model):
    run("explain", saved_model, "clean.csv", "--output", "tokens.csv")
    with Path("tokens.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["token"] for row in rows[:3]] == ["a", "good", "film"]
    assert {row["target"] for row in rows} == {"pos", "neg"}
    assert int(rows[-1]["row"]) == 24


def test_a_page_shows_all_texts_and_runs_nothing(run, saved_model):
    texts = ["<script>alert(1)</script> good", *["bad & dull"] * 45]
    Path("many.csv").write_text("text\n" + "\n".join(texts) + "\n")
    run("explain", saved_model, "many.csv", "--output", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    shown: list[str] = []
    parser = HTMLParser()
    parser.handle_data = shown.append  # type: ignore[method-assign]
    tags: set[str] = set()
    parser.handle_starttag = lambda tag, attributes: tags.add(tag)  # type: ignore[method-assign]
    parser.feed(page)
    assert "script" not in tags
    assert "color-scheme:light dark" in page
    assert "alert" in "".join(shown)
    assert "46" in shown
    assert "more texts" not in page


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("new.csv", "--target", "poss"), 1, "no label 'poss'; its labels are 'neg', 'pos'."),
        (("new.csv", "--output", "new.csv"), 1, "new.csv exists. Give --force"),
        (("new.csv", "--output", "x.png"), 2, "ending in .csv, .tsv or .jsonl"),
        (("new.csv", "--output", "x.html", "--json"), 2, "--json is for stdout"),
        (("new.csv", "--string", "x"), 2, "Give DATA or --string, one of them."),
        ((), 2, "Give DATA or --string, one of them."),
        (("--string", "half \udce9"), 1, "--string: bytes that are not in the encoding"),
    ],
)
def test_errors_are_one_line(run, saved_model, arguments, code, message):
    assert message in run("explain", saved_model, *arguments, code=code).stderr
    assert not Path("x.html").exists()


def test_models_without_explanations(run, vectors):
    features = PretrainedEmbeddingTransformer(vectors).fit(["a film"])
    save(features, "features.zip")
    assert "does not predict" in run("explain", "features.zip", "new.csv", code=1).stderr
