"""Sparse columns times tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

# Slabs of columns whose products can run side by side. Their number does not depend on that of the
# threads, so that neither do the sums, to the last bit.
_N_SLABS = 8
# Smaller products than this, in multiplications, are not worth a thread.
_SMALL = 1 << 20


class SparseColumns:
    """A sparse matrix that multiplies tensors.

    On the CPU the products are SciPy's. Once the transpose is needed, both ways read it row by row,
    so that the small side of each product stays in the processor's cache, in slabs that threads
    share; no thread spins at a barrier while another process has its core.

    Parameters
    ----------
    matrix : csr_array, shape (n_samples, n_columns)
    device : torch.device
    n_threads : int, default=1
        On the CPU, once the transpose is needed.
    """

    def __init__(self, matrix: csr_array, device: torch.device, *, n_threads: int = 1) -> None:
        self.shape, self._device = matrix.shape, device
        self._matrix = matrix
        self._on_cpu = device.type == "cpu"
        self._rows = matrix if self._on_cpu else _sparse_tensor(matrix, device)
        self._n_threads = n_threads
        self._transpose: Any = None
        self._pool: ThreadPoolExecutor | None = None

    def __matmul__(self, weights: Tensor) -> Tensor:
        """Product with a tensor of shape (n_columns, K); differentiable."""
        product: Tensor = _Product.apply(weights, self)
        return product

    def product(self, weights: Tensor) -> Tensor:
        """Product with a tensor of shape (n_columns, K), outside of automatic differentiation."""
        if not self._on_cpu:
            return self._rows @ weights  # type: ignore[return-value]
        values = weights.numpy()
        if self._transpose is None:
            return torch.from_numpy(np.ascontiguousarray(self._rows @ values))
        # The transpose of a CSR matrix is the same numbers in CSC order.
        parts = self._map(lambda slab, start, stop: slab.T @ values[start:stop], weights.shape[1])
        return torch.from_numpy(reduce(np.add, parts))

    def transposed_product(self, gradient: Tensor) -> Tensor:
        """Product of the transpose with a tensor of shape (n_samples, K), likewise."""
        if self._transpose is None:
            self._turn()
        if not self._on_cpu:
            return self._transpose @ gradient
        values = gradient.contiguous().numpy()
        parts = self._map(lambda slab, start, stop: slab @ values, gradient.shape[1])
        return torch.from_numpy(np.concatenate(parts))

    def gram(self, vectors: Tensor) -> Tensor:
        """Product with the transposed product of a tensor of shape (n_samples, K)."""
        if not self._on_cpu:
            return self.product(self.transposed_product(vectors))
        if self._transpose is None:
            self._turn()
        values = vectors.contiguous().numpy()
        # Each slab's part of the intermediate result is used while it is in the cache.
        parts = self._map(lambda slab, start, stop: slab.T @ (slab @ values), vectors.shape[1])
        return torch.from_numpy(reduce(np.add, parts))

    def _turn(self) -> None:
        transpose = self._matrix.T.tocsr()
        if not self._on_cpu:
            self._transpose = _sparse_tensor(transpose, self._device)
            return
        share = np.linspace(0, transpose.nnz, _N_SLABS + 1)[1:-1]
        cuts = [0, *np.searchsorted(transpose.indptr, share).tolist(), transpose.shape[0]]
        self._transpose = [(transpose[a:b], a, b) for a, b in pairwise(cuts)]

    def _map(self, multiply: Callable[..., Any], width: int) -> list[Any]:
        """A product for each slab; SciPy releases the interpreter lock."""
        small = self._matrix.nnz * width < _SMALL
        if small or self._n_threads == 1:
            return [multiply(*slab) for slab in self._transpose]
        if self._pool is None:  # its threads end with this object
            self._pool = ThreadPoolExecutor(self._n_threads)
        return list(self._pool.map(lambda slab: multiply(*slab), self._transpose))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, columns: SparseColumns) -> Tensor:
        ctx.columns = columns
        return columns.product(weights.detach())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.columns.transposed_product(gradient), None


def _sparse_tensor(matrix: csr_array, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )
