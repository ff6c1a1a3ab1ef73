"""The steps of a fit: what is checked, chosen, held out and trained."""

import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from skorch.callbacks import Callback, EpochScoring, LRScheduler
from skorch.history import History
from toys import MINIBATCH, weights_of

from sklearn_transfer import FineTunedClassifier

# The training loop


def test_default_uses_every_row_and_early_stopping_holds_some_out(vectors, reviews):
    assert "valid_loss" not in FineTunedClassifier(vectors).fit(*reviews).history_[-1]
    model = FineTunedClassifier(vectors, early_stopping=True, **MINIBATCH).fit(*reviews)
    assert "valid_loss" in model.history_[-1]


def test_early_stopping_restores_the_best_weights(vectors, reviews):
    params = {**MINIBATCH, "max_epochs": 60, "lr": 0.5}
    texts, y = reviews
    X_val, y_val = ["good film", "bad film", "zork"], ["no", "yes", "yes"]  # soon overfitted
    model = FineTunedClassifier(vectors, early_stopping=True, n_iter_no_change=3, **params)
    model.fit(texts, y, X_val=X_val, y_val=y_val)
    losses = [epoch["valid_loss"] for epoch in model.history_]
    assert model.n_iter_ == len(losses) < 60
    code = torch.tensor([0.0, 1.0, 1.0])
    logits = torch.from_numpy(model.decision_function(X_val))
    found = torch.nn.functional.binary_cross_entropy_with_logits(logits, code)
    np.testing.assert_allclose(found, min(losses), rtol=1e-4)


def test_validation_data_is_evaluated_not_trained_on(vectors, reviews):
    for params in ({}, MINIBATCH):
        plain = FineTunedClassifier(vectors, **params).fit(*reviews)
        watched = FineTunedClassifier(vectors, **params)
        watched.fit(*reviews, X_val=["awful film"], y_val=["yes"])
        assert all("valid_loss" in epoch for epoch in watched.history_)
        for a, b in zip(weights_of(plain), weights_of(watched), strict=True):
            np.testing.assert_array_equal(a, b)


def test_x_val_without_y_val_is_refused(vectors, reviews):
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        FineTunedClassifier(vectors).fit(*reviews, X_val=["good"])


def test_unknown_label_in_validation_data_is_refused(vectors, reviews):
    with pytest.raises(ValueError, match=r"not among the classes.*maybe"):
        FineTunedClassifier(vectors).fit(*reviews, X_val=["good"], y_val=["maybe"])


def test_same_seed_gives_the_same_weights_bit_for_bit(vectors, reviews):
    params = {**MINIBATCH, "dropout": 0.2, "token_dropout": 0.2}
    torch.manual_seed(1)
    first = FineTunedClassifier(vectors, **params).fit(*reviews)
    torch.manual_seed(2)
    second = FineTunedClassifier(vectors, **params).fit(*reviews)
    other = FineTunedClassifier(vectors, **{**params, "random_state": 1}).fit(*reviews)
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights_of(first), weights_of(other), strict=True))


def test_what_the_process_has_read_before_changes_no_bit(vectors, reviews):
    before = FineTunedClassifier(vectors).fit(*reviews)
    FineTunedClassifier(vectors, oov="hash").fit(["plot of zork", "film of blorb"], [0, 1])
    after = FineTunedClassifier(vectors).fit(*reviews)
    for a, b in zip(weights_of(before), weights_of(after), strict=True):
        np.testing.assert_array_equal(a, b)


def test_coverage_is_of_the_texts_and_forgotten_with_numbers(vectors, reviews, numbers):
    texts = ["good film", "bad zork"] * 4
    for params in ({}, MINIBATCH):
        model = FineTunedClassifier(vectors, **params).fit(texts, [1, 0] * 4)
        assert model.coverage_ == 0.75
    model.set_params(pretrained=None).fit(*numbers)
    assert model.coverage_ is None


def test_random_state_instance_is_drawn_from(vectors, reviews):
    state = np.random.RandomState(0)
    params = {**MINIBATCH, "random_state": state}
    first = FineTunedClassifier(vectors, **params).fit(*reviews)
    second = FineTunedClassifier(vectors, **params).fit(*reviews)
    assert any((a != b).any() for a, b in zip(weights_of(first), weights_of(second), strict=True))


@pytest.mark.parametrize(
    "optimizer", ["adam", "adamw", "sgd", torch.optim.Adagrad, torch.optim.RMSprop]
)
@pytest.mark.parametrize(
    "criterion",
    ["cross_entropy", "squared_hinge", torch.nn.MultiMarginLoss, torch.nn.CrossEntropyLoss],
)
def test_optimizers_and_criteria_by_name_and_class(vectors, optimizer, criterion):
    texts = ["good film", "bad film", "the plot"] * 20
    y = ["good", "bad", "none"] * 20
    lr = 0.5 if optimizer == "sgd" else 0.05
    model = FineTunedClassifier(
        vectors,
        optimizer=optimizer,
        criterion=criterion,
        lr=lr,
        max_epochs=30,
        batch_size=16,
        random_state=0,
    ).fit(texts, y)
    assert model.score(texts, y) == 1.0


@pytest.mark.parametrize("criterion", ["squared_hinge", "cross_entropy"])
def test_the_convex_solver_minimises_each_criterion_by_name(numbers, criterion):
    X, y = numbers
    model = FineTunedClassifier(criterion=criterion).fit(X, y)
    assert len(model.history_) == 1
    assert model.history_[-1]["train_loss"] < 0.75
    assert model.score(X, y) > 0.9


def test_the_convex_solver_says_that_it_did_not_converge():
    X = np.random.default_rng(0).standard_normal((50, 3)) * [1e9, 1, 1e-9]
    with pytest.warns(ConvergenceWarning, match=r"did not converge. Scale the features"):
        FineTunedClassifier(criterion="cross_entropy").fit(X, (X[:, 1] > 0).astype(int))


def test_the_convex_solver_needs_a_linear_head(vectors, reviews):
    with pytest.raises(ValueError, match="optimizer='convex' needs a linear model"):
        FineTunedClassifier(vectors, optimizer="convex", hidden_layer_sizes=(3,)).fit(*reviews)


def test_label_smoothing_of_a_criterion_that_has_none_is_refused(vectors, reviews):
    model = FineTunedClassifier(
        vectors, criterion="squared_hinge", label_smoothing=0.1, **MINIBATCH
    )
    with pytest.raises(ValueError, match="has no label smoothing"):
        model.fit(*reviews)


def test_label_smoothing_lowers_confidence(vectors, reviews):
    params = {**MINIBATCH, "max_epochs": 20}
    confident, smooth = (
        abs(
            FineTunedClassifier(vectors, label_smoothing=s, **params)
            .fit(*reviews)
            .decision_function(reviews[0])
        ).mean()
        for s in (0.0, 0.3)
    )
    assert smooth < confident


class Recorder(Callback):
    epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def test_the_given_skorch_callbacks_are_called(vectors, reviews):
    mine = Recorder()
    callbacks = [
        mine,
        EpochScoring("accuracy", lower_is_better=False, on_train=True, name="train_acc"),
        ("rate", LRScheduler("StepLR", step_size=1, gamma=0.5)),
    ]
    model = FineTunedClassifier(vectors, callbacks=callbacks, **MINIBATCH).fit(*reviews)
    assert mine.epochs == 4
    assert "train_acc" in model.history_[-1]
    np.testing.assert_allclose(
        model.net_.optimizer_.param_groups[0]["lr"], 0.01 * 0.5**4, rtol=1e-6
    )


def test_history_has_an_entry_an_epoch(vectors, reviews):
    model = FineTunedClassifier(vectors, **MINIBATCH).fit(*reviews)
    assert isinstance(model.history_, History)
    assert model.n_iter_ == len(model.history_) == 4


def test_verbose_prints_a_line_an_epoch(vectors, reviews, capsys):
    FineTunedClassifier(vectors, verbose=1, **MINIBATCH).fit(*reviews)
    assert capsys.readouterr().out.count("\n") >= 5
    FineTunedClassifier(vectors, **MINIBATCH).fit(*reviews)
    assert capsys.readouterr().out == ""


def test_verbose_two_shows_a_progress_bar(vectors, reviews, capsys):
    FineTunedClassifier(vectors, verbose=2, **MINIBATCH).fit(*reviews)
    assert "it/s" in "".join(capsys.readouterr())


def test_unknown_device_is_refused(vectors, reviews):
    with pytest.raises(ValueError, match="device='abacus' cannot be used"):
        FineTunedClassifier(vectors, device="abacus").fit(*reviews)


def test_threads_of_torch_are_left_as_found(vectors, reviews):
    before = torch.get_num_threads()
    FineTunedClassifier(vectors).fit(*reviews)
    assert torch.get_num_threads() == before


def test_fitted_model_does_not_hold_its_training_data(vectors, reviews):
    texts, y = reviews
    small = len(pickle.dumps(FineTunedClassifier(vectors).fit(texts, y)))
    large = len(pickle.dumps(FineTunedClassifier(vectors).fit(texts * 50, np.tile(y, 50))))
    assert large < 1.2 * small


@pytest.mark.parametrize("optimizer", ["auto", "adam"])
def test_pickling_leaves_the_model_as_it_was(vectors, reviews, optimizer: str):
    model = FineTunedClassifier(vectors, optimizer=optimizer).fit(*reviews)
    module = model.module_
    opened = pickle.loads(pickle.dumps(model))
    assert model.module_ is module is model.net_.module_
    assert opened.module_ is opened.net_.module_


class Locked(Callback):
    """Counts epochs; cannot be copied."""

    def __init__(self) -> None:
        self.n_epochs, self.lock = 0, threading.Lock()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n_epochs += 1


def test_warm_start_calls_the_given_callback(vectors, reviews):
    counter = Locked()
    options = {"optimizer": "adam", "max_epochs": 2, "warm_start": True, "callbacks": [counter]}
    model = FineTunedClassifier(vectors, **options)
    model.fit(*reviews).fit(*reviews)
    assert counter.n_epochs == 4


# Fits that fail


class Stop(Callback):
    """Ends the training by an error after some epochs."""

    def __init__(self, n_epochs=2, error=RuntimeError):
        self.n_epochs, self.error = n_epochs, error

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) >= self.n_epochs:
            raise self.error


def assert_untouched(model, change, error, *data):
    """A refit fails, and leaves all attributes and weights as they were."""
    model.set_params(**change)
    before, weights = vars(model).copy(), weights_of(model)
    with pytest.raises(error):
        model.fit(*data)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    for a, b in zip(weights_of(model), weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("params", [{}, MINIBATCH], ids=["convex", "mini-batch"])
@pytest.mark.parametrize(
    ("change", "y"),
    [
        ({}, ["yes"] * 60),
        ({}, ["yes", "no"]),
        ({}, [None, "no"] * 30),
        ({"class_weight": {"maybe": 2}}, ["yes", "no"] * 30),
        ({"hidden_layer_sizes": (0,)}, ["yes", "no"] * 30),
        ({"callbacks": [Stop(n_epochs=1)]}, ["yes", "no"] * 30),
    ],
    ids=["one class", "short", "none", "class weight", "parameter", "callback"],
)
def test_a_refit_that_fails_leaves_the_estimator_as_it_was(vectors, reviews, params, change, y):
    model = FineTunedClassifier(vectors, **params).fit(*reviews)
    assert_untouched(model, change, (ValueError, RuntimeError), reviews[0], y)


class Interrupted(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("params", [{}, MINIBATCH], ids=["convex", "minibatch"])
def test_an_interrupt_propagates_and_leaves_the_estimator_as_it_was(vectors, reviews, params):
    model = FineTunedClassifier(vectors, **params).fit(*reviews)
    before, weights = dict(vars(model)), weights_of(model)
    model.set_params(callbacks=[Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(*reviews)
    model.set_params(callbacks=None)
    assert vars(model) == before
    for a, b in zip(weights_of(model), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_warm_start_that_fails_leaves_the_weights_as_they_were(vectors, reviews):
    model = FineTunedClassifier(vectors, warm_start=True, **MINIBATCH).fit(*reviews)
    weights = weights_of(model)
    model.set_params(callbacks=[Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(["a zork that is new", "film"], ["yes", "no"])
    for a, b in zip(weights_of(model), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_first_fit_that_fails_leaves_the_estimator_unfitted(vectors, reviews):
    model = FineTunedClassifier(vectors, callbacks=[Stop()], **MINIBATCH)
    with pytest.raises(RuntimeError):
        model.fit(*reviews)
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.predict(reviews[0])


# Inputs


def test_numbers_for_a_text_model_are_refused(vectors, numbers):
    with pytest.raises(ValueError, match=r"reads texts, got a matrix of shape \(120, 8\)"):
        FineTunedClassifier(vectors).fit(*numbers)


def test_texts_for_a_model_of_numbers_are_refused(reviews):
    with pytest.raises(ValueError, match=r"reads numeric features, got texts.*pretrained='glove"):
        FineTunedClassifier().fit(*reviews)


def test_another_number_of_features_is_refused(numbers):
    X, y = numbers
    model = FineTunedClassifier().fit(X, y)
    with pytest.raises(
        ValueError, match="X has 5 features, but FineTunedClassifier is expecting 8"
    ):
        model.predict(X[:, :5])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(numbers, value):
    X, y = numbers[0].copy(), numbers[1]
    X[3, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        FineTunedClassifier().fit(X, y)


@pytest.mark.parametrize("name", ["ngram_range", "char_ngram_range"])
@pytest.mark.parametrize("value", [(2, 1), (0, 1), (1,), (1, 2.5)])
def test_ranges_that_are_not_ranges_are_refused(vectors, reviews, name, value):
    with pytest.raises(ValueError, match=f"{name} must be .shortest, longest. with 1 <= shortest"):
        FineTunedClassifier(vectors, **{name: value}).fit(*reviews)


def test_hidden_layer_sizes_must_be_positive(vectors, reviews):
    with pytest.raises(ValueError, match="must be a tuple of positive integers"):
        FineTunedClassifier(vectors, hidden_layer_sizes=(0,)).fit(*reviews)
