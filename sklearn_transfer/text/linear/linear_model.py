"""The linear model on a design, by NumPy and SciPy: fitted and loaded models predict by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.compact import open_state, pack_state
from ..._utils.objects.state import State
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

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "token_weights")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "token_weights")

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return dict(self.__dict__)

    @classmethod
    def from_state(cls, state: State) -> LinearModel:
        """The model of these entries."""
        intercept = state.array("intercept", "float32 float64", None)
        n_outputs, dtype = len(intercept), intercept.dtype.name
        if not n_outputs:
            raise state.error("intercept", "an output", intercept)
        token_weights = state.array("token_weights", dtype, None, n_outputs)
        return cls(token_weights, state.array("head", dtype, None, n_outputs), intercept)

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return len(self.head) + (self.token_weights.shape[1] if len(self.token_weights) else 0)

    def logits(self, design: Design) -> NDArray[np.floating]:
        """Compute logits, shape (n_samples, n_outputs)."""
        logits = design.multiply_dense(self.head) + self.intercept
        if design.sparse.shape[1]:
            logits += design.sparse @ self.token_weights
        return logits

    def features(self, design: Design) -> NDArray[np.floating]:
        """Return dense columns and the sum of the token weights of each logit: (n_samples, d)."""
        if not design.sparse.shape[1]:
            return design.dense
        return np.concatenate([design.dense, design.sparse @ self.token_weights], axis=1)
