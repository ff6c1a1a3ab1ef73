"""``vectors``: names, content and conversion."""

from __future__ import annotations

import json
import re

import pytest

from sklearn_transfer import load_pretrained


def test_names_are_listed(run):
    assert "glove-wiki-gigaword-50" in run("vectors", "list").stdout
    names = [entry["name"] for entry in json.loads(run("vectors", "list", "--json").stdout)]
    assert "word2vec-google-news-300" in names


def test_vectors_are_described(run, vectors_file):
    about = json.loads(run("vectors", "inspect", vectors_file, "--json").stdout)
    assert (about["words"], about["dim"], about["format"]) == (12, 2, "word2vec-text")
    assert about["first_words"][:2] == ["good", "great"]
    shown = run("vectors", "inspect", vectors_file, "--word", "bad").stdout
    assert "first words   good, great" in shown
    assert re.search(r"awful +1\.000", shown)


def test_vectors_are_converted(run, vectors_file):
    run("vectors", "convert", vectors_file, "folder", "--dtype", "float16", "--limit", 8)
    vectors = load_pretrained("folder")
    assert (len(vectors), str(vectors.matrix.dtype)) == (8, "float16")
    done = run("vectors", "convert", "folder", "one.parquet", "--dim", 1)
    assert done.stdout == "one.parquet: 8 words x 1, format parquet\n"
    run("vectors", "convert", vectors_file, "small.txt.gz", "--format", "glove")
    assert load_pretrained("small.txt.gz").dim == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("inspect", "glove-wiki-gigawort-50x.txt"), 1, "No pretrained vectors at"),
        (("inspect", "SOURCE", "--word", "zork"), 1, "The vectors have no word 'zork'"),
        (("inspect", "new.csv"), 1, "expected one of the formats"),
        (("convert", "SOURCE", "clean.csv", "--format", "glove"), 1, "clean.csv exists"),
        (("convert", "SOURCE", "out.xyz"), 2, "does not tell the format; give --format"),
        (("convert", "SOURCE", "x/out"), 1, "there is no folder x"),
        (("convert", "SOURCE"), 2, "Missing argument 'OUTPUT'"),
    ],
)
def test_errors_are_one_line(run, vectors_file, arguments, code, message):
    given = [vectors_file if argument == "SOURCE" else argument for argument in arguments]
    assert message in run("vectors", *given, code=code).stderr
