"""The table of used parameters, in both directions, and the values that parameters may have."""

from __future__ import annotations

import re
import warnings
from inspect import signature

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from toys import body

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, clear_cache
from sklearn_transfer.fine_tuning.usage import USED_BY
from sklearn_transfer.training.policies import Contrastive

CHANGED = {
    "activation": "tanh",
    "dropout": 0.5,
    "token_dropout": 0.5,
    "adaptation": "frozen",
    "layer_groups": ["0", ["2", "4"]],
    "l2_sp": 3.0,
    "pretrained_scale": 0.3,
    "weighting": None,
    "ngram_range": (1, 1),
    "char_ngram_range": (3, 3),
    "tokenizer": list,
    "token_pattern": r"\w\w",
    "lowercase": False,
    "oov": "hash",
    "max_tokens": 2,
    "max_epochs": 4,
    "batch_size": 7,
    "lr": 0.03,
    "embedding_lr": 0.3,
    "schedule": "linear",
    "warmup": 0.5,
    "max_grad_norm": 1e-3,
    "average_last": 2,
    "label_smoothing": 0.3,
    "class_names": {"no": "bad", "yes": "good"},
    "name_templates": ["{}"],
    "calibrate": False,
    "threshold": "per-label",
    "early_stopping": True,
    "validation_fraction": 0.4,
    "n_iter_no_change": 1,
    "mixed_precision": True,
}
# Parameters that never change the predictions of a first fit.
WITHOUT_EFFECT = {"checkpoint": "fits", "compile": "eager", "warm_start": True}

MINI_BATCH = {"max_epochs": 3, "random_state": 0}
TEXTS = {
    "bag": {},
    "frozen bag": {"adaptation": "frozen"},
    "bag with cross-entropy": {"criterion": "cross_entropy"},
    "words": {"hidden_layer_sizes": (5,), **MINI_BATCH},
    "words, linear": {"optimizer": "adam", **MINI_BATCH},
    "frozen words": {"hidden_layer_sizes": (5,), "adaptation": "frozen", **MINI_BATCH},
    "words, attention": {"encoder": "attention", **MINI_BATCH},
    "words, cnn": {"encoder": "cnn", **MINI_BATCH},
    "words, early stopping": {
        **{"hidden_layer_sizes": (5,), "early_stopping": True, "lr": 0.5},
        **{"max_epochs": 20, "random_state": 5},
    },
}
ARRAYS = {
    "frozen module": {"adaptation": "frozen"},
    "frozen module, hidden": {"adaptation": "frozen", "hidden_layer_sizes": (5,), **MINI_BATCH},
    "module": MINI_BATCH,
    "module, gradual": {"adaptation": "gradual", **MINI_BATCH},
    "module, contrastive": {"adaptation": Contrastive(n_layers=1), "random_state": 0},
}
NUMBERS = {"features": {}, "features, hidden": {"hidden_layer_sizes": (5,), **MINI_BATCH}}


@pytest.fixture(scope="module")
def baselines():
    """Predictions of each situation, fitted once."""
    return {}


def situations(names):
    return [
        pytest.param(name, parameter, id=f"{name}-{parameter}")
        for name in names
        for parameter in [*CHANGED, *WITHOUT_EFFECT]
        if parameter not in names[name] or parameter in ("adaptation", "early_stopping")
        if names[name].get(parameter) != CHANGED.get(parameter)
    ]


def fit_predict(model, data, X_test):
    """Probabilities, and the warning about unused parameters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data)
    messages = [str(w.message) for w in caught if "have no effect" in str(w.message)]
    assert len(messages) <= 1
    return model.predict_proba(X_test), "".join(messages)


def test_every_parameter_of_the_table_is_tried():
    assert {*CHANGED, *WITHOUT_EFFECT} == set(USED_BY)


@pytest.mark.parametrize("estimator", [FineTunedClassifier, FineTunedRegressor])
def test_the_docstring_says_what_the_table_says(estimator):
    text = " ".join(estimator.__doc__.split())
    for name in signature(estimator).parameters:
        entry = re.search(rf"(?:^| ){name} : .*?(?= \w+ : |Attributes ---)", text)[0]
        use = USED_BY.get(name)
        assert ("Used by: " in entry) == (use is not None), name
        if use is not None:
            assert f"Used by: {use.label}." in entry, name


@pytest.mark.parametrize("value", [np.float64(0.01), np.float32(0.5)])
def test_numbers_of_numpy_are_numbers(value, vectors, reviews):
    model = FineTunedClassifier(
        vectors, hidden_layer_sizes=(np.int64(3),), lr=value, dropout=value, max_epochs=np.int32(1)
    )
    assert model.fit(*reviews).n_iter_ == 1


def test_one_warning_names_all_unused_parameters(vectors, reviews):
    model = FineTunedClassifier(vectors, lr=9.0, dropout=0.5, activation="gelu")
    with pytest.warns(UserWarning, match="no effect") as caught:
        model.fit(*reviews)
    assert [str(w.message) for w in caught] == [
        "Some parameters of this FineTunedClassifier were changed but have no effect: activation "
        "(used by hidden layers: set hidden_layer_sizes=(50,)); dropout, lr (used by mini-batch "
        "training: set optimizer='adam' or hidden_layer_sizes=(50,))."
    ]


def check(pretrained, settings, parameter, data, X_test, baselines):
    key = repr((settings, type(pretrained)))
    if key not in baselines:
        model = FineTunedClassifier(pretrained, **settings)
        baselines[key], message = fit_predict(model, data, X_test)
        assert not message
    value = {**CHANGED, **WITHOUT_EFFECT}[parameter]
    model = FineTunedClassifier(pretrained, **{**settings, parameter: value})
    try:
        found, message = fit_predict(model, data, X_test)
    except ValueError as error:  # refused, which is not silent either
        found, message = baselines[key], f" {error}"
    is_named = re.search(rf"[ ,:]{parameter}[ ,=]", message) is not None
    if parameter in WITHOUT_EFFECT:
        assert is_named == (len(model.history_) == 1)  # of the convex solver
    else:
        assert is_named == np.array_equal(found, baselines[key])


@pytest.mark.parametrize(("name", "parameter"), situations(TEXTS))
def test_texts(name, parameter, vectors, reviews, baselines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts, y = reviews
    data = [text.title() if i % 3 else text for i, text in enumerate(texts[:40])], y[:40]
    X_test = ["Good film of Zork", "awful Plot zork", "the the great fine film poor plot"]
    check(vectors, TEXTS[name], parameter, data, X_test, baselines)


@pytest.mark.parametrize(("name", "parameter"), situations(ARRAYS))
def test_arrays(name, parameter, baselines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = make_classification(40, 8, random_state=0)
    check(body(), ARRAYS[name], parameter, (X, y), X[:5] + 1, baselines)


@pytest.mark.parametrize(("name", "parameter"), situations(NUMBERS))
def test_numbers(name, parameter, baselines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = make_classification(40, 8, random_state=0)
    check(None, NUMBERS[name], parameter, (X, y), X[:5] + 1, baselines)


@pytest.mark.parametrize(("action", "n_shown"), [("default", 1), ("always", 7), ("ignore", 0)])
def test_a_search_shows_the_warning_once_unless_filters_ask_for_more(
    vectors, reviews, action: str, n_shown: int
):
    clear_cache()  # also forgets the warnings that were shown
    search = GridSearchCV(FineTunedClassifier(vectors, max_epochs=5), {"l2_sp": [1.0, 2.0]}, cv=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        search.fit(*reviews)
    assert len([w for w in caught if "no effect" in str(w.message)]) == n_shown


def test_the_warning_is_shown_again_at_another_line_and_as_an_error(vectors, reviews):
    clear_cache()
    model = FineTunedClassifier(vectors, max_epochs=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        model.fit(*reviews)
        model.fit(*reviews)
    assert len([w for w in caught if "no effect" in str(w.message)]) == 2
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*have no effect")
        for _ in range(2):
            with pytest.raises(UserWarning, match="no effect"):
                model.fit(*reviews)
