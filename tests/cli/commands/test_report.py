"""``report``: a model next to models without pretrained vectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OPTIONS = ("--cv", 2, "--train-sizes", "1.0")


@pytest.fixture
def report(run, vectors_file):
    def call(*arguments, **options):
        return run("report", *arguments, "--pretrained", vectors_file, **options)

    return call


def test_a_table_and_a_picture(report):
    shown = report("clean.csv", *OPTIONS, "--plot", "report.png").stdout
    assert shown.startswith("Transfer report: accuracy, 12 labels, 2 splits\nmodel")
    assert Path("report.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_scores_and_differences(report):
    found = report("clean.csv", *OPTIONS, "--scoring", "f1_macro", "--json").stdout
    document = json.loads(found)
    assert document["scoring"] == "f1_macro"
    assert document["n_labels"] == [12]
    assert list(document["models"]) == ["fine-tuned", "frozen", "random", "tf-idf"]
    ((mean, low, high),) = document["models"]["random"]["difference"]
    assert low <= mean <= high
    assert "difference" not in document["models"]["fine-tuned"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("reviews.csv",), 1, "3 of 29 rows cannot be used"),
        (("clean.csv", "--scoring", "f2"), 1, "f2"),
        (("clean.csv", "--plot", "x/y.png"), 1, "there is no folder x"),
        (("clean.csv", "--plot", "y.gif"), 2, "expected a name ending in .png, .svg or .pdf"),
        (("clean.csv", "--train-sizes", "a"), 2, "expected shares or numbers with commas"),
        (("clean.csv", "--cv", "1"), 2, "'--cv'"),
    ],
)
def test_errors_are_one_line(report, arguments, code, message):
    assert message in report(*arguments, code=code).stderr
