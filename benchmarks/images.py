"""What is a pretrained net worth where labels are few: digits to digits?

A small CNN, pretrained on scikit-learn's digits 0 to 4 (8 x 8 pixels), learns 5 to 9 from 2 and
from 10 labels a class; the other pictures of 5 to 9 are the test. Accuracy in percent, differences
paired by draw, with 95 % intervals of Student's t. Seeds 0, 1, ... draw the labels, the initial
weights and the batches; pretraining is done anew for each. "From scratch" starts from the very
weights that pretraining starts from. Every row trains for as many epochs at the same rate. Net,
rate and pretraining (8 epochs, with copies shifted by a pixel) were chosen inside the known
classes: pretrained on two of the digits 0 to 4, transferred to the rest.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from .transfer import SCRATCH, TRAINING, SmallCNN, Task, margin_table, measure

PACKAGES = ("skorch",)
SIZES = (2, 10)  # labels a class


def make_net() -> nn.Module:
    return SmallCNN((4, 4), n_halved=1)


def load_digits_task() -> Task:
    """Digits 0 to 4 as known classes, also shifted by a pixel, and 5 to 9 as new ones."""
    digits = load_digits()
    X = (digits.images[:, None] / 16).astype(np.float32)
    known, new = digits.target < 5, digits.target >= 5
    everywhere = np.ones(new.sum(), dtype=bool)
    moves = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]
    shifted = np.concatenate([np.roll(X[known], move, (2, 3)) for move in moves])
    return Task(
        shifted,
        np.tile(digits.target[known], 5),
        X[new],
        digits.target[new],
        everywhere,
        everywhere,
    )


def main(*, quick: bool = False, repeats: int | None = None) -> str:
    task = load_digits_task()
    n_epochs, training = (1, {**TRAINING, "max_epochs": 2}) if quick else (8, TRAINING)
    n_draws = repeats or (2 if quick else 20)
    found = measure("digits", task, make_net, SIZES, n_draws, n_epochs=n_epochs, training=training)
    parts = [f"{task}. {n_draws} draws; {n_epochs} epochs of pretraining, {training}."]
    for size, figures in found.items():
        parts += [f"{size} labels a class:", margin_table(figures, SCRATCH)]
    return "\n\n".join(parts)
