"""Features that are given, as a design matrix."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from .._utils.state import State
from .design import Design, dense_design


class ScaledColumns:
    """The columns of X, multiplied by one number."""

    input_kinds: ClassVar[tuple[str, ...]] = ("features",)
    coverage = None  # numbers have no tokens

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def fit_transform(
        self,
        X: Any,
        membership: csr_array | None,  # noqa: ARG002 (the protocol of features)
        sample_weight: NDArray[np.floating],  # noqa: ARG002
    ) -> Design:
        """Remember whether X is sparse, and return its design matrix."""
        self.is_sparse, self._n_features = issparse(X), int(X.shape[1])
        return self.transform(X)

    @property
    def n_columns(self) -> tuple[int, int]:
        """Numbers of sparse and of dense columns."""
        return (self._n_features, 0) if self.is_sparse else (0, self._n_features)

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        n_features, is_sparse = self._n_features, bool(self.is_sparse)
        return {"scale": self.scale, "is_sparse": is_sparse, "n_features": n_features}

    @classmethod
    def from_state(cls, state: State) -> ScaledColumns:
        """The features of these entries."""
        made = cls(state.number("scale"))
        made.is_sparse = state.of("is_sparse", bool)
        made._n_features = state.integer("n_features", 1)
        return made

    def used_words(self, vectors: Any) -> list[str]:  # noqa: ARG002 (the protocol of features)
        """None: numbers have no words."""
        return []

    def transform(self, X: Any) -> Design:
        """Design matrix of X, shape (n_samples, n_features); sparse where the training X was."""
        X = X * self.scale
        if self.is_sparse:
            return Design(csr_array(X), np.zeros((X.shape[0], 0)))
        return dense_design(X.toarray() if hasattr(X, "toarray") else X)
