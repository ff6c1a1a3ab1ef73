"""Features that are given: numeric X as a design matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from ...text.design import Design, dense_design


class ArrayFeatures:
    """The features of X itself, where nothing pretrained reads it.

    Parameters
    ----------
    strength : float or "auto"
        Factor of all features; "auto" is 1.

    Attributes
    ----------
    strength : float
    coverage : None
        Numbers have no tokens.
    """

    coverage = None

    def __init__(self, strength: Any) -> None:
        self.strength = 1.0 if strength == "auto" else float(strength)

    def fit_transform(
        self, X: Any, membership: csr_array, sample_weight: NDArray[np.float64]
    ) -> Design:
        """Note whether X is sparse, shape (n_samples, n_features); its design matrix."""
        self._sparse = issparse(X)
        return self.transform(X)

    def transform(self, X: Any) -> Design:
        """The design matrix of X, sparse where the training X was."""
        X = X * self.strength
        if self._sparse:
            return Design(csr_array(X), np.zeros((X.shape[0], 0)))
        return dense_design(getattr(X, "toarray", lambda: X)())
