"""The design matrix of a linear model on texts or arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

# Error of a logit, as root mean square, from the rounding of token weights.
_LOGIT_ERROR = 5e-5


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

    def multiply_dense(self, coefficients: NDArray[np.floating]) -> NDArray[np.floating]:
        """Multiply the dense columns with coefficients, shape (n_dense, n_outputs)."""
        # OpenBLAS may read beyond a short row, and then sets the flag of an invalid value although
        # the product is right.
        with np.errstate(invalid="ignore"):
            product: NDArray[np.floating] = self.dense @ coefficients
        return product

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

    def rounding_step(self, sample_weight: NDArray[np.floating]) -> float | None:
        """Step of rounded weights of the sparse columns: a power of two, or None for float64.

        The logits of the samples change by at most 5e-5 as root mean square, a thousandth of the
        tolerance of the solver, and the weights take a quarter of the bytes.

        Parameters
        ----------
        sample_weight : ndarray of float, shape (n_samples,)

        Returns
        -------
        float or None
        """
        if self.sparse.dtype != np.float32 or not self.sparse.nnz:
            return None
        squares = np.square(self.sparse.data, dtype=np.float64)
        sums = np.append(0, squares.cumsum())[self.sparse.indptr]
        square = np.average(np.diff(sums), weights=sample_weight)
        # A rounded weight is wrong by step / sqrt(12), as root mean square.
        largest = _LOGIT_ERROR * np.sqrt(12 / square)
        return float(2.0 ** np.floor(np.log2(largest)))

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
