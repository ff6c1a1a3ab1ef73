"""How long is an epoch of the CNN of Kim 2014, beside the same network in plain skorch?

MR, the first of ten folds, batches of 50, settings as in `encoders`. The plain rival is the network
as one writes it with skorch: texts padded to the longest, an embedding of the words of MR, its
gradient dense, torch's Adam, and torch's convolutions. Both have two threads; medians, ratios of
medians.
"""

from __future__ import annotations

import statistics

import numpy as np

from . import N_THREADS
from .data import Labelled
from .encoders import ROWS, fit_one, make_source, words_of_folds
from .measure import markdown_table, progress
from .tasks import load_splits

PACKAGES = ["skorch"]
TIMED = [
    "CNN-static, GloVe 50 d",
    "CNN-non-static, GloVe 50 d",
    "CNN-static, spaCy 300 d",
    "CNN-non-static, spaCy 300 d",
]


def plain_epoch(source: str, data: Labelled, *, frozen: bool, epochs: int = 2) -> float:
    """Median seconds of an epoch of Kim's network, as one writes it in plain skorch."""
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    class Kim(nn.Module):
        def __init__(self, rows: torch.Tensor) -> None:
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(rows, freeze=frozen, padding_idx=0)
            self.filters = nn.ModuleList(
                nn.Conv1d(rows.shape[1], 100, width, padding=width - 1) for width in (3, 4, 5)
            )
            self.dropout = nn.Dropout(0.5)
            self.head = nn.Linear(300, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            vectors = self.embedding(ids).transpose(1, 2)
            maxima = [torch.relu(convolve(vectors)).amax(2) for convolve in self.filters]
            return self.head(self.dropout(torch.cat(maxima, dim=1)))

    torch.manual_seed(0)
    torch.set_num_threads(N_THREADS)
    vectors = make_source(source, words_of_folds(data))
    words = words_of_folds(data)
    rows = np.random.default_rng(0).uniform(-0.25, 0.25, (len(words) + 1, vectors.dim))
    for i, word in enumerate(words):
        if word in vectors:
            rows[i + 1] = vectors[word]
    index = {word: i + 1 for i, word in enumerate(words)}
    length = max(len(text.split()) for text in data.train)
    ids = np.zeros((len(data.train), length), dtype=np.int64)
    for line, text in zip(ids, data.train, strict=True):
        found = [index[word] for word in text.split()]
        line[: len(found)] = found
    net = NeuralNetClassifier(
        Kim(torch.from_numpy(rows.astype(np.float32))),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=50,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(ids, np.unique(data.train_labels, return_inverse=True)[1])
    return float(statistics.median(net.history[:, "dur"]))


def _seconds(data: Labelled, repeats: int) -> str:
    lines = []
    for row in TIMED:
        progress(f"an epoch: {row}")
        source, settings, _ = ROWS[row]
        ours, plain = [], []
        for _ in range(repeats):
            ours.append(fit_one(row, data, N_THREADS)["epoch"])
            plain.append(plain_epoch(source, data, frozen=settings.get("adaptation") == "frozen"))
        mine, other = statistics.median(ours), statistics.median(plain)
        lines.append([row, f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.1f}"])
    return markdown_table(["seconds an epoch", "ours", "plain skorch", "ratio"], lines)


def main(*, quick: bool = False, repeats: int = 3) -> str:
    return _seconds(load_splits(quick=quick)["MR"][0], 1 if quick else repeats)
