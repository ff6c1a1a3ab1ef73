"""Forks and interrupts, in processes of their own that are ended after a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SECONDS = 240  # a start on a busy machine; a process that hangs never ends

_SETUP = """
import sys
import numpy as np, torch
from torch import nn
from sklearn_transfer import *
V = PretrainedVectors(["good", "bad", "film", "plot"], [[1, .1], [-1, .1], [0, 1], [0, .9]])
texts, y = ["good film", "bad film", "good plot", "bad plot"] * 100, [1, 0, 1, 0] * 100
arrays = np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32)
"""

_FORK = """
import multiprocessing
from sklearn.base import clone
torch.set_num_threads(2)
wide = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512))
settings = {"max_epochs": 1, "random_state": 0}
models = [
    (FineTunedClassifier(V, hidden_layer_sizes=(64,), **settings), texts),
    (FineTunedClassifier(V, encoder="rnn", **settings), texts),
    (FineTunedClassifier(wide, **settings), arrays),
    (FineTunedClassifier(wide, adaptation="frozen"), arrays),
]
encoder = ContextualModel(sys.argv[1], cache=None)
models.append((FineTunedClassifier(encoder, adaptation="frozen"), texts))
for model, X in models:
    model.fit(X, y)
(torch.rand(600, 600) @ torch.rand(600, 600)).exp().sum()  # starts the threads of torch

def predict_and_fit():
    found = [model.predict(X) for model, X in models]
    model, X = models[0]
    return [*found, clone(model).fit(X, y).predict(X)]

expected = [model.predict(X) for model, X in models]
with multiprocessing.get_context("fork").Pool(1) as pool:
    found = pool.apply_async(predict_and_fit).get(60)
print([bool((a == b).all()) for a, b in zip(found, [*expected, expected[0]], strict=True)])
"""

_INTERRUPTS = """
import _thread, signal, threading, time
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn_transfer.training.policies import Contrastive
signal.signal(signal.SIGINT, signal.default_int_handler)
MANY = 10**7
endless = {"hidden_layer_sizes": (4,), "max_epochs": MANY, "random_state": 0}

class Slow(nn.Linear):
    def forward(self, x):
        time.sleep(0.01)
        return super().forward(x)

def split_slowly(text):
    time.sleep(0.01)
    return text.split()

def train_parts():
    while True:
        stream.partial_fit(texts, y, classes=[0, 1])

stream = FineTunedClassifier(V, hidden_layer_sizes=(4,), random_state=0)
search = GridSearchCV(FineTunedClassifier(V, **endless), {"lr": [0.1, 0.2]}, cv=2)
pairs = Contrastive(n_steps=MANY // 1000)
cases = {
    "fit": lambda: FineTunedClassifier(V, **endless).fit(texts, y),
    "early stopping": lambda: FineTunedRegressor(
        V, early_stopping=True, n_iter_no_change=MANY, **endless
    ).fit(texts, y),
    "parts": train_parts,
    "policies": lambda: FineTunedClassifier(V, adaptation="auto", **endless).fit(texts, y),
    "search": lambda: search.fit(texts, y),
    "scores": lambda: cross_val_score(FineTunedClassifier(V, **endless), texts, y),
    "contrastive": lambda: FineTunedClassifier(
        Slow(64, 3), adaptation=pairs, random_state=0
    ).fit(arrays, y),
    "ranking": lambda: rank_pretrained([Slow(64, 3)] * 1000, arrays, y),
    "vectors": lambda: ContinuedVectors(V, epochs=MANY, min_count=1).fit(texts),
    "features": lambda: PretrainedEmbeddingTransformer(V, tokenizer=split_slowly).fit(
        [f"{text} {i}" for i, text in enumerate(texts)]
    ),
}
FineTunedClassifier(V, **{**endless, "max_epochs": 1}).fit(texts, y)  # imports are done
stream.partial_fit(texts, y, classes=[0, 1])
for name, run in cases.items():
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    try:
        run()
    except KeyboardInterrupt:
        print(name)
    finally:
        timer.cancel()
print(stream.predict(texts[:2]))
"""


def run(code: str, *arguments: str) -> list[str]:
    """Lines that a process of its own prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SETUP + code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_predicts_and_fits(tiny_model: Path) -> None:
    assert run(_FORK, str(tiny_model)) == [str([True] * 6)]


def test_an_interrupt_propagates_out_of_all_that_takes_time() -> None:
    printed = run(_INTERRUPTS)
    assert printed == [
        *("fit", "early stopping", "parts", "policies", "search", "scores", "contrastive"),
        *("ranking", "vectors", "features", "[1 0]"),
    ]
