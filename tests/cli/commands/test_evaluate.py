"""``evaluate``: scores of a model file."""

from __future__ import annotations

import json

import pytest
from sklearn.metrics import classification_report, log_loss

from sklearn_transfer import FineTunedClassifier, load


def test_scores_are_those_of_scikit_learn(run, saved_model, folder):
    texts = ["great", "bad", "a film", "good bad"]
    truth = ["pos", "neg", "neg", "pos"]
    rows = [f"{text},{label}\n" for text, label in zip(texts, truth, strict=True)]
    (folder / "test.csv").write_text("text,label\n" + "".join(rows))
    scores = json.loads(run("evaluate", saved_model, "test.csv", "--json").stdout)["scores"]
    model = load(saved_model)
    report = classification_report(truth, model.predict(texts), output_dict=True, zero_division=0)
    assert scores["accuracy"] == report["accuracy"]
    assert scores["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert scores["labels"]["neg"]["recall"] == report["neg"]["recall"]
    assert scores["log_loss"] == pytest.approx(log_loss(truth, model.predict_proba(texts)))


def test_labels_that_do_not_occur_are_not_in_the_mean(run, vectors, folder):
    names = {"pos": "good", "neg": "bad", "other": "the"}
    rows = [line.split(",") for line in (folder / "clean.csv").read_text().splitlines()[1:]]
    texts, labels = map(list, zip(*rows, strict=True))
    FineTunedClassifier(vectors, class_names=names).fit(texts, labels).save(folder / "names.zip")
    scores = json.loads(run("evaluate", "names.zip", "clean.csv", "--json").stdout)["scores"]
    assert (scores["accuracy"], scores["macro_f1"]) == (1, 1)
    assert scores["labels"]["other"] == {"precision": 0, "recall": 0, "f1": 0, "n": 0}


def test_a_table_has_a_row_per_label(run, saved_model):
    lines = run("evaluate", saved_model, "clean.csv").stdout.splitlines()
    assert lines[0].split() == ["n", "24"]
    assert lines[5].split() == ["label", "precision", "recall", "f1", "n"]
    assert lines[6].split() == ["neg", "1.0000", "1.0000", "1.0000", "12"]


def test_rows_without_a_label_are_an_error(run, saved_model):
    assert (
        "no label: row 26 (line 27)" in run("evaluate", saved_model, "reviews.csv", code=1).stderr
    )
    found = run("evaluate", saved_model, "reviews.csv", "--skip-bad", "--json")
    assert json.loads(found.stdout)["n_skipped"] == 3
