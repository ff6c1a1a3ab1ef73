"""What tests of several rooms share, beside fixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import nn

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.fine_tuning.inputs.arrays import Arrays
from sklearn_transfer.models.network import ArrayEncoder, Network, make_head, measure_width
from sklearn_transfer.models.seeds import seeded
from sklearn_transfer.models.text_encoder import make_text_encoder
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.text.rows import Bags
from sklearn_transfer.text.tokenization.token_ids import TokenIds
from sklearn_transfer.training.batches import Batch, Batches, Samples
from sklearn_transfer.training.nets.inference_net import TrainingSettings
from sklearn_transfer.training.nets.net import TransferNet
from sklearn_transfer.training.nets.outputs import ClassOutputs
from sklearn_transfer.training.nets.setup import build_net
from sklearn_transfer.training.optimization.losses import CrossEntropy

N = 23
CPU = torch.device("cpu")
MINIBATCH = {"hidden_layer_sizes": (5,), "max_epochs": 4, "batch_size": 16, "random_state": 0}


def design(n: int = N, dtype: type[np.floating] = np.float32) -> Design:
    """Samples whose first dense column is their number."""
    rng = np.random.default_rng(0)
    sparse = csr_array((rng.random((n, 6)) < 0.3).astype(dtype))
    dense = rng.standard_normal((n, 3)).astype(dtype)
    dense[:, 0] = np.arange(n) / n
    return Design(sparse, dense)


def bags(n: int = N) -> Bags:
    """Texts of 0 to 4 tokens over a table of 8 rows and an extra one."""
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 5, n))])
    ids = rng.integers(0, 9, offsets[-1], dtype=np.int32)
    weights = rng.random(9, dtype=np.float32)
    return Bags(TokenIds(ids, offsets), weights, np.full((1, 2), 0.5, dtype=np.float32))


def samples(n: int = N, k: int = 3, **settings: Any) -> Samples:
    weight = np.random.default_rng(1).random(n) + 0.5
    return Samples(design(n, **settings), np.arange(n) % max(k, 2), weight)


def weights_of(model: FineTunedClassifier) -> list[np.ndarray]:
    """All that a model has learned, in a copy."""
    return [tensor.detach().numpy().copy() for tensor in model.module_.state_dict().values()]


def bag_samples() -> Samples:
    return Samples(bags(), np.arange(N) % 3, np.random.default_rng(1).random(N) + 0.5)


def whole(data: Samples, **settings: Any) -> tuple[Batch, torch.Tensor]:
    """All samples as one batch, and their targets."""
    ((batch, target),) = Batches(data, len(data), CPU, **settings)
    return batch, target


def net_of(
    train: Samples, k: int = 3, criterion: nn.Module | None = None, **settings: Any
) -> TransferNet:
    """A net over the inputs of samples."""
    valid, module = settings.pop("valid", None), settings.pop("module", None)
    configured = TrainingSettings(**{"lr": 0.05, "batch_size": 5, "max_epochs": 3, **settings})
    criterion = criterion or CrossEntropy()
    pulled = configured.l2_sp > 0
    encoder: nn.Module | None = None
    width = 9
    with seeded(configured.seed, seed_global=True):
        if isinstance(train.X, Bags):
            table = torch.linspace(-1, 1, 16).reshape(8, 2)
            encoder, width = make_text_encoder(table, "mean", None, sparse=True, pulled=pulled), 2
        elif isinstance(train.X, Arrays):
            encoder = ArrayEncoder(module or nn.Linear(3, 2), pulled=pulled)
            width = measure_width(encoder, whole(train)[0].tensors)
        head = make_head(width, (4,), k, activation="tanh", dropout=0.2)
    network = Network(encoder, head)
    return build_net(network, criterion, configured, outputs=ClassOutputs(k), valid=valid)


def array_samples(n: int = N, **settings: Any) -> Samples:
    """Samples of three numbers, for a module."""
    made = samples(n, **settings)
    return Samples(Arrays(made.X.dense), made.y, made.weight)


class Recurrent(nn.Module):
    """The last state of an LSTM of two layers over the features of a sample, and a layer on it."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 4, num_layers=2, dropout=dropout, batch_first=True)
        self.linear = nn.Linear(4, 3)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.linear(self.lstm(values[..., None])[0][:, -1])


def body() -> nn.Sequential:
    """A pretrained module of three layers, from 8 numbers to 4."""
    with seeded(0, seed_global=True):
        return nn.Sequential(
            nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)
        )


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
