from __future__ import annotations

import pickle
import warnings
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.preprocessing import normalize

from sklearn_transfer import (
    ContextualModel,
    FineTunedClassifier,
    PretrainedVectors,
    clear_cache,
    load,
)
from sklearn_transfer.fine_tuning import calibration
from sklearn_transfer.fine_tuning.targets.class_names import (
    SENTENCE_TEMPLATES,
    fill_templates,
    find_names,
)
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
    named = classifier(model, adaptation="auto", class_names=NAMES)
    named.fit(TEXTS, LABELS, X_val=TEXTS, y_val=LABELS)
    assert set(named.adaptation_.scores) == {"frozen", "contrastive"}
    assert clone(named).class_names == NAMES


@pytest.mark.parametrize("adaptation", ["full", "frozen"])
def test_word_vectors_read_the_name_alone(vectors: PretrainedVectors, adaptation: str):
    settings: dict[str, Any] = {"adaptation": adaptation, "calibrate": False}
    named = FineTunedClassifier(vectors, class_names=NAMES, **settings).fit(TEXTS, LABELS)
    texts, labels = [*TEXTS, "good great", "bad awful"], [*LABELS, "praise", "blame"]
    by_hand = FineTunedClassifier(vectors, **settings).fit(texts, labels)
    np.testing.assert_allclose(
        named.decision_function(TEXTS), by_hand.decision_function(TEXTS), atol=1e-6
    )


def test_a_name_of_word_vectors_has_the_tokens_of_its_words(vectors: PretrainedVectors):
    texts = [text.split() for text in TEXTS]

    def classifier_of_tokens(**settings: Any) -> FineTunedClassifier:
        return FineTunedClassifier(vectors, tokenizer=list, calibrate=False, **settings)

    named = classifier_of_tokens(class_names=NAMES).fit(texts, LABELS)
    by_hand = classifier_of_tokens().fit(
        [*texts, ["good", "great"], ["bad", "awful"]], [*LABELS, "praise", "blame"]
    )
    np.testing.assert_allclose(
        named.decision_function(texts), by_hand.decision_function(texts), atol=1e-6
    )


def test_a_name_has_the_characters_of_lists_of_characters(vectors: PretrainedVectors):
    texts = [list(text) for text in ["很好吃", "很难吃", "好看", "难看"] * 3]

    def classifier_of_tokens(**settings: Any) -> FineTunedClassifier:
        return FineTunedClassifier(vectors, tokenizer=list, calibrate=False, **settings)

    named = classifier_of_tokens(class_names={1: "好 的", 0: "难的"})
    by_hand = classifier_of_tokens()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of tokens without a vector
        named.fit(texts, [1, 0] * 6)
        by_hand.fit([*texts, list("好的"), list("难的")], [1, 0] * 7)
    np.testing.assert_allclose(
        named.decision_function(texts), by_hand.decision_function(texts), atol=1e-6
    )


def test_mini_batches_say_that_names_have_no_effect(vectors: PretrainedVectors):
    model = FineTunedClassifier(vectors, class_names=NAMES, optimizer="adam", max_epochs=1)
    with pytest.warns(UserWarning, match="class_names .*adaptation='frozen' or 'contrastive'"):
        model.fit(TEXTS, LABELS)


def test_parts_say_that_names_have_no_effect(model: ContextualModel):
    with pytest.warns(UserWarning, match="class_names .*adaptation='frozen' or 'contrastive'"):
        classifier(model, class_names=NAMES).partial_fit(TEXTS, LABELS, classes=list(NAMES))


@pytest.mark.parametrize("policy", ["frozen", Contrastive(n_steps=2), "auto"])
def test_names_alone(model: ContextualModel, policy: Any):
    named = classifier(model, adaptation=policy, class_names=NAMES, name_templates=["{}"])
    named.fit([], [])
    assert named.classes_.tolist() == ["blame", "praise"]
    assert named.predict(["good great", "bad awful"]).tolist() == ["praise", "blame"]
    assert named.temperature_ == 1


def test_names_alone_classify_by_their_cosines(model: ContextualModel):
    named = classifier(model, class_names=NAMES).fit([], [])
    names = [f.format(name) for name in ("bad awful", "good great") for f in SENTENCE_TEMPLATES]
    encoded, texts = (normalize(model.encode(x)) for x in (names, TEXTS))
    bad, good = normalize([encoded[:2].sum(axis=0), encoded[2:].sum(axis=0)])
    np.testing.assert_allclose(
        named.decision_function(TEXTS), 10 * (texts @ good - texts @ bad), atol=1e-3
    )


def test_cosines_to_three_names(model: ContextualModel):
    names = {**NAMES, "film": "film"}
    named = classifier(model, class_names=names, name_templates=["{}"]).fit([], [])
    classes, texts = (
        normalize(model.encode(x)) for x in (["bad awful", "film", "good great"], TEXTS)
    )
    np.testing.assert_allclose(named.decision_function(TEXTS), 10 * texts @ classes.T, atol=1e-3)
    assert named.predict(list(names.values())).tolist() == list(names)


def test_auto_leaves_the_encoder_as_it_is_without_samples(model: ContextualModel):
    named = classifier(model, adaptation="auto", class_names=NAMES).fit([], [])
    assert named.adaptation_.policy == "frozen"
    assert named.adaptation_.reason == "no labelled sample"


def test_names_alone_of_a_class_of_weight_zero_are_never_predicted(model: ContextualModel):
    named = classifier(model, class_names={**NAMES, "other": "the"}, class_weight={"other": 0})
    assert "other" not in named.fit([], []).predict([*TEXTS, "the", "the the"])


def test_names_alone_for_word_vectors(vectors: PretrainedVectors):
    named = FineTunedClassifier(vectors, class_names={1: "good", 0: "bad"}).fit([], [])
    assert named.predict(["a great film", "an awful plot"]).tolist() == [1, 0]
    assert named.classes_.dtype == int


def test_names_alone_need_a_fit_that_reads_them(vectors: PretrainedVectors):
    model = FineTunedClassifier(vectors, class_names=NAMES, optimizer="adam")
    with pytest.raises(ValueError, match=r"got none of \['praise', 'blame'\]: class_names"):
        model.fit([], [])
    with pytest.raises(ValueError, match=r"for a fit without samples, got .auto."):
        FineTunedClassifier(vectors, class_names="auto").fit([], [])
    with pytest.raises(ValueError, match="at least two classes"):
        FineTunedClassifier(vectors, class_names={"a": "good"}).fit([], [])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        FineTunedClassifier(vectors, class_names=NAMES).fit([], [], sample_weight=[1, 2])
    with pytest.raises(ValueError, match="early_stopping=True has nothing to hold out"):
        model.set_params(adaptation="frozen", early_stopping=True).fit([], [])


def test_a_class_without_samples_needs_a_fit_that_reads_its_name(vectors: PretrainedVectors):
    names = {**NAMES, "other": "the"}
    for settings in ({"optimizer": "adam"}, {"encoder": "attention", "adaptation": "frozen"}):
        model = FineTunedClassifier(vectors, class_names=names, max_epochs=1, **settings)
        with pytest.raises(ValueError, match=r"got none of \['other'\]: class_names stand in"):
            model.fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match=r"got none of \['other'\]: class_names stand in"):
        FineTunedClassifier(class_names=names).fit(np.eye(12), LABELS)


def test_auto_compares_policies_that_read_the_name_of_a_class_without_samples(
    model: ContextualModel,
):
    named = classifier(model, adaptation="auto", class_names={**NAMES, "other": "the"})
    named.fit(TEXTS * 84, LABELS * 84)  # from 1,000 samples on, "top-2" is a candidate
    assert set(named.adaptation_.scores) == {"frozen", "contrastive"}


def test_columns_of_a_frame_have_names_by_column(model: ContextualModel):
    y = pd.DataFrame([[1, 0], [1, 1], [0, 1], [0, 0]] * 3, columns=["good_film", "awful_plot"])
    by_dict = {"awful_plot": "bad awful", "good_film": "good great"}
    by_number = classifier(model, class_names=["good great", "bad awful"]).fit(TEXTS, y.to_numpy())
    by_column = classifier(model, class_names=by_dict).fit(TEXTS, y)
    np.testing.assert_allclose(
        by_column.decision_function(TEXTS), by_number.decision_function(TEXTS), atol=1e-4
    )
    assert by_column.classes_.tolist() == ["good_film", "awful_plot"]
    spelled = classifier(model, class_names="auto").fit(TEXTS, y)
    by_hand = classifier(model, class_names=["good film", "awful plot"]).fit(TEXTS, y)
    np.testing.assert_allclose(
        spelled.decision_function(TEXTS), by_hand.decision_function(TEXTS), atol=1e-4
    )
    with pytest.raises(ValueError, match=r"name the columns of y by their names.*got \['other'\]"):
        classifier(model, class_names={**by_dict, "other": "film"}).fit(TEXTS, y)


def test_templates(model: ContextualModel):
    templates = ["the {} film", "{} {{}}"]
    named = classifier(model, class_names=NAMES, name_templates=templates).fit(TEXTS, LABELS)
    texts = {
        "praise": ["the good great film", "good great {good great}"],
        "blame": ["the bad awful film", "bad awful {bad awful}"],
    }
    by_hand = classifier(model, class_names=texts).fit(TEXTS, LABELS)
    np.testing.assert_allclose(
        named.decision_function(TEXTS), by_hand.decision_function(TEXTS), atol=1e-4
    )


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        (["{}", "a film"], "with a place '{}' for the name.*got 'a film'"),
        ([], "with a place '{}' for the name.*got no template"),
        ([3], "with a place '{}' for the name.*got 3"),
    ],
)
def test_templates_without_a_place(model: ContextualModel, templates: Any, message: str):
    with pytest.raises(ValueError, match=message):
        classifier(model, class_names=NAMES, name_templates=templates).fit(TEXTS, LABELS)


def test_templates_without_names_have_no_effect(model: ContextualModel):
    with pytest.warns(UserWarning, match="name_templates .*used by class names: give class_names"):
        classifier(model, name_templates=["{}"]).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("card_arrival", "card arrival"),
        ("comp.graphics", "comp graphics"),
        ("CardArrival", "Card Arrival"),
        ("opening_hours2", "opening hours 2"),
        ("Überweisung", "Überweisung"),
        ("U\u0308berweisung", "U\u0308berweisung"),
        ("kid's_card", "kid's card"),
        ("体育", "体育"),
        ("खेल_समाचार", "खेल समाचार"),
        ("การศึกษา", "การศึกษา"),
    ],
)
def test_labels_that_are_words_name_themselves(label: str, name: str):
    assert find_names("auto", np.array([label, "other"])) == {label: name, "other": "other"}


def test_auto_names_all_labels_if_most_are_words():
    names = find_names("auto", np.array(["comp.graphics", "alt.atheism", "sci.med"]))
    assert names["sci.med"] == "sci med"


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        [False, True],
        ["A1", "B2"],
        ["LOC", "HUM"],
        ["card", "LOC"],
        ["film", "!"],
        ["class_a", "class_b"],
        ["label1", "label2"],
        ["LABEL_0", "LABEL_1", "LABEL_2"],
    ],
)
def test_labels_that_are_no_names_are_said(labels: list[Any]):
    with pytest.warns(UserWarning, match="class_names='auto' found no names.*card_arrival"):
        assert find_names("auto", np.array(labels)) == {}


def test_labels_that_are_numbers_are_said_once(model: ContextualModel):
    clear_cache()  # also forgets the warnings that were shown
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            classifier(model, class_names="auto").fit(TEXTS, [0, 0, 1, 1] * 3)
    assert len([w for w in caught if "found no names" in str(w.message)]) == 1


def test_texts_of_a_class_are_given_as_a_list():
    given = {"a": ["one text", "another"], "b": "name"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_names(given, np.array(["a", "b"])) == given
    assert fill_templates(given["a"], ["{}", "a {}"]) == ["one text", "another"]
    assert fill_templates(given["b"], ["{}", "a {}"]) == ["name", "a name"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"a": "x"}, "a name for every class of y, got none for 'b'"),
        (["x"], "a list of 2 names in the order of the sorted labels, 'a', 'b'; got 1 names"),
        ({"a": "x", "b": " "}, "class 'b' must be a string.*not empty; got ' '"),
        ({"a": "x", "b": []}, "class 'b' must be a string.*got \\[\\]"),
        ({"a": "x", "b": 3}, "class 'b' must be a string.*got 3"),
        (["x", "x"], "classes 'a' and 'b' have the same name, 'x'"),
        (["x", " x"], "classes 'a' and 'b' have the same name, 'x'"),
        ({"c": "x", "d": "y"}, "a name for every class of y, got none for 'a', 'b'"),
    ],
)
def test_names_that_are_refused(names: Any, message: str):
    with pytest.raises(ValueError, match=message):
        find_names(names, np.array(["a", "b"]))


class Sentiment(str, Enum):  # noqa: UP042 (not a StrEnum, whose members NumPy reads)
    praise = "praise"
    blame = "blame"
    other = "other"


@pytest.mark.parametrize("make", [str.__str__, np.str_, Sentiment])
@pytest.mark.parametrize("labels", [LABELS, np.array([*map(Sentiment, LABELS)], dtype=object)])
def test_labels_of_names_may_be_subclasses_of_strings(model: ContextualModel, make, labels: Any):
    names = {make(label): name for label, name in {**NAMES, "other": "the and"}.items()}
    named = classifier(model, class_names=names).fit(TEXTS, labels)
    plain = classifier(model, class_names={**NAMES, "other": "the and"}).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(named.decision_function(TEXTS), plain.decision_function(TEXTS))
    assert named.classes_.tolist() == ["blame", "other", "praise"]


@pytest.mark.parametrize("make", [int, np.int64, np.uint8])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float64])
def test_labels_of_names_may_be_numbers_of_any_type(model: ContextualModel, make, dtype: Any):
    y = np.array([0, 0, 1, 1] * 3, dtype=dtype)
    names = {make(number): name for number, name in enumerate(["good great", "bad awful", "the"])}
    assert classifier(model, class_names=names).fit(TEXTS, y).classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("label", [None, float("nan"), ("a", 1), Enum("E", "a").a])
@pytest.mark.parametrize("n_samples", [0, 12])
def test_labels_of_names_that_are_none(model: ContextualModel, label: Any, n_samples: int):
    named = classifier(model, class_names={**NAMES, label: "other"})
    with pytest.raises(ValueError, match="labels that are strings or numbers, got"):
        named.fit(TEXTS[:n_samples], LABELS[:n_samples])


def test_a_fit_that_goes_on_takes_the_names_it_is_given(vectors: PretrainedVectors, tmp_path: Path):
    def fit_twice(names: Any, *, saved: bool = False) -> np.ndarray:
        named = FineTunedClassifier(
            vectors,
            adaptation="frozen",
            optimizer="adam",
            max_epochs=2,
            class_names=NAMES,
            warm_start=True,
            random_state=0,
        ).fit(TEXTS, LABELS)
        if saved:
            named.save(tmp_path / "model.zip")
            named = load(tmp_path / "model.zip")
        return named.set_params(class_names=names).fit(TEXTS, LABELS).decision_function(TEXTS)

    by_dict = fit_twice(NAMES)
    np.testing.assert_array_equal(fit_twice([NAMES["blame"], NAMES["praise"]]), by_dict)
    np.testing.assert_allclose(fit_twice(NAMES, saved=True), by_dict, atol=1e-6)
    assert not np.allclose(fit_twice({"praise": "film", "blame": "plot"}), by_dict)
    assert not np.allclose(fit_twice(None), by_dict)
    with pytest.raises(ValueError, match=r"not among the classes of the first fit: \['other'\]"):
        fit_twice({**NAMES, "other": "the"})


def test_labels_of_names_are_of_the_type_of_y(model: ContextualModel):
    with pytest.raises(ValueError, match="of the type of those in y, got int and str"):
        classifier(model, class_names={**NAMES, 3: "other"}).fit(TEXTS, LABELS)


def test_names_alone_with_class_weights_are_samples(model: ContextualModel):
    alone = classifier(model, class_names=NAMES).fit([], [])
    weighted = classifier(model, class_names=NAMES, class_weight={"praise": 5, "blame": 1})
    gain = weighted.fit([], []).decision_function(TEXTS) - alone.decision_function(TEXTS)
    heavier = classifier(model, class_names=NAMES, class_weight={"praise": 50, "blame": 1})
    assert np.abs(gain).max() > 1e-3
    assert (heavier.fit([], []).decision_function(TEXTS) > weighted.decision_function(TEXTS)).all()


def test_names_alone_are_saved(model: ContextualModel, tmp_path: Path):
    named = classifier(model, class_names=NAMES).fit([], [])
    named.save(tmp_path / "model.zip")
    np.testing.assert_array_equal(
        load(tmp_path / "model.zip").decision_function(TEXTS), named.decision_function(TEXTS)
    )


def test_validation_samples_calibrate_names_alone(model: ContextualModel):
    named = classifier(model, class_names=NAMES)
    usual = clone(named).fit([], []).decision_function(TEXTS)
    named.fit([], [], X_val=TEXTS, y_val=LABELS)
    np.testing.assert_allclose(named.decision_function(TEXTS), usual, atol=1e-5)
    assert named.temperature_ != 1
