"""How long is an epoch of mini-batch training, next to the same network in plain skorch?

The tutorial recipe: the mean of the vectors, 50 ReLU units, Adam, batches of 32; 15,000 posts of 20
Newsgroups, as `training` builds it. Vectors of 50 d are GloVe, those of 100 and 300 d are random
numbers for the words of GloVe. The plain rival has ids padded to 400, an embedding of the words
that occur, and a dense gradient; its time for an epoch is extrapolated from 50 batches. The floor
is the time in which NumPy reads and writes the rows of the table and of the two moments of Adam
that occur in each batch.

The CNN of Kim 2014: MR, the first of ten folds, batches of 50, settings as in `encoders`. The plain
rival is the network as one writes it with skorch: texts padded to the longest, an embedding of the
words of MR, its gradient dense, torch's Adam, and torch's convolutions.

All have two threads. Medians over the repeats, for the recipe of the fastest epoch of each fit.
"""

from __future__ import annotations

import statistics
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from sklearn_transfer import FineTunedClassifier, PretrainedVectors, load_pretrained

from . import N_THREADS
from .data import Labelled, load_20newsgroups
from .encoders import ROWS, fit_one, make_source, words_of_folds
from .measure import markdown_table, medians, progress
from .tasks import GLOVE, load_splits
from .training import pad_ids, plain_net

PACKAGES = ["skorch"]
N_POSTS, BATCH, PLAIN_BATCHES = 15_000, 32, 50
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


def time_recipe(texts: list[str], labels: list[str], dim: int) -> dict[str, float]:
    """Seconds per epoch of the recipe: ours, in plain skorch, and the floor."""
    vectors = load_pretrained(GLOVE)
    if dim != vectors.dim:
        matrix = np.random.default_rng(0).normal(0, 0.3, (len(vectors.words), dim))
        vectors = PretrainedVectors(vectors.words, matrix.astype(np.float32))
    model = FineTunedClassifier(
        vectors,
        hidden_layer_sizes=(50,),
        optimizer="adam",
        lr=1e-3,
        batch_size=BATCH,
        max_epochs=3,
        weighting=None,
        random_state=0,
    )
    model.fit(texts, labels)
    rows = model.module_.encoder.rows.detach().numpy()
    features = model._fitted.representation.features
    batches = model.net_.get_iterator(
        model.net_.get_dataset(features.transform(texts)), training=True
    )
    batches.generator = np.random.default_rng(0)
    tokens = [batch.tensors["tokens"].numpy() for batch, _ in batches]
    index = dict.fromkeys(vectors.words)
    words = [word for word in features.vocabulary if word in index]
    index = {word: i for i, word in enumerate(words)}
    some = slice(PLAIN_BATCHES * BATCH)
    plain = plain_net(np.stack([vectors[word] for word in words]), len(model.classes_), epochs=2)
    plain.fit(pad_ids(texts[some], index), np.unique(labels, return_inverse=True)[1][some])
    n_batches = -(-len(texts[some]) // BATCH)
    return {
        "ours": min(model.history_[:, "dur"]),
        "floor": _read_and_write(rows, tokens),
        "plain": min(plain.history[:, "dur"]) * len(tokens) / n_batches,
    }


def _read_and_write(rows: NDArray[np.float32], batches: list[NDArray[np.int64]]) -> float:
    """Seconds to read and write those rows of a table and two more like it."""
    tables = [rows.copy() for _ in range(3)]
    start = perf_counter()
    for batch in batches:
        for table in tables:
            table[batch] = table[batch]
    return perf_counter() - start


def _recipe_seconds(repeats: int, limit: int) -> str:
    data = load_20newsgroups()
    texts = [*data.train, *data.test][:limit]
    labels = [*data.train_labels, *data.test_labels][:limit]
    lines = []
    for dim in (50, 100, 300):
        progress(f"an epoch of the tutorial recipe, {dim} d")
        found = medians(time_recipe(texts, labels, dim) for _ in range(repeats))
        seconds = [f"{found[name]:.2f}" for name in ("floor", "ours", "plain")]
        lines.append([f"{dim} d", *seconds, f"{found['plain'] / found['ours']:.1f}"])
    header = ["tutorial recipe, seconds per epoch", "floor", "ours", "plain skorch", "ratio"]
    return markdown_table(header, lines)


def _cnn_seconds(data: Labelled, repeats: int) -> str:
    lines = []
    for row in TIMED:
        progress(f"an epoch of the {row}")
        source, settings, _ = ROWS[row]
        ours, plain = [], []
        for _ in range(repeats):
            ours.append(fit_one(row, data, N_THREADS)["epoch"])
            plain.append(plain_epoch(source, data, frozen=settings.get("adaptation") == "frozen"))
        mine, other = statistics.median(ours), statistics.median(plain)
        lines.append([row, f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.1f}"])
    return markdown_table(["CNN, seconds per epoch", "ours", "plain skorch", "ratio"], lines)


def main(*, quick: bool = False, repeats: int = 3) -> str:
    repeats = 1 if quick else repeats
    return "\n\n".join(
        [
            _recipe_seconds(repeats, 1_000 if quick else N_POSTS),
            _cnn_seconds(load_splits(quick=quick)["MR"][0], repeats),
        ]
    )
