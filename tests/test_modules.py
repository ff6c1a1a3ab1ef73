"""A torch module as what is pretrained: X is an array of any shape."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn
from toys import body, same, state_of

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.models.seeds import seeded

RNG = np.random.default_rng(0)
N = 20
Y = np.array(["cat", "dog"])[np.arange(N) % 2]
CONVEX = {"random_state": 0}
SMALL = {**CONVEX, "max_epochs": 2}


def made(*layers):
    with seeded(0, seed_global=True):
        return nn.Sequential(*[layer() for layer in layers])


def images():
    return made(
        lambda: nn.Conv2d(3, 2, 3), lambda: nn.BatchNorm2d(2), nn.ReLU,
        lambda: nn.AdaptiveAvgPool2d(1), nn.Flatten,
    )  # fmt: skip


def tokens():
    return made(lambda: nn.Embedding(9, 3), nn.Flatten)


def sequences():
    return made(lambda: nn.Linear(4, 3), nn.Flatten)


KINDS = {
    "images": (images, RNG.standard_normal((N, 3, 6, 6)).astype(np.float32)),
    "sequences": (sequences, RNG.standard_normal((N, 5, 4))),
    "tokens": (tokens, RNG.integers(0, 9, (N, 5))),
    "matrix": (body, RNG.standard_normal((N, 8)).astype(np.float32)),
}
every_kind = pytest.mark.parametrize(("module", "X"), list(KINDS.values()), ids=list(KINDS))
every_policy = pytest.mark.parametrize("adaptation", ["frozen", "full"])


def model(module, **settings):
    made = module if isinstance(module, nn.Module) else module()
    usual = CONVEX if settings.get("adaptation") == "frozen" else SMALL
    return FineTunedClassifier(made, **{**usual, **settings})


def fitted(module, X, **settings):
    return model(module, **settings).fit(X, Y)


@every_policy
@every_kind
def test_arrays_of_any_shape_are_classified(module, X, adaptation):
    settings = {"max_epochs": 40, "lr": 0.05, "embedding_lr": 0.05}
    if adaptation == "frozen":
        settings = {}
    X = X + (np.arange(N) % 2).reshape([N] + [1] * (X.ndim - 1)).astype(X.dtype)
    X = np.minimum(X, 8) if X.dtype.kind == "i" else X
    found = fitted(module, X, adaptation=adaptation, **settings)
    assert found.score(X, Y) > 0.7
    assert set(found.predict(X)) <= {"cat", "dog"}


@every_policy
@every_kind
def test_the_users_module_is_left_as_it_is(module, X, adaptation):
    mine = module()
    before, modes = state_of(mine), [m.training for m in mine.modules()]
    fitted(mine, X, adaptation=adaptation).predict(X)
    assert same(state_of(mine), before)
    assert [m.training for m in mine.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in mine.parameters())


@every_policy
def test_x_is_left_as_it_is_by_a_module_that_writes_into_it(adaptation):
    X = KINDS["matrix"][1].copy()
    layers = [lambda: nn.ReLU(inplace=True), lambda: nn.Linear(8, 3)]
    settings = {"batch_size": N} if adaptation == "full" else {}
    fitted(made(*layers), X, adaptation=adaptation, **settings).predict_proba(X)
    np.testing.assert_array_equal(X, KINDS["matrix"][1])


@every_policy
@every_kind
def test_clone_and_pickle_give_the_same(module, X, adaptation):
    one = fitted(module, X, adaptation=adaptation)
    expected = one.predict_proba(X)
    np.testing.assert_array_equal(clone(one).fit(X, Y).predict_proba(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).predict_proba(X), expected)


def test_what_was_trained_is_pickled_once():
    wide = made(lambda: nn.Linear(8, 4000))
    one = fitted(wide, KINDS["matrix"][1], optimizer="sgd", lr=1e-3)
    size = 4 * sum(p.numel() for p in [*wide.parameters(), *one.module_.parameters()])
    assert len(pickle.dumps(one)) < 1.2 * size
    again = pickle.loads(pickle.dumps(one))
    assert again.module_ is again.net_.module_ is again.net_.module
    assert again.net_.criterion_ is again.net_.criterion


IN_A_NOTEBOOK = """
import numpy as np, torch
from skorch.callbacks import Callback
from sklearn_transfer import FineTunedClassifier

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 3)
    def forward(self, x):
        return self.linear(x)

class Seen(Callback):
    pass

X, y = np.random.default_rng(0).standard_normal((20, 8)), np.arange(20) % 2

def fit():
    model = FineTunedClassifier(Mine(), callbacks=[Seen()], max_epochs=1, random_state=0)
    return model.fit(X, y)
"""


def test_models_fitted_by_other_processes_come_back_with_classes_of_a_notebook():
    notebook = {"__name__": "__main__"}  # other processes cannot import its classes
    exec(IN_A_NOTEBOOK, notebook)
    models = Parallel(2)(delayed(notebook["fit"])() for _ in range(2))
    for model in models:
        assert model.predict(notebook["X"]).shape == (20,)
        assert isinstance(model.pretrained, notebook["Mine"])


def test_clones_share_the_module():
    one = model(body)
    assert clone(one).pretrained is one.pretrained


def test_a_grid_holds_policies_and_rates():
    grid = {"adaptation": ["discriminative", "gradual"], "embedding_lr": [0.001, 0.01]}
    settings = {"hidden_layer_sizes": (2,)}
    search = GridSearchCV(model(images, **settings), grid, cv=2).fit(KINDS["images"][1], Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@every_policy
@every_kind
def test_a_sample_does_not_depend_on_its_neighbours(module, X, adaptation):
    one = fitted(module, X, adaptation=adaptation)
    alone = np.concatenate([one.predict_proba(X[i : i + 1]) for i in range(N)])
    np.testing.assert_allclose(alone, one.predict_proba(X), rtol=1e-4)


@pytest.mark.parametrize(("settings", "width"), [({}, 2), ({"hidden_layer_sizes": (5,)}, 5)])
def test_transform_is_what_the_last_layer_sees(settings, width):
    X = KINDS["images"][1]
    one = fitted(images, X, **settings)
    features = one.transform(X)
    assert features.shape == (N, width)
    assert len(one.get_feature_names_out()) == width
    last = one.module_.head[-1]
    logits = features @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(logits[:, 0], one.decision_function(X), rtol=1e-4, atol=1e-6)


def test_transform_of_a_frozen_module_is_its_features_centred_and_scaled():
    X = KINDS["matrix"][1]
    found = fitted(body, X, adaptation="frozen").transform(X)
    features = body()(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(np.corrcoef(found[:, 0], features[:, 0])[0, 1], 1, rtol=1e-5)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize(("kind", "n"), [("images", 3), ("sequences", 5), ("matrix", 8)])
def test_n_features_in_is_the_second_length_of_x(kind, n):
    module, X = KINDS[kind]
    assert fitted(module, X).n_features_in_ == n


def test_a_frame_is_an_array_with_names():
    X = pd.DataFrame(KINDS["matrix"][1], columns=list("abcdefgh"))
    one = fitted(body, X)
    assert one.feature_names_in_.tolist() == list("abcdefgh")
    plain = fitted(body, X.to_numpy()).predict_proba(X.to_numpy())
    np.testing.assert_array_equal(one.predict_proba(X), plain)


# What is refused


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(N), r"expected an array of shape \(n_samples, ...\), got shape \(20,\)"),
        (np.ones((N, 7)), r"Sequential, refused a batch of shape \(2, 7\) and dtype torch.float32"),
        (
            np.ones((N, 8), dtype=np.uint8),
            r"of shape \(2, 8\) and dtype .*int64.*X.astype\('float32'\) / 255",
        ),
        (np.full((N, 8), np.nan), "Input X contains NaN"),
        (
            ["a text"] * N,
            r"\(pretrained=module\) reads an array of numbers, got texts. For",
        ),
    ],
    ids=["flat", "narrow", "integers", "nan", "texts"],
)
def test_an_x_that_does_not_suit_the_module_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        fitted(body, X)


def test_images_with_channels_last_are_refused_with_a_cure():
    with pytest.raises(ValueError, match=r"channels first: use X.transpose\(0, 3, 1, 2\)"):
        fitted(images, np.ones((N, 6, 6, 3)))


def test_a_sparse_x_is_refused():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        fitted(body, csr_array(np.ones((N, 8))))


def test_another_shape_in_prediction_is_refused_with_that_shape():
    one = fitted(body, KINDS["matrix"][1])
    with pytest.raises(
        ValueError, match=r"refused a batch of shape \(3, 5\) and dtype torch.float32"
    ):
        one.predict(np.ones((3, 5)))
    images_ = fitted(images, KINDS["images"][1])
    with pytest.raises(ValueError, match=r"refused a batch of shape \(4, 3, 2, 2\)"):
        images_.predict(np.ones((4, 3, 2, 2)))


class Gives(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@every_policy
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :, None], r"Gives must give a tensor of shape \(n_samples, d\), here"),
        (lambda x: (x, x), "got an object of type tuple. Wrap it in a module"),
        (lambda x: x * np.nan, "Gives gives NaN or infinite features for"),
    ],
    ids=["3-d", "tuple", "nan"],
)
def test_a_strange_output_of_the_module_is_refused(adaptation, function, message):
    with pytest.raises(ValueError, match=message):
        fitted(Gives(function), KINDS["matrix"][1], adaptation=adaptation)


# Odd combinations


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@every_policy
def test_a_module_of_any_precision_is_adapted(dtype, adaptation):
    X = KINDS["matrix"][1]
    one = fitted(body().to(dtype), X, adaptation=adaptation)
    assert np.isfinite(one.predict_proba(X)).all()
    if adaptation == "full":
        assert {p.dtype for p in one.module_.encoder.parameters()} == {dtype}


@pytest.mark.parametrize(
    ("n", "settings"),
    [
        (2, {}),
        (3, {"batch_size": 1}),
        (N, {"batch_size": 1000}),
        (9, {"batch_size": 8}),
    ],
)
def test_few_samples_and_large_batches_are_fitted(n, settings):
    X = KINDS["images"][1][:n]
    one = model(images, **settings).fit(X, np.arange(n) % 2)
    assert one.predict_proba(X).shape == (n, 2)


@pytest.mark.parametrize("adaptation", ["frozen", "full", "gradual", "lp-ft"])
def test_indicators_are_predicted(adaptation):
    X, y = KINDS["matrix"][1], np.stack([np.arange(N) % 2, np.arange(N) % 3 == 0], axis=1)
    settings = {} if adaptation == "frozen" else {"max_epochs": 20, "lr": 0.1}
    one = model(body, adaptation=adaptation, **settings).fit(X, y)
    assert one.predict(X).shape == (N, 2)


@pytest.mark.parametrize("adaptation", ["full", "gradual"])
def test_warm_start_goes_on_from_the_weights(adaptation):
    X = KINDS["matrix"][1]
    one = fitted(body, X, warm_start=True, adaptation=adaptation)
    before = state_of(one.module_)
    one.set_params(lr=1e-12, embedding_lr=1e-12).fit(X, Y)
    for name, tensor in one.module_.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_early_stopping_restores_the_best_weights_of_the_module():
    X, y = KINDS["matrix"][1], (np.arange(N) % 2)
    settings = {"early_stopping": True, "max_epochs": 30, "lr": 0.3, "n_iter_no_change": 3}
    one = model(body, **settings).fit(X, y, X_val=X, y_val=1 - y)
    losses = one.history_[:, "valid_loss"]
    p = torch.from_numpy(one.decision_function(X))
    found = nn.functional.binary_cross_entropy_with_logits(p, torch.from_numpy(1.0 - y).float())
    assert found.item() == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("adaptation", ["full", "frozen"])
def test_partial_fit_goes_on_epoch_by_epoch(adaptation):
    X = KINDS["images"][1]
    one = model(images, adaptation=adaptation, random_state=1)
    for _ in range(3):
        one.partial_fit(X, Y, classes=["cat", "dog"])
    assert len(one.history_) == 3
    assert one.predict(X).shape == (N,)


def test_partial_fit_of_batches_is_that_of_their_samples():
    X = KINDS["matrix"][1]
    one = model(body, adaptation="frozen", hidden_layer_sizes=(3,))
    one.partial_fit(X[:10], Y[:10], classes=["cat", "dog"])
    before = state_of(one.module_)
    one.partial_fit(X[10:], Y[10:])
    assert not same(state_of(one.module_), before)


def test_modules_that_share_a_layer_stay_shared():
    with seeded(0, seed_global=True):
        shared = nn.Linear(8, 8)
    one = fitted(nn.Sequential(shared, nn.Tanh(), shared), KINDS["matrix"][1], average_last=2)
    module = one.module_.encoder.module
    assert module[0] is module[2]


def test_a_module_without_parameters_is_adapted():
    X = KINDS["sequences"][1]
    assert fitted(nn.Flatten(), X).predict(X).shape == (N,)


def test_the_class_weights_count():
    X, y = KINDS["matrix"][1], np.arange(N) % 5 == 0
    plain, balanced = (
        model(body, class_weight=c, max_epochs=5).fit(X, y).predict_proba(X)[:, 1].mean()
        for c in (None, "balanced")
    )
    assert balanced > plain


class Noisy(nn.Module):
    """Draws from torch's global generator in evaluation mode, too."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * x + torch.rand(x.shape)


@pytest.mark.parametrize(
    "settings",
    [
        {"adaptation": "frozen"},
        {"adaptation": "frozen", "hidden_layer_sizes": (3,), "max_epochs": 2},
        {"adaptation": "full", "max_epochs": 2},
    ],
)
def test_a_module_that_draws_in_evaluation_mode_repeats_itself(settings):
    X = KINDS["matrix"][1]
    before = torch.get_rng_state()
    first, second = (model(Noisy(), **settings).fit(X, Y) for _ in range(2))
    expected = first.predict_proba(X)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(second.predict_proba(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(X), expected)
    np.testing.assert_array_equal(first.predict_proba(X), expected)
    other = model(Noisy(), **{**settings, "random_state": 1}).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), expected)
