"""Promises that hold for every estimator."""

import copy
import pickle
import random
from numbers import Integral

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import Interval
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    FineTunedRegressor,
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
VALUES = np.array([3.0, -1.0, 2.5, -2.0, 4.0, -1.5, 3.5, -0.5])
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
    "regressor": FineTunedRegressor(VECTORS, random_state=0),
    "regressor-mlp": FineTunedRegressor(
        VECTORS, hidden_layer_sizes=(4,), max_epochs=3, dropout=0.1, random_state=0
    ),
}


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS.keys())
def estimator(request):
    """Every estimator in turn; not to be fitted itself."""
    return request.param


@pytest.fixture(scope="module")
def fitted(estimator):
    """A fitted clone; tests leave it as it is."""
    return clone(estimator).fit(TEXTS, targets(estimator))


def targets(estimator, *more):
    """Targets of TEXTS, and of `more` texts of dogs."""
    if is_regressor(estimator):
        return np.append(VALUES, [-1.0 for _ in more])
    return np.append(LABELS, ["dog" for _ in more])


def outputs(estimator, X=TEXTS):
    """All outputs of a fitted estimator for X; the first are its features."""
    methods = ("transform", "predict_proba", "decision_function")
    found = [getattr(estimator, name)(X) for name in methods if hasattr(estimator, name)]
    return [*found, estimator.predict(X)] if is_regressor(estimator) else found


def assert_same(a, b, **tolerance):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, **({"rtol": 0, "atol": 0} | tolerance))


# scikit-learn's own checks: all of them, none expected to fail.


# A check sets n_iter_no_change, which the convex solver does not use.
@pytest.mark.filterwarnings("ignore:Some parameters .* have no effect. n_iter_no_change")
@parametrize_with_checks([FineTunedClassifier(), FineTunedRegressor()])
def test_sklearn_checks_of_features(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "kind",
    [PretrainedEmbeddingTransformer, FineTunedClassifier, FineTunedRegressor, ContinuedVectors],
)
def test_sklearn_checks_of_texts(kind):
    checks = list(estimator_checks_generator(kind(VECTORS)))
    assert checks
    for case, check in checks:
        check(case)


# scikit-learn runs few checks on estimators of texts; these are theirs, written for texts.


def test_clone_has_the_same_parameters_and_shares_the_vectors(estimator):
    copied = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    assert copied.pretrained is VECTORS


def test_parameters_are_stored_untouched(estimator):
    for name, value in estimator.get_params().items():
        assert getattr(type(estimator)(**{name: value}), name) is value


def test_fit_does_not_change_parameters(estimator, fitted):
    assert fitted.get_params() == estimator.get_params()


def test_fit_returns_self_and_sets_no_public_attribute_without_underscore(estimator):
    estimator = clone(estimator)
    before = set(vars(estimator))
    assert estimator.fit(TEXTS, targets(estimator)) is estimator
    added = set(vars(estimator)) - before
    assert all(name.startswith("_") or name.endswith("_") for name in added)


def test_pickle_gives_the_same_outputs(fitted):
    assert_same(outputs(pickle.loads(pickle.dumps(fitted))), outputs(fitted))


def test_deepcopy_shares_the_vectors_and_gives_the_same_outputs(fitted):
    copied = copy.deepcopy(fitted)
    assert copied.pretrained_ is fitted.pretrained_
    assert_same(outputs(copied), outputs(fitted))


def test_fit_is_idempotent(estimator, fitted):
    again = clone(estimator)
    for _ in range(2):
        assert_same(outputs(again.fit(TEXTS, targets(estimator))), outputs(fitted))


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
def test_refit_forgets_the_first_fit(estimator, fitted):
    y = targets(estimator)
    again = clone(estimator).fit(["wholly different", "other text"], y[:2])
    assert_same(outputs(again.fit(TEXTS, y)), outputs(fitted))


@pytest.mark.parametrize("texts", [[*TEXTS[:7], None], "a cat", np.ones((8, 2))])
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(estimator, fitted, texts):
    again = copy.deepcopy(fitted)
    before = vars(again).copy()
    with pytest.raises((TypeError, ValueError)):
        again.fit(texts, targets(estimator))
    assert {name: id(value) for name, value in vars(again).items()} == {
        name: id(value) for name, value in before.items()
    }
    assert_same(outputs(again), outputs(fitted))


def test_x_and_y_are_not_changed(estimator):
    X, y = np.array(TEXTS, dtype=object), targets(estimator)
    clone(estimator).fit(X, y)
    assert X.tolist() == TEXTS
    assert y.tolist() == targets(estimator).tolist()


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
def test_every_container_of_texts_gives_the_same(estimator, fitted, container):
    again = clone(estimator).fit(container(TEXTS), targets(estimator))
    assert_same(outputs(again), outputs(fitted))
    assert_same([again.transform(container(TEXTS))], [fitted.transform(TEXTS)])


def test_rows_keep_their_order(fitted):
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = outputs(fitted, [TEXTS[i] for i in order])
    assert_same(shuffled, [out[order] for out in outputs(fitted)], rtol=1e-5, atol=1e-6)


def test_a_text_does_not_depend_on_its_neighbours(fitted):
    alone = [
        np.concatenate(parts) for parts in zip(*(outputs(fitted, [t]) for t in TEXTS), strict=True)
    ]
    assert_same(alone, outputs(fitted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", ["", " \n\t", "?!", "xyzzy plugh", "\x00", "猫" * 3, "a " * 5000])
def test_unusual_texts_are_not_errors(estimator, fitted, text):
    more = clone(estimator).fit([*TEXTS, text], targets(estimator, text))
    for model in (fitted, more):
        for out in outputs(model, [text, TEXTS[0]]):
            assert np.isfinite(out).all()


def test_texts_without_any_known_word_can_be_fitted(estimator):
    model = clone(estimator).fit(["", "", "", ""], targets(estimator)[:4])
    for out in outputs(model):
        assert np.isfinite(out).all()


def test_bare_string_is_refused(estimator, fitted):
    with pytest.raises(ValueError, match=r"got a single str, .* Wrap it in a list: \[text\]"):
        clone(estimator).fit("The cat sat", targets(estimator))
    with pytest.raises(ValueError, match="got a single str"):
        fitted.transform("The cat sat")


@pytest.mark.parametrize(
    ("value", "kind", "advice"),
    [
        (None, "NoneType", "Replace missing texts"),
        (float("nan"), "float", "Replace missing texts"),
        (b"bytes", "bytes", "Decode it first"),
        (3, "int", "Convert it with str"),
    ],
)
def test_what_is_no_text_is_named_with_its_position(estimator, fitted, value, kind, advice):
    texts = [*TEXTS[:2], value, *TEXTS[3:]]
    with pytest.raises(TypeError, match=rf"got {kind} at position 2: .*{advice}"):
        clone(estimator).fit(texts, targets(estimator))
    with pytest.raises(TypeError, match="at position 2"):
        fitted.transform(texts)


def test_no_texts_are_refused(estimator):
    with pytest.raises(ValueError, match="at least one text"):
        clone(estimator).fit([], [])


def test_numbers_in_place_of_texts_are_refused(estimator):
    with pytest.raises((TypeError, ValueError), match=r"texts, got a|expected a sequence of texts"):
        clone(estimator).fit(np.ones((8, 3)), targets(estimator))


def test_use_before_fit_says_so(estimator):
    for method in ("transform", "predict", "predict_proba", "decision_function"):
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(clone(estimator), method)(TEXTS)


def test_unknown_parameter_values_are_listed(estimator):
    name, value = ("pooling", "median") if hasattr(estimator, "pooling") else ("encoder", "bert")
    with pytest.raises(ValueError, match=rf"'{name}' parameter .* must be .*mean.*{value}"):
        clone(estimator).set_params(**{name: value}).fit(TEXTS, targets(estimator))


def test_pretrained_of_a_strange_type_is_refused(estimator):
    with pytest.raises(TypeError, match=r"pretrained must be a name, a path, .* got int: 3"):
        clone(estimator).set_params(pretrained=3).fit(TEXTS, targets(estimator))


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_set_output_gives_a_frame_with_the_names_of_the_features(fitted, frame):
    plain = fitted.transform(TEXTS)
    out = copy.deepcopy(fitted).set_output(transform=frame).transform(TEXTS)
    assert list(out.columns) == fitted.get_feature_names_out().tolist()
    assert len(out.columns) == plain.shape[1]
    np.testing.assert_array_equal(out.to_numpy(), plain)


def test_global_generators_are_left_as_found(estimator):
    states = lambda: (  # noqa: E731
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    )
    before = states()
    params = {"random_state": None} if hasattr(estimator, "random_state") else {}
    clone(estimator).set_params(**params).fit(TEXTS, targets(estimator)).transform(TEXTS)
    assert states() == before


def make_predictor(estimator):
    """A pipeline that ends with the estimator or, where that only transforms, begins with it."""
    last = [] if hasattr(estimator, "predict") else [LogisticRegression()]
    return make_pipeline(estimator, *last)


def test_ends_or_begins_a_pipeline_that_can_be_searched(estimator):
    grid = {f"{type(estimator).__name__.lower()}__lowercase": ["auto", False]}
    search = GridSearchCV(make_predictor(estimator), grid, cv=2).fit(TEXTS, targets(estimator))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_processes_give_the_same_scores():
    # All in one pool: processes take seconds to start.
    one, two = (
        Parallel(n_jobs)(
            delayed(cross_val_score)(make_predictor(estimator), TEXTS, targets(estimator), cv=2)
            for estimator in ESTIMATORS.values()
        )
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_skip_warnings_are_what_sklearn_says_of_texts():
    # The reason for the filter above: scikit-learn cannot make texts for its generic checks.
    with pytest.warns(SkipTestWarning, match="string=True"):
        list(estimator_checks_generator(PretrainedEmbeddingTransformer(VECTORS)))


# Numbers


INTEGERS = (*(np.int8, np.int16, np.int32, np.int64), *(np.uint8, np.uint16, np.uint32, np.uint64))
FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
MINIBATCH = {"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}
NUMBERS = ("boolean", "verbose", Integral)
CONVEX = ("calibrate", "pretrained_scale")
HELD_OUT = ("early_stopping", "validation_fraction", "n_iter_no_change")
STOPPING = {"early_stopping": True, "validation_fraction": 0.25}
PLAIN = {
    **{"lr": 0.125, "embedding_lr": 0.125, "dropout": 0.5, "token_dropout": 0.5, "l2_sp": 0.5},
    **{"pretrained_scale": 0.5, "warmup": 0.25, "max_grad_norm": 1.0, "label_smoothing": 0.25},
    **{"validation_fraction": 0.25, "average_last": 1, "batch_size": 3, "max_epochs": 2},
    **{"max_tokens": 3, "random_state": 3, "verbose": 0, "hidden_layer_sizes": 4},
    **{"n_iter_no_change": 2, "early_stopping": True, "calibrate": False, "lowercase": False},
    **{"mixed_precision": True, "warm_start": False, "compile": False},
    **{"epochs": 1, "pull": 0.5, "window": 2, "negative": 2, "min_count": 1, "n_jobs": 1},
    **{"remove_components": 1, "threshold": 0.25},
}
NUMERIC = [
    pytest.param(estimator, name, id=f"{estimator.__name__}-{name}")
    for estimator in (
        *(FineTunedClassifier, FineTunedRegressor),
        *(PretrainedEmbeddingTransformer, ContinuedVectors),
    )
    for name in estimator().get_params()
    if name in PLAIN
]


@pytest.mark.parametrize(("estimator", "name"), NUMERIC)
def test_numbers_may_be_of_any_type_of_numpy(estimator, name):
    settings = {}
    if estimator is ContinuedVectors:
        settings = {"min_count": 1, "random_state": 0}
    elif estimator is not PretrainedEmbeddingTransformer and name not in CONVEX:
        settings = {**MINIBATCH, **(STOPPING if name in HELD_OUT else {})}
    y = VALUES if estimator is FineTunedRegressor else LABELS
    if name == "threshold":  # of independent labels
        y = np.stack([LABELS[0] == LABELS, LABELS[0] != LABELS], axis=1).astype(int)

    def fit(value):
        model = estimator(VECTORS, **{**settings, name: value}).fit(TEXTS, y)
        return model.vectors_.matrix if estimator is ContinuedVectors else model.transform(TEXTS)

    plain = PLAIN[name]
    kinds = (np.bool_,) if isinstance(plain, bool) else INTEGERS
    expected = fit(plain)
    for kind in FLOATS if isinstance(plain, float) else kinds:
        np.testing.assert_array_equal(fit(kind(plain)), expected)


def test_every_numeric_parameter_is_tried():
    for case in NUMERIC:
        estimator = case.values[0]
        constraints = estimator._parameter_constraints
        numeric = {
            name
            for name, allowed in constraints.items()
            if any(
                isinstance(c, Interval) or c in ("boolean", "verbose", Integral) for c in allowed
            )
        }
        assert numeric <= {*PLAIN}, estimator
