"""adaptation="auto": the policy that does best on samples left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from toys import body, same, state_of

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.selection import Choice, _assign_folds, _judge, choose_adaptation

FITS: list[tuple[str, list[int], list[int]]] = []


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose accuracy is given by its policy; remembers what it was fitted on."""

    def __init__(
        self, adaptation="full", right=None, checkpoint=None, callbacks=None, verbose=0,
        random_state=None, warm_start=False,
    ):  # fmt: skip
        self.adaptation, self.right, self.checkpoint = adaptation, right, checkpoint
        self.callbacks, self.verbose, self.random_state = callbacks, verbose, random_state
        self.warm_start = warm_start

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        FITS.append((self.adaptation, list(X), [self.random_state, self.warm_start]))
        return self

    def predict_proba(self, X):
        sure, wrong = self.right[self.adaptation]
        true = np.array([x % 2 for x in X])
        p = np.where([x in wrong for x in X], 1 - sure, sure)
        return np.stack([np.where(true == 0, p, 1 - p), np.where(true == 1, p, 1 - p)], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def choose(right, n=20, validation=(None, None), weight=None, **settings):
    FITS.clear()
    X = list(range(n))
    labelled = X, np.arange(n) % 2, np.ones(n) if weight is None else weight
    model = Known(right=right, **settings)
    return choose_adaptation(model, list(right), labelled, validation, seed=0)


def test_the_most_accurate_policy_is_chosen():
    choice = choose({"frozen": (0.9, {1, 2, 3}), "gradual": (0.6, {1}), "full": (0.9, {1, 2})})
    assert choice.policy == "gradual"
    assert choice.scores == {"frozen": 0.85, "gradual": 0.95, "full": 0.9}


def test_among_equally_accurate_ones_the_surer_is_chosen():
    assert choose({"frozen": (0.8, {1}), "full": (0.7, {2})}).policy == "frozen"
    assert choose({"frozen": (0.7, {1}), "full": (0.8, {2})}).policy == "full"


def test_among_equals_the_simplest_is_chosen():
    assert choose({"frozen": (0.8, {1}), "full": (0.8, {1})}).policy == "frozen"


def test_the_reason_says_where_and_by_how_much():
    reason = choose({"frozen": (0.9, {1, 2}), "full": (0.9, {1})}).reason
    assert reason == "most accurate on 5 folds of the training samples: frozen 0.900, full 0.950"


def test_every_sample_is_left_out_once():
    choose({"full": (0.9, set())})
    left_out = [x for _, X, _ in FITS for x in set(range(20)) - set(X)]
    assert sorted(left_out) == list(range(20))


def test_all_policies_see_the_same_folds():
    choose({"frozen": (0.9, set()), "full": (0.9, set())})
    assert [X for name, X, _ in FITS if name == "frozen"] == [
        X for name, X, _ in FITS if name == "full"
    ]


def test_many_samples_leave_a_fifth_out():
    choice = choose({"full": (0.9, set())}, n=2000)
    assert [len(X) for _, X, _ in FITS] == [1600]
    assert "a fifth of the training samples" in choice.reason


def test_validation_data_decides_in_place_of_folds():
    right = {"frozen": (0.9, {0, 1, 2}), "full": (0.9, {100, 101})}
    choice = choose(right, validation=([100, 101, 102], np.array([0, 1, 0])))
    assert choice.policy == "frozen"
    assert [len(X) for _, X, _ in FITS] == [20, 20]
    assert choice.reason == "most accurate on X_val: frozen 1.000, full 0.333"


def test_samples_count_by_their_weight():
    weight = np.where(np.arange(20) == 1, 10.0, 1.0)
    choice = choose({"frozen": (0.9, {1}), "full": (0.9, {2, 3})}, weight=weight)
    assert choice.scores == pytest.approx({"frozen": 19 / 29, "full": 27 / 29})
    assert choice.policy == "full"


def test_a_fold_never_starts_from_what_another_has_learned():
    choose({"full": (0.9, set())}, warm_start=True, random_state=None)
    assert [settings for _, _, settings in FITS] == [[0, False]] * 5


def test_labels_that_a_fold_has_not_seen_count_as_wrong():
    model = Known(right={"full": (0.9, set())}).fit([0, 1], np.array(["a", "b"]))
    hits, losses = _judge(model, [0, 1, 2], ["a", "b", "c"])
    assert hits.tolist() == [True, True, False]
    np.testing.assert_allclose(losses, -np.log([0.9, 0.9, 1e-12]))


# Folds


@pytest.mark.parametrize("seed", range(3))
def test_every_training_part_has_every_class(seed):
    y = np.array([0] * 11 + [1] * 2 + [2] * 3 + [3])
    fold = _assign_folds(y, seed)
    for number in range(5):
        assert set(y[fold != number]) == {0, 1, 2, 3}


def test_folds_are_of_one_size_and_stratified():
    y = np.repeat([0, 1], [50, 10])
    fold = _assign_folds(y, 0)
    assert np.bincount(fold).tolist() == [12] * 5
    assert np.bincount(fold[y == 1]).tolist() == [2] * 5


def test_the_only_sample_of_a_class_is_never_left_out():
    assert _assign_folds(np.array(["a", "b", "a", "a"]), 0)[1] == -1


def test_rows_of_an_indicator_are_left_out_in_turn():
    assert sorted(_assign_folds(np.eye(7), 0)) == [0, 0, 1, 1, 2, 3, 4]


# With the classifier

X = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
Y = np.where(X[:, 0] > 0, "yes", "no")
CANDIDATES = ["frozen", "lp-ft", "gradual", "full"]


def auto(**settings):
    # A head that learns fast is probed for a short time.
    usual = {"adaptation": "auto", "random_state": 0, "max_epochs": 8, "lr": 0.1, "batch_size": 30}
    return FineTunedClassifier(body(), **{**usual, **settings})


@pytest.fixture(scope="module")
def chosen():
    return auto().fit(X, Y, X_val=X[:6], y_val=Y[:6])


def test_a_module_has_four_candidates(chosen):
    assert list(chosen.adaptation_.scores) == CANDIDATES
    assert chosen.adaptation_.policy in CANDIDATES


def test_auto_is_the_fit_of_what_it_chose(chosen):
    given = auto(adaptation=chosen.adaptation_.policy).fit(X, Y, X_val=X[:6], y_val=Y[:6])
    assert same(state_of(given.module_), state_of(chosen.module_))


def test_the_parameter_stays_auto(chosen):
    assert chosen.adaptation == "auto"


@pytest.mark.parametrize(
    ("settings", "candidates"),
    [
        ({}, ["frozen", "full"]),
        ({"hidden_layer_sizes": (3,), "max_epochs": 2}, ["frozen", "full"]),
        ({"encoder": "cnn", "max_epochs": 2, "lr": 0.5, "batch_size": 60}, CANDIDATES),
    ],
)
def test_texts_have_the_candidates_of_their_encoder(vectors, reviews, settings, candidates):
    model = FineTunedClassifier(vectors, adaptation="auto", random_state=0, **settings)
    texts, y = reviews
    model.fit(texts, y, X_val=texts[:9], y_val=y[:9])
    assert list(model.adaptation_.scores) == candidates
    assert "X_val" in model.adaptation_.reason


def test_features_have_nothing_to_choose(numbers):
    model = FineTunedClassifier(adaptation="auto").fit(*numbers)
    assert model.adaptation_ == Choice("full", {}, "X is features: nothing pretrained is adapted")


def test_a_module_without_parameters_has_nothing_to_choose():
    model = FineTunedClassifier(torch.nn.Flatten(), adaptation="auto").fit(X, Y)
    assert model.adaptation_.policy == "frozen"
    assert model.adaptation_.reason == "the module has no parameters to adapt"


def test_a_policy_that_is_given_is_not_compared(vectors, reviews):
    choice = FineTunedClassifier(vectors).fit(*reviews).adaptation_
    assert choice == Choice("full", {}, "given")


def test_one_sample_a_class_is_too_few_to_compare():
    choice = auto().fit(X[:2], [0, 1]).adaptation_
    assert choice == Choice("frozen", {}, "too few samples to leave any out")


@pytest.mark.parametrize("y", [[0] * 8 + [1, 2], np.eye(10, 3, dtype=int)], ids=["rare", "rows"])
def test_rare_classes_and_indicators_are_compared(y, vectors, reviews):
    model = FineTunedClassifier(vectors, adaptation="auto", hidden_layer_sizes=(3,), max_epochs=2)
    model.fit(reviews[0][:10], y)
    assert list(model.adaptation_.scores) == ["frozen", "full"]


def test_validation_data_without_labels_is_refused_before_any_fit():
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        auto().fit(X, Y, X_val=X)


def test_partial_fit_has_no_samples_to_leave_out():
    with pytest.raises(ValueError, match=r"adaptation='auto' needs all samples at once \(fit\)"):
        auto().partial_fit(X, Y, classes=["no", "yes"])


def test_a_search_may_hold_auto_beside_policies(vectors, reviews):
    for policy in ("auto", "frozen"):
        assert FineTunedClassifier(vectors, adaptation=policy).fit(*reviews).score(*reviews) > 0.9
