"""Features that are given, as a design matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from ..._utils.objects.state import State
from ..tokenization.places import PlacedTokens
from ..tokenization.token_ids import TokenIds
from .design import Design, dense_design
from .token_design import ColumnDesign


class ScaledColumns:
    """The columns of X, multiplied by one number."""

    input_kinds: ClassVar[tuple[str, ...]] = ("features",)
    coverage = token_unit = None  # numbers have no tokens
    has_tokens, is_sum_of_tokens = False, True

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

    @property
    def coefficient_scale(self) -> float:
        """The factor of coefficients of X, relative to those of the design."""
        return self.scale

    def column_names(self) -> list[str]:
        """Names of the columns."""
        return [f"x{i}" for i in range(self._n_features)]

    def place(self, X: Any) -> PlacedTokens:
        """The features of samples, in place of tokens: all of them, or those that are not zero."""
        return self._place(self.transform(X))[0]

    def decompose_all(
        self,
        X: Any,
        n_tokens: int,  # noqa: ARG002 (the protocol of explanations)
    ) -> tuple[PlacedTokens, Iterator[ColumnDesign]]:
        """The features of samples, and the design as a sum over them, in one part."""
        placed, values = self._place(self.transform(X))
        return placed, iter([ColumnDesign(placed.token_ids, values)])

    def _place(self, design: Design) -> tuple[PlacedTokens, NDArray[np.float64]]:
        """The features of samples, and their values, shape (n_tokens,)."""
        n_samples = len(design)
        if self.is_sparse:
            sparse = design.sparse.copy()
            sparse.sum_duplicates()
            sparse.eliminate_zeros()
            ids, values, offsets = sparse.indices, sparse.data, sparse.indptr.astype(np.int64)
        else:
            ids = np.tile(np.arange(self._n_features), n_samples)
            values, offsets = design.dense.ravel(), np.arange(n_samples + 1) * self._n_features
        names, nowhere = [f"x{i}" for i in range(self._n_features)], np.full(len(ids), -1)
        token_ids = TokenIds(ids.astype(np.int32), offsets)
        placed = PlacedTokens([""] * n_samples, names, token_ids, nowhere, nowhere)
        return placed, values.astype(np.float64)

    def transform(self, X: Any) -> Design:
        """Design matrix of X, shape (n_samples, n_features); sparse where the training X was."""
        X = X * self.scale
        if self.is_sparse:
            return Design(csr_array(X), np.zeros((X.shape[0], 0)))
        return dense_design(X.toarray() if hasattr(X, "toarray") else X)
