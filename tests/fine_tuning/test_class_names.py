from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedVectors
from sklearn_transfer.fine_tuning import calibration
from sklearn_transfer.fine_tuning.class_names import find_names
from sklearn_transfer.training.policies import Contrastive

TEXTS = ["good film", "great plot", "bad film", "awful plot"] * 3
LABELS = ["praise", "praise", "blame", "blame"] * 3
NAMES = {"praise": "good great", "blame": "bad awful"}


@pytest.fixture
def model(tiny_model: Path) -> ContextualModel:
    return ContextualModel(tiny_model, device="cpu")


def classifier(model: ContextualModel, **settings: Any) -> FineTunedClassifier:
    return FineTunedClassifier(model, random_state=0, **{"adaptation": "frozen", **settings})


def test_names_are_samples_of_weight_one(model: ContextualModel):
    named = classifier(model, class_names=NAMES, calibrate=False).fit(TEXTS, LABELS)
    texts = ["good great", "This text is about good great."]
    texts += ["bad awful", "This text is about bad awful."]
    labels = ["praise", "praise", "blame", "blame"]
    by_hand = classifier(model, calibrate=False).fit(TEXTS + texts, LABELS + labels)
    np.testing.assert_allclose(
        named.decision_function(TEXTS), by_hand.decision_function(TEXTS), atol=1e-5
    )


@pytest.mark.parametrize("policy", ["frozen", Contrastive(n_steps=2)])
def test_a_class_without_samples(model: ContextualModel, policy: Any):
    named = classifier(model, adaptation=policy, class_names={**NAMES, "other": ["the and"]})
    named.fit(TEXTS, LABELS)
    texts = ["good great", "This text is about good great."]
    texts += ["bad awful", "This text is about bad awful.", "the and"]
    labels = ["praise", "praise", "blame", "blame", "other"]
    by_hand = classifier(model, adaptation=policy).fit(TEXTS + texts, LABELS + labels)
    assert named.classes_.tolist() == ["blame", "other", "praise"]
    logits = named.decision_function(TEXTS)
    np.testing.assert_allclose(logits, by_hand.decision_function(TEXTS), atol=1e-4)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(named)).decision_function(TEXTS), logits
    )


def test_one_class_with_samples_is_enough(model: ContextualModel):
    named = classifier(model, class_names=NAMES).fit(TEXTS[:2], LABELS[:2])
    assert named.classes_.tolist() == ["blame", "praise"]
    with pytest.raises(ValueError, match="at least two classes"):
        classifier(model).fit(TEXTS[:2], LABELS[:2])


def test_names_are_not_left_out_to_calibrate(model: ContextualModel, monkeypatch):
    seen = []

    def predict_left_out(problem: Any, folds: Any, *args: Any, **settings: Any) -> Any:
        seen.append(folds)
        return calibration.predict_left_out(problem, folds, *args, **settings)

    monkeypatch.setattr("sklearn_transfer.fine_tuning.fit.predict_left_out", predict_left_out)
    classifier(model, class_names=NAMES).fit(TEXTS, LABELS)
    assert len(seen[0]) == len(TEXTS) + 4
    assert (seen[0][: len(TEXTS)] >= 0).all()
    assert (seen[0][len(TEXTS) :] == -1).all()


def test_an_indicator_matrix_has_names_by_column(model: ContextualModel):
    y = np.array([[1, 0], [1, 1], [0, 1], [0, 0]] * 3)
    named = classifier(model, class_names=["good great", "bad awful"], calibrate=False)
    named.fit(TEXTS, y)
    texts = ["good great", "This text is about good great."]
    texts += ["bad awful", "This text is about bad awful."]
    more = np.concatenate([y, [[1, 0], [1, 0], [0, 1], [0, 1]]])
    by_hand = classifier(model, calibrate=False).fit(TEXTS + texts, more)
    np.testing.assert_allclose(
        named.decision_function(TEXTS), by_hand.decision_function(TEXTS), atol=1e-5
    )


def test_auto_compares_policies_on_samples_alone(model: ContextualModel):
    named = classifier(model, adaptation="auto", class_names=NAMES).fit(TEXTS, LABELS)
    assert set(named.adaptation_.scores) == {"frozen", "contrastive"}
    assert clone(named).class_names == NAMES


def test_other_models_say_that_names_have_no_effect(vectors: PretrainedVectors):
    with pytest.warns(UserWarning, match="class_names .*adaptation='frozen' or 'contrastive'"):
        FineTunedClassifier(vectors, class_names=NAMES).fit(TEXTS, LABELS)


def test_parts_say_that_names_have_no_effect(model: ContextualModel):
    with pytest.warns(UserWarning, match="class_names .*adaptation='frozen' or 'contrastive'"):
        classifier(model, class_names=NAMES).partial_fit(TEXTS, LABELS, classes=list(NAMES))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("card_arrival", "card arrival"),
        ("comp.graphics", "comp graphics"),
        ("CardArrival", "Card Arrival"),
        ("opening_hours2", "opening hours 2"),
        ("Überweisung", "Überweisung"),
    ],
)
def test_labels_that_are_words_name_themselves(label: str, name: str):
    texts = find_names("auto", np.array([label, "LOC"]))
    assert texts == {label: [name, f"This text is about {name}."]}


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["A1", "B2"], ["LOC", "HUM"]])
def test_labels_that_are_no_names_are_said(labels: list[Any]):
    with pytest.warns(UserWarning, match="class_names='auto' found no names.*card_arrival"):
        assert find_names("auto", np.array(labels)) == {}


def test_texts_of_a_class_are_given_as_a_list():
    given = {"a": ["one text", "another"], "b": "name"}
    expected = {"a": ["one text", "another"], "b": ["name", "This text is about name."]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_names(given, np.array(["a", "b"])) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"a": "x"}, "a name for every class of y, got none for 'b'"),
        (["x"], "a list of 2 names in the order of the sorted labels, 'a', 'b'; got 1 names"),
        ({"a": "x", "b": " "}, "class 'b' must be a string.*not empty; got ' '"),
        ({"a": "x", "b": []}, "class 'b' must be a string.*got \\[\\]"),
        ({"a": "x", "b": 3}, "class 'b' must be a string.*got 3"),
        (["x", "x"], "classes 'a' and 'b' have the same name, 'x'"),
    ],
)
def test_names_that_are_refused(names: Any, message: str):
    with pytest.raises(ValueError, match=message):
        find_names(names, np.array(["a", "b"]))


def test_labels_of_names_are_of_the_type_of_y(model: ContextualModel):
    with pytest.raises(ValueError, match="of the type of those in y, got int and str"):
        classifier(model, class_names={**NAMES, 3: "other"}).fit(TEXTS, LABELS)
