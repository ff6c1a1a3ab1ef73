"""What skorch's callbacks see of a net, and how its training ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn import metrics
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    TrainEndCheckpoint,
)
from toys import MINIBATCH, bag_samples, net_of, same, samples, state_of

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor

TEXTS = [f"{tone} {'film ' * (i % 5)}" for i, tone in enumerate(["good", "bad", "great"] * 8)]
BINARY = (np.arange(24) % 5) % 2
CLASSES = (np.arange(24) % 7) % 3
INDICATOR = np.stack([np.arange(24) % 2, np.arange(24) % 3 > 0, np.arange(24) % 5 < 2], 1) * 1
VALUES = np.arange(24) % 3 + 0.1 * np.arange(24)
solvers = pytest.mark.parametrize("params", [{}, MINIBATCH], ids=["convex", "mini-batch"])


def positive(model: FineTunedClassifier) -> np.ndarray:
    """Probabilities of the second class, before calibration."""
    return expit(model.decision_function(TEXTS))


# Scorer of scikit-learn, targets, and the value by the estimator's own outputs.
SCORES: dict[str, tuple[str, np.ndarray, Callable[[Any], float]]] = {
    "accuracy": (
        "accuracy",
        BINARY,
        lambda m: metrics.accuracy_score(BINARY, m.predict(TEXTS)),
    ),
    "f1": ("f1", BINARY, lambda m: metrics.f1_score(BINARY, m.predict(TEXTS))),
    "area": ("roc_auc", BINARY, lambda m: metrics.roc_auc_score(BINARY, positive(m))),
    "precision": (
        "average_precision",
        BINARY,
        lambda m: metrics.average_precision_score(BINARY, positive(m)),
    ),
    "log loss": ("neg_log_loss", BINARY, lambda m: -metrics.log_loss(BINARY, positive(m))),
    "Brier": (
        "neg_brier_score",
        BINARY,
        lambda m: -metrics.brier_score_loss(BINARY, positive(m)),
    ),
    "three classes": (
        "accuracy",
        CLASSES,
        lambda m: metrics.accuracy_score(CLASSES, m.predict(TEXTS)),
    ),
    "one against the rest": (
        "roc_auc_ovr",
        CLASSES,
        lambda m: metrics.roc_auc_score(
            CLASSES, softmax(m.decision_function(TEXTS).astype(float), axis=1), multi_class="ovr"
        ),
    ),
    # Thresholds are fitted after the last epoch.
    "labels": ("f1_micro", INDICATOR, lambda m: _f1(INDICATOR, m.decision_function(TEXTS) > 0)),
    "area of labels": (
        "roc_auc",
        INDICATOR,
        lambda m: metrics.roc_auc_score(INDICATOR, m.decision_function(TEXTS)),
    ),
    "values": ("r2", VALUES, lambda m: m.score(TEXTS, VALUES)),
    "no name": (None, CLASSES, lambda m: m.score(TEXTS, CLASSES)),
    "no name, values": (None, VALUES, lambda m: m.score(TEXTS, VALUES)),
}


def _f1(y: np.ndarray, predicted: np.ndarray) -> float:
    return float(metrics.f1_score(y, predicted, average="micro"))


def make(vectors: Any, y: np.ndarray, callback: Callback, **params: Any) -> Any:
    estimator = FineTunedRegressor if y is VALUES else FineTunedClassifier
    return estimator(vectors, callbacks=[callback], **params)


@solvers
@pytest.mark.parametrize("name", SCORES)
def test_scorers_see_the_predictions_of_the_estimator(vectors, name, params):
    scoring, y, expected = SCORES[name]
    callback = EpochScoring(scoring, lower_is_better=False, name="found")
    model = make(vectors, y, callback, **params).fit(TEXTS, y, X_val=TEXTS, y_val=y)
    assert model.history_[-1, "found"] == pytest.approx(expected(model), abs=1e-5)


@pytest.mark.parametrize("scoring", [EpochScoring, BatchScoring])
@solvers
def test_predictions_and_targets_of_training_are_in_one_order(vectors, params, scoring):
    # lr=0: what is kept from before each step is what the trained net predicts.
    params = {**params, "lr": 1e-12} if params else params
    callback = scoring("accuracy", on_train=True, lower_is_better=False, name="found")
    model = make(vectors, BINARY, callback, **params).fit(TEXTS, BINARY)
    assert model.history_[-1, "found"] == pytest.approx(model.score(TEXTS, BINARY))


def test_predictions_of_sequences_are_scored_in_their_order():
    # Batches of sequences are sorted by length.
    data = bag_samples()
    callback = EpochScoring("accuracy", lower_is_better=False, name="found")
    net = net_of(data, valid=data, callbacks=[callback]).fit(data)
    assert net.history[-1, "found"] == metrics.accuracy_score(data.y, net.predict(data.X))


@solvers
@pytest.mark.parametrize(
    "callback",
    [EarlyStopping(), EarlyStopping(monitor="no_score"), Checkpoint(f_pickle=None)],
    ids=["early stopping", "unknown", "checkpoint"],
)
def test_a_callback_that_misses_validation_says_so(
    vectors, reviews, params, callback, tmp_path: Path
):
    if isinstance(callback, Checkpoint):
        callback.set_params(dirname=str(tmp_path))
    with pytest.raises(ValueError, match=r"got an epoch with .*train_loss.*X_val and y_val"):
        FineTunedClassifier(vectors, callbacks=[callback], **params).fit(*reviews)


def test_other_errors_of_callbacks_are_theirs(vectors, reviews):
    class Careless(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        FineTunedClassifier(vectors, callbacks=[Careless()]).fit(*reviews)


@solvers
def test_checkpoints_of_skorch_hold_the_trained_weights(vectors, reviews, params, tmp_path: Path):
    callbacks = [
        Checkpoint(monitor="train_loss_best", dirname=str(tmp_path / "best")),
        TrainEndCheckpoint(dirname=str(tmp_path / "end")),
    ]
    model = FineTunedClassifier(vectors, callbacks=callbacks, **params).fit(*reviews)
    stored = torch.load(tmp_path / "end" / "train_end_params.pt", weights_only=True)
    assert same(stored, state_of(model.module_))
    assert (tmp_path / "best" / "params.pt").exists()


def test_a_schedule_without_an_optimizer_is_refused(vectors, reviews):
    model = FineTunedClassifier(vectors, callbacks=[LRScheduler("StepLR", step_size=1)])
    with pytest.raises(ValueError, match=r"got an LRScheduler.*set optimizer='adam'"):
        model.fit(*reviews)


# ---- the end of training ----


class Interrupt(Callback):
    """Ctrl-C at one moment of training; notes the end."""

    def __init__(self, moment: str, number: int = 1) -> None:
        self.moment, self.number, self.n_calls, self.ended = moment, number, 0, 0

    def _count(self, moment: str) -> None:
        self.n_calls += moment == self.moment
        if moment == self.moment and self.n_calls == self.number:
            raise KeyboardInterrupt

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self._count("epoch begins")

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        self._count("batch ends")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self._count("epoch ends")

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.ended += 1


@pytest.mark.parametrize("moment", ["epoch begins", "batch ends", "epoch ends"])
@pytest.mark.parametrize("settings", [{}, {"patience": 1}, {"average_last": 2}])
def test_an_interrupt_propagates_at_any_moment(moment, settings):
    data, callback = samples(), Interrupt(moment)
    net = net_of(data, valid=samples(11), callbacks=[callback], **settings)
    with pytest.raises(KeyboardInterrupt):
        net.fit(data)
    assert callback.ended == 1


def test_an_interrupt_before_the_first_epoch_is_not_replaced_by_an_error(monkeypatch):
    data = samples()
    net = net_of(data, valid=samples(11), patience=1)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(net, "move_to", interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.fit(data)


def test_early_stopping_is_no_interrupt():
    data = samples()
    net = net_of(data, callbacks=[EarlyStopping("train_loss", patience=1)], lr=1e-12, max_epochs=9)
    assert net.fit(data).n_iter < 9


def test_a_callback_may_end_training():
    class Enough(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            net.max_epochs = 0

    data = samples()
    assert net_of(data, callbacks=[Enough()], max_epochs=9).fit(data).n_iter == 1


# ---- copies ----


def test_a_copy_is_trained_alone():
    data, callback = samples(), Interrupt("never")
    net = net_of(data, callbacks=[callback]).fit(data)
    weights, n_epochs = state_of(net.module_), len(net.history)
    copied = net.copy()
    copied.partial_fit(data, epochs=2)
    assert same(state_of(net.module_), weights)
    assert not same(state_of(copied.module_), weights)
    assert (len(net.history), len(copied.history)) == (n_epochs, n_epochs + 2)
    assert dict(copied.callbacks_)["Interrupt"] is callback
