"""``train``: from a data file to a model file and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sklearn_transfer import load

OUTPUT = ("--output", "model.zip")


@pytest.fixture
def train(run, vectors_file):
    def call(*arguments, **options):
        return run("train", *arguments, "--pretrained", vectors_file, **options)

    return call


def test_from_a_csv_as_it_is_to_predictions(train, run):
    refused = train("reviews.csv", *OUTPUT, code=1).stderr
    assert "3 of 29 rows cannot be used. no text: row 25 (line 26); no label: row 26" in refused
    assert "(first 0xe9): row 27 (line 28). Name the encoding" in refused
    assert not Path("model.zip").exists()
    trained = train("reviews.csv", *OUTPUT, "--skip-bad", "--holdout", 0.25)
    assert "left out 3 of 29 rows" in trained.stderr
    assert "earlier text: 2" not in trained.stdout
    assert trained.stdout.startswith("model.zip: trained on ")
    assert "accuracy  1.0000" in trained.stdout
    predicted = run("predict", "model.zip", "new.csv")
    assert predicted.stdout.splitlines()[:2] == ["row,label", "1,pos"]
    assert predicted.stdout.splitlines()[3] == "3,neg"


def test_the_file_is_measured_if_it_lacks_vectors(train, run):
    Path("other.csv").write_text("text,label\nsuperb,pos\nawful,neg\n")
    Path("few.csv").write_text("text,label\na good film,pos\na bad film,neg\nthe plot,neg\n")
    for vectors in ("all", "used"):
        options = ("--test", "other.csv", "--json", "--vectors", vectors, "--force")
        scores = json.loads(train("few.csv", *OUTPUT, *options).stdout)["scores"]
        found = run("evaluate", "model.zip", "other.csv", "--json").stdout
        assert json.loads(found)["scores"] == scores


def test_encodings(train):
    trained = train("reviews.csv", *OUTPUT, "--encoding", "cp1252", "--skip-bad", "--json")
    assert json.loads(trained.stdout)["n_skipped"] == 2


def test_json_is_one_document(train):
    document = json.loads(train("clean.csv", *OUTPUT, "--holdout", 0.25, "--json").stdout)
    assert document["model"] == "model.zip"
    assert document["n_train"] + document["scores"]["n"] == 24
    assert document["scores"]["accuracy"] == 1.0
    assert document["scores"]["labels"]["pos"]["n"] == 3


def test_without_test_data_a_note_says_so(train):
    assert "not measured; give --holdout 0.2 or --test DATA" in train("clean.csv", *OUTPUT).stderr


def test_test_data_of_a_second_file(train):
    Path("test.jsonl").write_text(
        '{"text": "a superb story", "label": "pos"}\n{"text": "a bad film", "label": "neg"}\n'
        '{"text": "so so", "label": "mixed"}\n'
    )
    trained = train("clean.csv", *OUTPUT, "--test", "test.jsonl", "--json")
    assert "test texts that are also training texts: 1" in trained.stderr
    assert "does not know the labels 'mixed'" in trained.stderr
    scores = json.loads(trained.stdout)["scores"]
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert "log_loss" not in scores


def test_several_labels_per_text(train, run):
    lines = [f"{x} film,good;film\n{x} plot,good\nthe film,film\nthe a,\n" for x in ("great", "a")]
    Path("labels.csv").write_text("text,label\n" + "".join(lines))
    trained = train("labels.csv", *OUTPUT, "--separator", ";", "--test", "labels.csv")
    assert "exact_match" in trained.stdout
    assert load("model.zip").classes_.tolist() == ["film", "good"]
    predicted = run("predict", "model.zip", "labels.csv", "--proba").stdout.splitlines()
    assert predicted[0] == "row,labels,probabilities.film,probabilities.good"
    assert predicted[1].startswith("1,film;good,")
    document = json.loads(run("predict", "model.zip", "labels.csv", "--json").stdout.split("\n")[0])
    assert document == {"row": 1, "labels": ["film", "good"]}
    differ = run("evaluate", "model.zip", "labels.csv", code=1).stderr
    assert "several labels per text; give their --separator" in differ
    evaluated = run("evaluate", "model.zip", "labels.csv", "--separator", ";").stdout
    assert evaluated.startswith("n                     8\nexact_match")


def test_numbers(train, run):
    rows = [f"{word} film,{value}\n" for word, value in (("good", 1.5), ("bad", -2), ("a", 0))] * 4
    Path("values.csv").write_text("text,price\n" + "".join(rows))
    options = ("--label", "price", "--regression", "--test", "values.csv", "--json")
    scores = json.loads(train("values.csv", *OUTPUT, *options).stdout)["scores"]
    assert set(scores) == {"n", "r2", "mae", "rmse"}
    predicted = run("predict", "model.zip", "values.csv").stdout.splitlines()
    assert predicted[0] == "row,value"
    assert float(predicted[1].split(",")[1]) > 0
    assert (
        "has no probabilities" in run("predict", "model.zip", "new.csv", "--proba", code=1).stderr
    )
    evaluated = run("evaluate", "model.zip", "values.csv", "--label", "price").stdout
    assert evaluated.startswith("n         12\nr2")


def test_parameters_are_set(train):
    options = ("--set", "ngram_range=(1,1)", "--set", "char_ngram_range=none", "--seed", 3)
    train("clean.csv", *OUTPUT, *options, "--adaptation", "full", "--vectors", "used")
    model = load("model.zip")
    assert (model.ngram_range, model.char_ngram_range, model.random_state) == ((1, 1), None, 3)
    assert model.adaptation == "full"


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line(train):
    trained = train("clean.csv", *OUTPUT, "--set", "lr=0.5")
    assert "Warning: Some parameters of this FineTunedClassifier were changed but" in trained.stderr
    assert trained.stderr.count("\n") == 2


def test_an_existing_model_is_replaced_by_force_alone(train):
    train("clean.csv", *OUTPUT)
    before = Path("model.zip").read_bytes()
    assert "model.zip exists. Give --force" in train("clean.csv", *OUTPUT, code=1).stderr
    train("clean.csv", *OUTPUT, "--force", "--set", "ngram_range=(1,1)")
    assert Path("model.zip").read_bytes() != before
    foreign = train("new.csv", "--output", "clean.csv", "--force", code=1).stderr
    assert "No such" not in foreign


def test_other_files_are_not_replaced(train):
    Path("notes.zip").write_text("mine")
    refused = train("clean.csv", "--output", "notes.zip", "--force", code=1).stderr
    assert "notes.zip was not written by this package and is not overwritten" in refused
    assert Path("notes.zip").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.csv",), 1, "No file at 'none.csv'"),
        (
            ("clean.csv", "--label", "lable"),
            1,
            "columns are 'text', 'label'. Did you mean 'label'?",
        ),
        (("clean.csv", "--output", "x/m.zip"), 1, "Cannot write x/m.zip: there is no folder x."),
        (("clean.csv", "--regression"), 1, "no number ('pos')"),
        (("clean.csv", "--holdout", "0.01"), 1, "--holdout 0.01 of 24 distinct texts"),
        (("clean.csv", "--set", "lr=x"), 1, "'lr' parameter of FineTunedClassifier must be"),
        (("clean.csv", "--set", "lr"), 2, "expected NAME=VALUE, got 'lr'"),
        (("clean.csv", "--set", "encder=cnn"), 2, "Did you mean 'encoder'?"),
        (("clean.csv", "--set", "unlabelled=auto"), 2, "rows without a label, which commands do"),
        (("clean.csv", "--encoding", "utf8000"), 2, "unknown encoding: utf8000"),
        (("clean.csv", "--delimiter", "::"), 2, "expected one character, or tab"),
        (("clean.csv", "--holdout", "0.1", "--test", "clean.csv"), 2, "not both"),
        (("clean.csv", "--regression", "--separator", ";"), 2, "not both"),
        (("clean.csv", "--label", "text"), 2, "--text and --label are the same column, 'text'"),
        (("clean.csv", "--lable", "x"), 2, "No such option"),
    ],
)
def test_errors_are_one_line(train, arguments, code, message):
    output = () if "--output" in arguments else OUTPUT
    assert message in train(*arguments, *output, code=code).stderr
    assert not Path("model.zip").exists()


def test_one_class_is_an_error(train):
    Path("one.csv").write_text("text,label\na,x\nb,x\n")
    assert "needs samples of at least two classes" in train("one.csv", *OUTPUT, code=1).stderr
