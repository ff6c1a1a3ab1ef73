from __future__ import annotations

import pickle
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedVectors, load
from sklearn_transfer.fine_tuning import SelfTrainer, find_kind, resolve
from sklearn_transfer.fine_tuning.parameters import Parameters
from sklearn_transfer.fine_tuning.semi_supervised.self_training import Comparison
from sklearn_transfer.fine_tuning.semi_supervised.unlabelled import SelfTraining
from sklearn_transfer.fine_tuning.splits import LabelledSamples
from sklearn_transfer.fine_tuning.targets.targets import Labels
from sklearn_transfer.training.policies import Contrastive

WORDS = ["film", "plot", "the", "a"]


def make_texts(n_texts: int, seed: int) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n_texts)
    tones = [["bad", "awful"], ["good", "great"]]
    texts = [
        " ".join(
            generator.permutation([*generator.choice(tones[y], 2), *generator.choice(WORDS, 3)])
        )
        for y in labels.tolist()
    ]
    return texts, labels


TEXTS, LABELS = make_texts(16, 0)
OTHERS, TRUTH = make_texts(60, 1)
STRANGERS = [f"cat cat cat dog {' '.join(pair)}" for pair in permutations(["mat", *"sxyz"], 2)]


@pytest.fixture
def model(tiny_model: Path) -> ContextualModel:
    return ContextualModel(tiny_model, device="cpu")


def classifier(pretrained: Any, **settings: Any) -> FineTunedClassifier:
    return FineTunedClassifier(pretrained, random_state=0, **{"unlabelled": "auto", **settings})


def fit(model: FineTunedClassifier, others: list[str] = OTHERS, **data: Any) -> FineTunedClassifier:
    y = np.append(LABELS, np.full(len(others), -1))
    return model.fit(TEXTS + others, y, **data)


def logits_of(model: FineTunedClassifier) -> np.ndarray:
    return model.decision_function(OTHERS)


@pytest.fixture
def use_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits use unlabelled samples whatever the gate finds."""
    monkeypatch.setattr(
        "sklearn_transfer.fine_tuning.semi_supervised.self_training.SelfTrainer._decide",
        lambda *_: SelfTraining(used=True),
    )


def test_the_decision_on_unlabelled_texts_is_told(model: ContextualModel):
    fitted = fit(classifier(model, adaptation="frozen"))
    with pytest.warns(UserWarning, match="unlabelled='auto' has no effect: y has a label for each"):
        alone = classifier(model, adaptation="frozen").fit(TEXTS, LABELS)
    assert fitted.unlabelled_.n_samples == len(OTHERS)
    assert set(fitted.unlabelled_.scores) == {"labelled", "all"}
    assert "labelled samples left out" in fitted.unlabelled_.reason
    assert fitted.classes_.tolist() == [0, 1]
    assert alone.unlabelled_ == SelfTraining(used=False, reason="no unlabelled sample")


@pytest.mark.usefixtures("use_always")
def test_unlabelled_texts_change_a_contextual_model(model: ContextualModel):
    fitted = fit(classifier(model, adaptation="frozen"))
    alone = classifier(model, adaptation="frozen", unlabelled=None).fit(TEXTS, LABELS)
    assert fitted.unlabelled_.used
    assert np.abs(logits_of(fitted) - logits_of(alone)).max() > 1e-3


@pytest.mark.usefixtures("use_always")
def test_the_contrastive_stage_sees_true_labels_alone(model: ContextualModel):
    settings: dict[str, Any] = {"adaptation": Contrastive(n_steps=2)}
    fitted = fit(classifier(model, **settings))
    alone = classifier(model, unlabelled=None, **settings).fit(TEXTS, LABELS)
    np.testing.assert_allclose(fitted.transform(OTHERS), alone.transform(OTHERS), atol=1e-5)
    assert np.abs(logits_of(fitted) - logits_of(alone)).max() > 1e-3
    assert fitted.temperature_ == 1


@pytest.mark.usefixtures("use_always")
def test_they_are_samples_with_the_labels_of_a_first_fit(vectors: PretrainedVectors):
    fitted = fit(classifier(vectors))
    alone = classifier(vectors, unlabelled=None).fit(TEXTS, LABELS)
    probability = alone.predict_proba(OTHERS)
    weight = np.append(np.ones(len(TEXTS)), 0.3 * probability.max(axis=1))
    by_hand = classifier(vectors, unlabelled=None, calibrate=False).fit(
        TEXTS + OTHERS, np.append(LABELS, probability.argmax(axis=1)), sample_weight=weight
    )
    np.testing.assert_allclose(logits_of(fitted), logits_of(by_hand), atol=1e-3)


def test_word_vectors_need_a_gain(vectors: PretrainedVectors):
    fitted = fit(classifier(vectors))
    assert fitted.unlabelled_.scores == {"labelled": 1.0, "all": 1.0}
    assert not fitted.unlabelled_.used
    alone = classifier(vectors, unlabelled=None).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(logits_of(fitted), logits_of(alone))
    assert fitted.temperature_ == alone.temperature_


@pytest.mark.parametrize("mark", [None, float("nan"), pd.NA])
def test_strings_are_marked_by_missing_labels(model: ContextualModel, mark: Any):
    y = np.array(["no", "yes"], dtype=object)[LABELS].tolist() + [mark] * len(OTHERS)
    fitted = classifier(model, adaptation="frozen").fit(TEXTS + OTHERS, y)
    assert fitted.classes_.tolist() == ["no", "yes"]
    np.testing.assert_allclose(
        logits_of(fitted), logits_of(fit(classifier(model, adaptation="frozen"))), atol=1e-5
    )


def test_without_the_parameter_the_mark_is_a_class_and_missing_labels_an_error(
    vectors: PretrainedVectors,
):
    fitted = fit(classifier(vectors, unlabelled=None))
    assert fitted.classes_.tolist() == [-1, 0, 1]
    assert not hasattr(fitted, "unlabelled_")
    with pytest.raises(ValueError, match="has no target"):
        classifier(vectors, unlabelled=None).fit(TEXTS, ["a", None] * 8)


def test_a_binary_coding_is_refused(vectors: PretrainedVectors):
    with pytest.raises(ValueError, match=r"got one class, 1: .*set unlabelled=None"):
        classifier(vectors).fit(TEXTS, 2 * LABELS - 1)


def test_marks_alone_need_names(model: ContextualModel):
    y = np.full(len(OTHERS), -1)
    with pytest.raises(ValueError, match=r"at least two classes, got no label.*class_names="):
        classifier(model, adaptation="frozen").fit(OTHERS, y)
    names = {0: "bad awful", 1: "good great"}
    fitted = classifier(model, adaptation="frozen", class_names=names).fit(OTHERS, y)
    expected = SelfTraining(
        used=True, n_samples=len(OTHERS), reason="too few labelled samples to leave any out"
    )
    assert fitted.unlabelled_ == expected
    assert fitted.classes_.tolist() == [0, 1]
    assert fitted.temperature_ == 1


def test_names_of_word_vectors_are_not_extended_without_labelled_texts(vectors: PretrainedVectors):
    names = {0: "bad awful", 1: "good great"}
    fitted = classifier(vectors, class_names=names).fit(OTHERS, np.full(len(OTHERS), -1))
    assert not fitted.unlabelled_.used
    alone = classifier(vectors, class_names=names).fit([], [])
    np.testing.assert_array_equal(logits_of(fitted), logits_of(alone))
    assert alone.unlabelled_.reason == "no unlabelled sample"


def test_texts_of_another_kind_are_refused(model: ContextualModel):
    fitted = fit(classifier(model, adaptation="frozen"), STRANGERS)
    assert not fitted.unlabelled_.used
    assert "unlike the unlabelled ones" in fitted.unlabelled_.reason
    alone = classifier(model, adaptation="frozen", unlabelled=None).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(logits_of(fitted), logits_of(alone))


@pytest.mark.parametrize("n_copies", [1, 8])
def test_copies_of_unlabelled_texts_are_no_neighbours(vectors: PretrainedVectors, n_copies: int):
    fitted = fit(classifier(vectors), OTHERS * n_copies)
    assert "labelled samples left out" in fitted.unlabelled_.reason


def test_equal_similarities_are_alike():
    X = np.random.default_rng(0).standard_normal((60, 5))
    y = np.where(np.arange(60) < 20, X[:, 0] > 0, -1)
    fitted = FineTunedClassifier(unlabelled="auto").fit(csr_array(X), y)  # one feature: the logit
    assert "labelled samples left out" in fitted.unlabelled_.reason


def make_test(*hits: tuple[int, int]) -> Comparison:
    before, after = np.array(hits, dtype=float).T
    samples = LabelledSamples(list("x" * len(hits)), np.zeros(len(hits)), np.ones(len(hits)))
    return Comparison(samples, np.zeros((len(hits), 1)), np.stack([before, after]))


@pytest.mark.parametrize(
    ("hits", "forms_clusters", "used"),
    [
        ([(1, 1), (0, 0)], True, True),
        ([(1, 1), (0, 0)], False, False),
        ([(0, 1), (1, 1)], False, True),
        ([(1, 0), (1, 1)], True, True),  # one hit lost is one standard error
        ([(1, 0), (1, 0)], True, False),
        ([(1, 0), (0, 1)], False, False),
    ],
)
def test_the_decision(model: ContextualModel, hits: list[Any], forms_clusters: bool, used: bool):
    estimator = classifier(model, adaptation="frozen")
    parameters = Parameters.of(estimator)
    kind = find_kind(model)
    config = resolve(parameters, kind, Labels, "frozen", 0)
    trainer = SelfTrainer(config, Labels(LABELS))
    trainer.is_likely = forms_clusters
    chosen = trainer._decide([make_test(*hits)], "samples", 5)
    assert chosen.used == used
    assert chosen.n_samples == 5


def test_validation_samples_decide(model: ContextualModel):
    X_val, y_val = make_texts(20, 2)
    fitted = fit(classifier(model, adaptation="frozen"), X_val=X_val, y_val=y_val)
    assert "held-out samples" in fitted.unlabelled_.reason
    with pytest.raises(ValueError, match="not among the classes"):
        fit(classifier(model, adaptation="frozen"), X_val=X_val, y_val=[7, *y_val[1:]])


def test_mini_batches_hold_out_labelled_samples(vectors: PretrainedVectors):
    settings: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_epochs": 2}
    fitted = fit(classifier(vectors, early_stopping=True, validation_fraction=0.25, **settings))
    assert "held-out samples" in fitted.unlabelled_.reason
    assert fitted.unlabelled_.n_samples == len(OTHERS)


def test_samples_of_weight_zero_do_not_count(model: ContextualModel):
    texts = TEXTS + OTHERS + STRANGERS
    y = np.append(LABELS, np.full(len(texts) - len(LABELS), -1))
    weight = np.append(np.ones(len(TEXTS) + len(OTHERS)), np.zeros(len(STRANGERS)))
    fitted = classifier(model, adaptation="frozen").fit(texts, y, sample_weight=weight)
    np.testing.assert_allclose(
        logits_of(fitted), logits_of(fit(classifier(model, adaptation="frozen"))), atol=1e-5
    )


def test_the_order_of_the_samples_has_no_effect(model: ContextualModel):
    texts, y = TEXTS + OTHERS, np.append(LABELS, np.full(len(OTHERS), -1))
    order = np.random.default_rng(0).permutation(len(texts))
    mixed = classifier(model, adaptation="frozen").fit([texts[i] for i in order], y[order])
    fitted = classifier(model, adaptation="frozen").fit(texts, y)
    np.testing.assert_allclose(logits_of(mixed), logits_of(fitted), atol=1e-3)


def test_scores_are_of_labelled_samples(vectors: PretrainedVectors):
    fitted = fit(classifier(vectors))
    y = np.append(LABELS, np.full(len(OTHERS), -1))
    assert fitted.score(TEXTS + OTHERS, y) == fitted.score(TEXTS, LABELS)
    assert fitted.score(iter(TEXTS + OTHERS), y) == fitted.score(TEXTS, LABELS)
    weight = np.arange(len(y))
    assert fitted.score(TEXTS + OTHERS, y, weight) == fitted.score(TEXTS, LABELS, weight[:16])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.score(TEXTS + OTHERS, LABELS)
    with pytest.raises(ValueError, match="Expected labelled samples to score"):
        fitted.score(OTHERS, np.full(len(OTHERS), -1))


def test_the_documented_cross_validation(vectors: PretrainedVectors):
    X, y = np.array(TEXTS + OTHERS), np.append(LABELS, np.full(len(OTHERS), -1))
    labelled, others = np.flatnonzero(y != -1), np.flatnonzero(y == -1)
    folds = StratifiedKFold(2).split(labelled, y[labelled])
    cv = [(np.append(labelled[a], others), labelled[b]) for a, b in folds]
    model = FineTunedClassifier(vectors, unlabelled="auto", random_state=0)
    scores = cross_val_score(model, X, y, cv=cv, scoring="accuracy")
    assert scores.min() > 0.5


def test_it_is_cloned_pickled_and_saved(vectors: PretrainedVectors, tmp_path: Path):
    fitted = fit(classifier(vectors))
    assert clone(fitted).unlabelled == "auto"
    assert pickle.loads(pickle.dumps(fitted)).unlabelled_ == fitted.unlabelled_
    fitted.save(tmp_path / "model")
    assert load(tmp_path / "model").unlabelled_ == fitted.unlabelled_
    again = fitted.set_params(unlabelled=None).fit(TEXTS, LABELS)
    assert not hasattr(again, "unlabelled_")


def test_parts_and_teachers_are_refused(vectors: PretrainedVectors):
    with pytest.raises(ValueError, match="unlabelled='auto' needs all samples at once"):
        classifier(vectors).partial_fit(TEXTS, LABELS, classes=[0, 1])
    teacher = classifier(vectors, unlabelled=None).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="distill_from gives all samples a label"):
        fit(classifier(vectors, distill_from=teacher))
