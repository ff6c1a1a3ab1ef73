"""Known classes, new classes with few labels, a small net: what images and sounds share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from sklearn_transfer import FineTunedClassifier

from .measure import margin, markdown_table, progress
from .tasks import draw

SCRATCH = "from scratch"
POLICIES = ("frozen", "full", "lp-ft", "gradual", "discriminative")
# One setting for every row and both benchmarks. All parts learn at one rate, as a net from scratch
# needs it.
TRAINING: dict[str, Any] = {"max_epochs": 60, "batch_size": 16, "lr": 1e-3, "embedding_lr": 1e-3}


@dataclass(frozen=True)
class Task:
    """Arrays of known classes, and of new ones: rows to draw labels from, and rows to predict.

    A row may be both; if it is drawn it is not predicted.
    """

    known: NDArray[np.float32]
    known_labels: NDArray[Any]
    new: NDArray[np.float32]
    new_labels: NDArray[Any]
    pool: NDArray[np.bool_]
    test: NDArray[np.bool_]

    def split(self, n_labels: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of `new` with so many labels a class, and those that are predicted."""
        pool = np.flatnonzero(self.pool)
        train = pool[draw(self.new_labels[pool], n_labels, seed)]
        return train, np.setdiff1d(np.flatnonzero(self.test), train)

    def __str__(self) -> str:
        known, new = (len(np.unique(part)) for part in (self.known_labels, self.new_labels))
        return (
            f"{len(self.known):,} samples of {known} known classes; {new} new classes, labels "
            f"drawn from {self.pool.sum():,} samples, {self.test.sum():,} for the test "
            f"(less what is drawn); a sample is {' x '.join(map(str, self.new.shape[1:]))}"
        )


class SmallCNN(nn.Sequential):
    """Three blocks of convolution, batch norm and ReLU, pooled to a grid of 64 channels.

    The first `n_halved` blocks halve the picture.
    """

    def __init__(self, grid: tuple[int, int], *, n_halved: int = 2) -> None:
        super().__init__()
        halved = [[nn.MaxPool2d(2)] if i < n_halved else [] for i in range(2)]
        self.block1 = nn.Sequential(*_block(1, 16), *halved[0])
        self.block2 = nn.Sequential(*_block(16, 32), *halved[1])
        self.block3 = nn.Sequential(*_block(32, 64), nn.AdaptiveAvgPool2d(grid), nn.Flatten())


def _block(n_in: int, n_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU()]


def make_seeded(make_net: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A net with the initial weights of a seed; torch's generator is left as found."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_net()


def pretrain(
    net: nn.Module, X: NDArray[np.float32], y: NDArray[Any], *, n_epochs: int, seed: int
) -> nn.Module:
    """Train a net under a linear head on known classes, in plain torch; the head is dropped."""
    classes, codes = np.unique(y, return_inverse=True)
    samples, targets = torch.from_numpy(X), torch.from_numpy(codes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with torch.no_grad():
            width = net.eval()(samples[:1]).shape[1]
        model = nn.Sequential(net, nn.Linear(width, len(classes))).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(n_epochs):
            for rows in torch.randperm(len(samples)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(samples[rows]), targets[rows]).backward()
                optimizer.step()
    return net.eval()


def accuracies(
    task: Task,
    initial: nn.Module,
    pretrained: nn.Module,
    n_labels: int,
    seed: int,
    training: dict[str, Any],
) -> dict[str, float]:
    """The accuracy of every row in one draw, in percent; the seed draws labels and batches."""
    train, test = task.split(n_labels, seed)
    X, y = task.new[train], task.new_labels[train]
    nets = {SCRATCH: (initial, "full")} | {policy: (pretrained, policy) for policy in POLICIES}
    models: dict[str, Any] = {
        name: FineTunedClassifier(net, adaptation=policy, random_state=seed, **training)
        for name, (net, policy) in nets.items()
    }
    found = {
        name: model.fit(X, y).score(task.new[test], task.new_labels[test])
        for name, model in models.items()
    }
    raw = LogisticRegression(max_iter=1000).fit(X.reshape(len(X), -1), y)
    flat = task.new[test].reshape(len(test), -1)
    found["raw input + LogisticRegression"] = raw.score(flat, task.new_labels[test])
    return {name: 100 * accuracy for name, accuracy in found.items()}


def measure(
    name: str,
    task: Task,
    make_net: Callable[[], nn.Module],
    sizes: Sequence[int],
    n_draws: int,
    *,
    n_epochs: int,
    training: dict[str, Any],
) -> dict[int, dict[str, Any]]:
    """For every number of labels a class, the accuracies of every row, an array over the draws.

    A seed draws the initial weights, from which pretraining and training from scratch both start.
    """
    draws: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for seed in range(n_draws):
        progress(f"{name}: draw {seed + 1} of {n_draws}")
        initial, net = (make_seeded(make_net, seed) for _ in range(2))
        pretrain(net, task.known, task.known_labels, n_epochs=n_epochs, seed=seed)
        for size in sizes:
            draws[size].append(accuracies(task, initial, net, size, seed, training))
    return {size: gather(found) for size, found in draws.items()}


def gather(draws: Sequence[dict[str, float]]) -> dict[str, Any]:
    """An array over the draws for every row."""
    return {row: np.array([found[row] for found in draws]) for row in draws[0]}


def margin_table(found: dict[str, Any], baseline: str) -> str:
    """Mean accuracy of every row, and its margin over one of them, paired by draw."""
    rows = []
    for name, figures in found.items():
        gains = figures - found[baseline]
        compared = ["", "", ""]
        if name != baseline:
            compared = [
                margin(gains),
                f"{gains.min():+.2f}",
                f"{(gains > 0).sum()} of {len(gains)}",
            ]
        rows.append([name, f"{figures.mean():.1f}", *compared])
    return markdown_table(["", "accuracy", f"over {baseline}", "worst draw", "draws won"], rows)
