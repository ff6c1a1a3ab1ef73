"""adaptation="auto": the policy that does best on samples that are left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import body, same, state_of

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning import selection
from sklearn_transfer.fine_tuning.config import resolve
from sklearn_transfer.fine_tuning.inputs import find_kind
from sklearn_transfer.fine_tuning.inputs.arrays import Modules
from sklearn_transfer.fine_tuning.parameters import Parameters
from sklearn_transfer.fine_tuning.selection import select_policy
from sklearn_transfer.fine_tuning.splits import LabelledSamples
from sklearn_transfer.fine_tuning.targets.targets import Labels
from sklearn_transfer.training.policies import Choice

CONFIDENCE = 2.0


class Oracle:
    """A fit that errs on given samples, and remembers the samples that it was trained on."""

    fits: list[tuple[str, list[int]]]
    wrong: dict[str, tuple[float, set[int]]]

    def __init__(self, config, task):
        self.name = config.parameters.adaptation
        self.config = config

    def run(self, train):
        self.fits.append((self.name, list(train.X)))
        return self

    temperature = 1.0

    def logits(self, X):
        confidence, wrong = self.wrong[self.name]
        signs = np.array([(1 if x % 2 else -1) * (-1 if x in wrong else 1) for x in X])
        return confidence * signs[:, None].astype(float)


@pytest.fixture
def choose(monkeypatch):
    """Compare policies whose errors are given; returns the choice and the fits."""

    def run(wrong, n=20, validation=None, weight=None, **settings):
        oracle = type("Recorded", (Oracle,), {"fits": [], "wrong": wrong})
        monkeypatch.setattr(selection, "Fit", oracle)
        samples = labelled(list(range(n)), weight)
        held_out = None if validation is None else labelled(validation)
        configs = []
        for name in wrong:
            model = FineTunedClassifier(body(), adaptation=name, random_state=0, **settings)
            kind, parameters = find_kind(model.pretrained), Parameters.of(model)
            configs.append((name, resolve(parameters, kind, Labels, name, seed=0)))
        choice, config = select_policy(configs, Labels(np.array([0, 1])), samples, held_out)
        assert config is dict(configs)[choice.policy]
        return SimpleNamespace(choice=choice, fits=oracle.fits, configs=configs)

    return run


def labelled(X, weight=None):
    y = np.array(X) % 2
    return LabelledSamples(X, y, np.ones(len(X)) if weight is None else weight)


def test_the_most_accurate_policy_is_chosen(choose):
    choice = choose({"frozen": (2, {1, 2, 3}), "gradual": (2, {1}), "full": (2, {1, 2})}).choice
    assert choice.policy == "gradual"
    assert choice.scores == pytest.approx({"frozen": 0.85, "gradual": 0.95, "full": 0.9})


def test_among_equally_accurate_policies_the_lower_loss_decides(choose):
    assert choose({"frozen": (2, {1}), "full": (1, {2, 3})}).choice.policy == "frozen"
    assert choose({"frozen": (9, {1}), "full": (2, {1})}).choice.policy == "full"


def test_among_equals_the_simplest_is_chosen(choose):
    assert choose({"frozen": (2, {1}), "full": (2, {1})}).choice.policy == "frozen"


def test_the_reason_names_place_and_scores(choose):
    reason = choose({"frozen": (2, {1, 2}), "full": (2, {1})}).choice.reason
    assert reason == "best on 5 folds of the training samples: frozen 0.900, full 0.950"


def test_every_sample_is_left_out_once(choose):
    fits = choose({"frozen": (2, set()), "full": (2, set())}).fits
    left_out = [x for name, X in fits if name == "full" for x in set(range(20)) - set(X)]
    assert sorted(left_out) == list(range(20))


def test_all_policies_see_the_same_folds(choose):
    fits = choose({"frozen": (2, set()), "full": (2, set())}).fits
    assert [X for name, X in fits if name == "frozen"] == [X for name, X in fits if name == "full"]


@pytest.mark.parametrize(("n", "n_folds"), [(2000, 1), (1990, 2), (1000, 2), (600, 4), (500, 4)])
def test_folds_are_left_out_until_400_samples_are(choose, n: int, n_folds: int):
    result = choose({"frozen": (2, set()), "full": (2, set())}, n=n)
    assert [len(X) for _, X in result.fits] == [n - n // 5] * n_folds * 2
    assert f"best on {n_folds} of 5 folds of the training samples" in result.choice.reason


@pytest.mark.parametrize(("n", "parts"), [(4, "2 folds"), (8, "4 folds"), (10, "5 folds")])
def test_the_reason_counts_the_folds_that_classes_of_few_samples_have(choose, n: int, parts: str):
    reason = choose({"frozen": (2, set()), "full": (2, set())}, n=n).choice.reason
    assert reason.startswith(f"best on {parts} of the training samples")


def test_validation_data_decides_in_place_of_folds(choose):
    wrong = {"frozen": (2, {0, 1, 2}), "full": (2, {100, 101})}
    result = choose(wrong, validation=[100, 101, 102])
    assert result.choice.policy == "frozen"
    assert [len(X) for _, X in result.fits] == [20, 20]
    assert result.choice.reason == "best on X_val: frozen 1.000, full 0.333"


def test_samples_count_by_their_weight(choose):
    weight = np.where(np.arange(20) == 1, 10.0, 1.0)
    choice = choose({"frozen": (2, {1}), "full": (2, {2, 3})}, weight=weight).choice
    assert choice.scores == pytest.approx({"frozen": 19 / 29, "full": 27 / 29})
    assert choice.policy == "full"


KEPT = "usual for the model, and no other is better by a standard error, on"


@pytest.fixture
def usual(monkeypatch):
    """Make "full" the usual policy of a module."""
    monkeypatch.setattr(Modules, "usual_policy", lambda self, task: "full")
    return monkeypatch


@pytest.mark.parametrize(
    ("frozen", "full", "heavy", "reason"),
    [
        (set(), {1, 2}, 1.0, "best on"),  # 0.1 above, and a standard error is 0.069
        ({3}, {1, 2}, 1.0, KEPT),  # 0.05 above, and a standard error is 0.088
        (set(), {1}, 1.0, KEPT),  # the only difference is as large as its standard error
        ({3}, {1, 2}, 10.0, "best on"),  # 0.5 above, and a standard error is 0.21
        ({3, 4, 5}, {1}, 10.0, KEPT),  # 0.18 above, and a standard error is 0.24
        ({1, 2}, {1, 2}, 1.0, "best on"),  # the lower loss of "frozen" does not suffice
        ({1, 2}, {1}, 1.0, "best on"),
    ],
)
def test_the_usual_policy_stays_within_a_standard_error(usual, choose, frozen, full, heavy, reason):
    usual.setattr(selection, "_FEW_SAMPLES", 0)
    weight = np.where(np.isin(np.arange(20), [1, 2]), heavy, 1.0)
    choice = choose({"frozen": (2, frozen), "full": (1, full)}, weight=weight).choice
    assert choice.reason.startswith(f"{reason} 5 folds of the training samples: frozen ")
    is_frozen = reason == "best on" and choice.scores["frozen"] > choice.scores["full"]
    assert choice.policy == ("frozen" if is_frozen else "full")


def test_of_three_the_one_that_is_clearly_better_is_chosen(usual, choose):
    usual.setattr(selection, "_FEW_SAMPLES", 0)
    full = set(range(10))
    noisy = set(range(10, 17))  # three fewer errors, all others than those of "full"
    clear = set(range(2, 10))
    choice = choose({"frozen": (2, noisy), "gradual": (2, clear), "full": (2, full)}, n=40).choice
    assert choice.policy == "gradual"
    assert choice.reason.startswith("better by a standard error than the usual policy, on 5 folds")


@pytest.mark.parametrize(("n", "n_fits"), [(199, 0), (200, 10)])
def test_the_usual_policy_is_not_compared_below_200_samples(usual, choose, n: int, n_fits: int):
    result = choose({"frozen": (2, set()), "full": (2, set())}, n=n)
    assert result.choice.policy == "full"
    assert len(result.fits) == n_fits


def test_one_validation_sample_does_not_overturn_the_usual_policy(usual, choose):
    choice = choose({"frozen": (2, set()), "full": (2, {101})}, validation=[101]).choice
    assert choice.policy == "full"


def test_without_labelled_samples_no_policy_is_usual(usual, choose):
    wrong = {"frozen": (1, {101, 102}), "full": (2, {103, 104})}  # equal but for the loss
    choice = choose(wrong, n=0, validation=[100, 101, 102, 103, 104]).choice
    assert choice.policy == "frozen"


def test_where_nothing_can_be_left_out_the_usual_policy_is_chosen(usual, choose):
    usual.setattr(selection, "_FEW_SAMPLES", 0)
    result = choose({"frozen": (2, set()), "full": (2, set())}, n=2)
    assert (result.choice.policy, len(result.fits)) == ("full", 0)
    assert result.choice.reason == "too few samples to leave any out"


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
    with pytest.warns(UserWarning, match="no effect: adaptation"):
        model = FineTunedClassifier(adaptation="auto").fit(*numbers)
    assert model.adaptation_ == Choice("full", {}, "the only policy for X")


def test_a_module_without_parameters_has_nothing_to_choose():
    model = FineTunedClassifier(torch.nn.Flatten(), adaptation="auto").fit(X, Y)
    assert model.adaptation_.policy == "frozen"
    assert model.adaptation_.reason == "the only policy for X"


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
