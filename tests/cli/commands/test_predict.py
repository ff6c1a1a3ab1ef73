"""``predict``: labels of new texts, row by row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    load,
    save,
)


def test_predictions_are_those_of_the_model(run, saved_model):
    texts = ["superb acting", "", "how awful"]
    model = load(saved_model)
    found = run("predict", saved_model, "new.csv", "--proba", "--json")
    records = [json.loads(line) for line in found.stdout.splitlines()]
    assert [record["row"] for record in records] == [1, 2, 3]
    assert [record["label"] for record in records] == model.predict(texts).tolist()
    expected = dict(zip(["neg", "pos"], model.predict_proba(texts)[0].tolist(), strict=True))
    assert records[0]["probabilities"] == expected
    assert "Note: new.csv: no text: row 2 (line 3)." in found.stderr


def test_a_file_is_written_and_replaced_by_force_alone(run, saved_model):
    options = ("predict", saved_model, "new.csv", "--output", "out.csv")
    assert not run(*options).stdout
    with Path("out.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)][::2] == ["pos", "neg"]
    assert "out.csv exists. Give --force" in run(*options, code=1).stderr
    run(*options, "--force")
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith((".", "out"))) == [
        "out.csv"
    ]


def test_texts_come_from_the_standard_input(run, saved_model):
    found = run("predict", saved_model, "-", "--format", "csv", given="text\ngreat\n")
    assert found.stdout == "row,label\n1,pos\n"
    assert "Name the format" in run("predict", saved_model, "-", code=1, given="text\n").stderr


def test_rows_that_cannot_be_read_keep_the_numbers_of_others(run, saved_model):
    Path("bad.csv").write_bytes(b"text\ngreat\ncaf\xe9\nbad\n")
    assert "row 2 (line 3)" in run("predict", saved_model, "bad.csv", code=1).stderr
    found = run("predict", saved_model, "bad.csv", "--skip-bad").stdout
    assert found == "row,label\n1,pos\n3,neg\n"


def test_many_texts_are_predicted_in_parts(run, saved_model):
    Path("many.csv").write_text("text\n" + "great\nbad\n" * 1_100)
    lines = run("predict", saved_model, "many.csv").stdout.splitlines()
    assert lines[1:] == [f"{row},{'pos' if row % 2 else 'neg'}" for row in range(1, 2_201)]


def test_a_failure_leaves_nothing(run, saved_model):
    before = sorted(Path().iterdir())
    run("predict", saved_model, "new.csv", "--text", "txt", "--output", "out.csv", code=1)
    run("predict", "none.zip", "new.csv", "--output", "out.csv", code=1)
    assert sorted(Path().iterdir()) == before


def test_models_that_do_not_predict_texts(run, vectors):
    FineTunedClassifier().fit([[0.0], [1.0]], [0, 1]).save("numbers.zip")
    assert "does not read texts" in run("predict", "numbers.zip", "new.csv", code=1).stderr
    save(ContinuedVectors(vectors, epochs=1).fit(["a film", "a plot"]), "vectors.zip")
    assert "does not predict" in run("predict", "vectors.zip", "new.csv", code=1).stderr


def test_classes_of_other_types_and_pipelines(run, vectors, folder):
    pytest.importorskip("skops")
    texts = ["a good film", "a bad film", "a great plot", "a poor plot"]
    pipeline = make_pipeline(PretrainedEmbeddingTransformer(vectors), LinearSVC())
    save(pipeline.fit(texts, [1, 0, 1, 0]), "pipeline.zip")
    assert run("predict", "pipeline.zip", "new.csv").stdout.splitlines()[1::2] == ["1,1", "3,0"]
    refused = run("predict", "pipeline.zip", "new.csv", "--proba", code=1).stderr
    assert "has no probabilities" in refused
    assert "no explanations" in run("explain", "pipeline.zip", "new.csv", code=1).stderr
    (folder / "codes.csv").write_text("text,label\nsuperb,1\nawful,0\n")
    scores = json.loads(run("evaluate", "pipeline.zip", "codes.csv", "--json").stdout)["scores"]
    assert scores["accuracy"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.zip", "new.csv"), 1, "No model file at 'none.zip'"),
        (("new.csv", "new.csv"), 1, "damaged"),
        (("MODEL", "new.csv", "--output", "out.xlsx"), 2, "ending in .csv, .tsv or .jsonl"),
        (("MODEL", "new.csv", "--output", "out.jsonl", "--json"), 2, "--json is for stdout"),
        (("MODEL",), 2, "Missing argument 'DATA'. See: sklearn-transfer predict --help"),
    ],
)
def test_errors_are_one_line(run, saved_model, arguments, code, message):
    given = [saved_model if argument == "MODEL" else argument for argument in arguments]
    assert message in run("predict", *given, code=code).stderr
