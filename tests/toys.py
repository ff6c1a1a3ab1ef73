"""What tests of several rooms share, beside fixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.nn.batches import Samples
from sklearn_transfer.text.design import Design
from sklearn_transfer.text.rows import Bags
from sklearn_transfer.text.tokens import TokenIds

N = 23
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
