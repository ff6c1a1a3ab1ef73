"""Fits in threads: equal seeds give equal models, and nobody else's random numbers change."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_predict
from torch import nn

from sklearn_transfer import FineTunedClassifier, PretrainedVectors

VECTORS = PretrainedVectors(
    ["good", "bad", "film", "plot"], [[1, 0.1], [-1, 0.1], [0, 1], [0, 0.9]]
)
TEXTS = ["good film", "bad film", "good plot", "bad plot"] * 6
X = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
Y = [1, 0, 1, 0] * 6
HIDDEN = {"hidden_layer_sizes": (16,), "dropout": 0.3}
OWN: dict[str, dict[str, Any]] = {
    "dropout": HIDDEN,
    "token dropout": {**HIDDEN, "token_dropout": 0.3},
    "attention": {"encoder": "attention", "dropout": 0.3},
    "cnn": {"encoder": "cnn", "encoder_params": {"filters": 3}, "dropout": 0.3},
    "rnn": {"encoder": "rnn", "encoder_params": {"units": 3}, "dropout": 0.3},
    "numbers": {**HIDDEN, "pretrained": None},
}


class Noise(nn.Module):
    """A user's module that draws from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)
        self.dropout = nn.Dropout(0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        encoded = self.linear(self.dropout(x))
        return encoded + 0.1 * torch.rand_like(encoded) if self.training else encoded


def make(name: str) -> FineTunedClassifier:
    if name == "module":
        torch.manual_seed(1)
        options: dict[str, Any] = {"pretrained": Noise(), "adaptation": "full"}
    else:
        options = {"pretrained": VECTORS, **OWN[name]}
    return FineTunedClassifier(**options, max_epochs=4, batch_size=4, random_state=0)


def samples(model: FineTunedClassifier) -> Any:
    return TEXTS if isinstance(model.pretrained, PretrainedVectors) else X


@pytest.mark.parametrize("name", [*OWN, "module"])
def test_equal_seeds_in_threads_give_equal_models(name: str) -> None:
    models = [make(name) for _ in range(6)]

    def predict(model: FineTunedClassifier) -> Any:
        inputs = samples(model)
        return model.fit(inputs, Y).predict_proba(inputs)

    alone = predict(make(name))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(predict, models):
            np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("name", [*OWN, "module"])
def test_a_fit_leaves_the_global_generators_alone(name: str) -> None:
    model = make(name)
    torch.manual_seed(7)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model.fit(samples(model), Y).partial_fit(samples(model), Y)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize("name", OWN)
def test_another_thread_draws_what_it_would_have_drawn(name: str) -> None:
    torch.manual_seed(7)
    expected = torch.rand(300)
    model = make(name)
    torch.manual_seed(7)
    drawn: list[torch.Tensor] = []
    stopped = threading.Event()

    def draw() -> None:
        while len(drawn) < 300 and not stopped.is_set():
            drawn.append(torch.rand(1))
            stopped.wait(0.0005)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        model.fit(samples(model), Y)
    finally:
        stopped.set()
        thread.join(20)
    assert len(drawn) > 1
    assert torch.equal(torch.cat(drawn), expected[: len(drawn)])


def test_a_search_in_threads_is_one_in_turn() -> None:
    from joblib import parallel_backend

    model = make("dropout")
    in_turn = cross_val_predict(model, TEXTS, Y, cv=3, method="predict_proba")
    with parallel_backend("threading", n_jobs=3):
        in_threads = cross_val_predict(model, TEXTS, Y, cv=3, method="predict_proba")
    np.testing.assert_array_equal(in_threads, in_turn)
