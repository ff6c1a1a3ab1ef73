"""Features that are given, as a design matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from .design import Design, dense_design


class ScaledColumns:
    """The columns of X, multiplied by one number."""

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
        self.is_sparse = issparse(X)
        return self.transform(X)

    def transform(self, X: Any) -> Design:
        """Design matrix of X, shape (n_samples, n_features); sparse where the training X was."""
        X = X * self.scale
        if self.is_sparse:
            return Design(csr_array(X), np.zeros((X.shape[0], 0)))
        return dense_design(X.toarray() if hasattr(X, "toarray") else X)
