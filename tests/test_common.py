"""Promises that hold for every estimator."""

import copy
import pickle
import random

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
)

TEXTS = [
    "The cat sat on the mat",
    "a dog barks, a dog runs",
    "cat and kitten sat",
    "dog and puppy bark",
    "the kitten purrs on a mat",
    "puppy runs; dog barks!",
    "a cat purrs",
    "the dog runs",
]
LABELS = np.array(["cat", "dog"] * 4)
WORDS = [
    *("the", "a", "cat", "kitten", "sat", "on", "mat"),
    *("purrs", "dog", "puppy", "barks", "bark", "runs", "Paris"),
]


def make_vectors() -> PretrainedVectors:
    values = np.random.default_rng(0).standard_normal((len(WORDS), 5))
    values[2:4, 0] += 3
    values[8:10, 0] -= 3
    return PretrainedVectors(WORDS, values.astype(np.float32), name="pets")


VECTORS = make_vectors()

ESTIMATORS = {
    "transformer": PretrainedEmbeddingTransformer(VECTORS),
    "transformer-all": PretrainedEmbeddingTransformer(
        VECTORS,
        pooling=("mean", "max"),
        weighting="sif",
        remove_components=1,
        norm="l2",
        oov="hash",
    ),
    "classifier": FineTunedClassifier(VECTORS, random_state=0),
    "classifier-frozen": FineTunedClassifier(VECTORS, adaptation="frozen", random_state=0),
    "classifier-mlp": FineTunedClassifier(
        VECTORS, hidden_layer_sizes=(4,), max_epochs=3, dropout=0.1, random_state=0
    ),
    "classifier-cnn": FineTunedClassifier(
        VECTORS,
        encoder="cnn",
        encoder_params={"widths": (1, 2), "filters": 2},
        adaptation="gradual",
        max_epochs=2,
        random_state=0,
    ),
    "classifier-rnn": FineTunedClassifier(
        VECTORS,
        encoder="rnn",
        encoder_params={"units": 2},
        max_tokens=200,
        max_epochs=2,
        random_state=0,
    ),
    "classifier-frozen-mlp": FineTunedClassifier(
        VECTORS, adaptation="frozen", hidden_layer_sizes=(4,), max_epochs=3, random_state=0
    ),
}
every_estimator = pytest.mark.parametrize(
    "estimator", [pytest.param(estimator, id=name) for name, estimator in ESTIMATORS.items()]
)


def outputs(estimator, X=TEXTS):
    """All that a fitted estimator says of X."""
    methods = ("transform", "predict_proba", "decision_function")
    return [getattr(estimator, name)(X) for name in methods if hasattr(estimator, name)]


def assert_same(a, b, **tolerance):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, **({"rtol": 0, "atol": 0} | tolerance))


# scikit-learn's own checks: all of them, none expected to fail.


@parametrize_with_checks([FineTunedClassifier()])
def test_sklearn_checks_of_features(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        PretrainedEmbeddingTransformer(VECTORS),
        FineTunedClassifier(VECTORS),
        ContinuedVectors(VECTORS),
    ],
    ids=["transformer", "classifier", "continued"],
)
def test_sklearn_checks_of_texts(estimator):
    checks = list(estimator_checks_generator(estimator))
    assert checks
    for case, check in checks:
        check(case)


# scikit-learn runs few checks on estimators of texts; these are theirs, written for texts.


@every_estimator
def test_clone_has_the_same_parameters_and_shares_the_vectors(estimator):
    copied = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    assert copied.pretrained is VECTORS


@every_estimator
def test_parameters_are_stored_untouched(estimator):
    for name, value in estimator.get_params().items():
        assert getattr(type(estimator)(**{name: value}), name) is value


@every_estimator
def test_fit_does_not_change_parameters(estimator):
    estimator = clone(estimator)
    before = estimator.get_params()
    estimator.fit(TEXTS, LABELS)
    assert estimator.get_params() == before


@every_estimator
def test_fit_returns_self_and_sets_no_public_attribute_without_underscore(estimator):
    estimator = clone(estimator)
    before = set(vars(estimator))
    assert estimator.fit(TEXTS, LABELS) is estimator
    added = set(vars(estimator)) - before
    assert all(name.startswith("_") or name.endswith("_") for name in added)


@every_estimator
def test_pickle_gives_the_same_outputs(estimator):
    fitted = clone(estimator).fit(TEXTS, LABELS)
    assert_same(outputs(pickle.loads(pickle.dumps(fitted))), outputs(fitted))


@every_estimator
def test_deepcopy_shares_the_vectors_and_gives_the_same_outputs(estimator):
    fitted = clone(estimator).fit(TEXTS, LABELS)
    copied = copy.deepcopy(fitted)
    assert copied.pretrained_ is fitted.pretrained_
    assert_same(outputs(copied), outputs(fitted))


@every_estimator
def test_fit_is_idempotent(estimator):
    estimator = clone(estimator)
    first = outputs(estimator.fit(TEXTS, LABELS))
    assert_same(outputs(estimator.fit(TEXTS, LABELS)), first)


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
@every_estimator
def test_refit_forgets_the_first_fit(estimator):
    estimator = clone(estimator).fit(["wholly different", "other text"], ["dog", "cat"])
    fresh = clone(estimator).fit(TEXTS, LABELS)
    assert_same(outputs(estimator.fit(TEXTS, LABELS)), outputs(fresh))


@every_estimator
def test_x_and_y_are_not_changed(estimator):
    X, y = np.array(TEXTS, dtype=object), LABELS.copy()
    clone(estimator).fit(X, y)
    assert X.tolist() == TEXTS
    assert y.tolist() == LABELS.tolist()


@every_estimator
@pytest.mark.parametrize(
    "container",
    [
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts)[:, None],
        pd.Series,
        lambda texts: pd.Series(texts, dtype="string", index=range(10, 10 + len(texts))),
        lambda texts: pd.DataFrame({"text": texts}),
        pl.Series,
        lambda texts: pl.DataFrame({"text": texts}),
        iter,
    ],
    ids=[
        "tuple",
        "array",
        "object",
        "column",
        "pd",
        "pd-string",
        "frame",
        "pl",
        "pl-frame",
        "iter",
    ],
)
def test_every_container_of_texts_gives_the_same(estimator, container):
    expected = outputs(clone(estimator).fit(TEXTS, LABELS))
    fitted = clone(estimator).fit(container(TEXTS), LABELS)
    assert_same(outputs(fitted), expected)
    assert_same([fitted.transform(container(TEXTS))], [expected[0]])


@every_estimator
def test_rows_keep_their_order(estimator):
    fitted = clone(estimator).fit(TEXTS, LABELS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = outputs(fitted, [TEXTS[i] for i in order])
    assert_same(shuffled, [out[order] for out in outputs(fitted)], rtol=1e-5, atol=1e-6)


@every_estimator
def test_a_text_does_not_depend_on_its_neighbours(estimator):
    fitted = clone(estimator).fit(TEXTS, LABELS)
    alone = [
        np.concatenate(parts) for parts in zip(*(outputs(fitted, [t]) for t in TEXTS), strict=True)
    ]
    assert_same(alone, outputs(fitted), rtol=1e-5, atol=1e-6)


@every_estimator
@pytest.mark.parametrize("text", ["", " \n\t", "?!", "xyzzy plugh", "\x00", "猫" * 3, "a " * 5000])
def test_strange_texts_are_not_errors(estimator, text):
    for fitted in (
        clone(estimator).fit(TEXTS, LABELS),
        clone(estimator).fit([*TEXTS, text], [*LABELS, "dog"]),
    ):
        for out in outputs(fitted, [text, TEXTS[0]]):
            assert np.isfinite(out).all()


@every_estimator
def test_texts_without_any_known_word_can_be_fitted(estimator):
    fitted = clone(estimator).fit(["", "", "", ""], ["a", "b", "a", "b"])
    for out in outputs(fitted):
        assert np.isfinite(out).all()


@every_estimator
def test_bare_string_is_refused(estimator):
    with pytest.raises(ValueError, match=r"got a single str, .* Wrap it in a list: \[text\]"):
        clone(estimator).fit("The cat sat", LABELS)
    with pytest.raises(ValueError, match="got a single str"):
        clone(estimator).fit(TEXTS, LABELS).transform("The cat sat")


@every_estimator
@pytest.mark.parametrize(
    ("value", "kind", "advice"),
    [
        (None, "NoneType", "Replace missing texts"),
        (float("nan"), "float", "Replace missing texts"),
        (b"bytes", "bytes", "Decode it first"),
        (3, "int", "Convert it with str"),
    ],
)
def test_what_is_no_text_is_named_with_its_position(estimator, value, kind, advice):
    texts = [*TEXTS[:2], value, *TEXTS[3:]]
    with pytest.raises(TypeError, match=rf"got {kind} at position 2: .*{advice}"):
        clone(estimator).fit(texts, LABELS)
    with pytest.raises(TypeError, match="at position 2"):
        clone(estimator).fit(TEXTS, LABELS).transform(texts)


@every_estimator
def test_no_texts_are_refused(estimator):
    with pytest.raises(ValueError, match="at least one text"):
        clone(estimator).fit([], [])


@every_estimator
def test_numbers_in_place_of_texts_are_refused(estimator):
    with pytest.raises((TypeError, ValueError), match=r"texts, got a|expected a sequence of texts"):
        clone(estimator).fit(np.ones((8, 3)), LABELS)


@every_estimator
def test_use_before_fit_says_so(estimator):
    for method in ("transform", "predict", "predict_proba", "decision_function"):
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(clone(estimator), method)(TEXTS)


@every_estimator
def test_unknown_parameter_values_are_listed(estimator):
    name, value = ("pooling", "median") if hasattr(estimator, "pooling") else ("encoder", "bert")
    with pytest.raises(ValueError, match=rf"'{name}' parameter .* must be .*mean.*{value}"):
        clone(estimator).set_params(**{name: value}).fit(TEXTS, LABELS)


@every_estimator
def test_pretrained_of_a_strange_type_is_refused(estimator):
    with pytest.raises(TypeError, match=r"pretrained must be a name, a path, .* got int: 3"):
        clone(estimator).set_params(pretrained=3).fit(TEXTS, LABELS)


@every_estimator
@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_set_output_gives_a_frame_with_the_names_of_the_features(estimator, frame):
    fitted = clone(estimator).fit(TEXTS, LABELS)
    plain = fitted.transform(TEXTS)
    out = clone(fitted).set_output(transform=frame).fit(TEXTS, LABELS).transform(TEXTS)
    assert list(out.columns) == fitted.get_feature_names_out().tolist()
    assert len(out.columns) == plain.shape[1]
    np.testing.assert_array_equal(out.to_numpy(), plain)


@every_estimator
def test_global_generators_are_left_as_found(estimator):
    states = lambda: (  # noqa: E731
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    )
    before = states()
    params = {"random_state": None} if hasattr(estimator, "random_state") else {}
    clone(estimator).set_params(**params).fit(TEXTS, LABELS).transform(TEXTS)
    assert states() == before


@every_estimator
def test_ends_or_begins_a_pipeline_that_can_be_searched(estimator):
    if hasattr(estimator, "predict"):
        pipeline, key = make_pipeline(estimator), "finetunedclassifier__ngram_range"
        values = [(1, 1), (1, 2)]
    else:
        pipeline = make_pipeline(estimator, LogisticRegression())
        key, values = "pretrainedembeddingtransformer__weighting", [None, "idf"]
    search = GridSearchCV(pipeline, {key: values}, cv=2).fit(TEXTS, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@every_estimator
def test_processes_give_the_same_scores(estimator):
    model = (
        estimator
        if hasattr(estimator, "predict")
        else make_pipeline(estimator, LogisticRegression())
    )
    one, two = (cross_val_score(model, TEXTS, LABELS, cv=2, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_skip_warnings_are_what_sklearn_says_of_texts():
    # The reason for the filter above: scikit-learn cannot make texts for its generic checks.
    with pytest.warns(SkipTestWarning, match="string=True"):
        list(estimator_checks_generator(PretrainedEmbeddingTransformer(VECTORS)))
