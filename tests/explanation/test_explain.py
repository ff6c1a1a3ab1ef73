"""Explanations as users make them: exactness, targets, kinds of models, bad input."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from segmenters import identity
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, PretrainedVectors

TEXTS = [
    "The good film, the great GOOD plot",
    "",
    "zork",
    "quux wholly unknown",
    "bad <script>alert('x')</script> &amp; awful",
    "İ fine café, not so poor",
    "film " * 30,
]
EXACT = {
    "default": {},
    "frozen": {"adaptation": "frozen"},
    "words": {"ngram_range": (1, 1), "char_ngram_range": None},
    "trigrams": {"ngram_range": (2, 3), "char_ngram_range": (1, 3)},
    "hash": {"oov": "hash", "weighting": "sif"},
    "scaled": {"l2_sp": 3.0, "pretrained_scale": 2.0, "weighting": None},
    "short": {"max_tokens": 3},
    "tokenizer": {"tokenizer": str.split},
    "pattern": {"token_pattern": r"(?u)\b\w\w+\b", "lowercase": False},
    "adam": {"adaptation": "frozen", "optimizer": "adam", "max_epochs": 2},
}
NETWORKS = {
    "mean": {"optimizer": "adam"},
    "hidden": {"hidden_layer_sizes": (4,)},
    "attention": {"encoder": "attention"},
    "cnn": {"encoder": "cnn", "encoder_params": {"widths": (1, 2), "filters": 3}},
    "multichannel": {"encoder": "cnn", "encoder_params": {"filters": 2, "multichannel": True}},
    "rnn": {"encoder": "rnn", "encoder_params": {"units": 3}},
    "hash": {"oov": "hash", "weighting": "idf", "optimizer": "adam"},
}


def fit(vectors: Any, reviews: Any, **settings: Any) -> FineTunedClassifier:
    return FineTunedClassifier(vectors, random_state=0, **settings).fit(*reviews)


def three_classes(reviews: Any) -> tuple[list[str], np.ndarray]:
    texts, labels = reviews
    third = np.arange(len(texts)) % 3 == 0
    return texts, np.array(["a", "b", "c"])[(labels == "yes").astype(int) + third]


@pytest.mark.parametrize("settings", EXACT.values(), ids=EXACT.keys())
def test_contributions_and_baseline_are_the_logits(
    vectors: PretrainedVectors, reviews: Any, settings: dict[str, Any]
) -> None:
    model = fit(vectors, three_classes(reviews), **settings)
    explanation = model.explain(TEXTS, target="all")
    assert explanation.method == "exact"
    np.testing.assert_allclose(
        explanation.logits, model.decision_function(TEXTS), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        explanation.sums + explanation.baseline, explanation.logits, atol=1e-5
    )
    assert np.abs(explanation.contributions).max() > 0.01


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS.keys())
def test_gradients_are_complete(
    vectors: PretrainedVectors, reviews: Any, settings: dict[str, Any]
) -> None:
    model = fit(vectors, reviews, max_epochs=2, **settings)
    explanation = model.explain(TEXTS)
    assert explanation.method == "integrated_gradients"
    np.testing.assert_allclose(
        explanation.logits[:, 0], np.abs(model.decision_function(TEXTS)), rtol=1e-5, atol=1e-6
    )
    assert explanation.gaps.max() < 0.01
    assert np.abs(explanation.contributions).max() > 0.001
    assert len(explanation[1].tokens) == 0
    assert explanation.logits[1] == pytest.approx(explanation.baseline[1])


def test_a_token_that_helps_a_class_has_a_positive_contribution(
    vectors: PretrainedVectors, reviews: Any
) -> None:
    model = fit(vectors, reviews)
    for method in ("exact", "integrated_gradients", "occlusion"):
        explanation = model.explain(["the good film"], target="yes", method=method)
        assert explanation.tokens.tolist() == ["the", "good", "film"]
        assert explanation.contributions[:, 0].argmax() == 1
    against = model.explain(["the good film"], target="no")
    np.testing.assert_allclose(
        against.contributions, -model.explain(["the good film"], "yes").contributions
    )


def test_occlusion_is_the_logit_minus_that_of_the_text_without_the_token(
    vectors: PretrainedVectors, reviews: Any
) -> None:
    for settings in ({}, {"encoder": "cnn", "max_epochs": 2}):
        model = fit(vectors, reviews, **settings)
        explanation = model.explain(["good film the plot", ""], "yes", "occlusion")
        words = ["good", "film", "the", "plot"]
        without = [" ".join(words[:i] + words[i + 1 :]) for i in range(4)]
        difference = model.decision_function(["good film the plot"]) - model.decision_function(
            without
        )
        np.testing.assert_allclose(explanation.contributions[:, 0], difference, atol=1e-6)
        np.testing.assert_allclose(
            explanation.baseline[:, 0], model.decision_function([""]).repeat(2), atol=1e-6
        )


def test_targets_of_several_classes(vectors: PretrainedVectors, reviews: Any) -> None:
    model = fit(vectors, three_classes(reviews))
    texts = TEXTS[:3]
    predicted = model.explain(texts)
    np.testing.assert_array_equal(predicted.targets[:, 0], model.predict(texts))
    every = model.explain(texts, target="all")
    assert every.targets.tolist() == [["a", "b", "c"]] * 3
    two = model.explain(texts, target=["c", "a"])
    np.testing.assert_allclose(two.logits, every.logits[:, [2, 0]])
    np.testing.assert_allclose(two.contributions, every.contributions[:, [2, 0]])
    np.testing.assert_allclose(model.explain(texts, target=np.array(["c", "a"])).logits, two.logits)


def test_a_class_called_all_is_a_class(vectors: PretrainedVectors, reviews: Any) -> None:
    texts, labels = reviews
    model = fit(vectors, (texts, np.where(labels == "yes", "all", "none")))
    assert model.explain(["good"], target="all").targets.tolist() == [["all"]]


def test_numbers_as_classes(vectors: PretrainedVectors, reviews: Any) -> None:
    texts, labels = reviews
    model = fit(vectors, (texts, (labels == "yes").astype(int)))
    assert model.explain(["good"], target=1).contributions[0, 0] > 0
    with pytest.raises(ValueError, match=r"which are 0, 1; got '1'"):
        model.explain(["good"], target="1")


def test_independent_labels_are_all_explained(vectors: PretrainedVectors, reviews: Any) -> None:
    texts, labels = reviews
    y = np.stack([labels == "yes", np.arange(len(texts)) % 3 == 0], axis=1).astype(int)
    model = fit(vectors, (texts, y))
    explanation = model.explain(TEXTS)
    assert explanation.targets.tolist() == [[0, 1]] * len(TEXTS)
    np.testing.assert_allclose(explanation.logits, model.decision_function(TEXTS))
    np.testing.assert_allclose(
        explanation.sums + explanation.baseline, explanation.logits, atol=1e-5
    )
    assert model.explain(TEXTS, target=1).contributions.shape == (len(explanation.tokens), 1)


@pytest.mark.parametrize(
    "settings", [{}, {"encoder": "attention", "max_epochs": 2}], ids=["bag", "net"]
)
def test_values_are_explained_in_the_units_of_y(
    vectors: PretrainedVectors, reviews: Any, settings: dict[str, Any]
) -> None:
    texts, labels = reviews
    y = 1000 + 100 * (labels == "yes")
    model = FineTunedRegressor(vectors, random_state=0, **settings).fit(texts, y)
    explanation = model.explain(TEXTS)
    np.testing.assert_allclose(explanation.logits[:, 0], model.predict(TEXTS), rtol=1e-6)
    difference = explanation.sums + explanation.baseline - explanation.logits
    assert np.abs(difference).max() < (1e-3 if not settings else 1)
    several = FineTunedRegressor(vectors, random_state=0, **settings).fit(
        texts, np.stack([y, -y], 1)
    )
    both = several.explain(TEXTS, target=[1, 0])
    np.testing.assert_allclose(both.logits, several.predict(TEXTS)[:, ::-1], rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "adam", "max_epochs": 2}, {"hidden_layer_sizes": (3,), "max_epochs": 2}],
    ids=["convex", "adam", "hidden"],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_features_have_contributions(numbers: Any, settings: dict[str, Any], sparse: bool) -> None:
    X, y = numbers
    X = np.where(np.abs(X) < 0.5, 0, X)
    samples = csr_array(X) if sparse else X
    model = FineTunedClassifier(random_state=0, pretrained_scale=2.0, **settings).fit(samples, y)
    explanation = model.explain(samples[:5])
    assert explanation.gaps.max() < 0.01
    assert len(explanation.tokens) == (np.count_nonzero(X[:5]) if sparse else X[:5].size)
    assert set(explanation.tokens) <= {f"x{i}" for i in range(8)}
    assert (explanation.start == -1).all()
    with pytest.raises(
        ValueError, match=r"methods for this model are 'auto', .*method='occlusion'"
    ):
        model.explain(samples[:5], method="occlusion")


def test_features_have_the_names_of_the_columns(numbers: Any) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = numbers
    frame = pandas.DataFrame(X, columns=[f"column {i}" for i in range(8)])
    explanation = FineTunedClassifier().fit(frame, y).explain(frame.iloc[:2])
    assert explanation.tokens.tolist() == [f"column {i}" for i in range(8)] * 2


def test_lists_of_tokens(vectors: PretrainedVectors, reviews: Any) -> None:
    texts, labels = reviews
    model = FineTunedClassifier(vectors, tokenizer=identity, lowercase=True)
    model.fit([text.split() for text in texts], labels)
    explanation = model.explain([["Good", "film"], []])
    assert explanation.texts == ["Good film", ""]
    assert list(zip(explanation.tokens, explanation.start, explanation.end, strict=True)) == [
        ("good", 0, 4),
        ("film", 5, 9),
    ]


def test_several_tables_and_partial_fits(vectors: PretrainedVectors, reviews: Any) -> None:
    other = PretrainedVectors(["good", "film", "zork"], np.eye(3, dtype=np.float32))
    model = fit([vectors, other], reviews)
    assert model.explain(TEXTS).gaps.max() < 1e-4
    model.partial_fit(*reviews)
    explanation = model.explain(TEXTS)
    assert explanation.method == "exact"
    np.testing.assert_allclose(
        explanation.sums + explanation.baseline, explanation.logits, atol=1e-5
    )


def test_the_explanation_of_a_text_does_not_depend_on_other_texts(
    vectors: PretrainedVectors, reviews: Any
) -> None:
    for settings in ({}, {"encoder": "rnn", "max_epochs": 1}):
        model = fit(vectors, reviews, **settings)
        together = model.explain(TEXTS)
        alone = [model.explain([text]) for text in TEXTS]
        np.testing.assert_allclose(
            np.concatenate([one.contributions for one in alone]), together.contributions, atol=1e-4
        )


def test_nothing_changes(vectors: PretrainedVectors, reviews: Any) -> None:
    model = fit(vectors, reviews, encoder="cnn", max_epochs=1, dropout=0.5)
    model.predict(TEXTS)
    before, state = pickle.dumps(model), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 (the state that must stay)
    model.explain(TEXTS)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert pickle.dumps(model) == before


def test_bad_input(vectors: PretrainedVectors, reviews: Any) -> None:
    model = fit(vectors, reviews)
    with pytest.raises(NotFittedError):
        clone(model).explain(["good"])
    with pytest.raises(ValueError, match="at least one text"):
        model.explain([])
    with pytest.raises(ValueError, match=r"Wrap it in a list"):
        model.explain("good")
    with pytest.raises(
        ValueError, match=r"targets of this model, which are 'no', 'yes'; got 'maybe'"
    ):
        model.explain(["good"], target="maybe")
    with pytest.raises(ValueError, match=r"got \{\}"):
        model.explain(["good"], target={})
    with pytest.raises(ValueError, match="at least one class, got an empty list"):
        model.explain(["good"], target=[])
    with pytest.raises(ValueError, match="got method='shap'"):
        model.explain(["good"], method="shap")


def test_a_module_that_reads_arrays_is_refused() -> None:
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    model = FineTunedClassifier(torch.nn.Linear(3, 2), max_epochs=1).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"pip install captum"):
        model.explain(X)
