"""The design matrix of a linear model on texts or arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Design:
    """The design matrix of a linear model, in two blocks.

    Attributes
    ----------
    sparse : csr_array of float32 or float64, shape (n_samples, n_sparse)
    dense : ndarray of the same dtype, shape (n_samples, n_dense)
    bounds : tuple of int, default=()
        The sparse columns between two bounds are a block whose rows have the same length.
    """

    sparse: csr_array
    dense: NDArray[np.floating]
    bounds: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> Design:
        """Some of the samples, in the order given."""
        return Design(self.sparse[rows], self.dense[rows], self.bounds)

    @property
    def lengths(self) -> None:
        """None: samples have no length."""
        return None

    def to_arrays(self) -> dict[str, Any]:
        """Keyword arguments of a module: the blocks that have columns, and always `dense`."""
        arrays: dict[str, Any] = {"dense": self.dense}
        return {**arrays, "sparse": self.sparse} if self.sparse.shape[1] else arrays

    def drop_tokens(self, share: float, generator: np.random.Generator) -> Design:  # noqa: ARG002
        """The same design: columns are not tokens."""
        return self

    def unseen(self, rows: NDArray[np.int64]) -> Design:
        """Some of the samples, as if the features had been learned from the other samples only.

        Columns that occur in no other sample are zero, and the rows of each block are scaled to
        their previous length.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)

        Returns
        -------
        Design, length n
        """
        sparse = self.sparse[rows]
        n_columns = sparse.shape[1]
        n_entries = np.bincount(self.sparse.indices, minlength=n_columns)
        in_others = n_entries > np.bincount(sparse.indices, minlength=n_columns)
        values = sparse.data * in_others[sparse.indices]
        row = np.repeat(np.arange(len(rows)), np.diff(sparse.indptr))
        for start, stop in pairwise(self.bounds):
            inside = (sparse.indices >= start) & (sparse.indices < stop)
            before, after = (
                np.bincount(row[inside], weights=v[inside] ** 2, minlength=len(rows))
                for v in (sparse.data, values)
            )
            scale = np.sqrt(before / np.where(after > 0, after, 1))
            values[inside] *= scale[row[inside]].astype(values.dtype)
        kept = csr_array((values, sparse.indices, sparse.indptr), shape=sparse.shape)
        return Design(kept, self.dense[rows], self.bounds)


def dense_design(features: NDArray[np.floating]) -> Design:
    """A design of dense columns alone, shape (n_samples, n_dense)."""
    shape: tuple[int, int] = (len(features), 0)
    return Design(csr_array(shape, dtype=features.dtype), features)
