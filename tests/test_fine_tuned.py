"""Parts of samples, continued fits, teachers and arrays that may not be written to."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler
from toys import MINIBATCH, body, same, state_of, weights_of

from sklearn_transfer import ContextualModel, FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.training.policies import Contrastive

STREAM = {"hidden_layer_sizes": (5,), "batch_size": 16, "random_state": 0}


def stream(vectors: Any, reviews: Any, n_parts: int = 1, **params: Any) -> FineTunedClassifier:
    """A classifier after some parts of the samples."""
    model = FineTunedClassifier(vectors, **{**STREAM, **params})
    for _ in range(n_parts):
        model.partial_fit(*reviews, classes=["no", "yes"])
    return model


def test_features_of_an_estimator_that_is_not_fitted_are_refused(vectors):
    for estimator in (FineTunedClassifier(vectors), FineTunedRegressor(vectors)):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            estimator.transform(["good film"])


# ---- parameters of a later part ----


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.1},
        {"embedding_lr": 0.0},
        {"batch_size": 5},
        {"optimizer": "sgd"},
        {"criterion": "focal"},
        {"label_smoothing": 0.4},
        {"max_grad_norm": 1e-3},
        {"token_dropout": 0.9},
        {"adaptation": "frozen"},
        {"class_weight": {"no": 9.0, "yes": 1.0}},
        {"mixed_precision": True},
        {"random_state": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_part_is_trained_with_the_present_parameters(vectors, reviews, change):
    model = stream(vectors, reviews)
    same_as_before = copy.deepcopy(model).partial_fit(*reviews)
    model.set_params(**change).partial_fit(*reviews)
    changed = zip(weights_of(model), weights_of(same_as_before), strict=True)
    assert any(not np.array_equal(a, b) for a, b in changed)
    assert model.n_iter_ == 2


def test_frozen_rows_stay_from_the_next_part_on(vectors, reviews):
    model = stream(vectors, reviews)
    rows = model.module_.encoder.rows.detach().clone()
    model.set_params(adaptation="frozen").partial_fit(*reviews)
    assert torch.equal(model.module_.encoder.rows, rows)
    model.set_params(adaptation="full").partial_fit(*reviews)
    assert not torch.equal(model.module_.encoder.rows, rows)


def test_unchanged_parameters_keep_moments_and_rates(vectors, reviews):
    class Halve(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            for group in net.optimizer_.param_groups:
                group["lr"] /= 2

    model = stream(vectors, reviews, 3, callbacks=[Halve()])
    assert model.net_.optimizer_.param_groups[-1]["lr"] == pytest.approx(0.01 / 8)
    state = model.net_.optimizer_.state[model.module_.head[0].weight]
    assert state["step"] == 12


def test_a_new_callback_is_called_and_an_old_one_is_not(vectors, reviews):
    class Counter(Callback):
        n_epochs = 0

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            self.n_epochs += 1

    first, second = Counter(), Counter()
    model = stream(vectors, reviews, callbacks=[first])
    model.set_params(callbacks=[second]).partial_fit(*reviews)
    assert (first.n_epochs, second.n_epochs) == (1, 1)


def test_another_optimizer_goes_on_with_a_schedule(vectors, reviews):
    model = stream(vectors, reviews, callbacks=[LRScheduler("StepLR", step_size=1, gamma=0.5)])
    model.set_params(optimizer="sgd", lr=0.2).partial_fit(*reviews)
    assert isinstance(model.net_.optimizer_, torch.optim.SGD)
    assert model.net_.optimizer_.param_groups[-1]["lr"] < 0.2


@pytest.mark.parametrize("goes_on", ["partial_fit", "fit"])
def test_any_optimizer_goes_on_with_the_rows_of_another(vectors, reviews, goes_on):
    model = FineTunedClassifier(vectors, warm_start=True, **MINIBATCH).fit(*reviews)
    for optimizer in ("adamw", "adam", "sgd", torch.optim.RMSprop):
        model.set_params(optimizer=optimizer)
        getattr(model, goes_on)(*reviews)


@pytest.mark.parametrize("goes_on", ["partial_fit", "fit"])
def test_a_pull_needs_the_initial_weights(vectors, reviews, goes_on):
    params = {"warm_start": True, **MINIBATCH}
    for pretrained, X in ((vectors, reviews[0]), (body(), np.ones((60, 8), dtype=np.float32))):
        model = FineTunedClassifier(pretrained, l2_sp=1.0, **params).fit(X, reviews[1])
        getattr(model.set_params(l2_sp=2.0), goes_on)(X, reviews[1])
        assert model.net_.settings.l2_sp == 2.0
        model = FineTunedClassifier(pretrained, **params).fit(X, reviews[1]).set_params(l2_sp=1.0)
        with pytest.warns(UserWarning, match=r"the new value of l2_sp has no effect"):
            getattr(model, goes_on)(X, reviews[1])


@pytest.mark.parametrize("goes_on", ["partial_fit", "warm_start", "after convex"])
@pytest.mark.parametrize(
    "change",
    [
        {"hidden_layer_sizes": (3,)},
        {"tokenizer": str.split},
        {"max_tokens": 2},
        {"lowercase": False},
        {"oov": "hash"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_parameters_that_cannot_change_are_named(vectors, reviews, goes_on, change):
    params = {} if goes_on == "after convex" else MINIBATCH
    model = FineTunedClassifier(vectors, **params).fit(*reviews)
    model.set_params(**change, warm_start=goes_on == "warm_start")
    (name,) = change
    fit = model.fit if goes_on == "warm_start" else model.partial_fit
    with pytest.warns(UserWarning, match=rf"the new value of {name} has no effect"):
        fit(*reviews)
    with pytest.warns(UserWarning, match=rf"the new value of {name} has no effect"):
        fit(*reviews)


def test_a_policy_of_fixed_features_cannot_change(numbers):
    model = FineTunedClassifier(body(), adaptation="frozen", **MINIBATCH)
    policy = Contrastive(n_steps=1, n_layers=1)
    model.set_params(adaptation=policy).fit(numbers[0].astype(np.float32), numbers[1])
    model.set_params(adaptation="full")
    with pytest.warns(UserWarning, match=r"the new value of adaptation has no effect"):
        model.partial_fit(numbers[0].astype(np.float32), numbers[1])


def test_an_opened_pickle_goes_on_without_a_warning(vectors, reviews):
    params = {"tokenizer": str.split, "encoder_params": {"widths": (1, 2)}, "encoder": "cnn"}
    model = pickle.loads(pickle.dumps(stream(vectors, reviews, **params)))
    model.partial_fit(*reviews)
    assert model.n_iter_ == 2


@pytest.mark.parametrize("kind", ["mean", "cnn", "l2_sp", "scheduler", "after convex"])
def test_parts_after_a_pickle_give_the_same(vectors, reviews, kind: str):
    params: dict[str, Any] = {
        "cnn": {"encoder": "cnn", "encoder_params": {"widths": (1, 2), "multichannel": True}},
        "l2_sp": {"l2_sp": 1.0},
        "scheduler": {"callbacks": [LRScheduler("StepLR", step_size=1, gamma=0.5)]},
    }.get(kind, {})
    if kind == "after convex":
        one = FineTunedClassifier(vectors, random_state=0).fit(*reviews)
        one.set_params(optimizer="adam").partial_fit(*reviews)
    else:
        one = stream(vectors, reviews, **params)
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        more = [f"{text} unheard" for text in reviews[0]]
        expected = copy.deepcopy(one).partial_fit(more, reviews[1]).partial_fit(*reviews)
        other.partial_fit(more, reviews[1]).partial_fit(*reviews)
        for a, b in zip(weights_of(expected), weights_of(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_pickle_has_the_moments_only_of_a_stream(vectors, reviews):
    fitted = FineTunedClassifier(vectors, **MINIBATCH).fit(*reviews)
    assert fitted.net_.optimizer_.state_dict()["state"]
    copied = copy.deepcopy(fitted).partial_fit(*reviews)
    opened = pickle.loads(pickle.dumps(fitted))
    assert not opened.net_.optimizer_.state_dict()["state"]
    with pytest.warns(UserWarning, match=r"no moments of the optimizer.*Train by partial_fit"):
        opened.partial_fit(*reviews)
    opened.partial_fit(*reviews)  # warns once
    assert copied.net_.optimizer_.state_dict()["state"]


@pytest.mark.parametrize("change", [{"early_stopping": True}, {"average_last": 2}])
def test_what_needs_a_whole_fit_warns_in_parts(vectors, reviews, change):
    with pytest.warns(UserWarning, match=rf"{next(iter(change))}.*mini-batch training by `fit`"):
        model = stream(vectors, reviews, **change)
    plain = stream(vectors, reviews)
    for a, b in zip(weights_of(model), weights_of(plain), strict=True):
        np.testing.assert_array_equal(a, b)


def test_auto_compares_policies_with_early_stopping(vectors, reviews):
    model = FineTunedClassifier(vectors, adaptation="auto", early_stopping=True, **MINIBATCH)
    assert set(model.fit(*reviews).adaptation_.scores) == {"frozen", "full"}


# ---- parts that fail ----


class Fail(Callback):
    """Fails in the midst of an epoch."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history[-1, "batches"]) == 2:
            raise self.error


@pytest.fixture
def models(vectors, reviews, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Fitted models that read texts, and their next part."""
    texts = [*reviews[0][:30], "a zork that is new", "zork"]
    part = texts, np.array([*reviews[1][:30], "no", "yes"])
    made = {
        "parts": lambda: stream(vectors, reviews),
        "fit": lambda: FineTunedClassifier(vectors, **MINIBATCH).fit(*reviews),
        "convex": lambda: FineTunedClassifier(vectors, random_state=0).fit(*reviews),
        "cnn": lambda: stream(vectors, reviews, encoder="cnn"),
    }
    return made[request.param](), part


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("models", ["parts", "fit", "convex", "cnn"], indirect=True)
def test_a_part_that_fails_changes_nothing(models, error, reviews):
    model, part = models
    untouched = copy.deepcopy(model)
    before, weights = dict(vars(model)), state_of(model.module_)
    outputs = model.decision_function(reviews[0])
    model.set_params(callbacks=[Fail(error)])
    with pytest.raises(error):
        model.partial_fit(*part)
    model.set_params(callbacks=None)
    assert vars(model) == before
    assert same(state_of(model.module_), weights)
    np.testing.assert_array_equal(model.decision_function(reviews[0]), outputs)
    # Nothing of the failed part is left: neither words, nor moments, nor the place in the history.
    after, expected = model.partial_fit(*part), untouched.partial_fit(*part)
    assert same(state_of(after.module_), state_of(expected.module_))
    assert after.n_iter_ == expected.n_iter_


def test_the_best_weights_so_far_survive_an_interrupt(vectors, reviews):
    # The recipe of the documentation.
    model, best, least = FineTunedClassifier(vectors, **STREAM), None, np.inf
    try:
        for loss in (0.3, 0.1, 0.2, 0.05):
            if loss == 0.05:
                model.set_params(callbacks=[Fail(KeyboardInterrupt)])
            model.partial_fit(*reviews, classes=["no", "yes"])
            if loss < least:
                best, least = copy.deepcopy(model), loss
    except KeyboardInterrupt:
        pass
    second = stream(vectors, reviews, 2)
    assert best is not None
    assert same(state_of(best.module_), state_of(second.module_))
    assert best.partial_fit(*reviews).n_iter_ == 3


def test_a_part_with_an_unknown_label_says_what_to_do(vectors, reviews):
    model = stream(vectors, reviews)
    with pytest.raises(ValueError, match=r"'maybe'.*fit again on all samples, with warm_start="):
        model.partial_fit(reviews[0], ["maybe", "no"] * 30)
    model.set_params(warm_start=True, max_epochs=1)
    with pytest.raises(ValueError, match=r"'maybe'.*first call of partial_fit \(classes="):
        model.fit(reviews[0], ["maybe", "no"] * 30)
    model.set_params(warm_start=False).fit(reviews[0], ["maybe", "no"] * 30)
    assert model.classes_.tolist() == ["maybe", "no"]


# ---- callbacks of two estimators ----


def test_parts_with_other_columns_are_refused(vectors, reviews):
    texts, labels = reviews
    y = pd.DataFrame({"yes": labels == labels[0], "no": labels != labels[0]})
    model = FineTunedClassifier(vectors, **MINIBATCH)
    model.partial_fit(texts, y, classes=["yes", "no"])
    assert model.classes_.tolist() == ["yes", "no"]
    with pytest.raises(ValueError, match=r"that were fitted, \['yes', 'no'\], in that order"):
        model.partial_fit(texts, y[["no", "yes"]])
    model.fit(texts, y)
    with pytest.raises(ValueError, match="in that order"):
        model.fit(texts, y, X_val=texts, y_val=y[["no", "yes"]])


def test_one_callback_serves_two_estimators_in_turn(vectors, reviews):
    def callbacks() -> list[Any]:
        return [
            EpochScoring("accuracy", lower_is_better=False, on_train=True, name="accuracy"),
            EarlyStopping("train_loss", patience=2, load_best=True),
            LRScheduler("StepLR", step_size=1, gamma=0.5),
        ]

    shared = callbacks()
    one, two = (FineTunedClassifier(vectors, callbacks=shared, **MINIBATCH) for _ in range(2))
    alone = FineTunedClassifier(vectors, callbacks=callbacks(), **MINIBATCH)
    one.fit(*reviews)
    two.set_params(lr=0.1).fit(reviews[0][:20], reviews[1][:20])
    one.partial_fit(*reviews)
    alone.fit(*reviews).partial_fit(*reviews)
    assert same(state_of(one.module_), state_of(alone.module_))
    assert one.history_[:, "accuracy_best"] == alone.history_[:, "accuracy_best"]


# ---- teachers ----


def test_a_teacher_in_a_grid_is_frozen(vectors, reviews):
    teacher = FineTunedClassifier(vectors).fit(*reviews)
    grid = {"distill_from": [None, FrozenEstimator(teacher)]}
    search = GridSearchCV(FineTunedClassifier(vectors), grid, cv=2, error_score="raise")
    search.fit(*reviews)
    assert (search.cv_results_["mean_test_score"] > 0.8).all()


@pytest.mark.parametrize("estimator", [FineTunedClassifier, FineTunedRegressor])
def test_a_search_with_a_plain_teacher_says_what_to_do(vectors, reviews, estimator):
    y = (reviews[1] == "yes") * 1
    teacher = estimator(vectors).fit(reviews[0], y)
    search = GridSearchCV(
        estimator(vectors), {"distill_from": [teacher]}, cv=2, error_score="raise"
    )
    with pytest.raises(NotFittedError, match=r"put sklearn\.frozen\.FrozenEstimator\(teacher\)"):
        search.fit(reviews[0], y)


# ---- read-only arrays ----


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.fixture
def every_warning() -> Iterator[None]:
    """Torch repeats warnings that it gives once per process."""
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("every_warning")
@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
@pytest.mark.parametrize("params", [{}, MINIBATCH], ids=["convex", "mini-batch"])
def test_arrays_may_be_read_only(numbers, params, order):
    X, y, weight = (
        read_only(array)[::order]
        for array in (numbers[0].astype(np.float32), numbers[1], np.linspace(1, 2, 120))
    )
    for pretrained in (None, body()):
        model = FineTunedClassifier(pretrained, **params)
        if pretrained is not None and not params:
            model.set_params(adaptation="frozen")
        model.fit(X, y, sample_weight=weight, X_val=X, y_val=y)
        copied = copy.deepcopy(model).fit(X.copy(), y.copy(), sample_weight=weight.copy())
        np.testing.assert_allclose(copied.transform(X), model.transform(X), rtol=1e-4, atol=1e-5)
    values = read_only(weight)
    FineTunedRegressor(**params).fit(X, values, sample_weight=weight).predict(X)


@pytest.mark.usefixtures("every_warning")
def test_weights_of_texts_may_be_read_only(vectors, reviews, tiny_model):
    weight = read_only(np.linspace(1, 2, 60))
    FineTunedClassifier(vectors).fit(*reviews, sample_weight=weight)
    encoder = ContextualModel(tiny_model)
    FineTunedClassifier(encoder, adaptation="frozen").fit(*reviews, sample_weight=weight)
    model = FineTunedClassifier(encoder, adaptation=Contrastive(n_steps=1), random_state=0)
    model.fit(*reviews, sample_weight=weight)


class Witness(Callback):
    """What a callback of the user sees."""

    def on_train_begin(self, net, **kwargs):
        self.epochs_, self.weights_ = 0, None

    def on_epoch_end(self, net, **kwargs):
        self.epochs_ += 1

    def on_train_end(self, net, **kwargs):
        self.weights_ = [tensor.clone() for tensor in net.module_.state_dict().values()]


def test_callbacks_see_the_epoch_that_early_stopping_ends_and_then_the_best_weights(numbers):
    witness = Witness()
    settings = {"lr": 0.5, "n_iter_no_change": 2, "random_state": 0, "hidden_layer_sizes": (4,)}
    model = FineTunedClassifier(early_stopping=True, callbacks=[witness], **settings).fit(*numbers)
    losses = model.history_[:, "valid_loss"]
    assert len(losses) == witness.epochs_ < 20
    assert min(losses) < losses[-1]
    final = model.module_.state_dict().values()
    assert all(torch.equal(*pair) for pair in zip(witness.weights_, final, strict=True))
