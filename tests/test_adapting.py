"""Policies of adaptation, seen from the classifier: what moves, how fast, and the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from toys import body, same, state_of

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.training.policies import POLICIES, Full, LinearProbing

X = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
PROBING = LinearProbing(max_probing=3)
EACH = ["frozen", "full", "gradual", "discriminative", PROBING]
SMALL = {"max_epochs": 3, "batch_size": 8, "lr": 0.05, "random_state": 0}


class Pooled(torch.nn.Module):
    """A user's module over padded vectors."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, vectors, lengths):
        return torch.tanh(self.linear(vectors)).sum(1) / lengths.clamp_min(1)[:, None]


def pooled():
    return Pooled().apply(lambda m: torch.nn.init.constant_(m.bias, 0) if hasattr(m, "bias") else m)


ENCODERS = {
    "mean": {"hidden_layer_sizes": (3,), "token_dropout": 0.2, "dropout": 0.2},
    "attention": {"encoder": "attention", "encoder_params": {"units": 3}},
    "cnn": {"encoder": "cnn", "encoder_params": {"widths": (1, 2), "filters": 2}},
    "cnn-2": {"encoder": "cnn", "encoder_params": {"filters": 2, "multichannel": True}},
    "rnn": {"encoder": "rnn", "encoder_params": {"units": 2}},
    "padded": {"encoder": pooled()},
    "module": {"hidden_layer_sizes": (3,), "dropout": 0.2},
}
every_encoder = pytest.mark.parametrize("name", ENCODERS)


@pytest.fixture
def fit(vectors, reviews):
    """Fits an encoder of a name to some texts or numbers."""

    def fit(name, rows=slice(24), sample_weight=None, **settings):
        settings = {**SMALL, **ENCODERS[name], **settings}
        if name == "mean" and settings.get("adaptation") == "frozen":
            del settings["token_dropout"]  # the head reads means of all tokens
        if name == "module":
            return FineTunedClassifier(body(), **settings).fit(X[rows], Y[rows], sample_weight)
        texts = np.array(reviews[0][:24], dtype=object)[rows]
        y = reviews[1][:24][rows]
        return FineTunedClassifier(vectors, **settings).fit(texts, y, sample_weight)

    return fit


class States(Callback):
    def on_train_begin(self, net, **kwargs):
        self.states = [state_of(net.module_)]

    def on_epoch_end(self, net, **kwargs):
        self.states.append(state_of(net.module_))


def states(model):
    return dict(model.net_.callbacks_)["States"].states


# The same bits


@every_encoder
@pytest.mark.parametrize("policy", EACH, ids=lambda p: p if isinstance(p, str) else "lp-ft")
def test_the_same_seed_gives_the_same_bits_and_leaves_global_generators(fit, name, policy):
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = fit(name, adaptation=policy)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    torch.manual_seed(4)
    assert same(state_of(fit(name, adaptation=policy).module_), state_of(first.module_))


@every_encoder
def test_another_seed_gives_other_weights(fit, name):
    assert not same(state_of(fit(name).module_), state_of(fit(name, random_state=1).module_))


# Sample weights


@every_encoder
def test_a_weight_of_zero_leaves_a_sample_out(fit, name):
    kept = np.flatnonzero(np.arange(24) % 5)
    weighted = fit(name, sample_weight=(np.arange(24) % 5 > 0).astype(float))
    assert same(state_of(weighted.module_), state_of(fit(name, kept).module_))


@every_encoder
def test_weights_change_what_is_learned(fit, name):
    weighted = fit(name, sample_weight=np.linspace(0.2, 3, 24), optimizer="sgd")
    assert not same(state_of(weighted.module_), state_of(fit(name, optimizer="sgd").module_))


# Which layers move


@every_encoder
def test_frozen_moves_nothing_that_is_pretrained(fit, name):
    model = fit(name, adaptation="frozen", callbacks=[States()], optimizer="adam")
    for key in states(model)[0]:
        if key == "encoder.rows" or key.startswith("encoder.module"):
            assert torch.equal(states(model)[0][key], states(model)[-1][key])


@every_encoder
def test_full_moves_every_parameter(fit, name):
    model = fit(name, callbacks=[States()])
    parameters = dict(model.module_.named_parameters())
    still = {key for key in parameters if torch.equal(states(model)[0][key], parameters[key])}
    assert not still


@pytest.mark.parametrize(
    ("policy", "rates"),
    [
        ("full", [[0.005] * 3 + [0.05]] * 3),
        ("gradual", [[0] * 3 + [0.05], [0, 0, 0.005, 0.05], [0, 0.005, 0.005, 0.05]]),
        ("discriminative", [[0.005 / 2.6**3, 0.005 / 2.6**2, 0.005 / 2.6, 0.05]] * 3),
    ],
)
def test_history_has_the_rates_of_all_layers(fit, policy, rates):
    found = fit("module", adaptation=policy).history_[:, "rates"]
    assert [list(row) for row in found] == [["0", "2", "4", "head"]] * 3
    np.testing.assert_allclose([list(row.values()) for row in found], rates)


def test_frozen_with_hidden_layers_has_a_rate_of_zero_in_the_history(fit):
    model = fit("attention", adaptation="frozen")
    assert model.history_[-1, "rates"] == {"vectors": 0.0, "head": 0.05}


@pytest.mark.parametrize(("name", "layer"), [("cnn", "vectors"), ("module", "0")])
def test_embedding_lr_is_the_rate_of_what_is_pretrained(fit, name, layer):
    rates = fit(name, embedding_lr=0.002).history_[-1, "rates"]
    assert (rates[layer], rates["head"]) == (0.002, 0.05)


@pytest.mark.parametrize("name", ["cnn", "module"])
def test_embedding_lr_of_zero_freezes_what_is_pretrained(fit, name):
    frozen, still = fit(name, adaptation="frozen", optimizer="adam"), fit(name, embedding_lr=0.0)
    if name == "cnn":
        assert same(state_of(still.module_), state_of(frozen.module_))
    else:
        for key, tensor in still.module_.encoder.module.state_dict().items():
            assert torch.equal(tensor, body().state_dict()[key])


@pytest.mark.parametrize("name", ["attention", "module"])
def test_linear_probing_moves_the_body_only_when_the_head_has_converged(fit, name):
    policy = LinearProbing(tolerance=0.02, patience=3)
    settings = {"lr": 0.1, "max_epochs": 2, "callbacks": [States()], "hidden_layer_sizes": ()}
    model = fit(name, adaptation=policy, **settings)
    n_probing = policy.n_probing(model.history_)
    assert len(model.history_) == n_probing + 2
    losses = model.history_[:n_probing, "train_loss"]
    assert min(losses[:-3]) - min(losses[-3:]) < 0.02 * losses[0]
    for key in ("encoder.rows", "encoder.module.0.weight", "encoder.module.4.bias"):
        if key in states(model)[0]:
            same_as_first = [torch.equal(s[key], states(model)[0][key]) for s in states(model)]
            assert same_as_first == [True] * (n_probing + 1) + [False] * 2


# The pull


@pytest.mark.parametrize("name", ["cnn", "mean", "module"])
def test_the_distance_to_the_start_falls_as_l2_sp_grows(fit, name):
    distances = []
    for l2_sp in (0.0, 0.1, 10.0):
        model = fit(name, l2_sp=l2_sp, optimizer="sgd", callbacks=[States()])
        start, end = states(model)[0], states(model)[-1]
        pretrained = [k for k in start if k == "encoder.rows" or k.startswith("encoder.module.")]
        distances.append(sum((start[k] - end[k]).square().sum().item() for k in pretrained))
    assert distances[0] > distances[1] > distances[2]


# Policies of the user's


class Own:
    """Moves the head in the first epoch, and all after."""

    def rates(self, epoch, n_layers, history):
        return [float(epoch > 0)] * (n_layers - 1) + [1.0]


def test_a_policy_may_be_an_object(fit):
    found = fit("module", adaptation=Own()).history_[:, "rates"]
    np.testing.assert_allclose([row["0"] for row in found], [0, 0.005, 0.005])
    np.testing.assert_allclose([row["head"] for row in found], 0.05)


def test_the_policy_of_a_name_is_that_object(fit):
    full = fit("module", adaptation=Full())
    assert same(state_of(full.module_), state_of(fit("module", adaptation="full").module_))


@pytest.mark.parametrize("given", [[1.0], [1.0] * 5, [np.nan, 1, 1, 1], [1, 1, 1, -1]])
def test_strange_rates_of_a_policy_are_refused(fit, given):
    class Strange:
        def rates(self, epoch, n_layers, history):
            return given

    message = r"must give a finite, non-negative rate for each of the 4 layers \['0', '2', '4', 'h"
    with pytest.raises(ValueError, match=message):
        fit("module", adaptation=Strange())


def test_a_policy_without_rates_is_refused(numbers):
    with pytest.raises(ValueError, match="'adaptation' parameter of FineTunedClassifier must be"):
        FineTunedClassifier(adaptation=object()).fit(*numbers)


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"frozen", "full", "contrastive"}))
def test_features_have_no_layers_to_tell_apart(numbers, policy):
    with pytest.raises(ValueError, match="moves pretrained layers at different times or rates"):
        FineTunedClassifier(adaptation=policy).fit(*numbers)


def test_layer_groups_name_the_layers(fit):
    model = fit("module", adaptation="gradual", layer_groups=[["0", "2"], "4"])
    found = [list(row.values()) for row in model.history_[:, "rates"]]
    np.testing.assert_allclose(found, [[0, 0, 0.05], [0, 0.005, 0.05], [0.005, 0.005, 0.05]])


def test_layer_groups_of_texts_are_refused(fit):
    with pytest.raises(ValueError, match="layer_groups names the layers of a torch module or a"):
        fit("mean", layer_groups=["rows"])


# The training of it all


def test_average_last_and_early_stopping_are_refused_together(fit):
    with pytest.raises(ValueError, match="average_last and early_stopping both choose the final"):
        fit("mean", average_last=2, early_stopping=True)


def test_an_unknown_backend_is_refused(fit):
    with pytest.raises(ValueError, match=r"a backend of torch.compile, got 'fast'. Backends here"):
        fit("mean", compile="fast")


def test_the_users_scheduler_works_beside_the_policy(fit):
    from skorch.callbacks import LRScheduler

    halving = ("rate", LRScheduler("StepLR", step_size=1, gamma=0.5))
    rates = fit("module", callbacks=[halving]).history_[:, "rates"]
    np.testing.assert_allclose([row["head"] for row in rates], [0.05, 0.025, 0.0125])
    np.testing.assert_allclose([row["0"] for row in rates], [0.005, 0.0025, 0.00125])


@every_encoder
def test_everything_at_once_is_finite(fit, name):
    settings = {"schedule": "one-cycle", "warmup": 0.2, "max_grad_norm": 1.0, "average_last": 2}
    settings |= {"adaptation": "discriminative", "l2_sp": 0.1, "mixed_precision": True}
    model = fit(name, criterion="focal", **settings)
    assert all(torch.isfinite(tensor).all() for tensor in state_of(model.module_).values())


def test_max_epochs_may_be_passed_by_partial_fit():
    model = FineTunedClassifier(body(), schedule="linear", max_epochs=1, random_state=0)
    for _ in range(3):
        model.partial_fit(X, Y, classes=[0, 1])
    assert [row["head"] for row in model.history_[:, "rates"]] == [0.005, 0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"pretrained": None, "encoder": "cnn"},
            "encoder='cnn' reads the pretrained vectors",
        ),
        ({"encoder": "rnn"}, "a torch module or a contextual model it must stay 'mean'"),
        ({"encoder_params": {"units": 3}}, "encoder='mean' has no parameter 'units'"),
        ({"optimizer": "convex"}, "for a torch module adaptation='frozen'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FineTunedClassifier(**{"pretrained": body(), **settings}).fit(X, Y)


def test_early_stopping_waits_until_the_head_has_converged():
    probing = LinearProbing(max_probing=6)
    model = FineTunedClassifier(
        body(), adaptation=probing, early_stopping=True, n_iter_no_change=1, **SMALL
    )
    model.fit(X, Y, X_val=X[:4], y_val=1 - Y[:4])  # gets worse from the first epoch on
    assert [row["0"] > 0 for row in model.history_[:, "rates"]][-1]


def test_warm_start_from_the_linear_solver_begins_with_the_module():
    model = FineTunedClassifier(body(), adaptation="frozen").fit(X, Y)
    model.set_params(adaptation="full", warm_start=True, **SMALL).fit(X, Y)
    assert list(model.history_[-1, "rates"]) == ["0", "2", "4", "head"]


def test_a_module_with_lazy_parameters_is_refused():
    with pytest.raises(ValueError, match=r"has lazy parameters.*call it once on some samples"):
        FineTunedClassifier(torch.nn.LazyLinear(3)).fit(X, Y)


def test_attention_without_units_is_refused(fit):
    with pytest.raises(ValueError, match="encoder='attention' needs units of at least 1, got 0"):
        fit("attention", encoder_params={"units": 0})
