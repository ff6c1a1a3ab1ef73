"""Does a fit that was killed end with the weights of one that never stopped?

A small convolutional network on scikit-learn's digits, and the CNN over words of made-up texts,
both with dropout, "gradual", a one-cycle schedule and averaged weights, are trained for 40 epochs,
killed with SIGKILL (`kill -9`) at random moments, up to three times, and started again with the
same arguments. The moments are drawn with seed 0. Weights are compared by their SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_transfer import FineTunedClassifier, PretrainedVectors

from .measure import markdown_table, progress

PACKAGES = ["skorch"]
MOMENTS = 20
SETTINGS: dict[str, Any] = {
    "max_epochs": 40,
    "batch_size": 16,
    "dropout": 0.2,
    "adaptation": "gradual",
    "schedule": "one-cycle",
    "average_last": 5,
    "lr": 1e-3,
    "random_state": 0,
}


def make_images() -> tuple[Any, Any, Any]:
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    X, y = load_digits(return_X_y=True)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Dropout(0.1), nn.Flatten()),
    )
    return FineTunedClassifier(network, **SETTINGS), X.reshape(-1, 1, 8, 8)[:600], y[:600]


def make_texts() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    vectors = PretrainedVectors(words, rng.normal(size=(500, 20)).astype(np.float32))
    texts = [" ".join(rng.choice(words, 12)) for _ in range(600)]
    y = [int("word1" in text) for text in texts]
    settings = {**SETTINGS, "token_dropout": 0.1, "encoder": "cnn"}
    return FineTunedClassifier(vectors, **settings), texts, y


TASKS = {"images": make_images, "texts": make_texts}


def fit(task: str, folder: str) -> None:
    """Fit, and print the digest of the weights; called in a process of its own."""
    model, X, y = TASKS[task]()
    print("ready", flush=True)
    model.set_params(checkpoint=folder or None).fit(X, y)
    digest = hashlib.sha256()
    for name, tensor in model.module_.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    print(digest.hexdigest(), model.n_iter_, flush=True)


def _start(task: str, folder: str) -> subprocess.Popen[str]:
    call = f"from benchmarks.resume import fit; fit({task!r}, {folder!r})"
    process = subprocess.Popen([sys.executable, "-c", call], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _finish(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = process.stdout.read().strip()
    if process.wait():
        raise RuntimeError(f"The fit failed with exit code {process.returncode}.")
    return found


def _killed(task: str, seconds: float, rng: np.random.Generator) -> tuple[str, int]:
    """The result of a fit that is killed up to three times, and how often it was."""
    n_killed = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            process = _start(task, folder)
            time.sleep(rng.uniform(0, seconds))
            if process.poll() is not None:
                return _finish(process), n_killed
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            n_killed += 1
        found = _finish(_start(task, folder))
        (file,) = Path(folder).iterdir()
        assert file.suffix == ".checkpoint"
    return found, n_killed


def main(*, quick: bool = False) -> str:
    rng = np.random.default_rng(0)
    lines = []
    for task in TASKS:
        progress(task)
        whole = _start(task, "")
        start = time.perf_counter()
        expected = _finish(whole)
        seconds = time.perf_counter() - start
        moments = 2 if quick else MOMENTS // len(TASKS)
        results = [_killed(task, seconds, rng) for _ in range(moments)]
        equal = sum(found == expected for found, _ in results)
        kills = sum(n_killed for _, n_killed in results)
        lines.append([task, moments, kills, equal, expected.partition(" ")[2]])
    header = ["fit", "random moments", "kills", "equal weights", "epochs"]
    return markdown_table(header, lines)
