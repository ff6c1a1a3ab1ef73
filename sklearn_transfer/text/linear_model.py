"""The linear model on a design, by NumPy and SciPy: fitted and loaded models predict by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .design import Design


@dataclass(frozen=True)
class LinearModel:
    """``logits = sparse @ token_weights + dense @ head + intercept``.

    Attributes
    ----------
    token_weights : ndarray of float32 or float64, shape (n_sparse, n_outputs)
    head : ndarray of the same dtype, shape (n_dense, n_outputs)
    intercept : ndarray of the same dtype, shape (n_outputs,)
    """

    token_weights: NDArray[np.floating]
    head: NDArray[np.floating]
    intercept: NDArray[np.floating]

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return len(self.head) + (self.token_weights.shape[1] if len(self.token_weights) else 0)

    def logits(self, design: Design) -> NDArray[np.floating]:
        """Compute logits, shape (n_samples, n_outputs)."""
        logits: NDArray[np.floating] = design.dense @ self.head + self.intercept
        if design.sparse.shape[1]:
            logits += design.sparse @ self.token_weights
        return logits

    def features(self, design: Design) -> NDArray[np.floating]:
        """Return dense columns and the sum of the token weights of each logit: (n_samples, d)."""
        if not design.sparse.shape[1]:
            return design.dense
        return np.concatenate([design.dense, design.sparse @ self.token_weights], axis=1)
