"""Samples and their batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.utils.data import Dataset

from ..contextual.sequences import batches_by_length


class Inputs(Protocol):
    """Samples as a net reads them."""

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """Sequence lengths, where batches of similar lengths need less padding."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> Self:
        """Some of the samples, in the order given."""

    def drop_tokens(self, share: float, generator: np.random.Generator) -> Self:
        """Leave out each token with probability `share`."""

    def to_arrays(self) -> dict[str, Any]:
        """Keyword arguments of a module: arrays, CSR arrays and integers, all in one batch."""


# Maximum of the average sequence length of a batch of predictions, in tokens.
_MEAN_LENGTH = 32
# Number of batches of sequences that are drawn at a time and sorted by length.
_DRAWN_TOGETHER = 16


def by_length(inputs: Inputs) -> tuple[Inputs, Any]:
    """Sort inputs by length, longest first; also return the indices that restore their order."""
    if inputs.lengths is None:
        return inputs, slice(None)
    order = np.argsort(-inputs.lengths, kind="stable")
    return inputs[order], np.argsort(order)


class Samples(Dataset[Any]):
    """Inputs, targets (int64 codes, a float32 indicator, float64 values), weights (default 1)."""

    def __init__(
        self,
        inputs: Inputs,
        target: NDArray[Any] | None = None,
        weight: NDArray[np.floating] | None = None,
    ) -> None:
        n_samples = len(inputs)
        self.X = inputs
        self.y = np.zeros(n_samples, dtype=np.int64) if target is None else target
        self.weight = np.ones(n_samples) if weight is None else weight

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True)
class Batch:
    """Inputs of some samples as the keyword arguments of a module, and their weights."""

    tensors: dict[str, Any]
    weight: Tensor

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def divisible(self) -> bool:
        """True if each tensor can be cut into rows, one for each sample."""
        tensors = (part for part in self.tensors.values() if not isinstance(part, int))
        return all(part.layout == torch.strided and len(part) == len(self) for part in tensors)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the samples, of a batch that is divisible."""
        tensors = {
            name: part[rows] if isinstance(part, Tensor) else part
            for name, part in self.tensors.items()
        }
        return Batch(tensors, self.weight[rows])


class Batches:
    """Iterate over samples in batches, without a Python step for each sample.

    Batch sizes differ by one at most, so that no batch is much smaller than the others. Sequences
    are grouped by length: shuffled ones in batches of at most `batch_size` samples, the others
    longest first, with at most 32 tokens per sample on average.

    Parameters
    ----------
    samples, batch_size, device : Samples, int, torch.device
    generator : numpy Generator or None, default=None
        Shuffles samples and drops tokens. None keeps the order and all tokens.
    token_dropout : float, default=0.0
        Share of the tokens that are left out of a batch.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        device: torch.device,
        generator: np.random.Generator | None = None,
        token_dropout: float = 0.0,
    ) -> None:
        self.samples, self.batch_size, self.device = samples, max(batch_size, 1), device
        self.generator, self.token_dropout = generator, token_dropout

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def over(self, samples: Samples) -> Batches:
        """Copy these batches, over other samples."""
        batches = copy.copy(self)
        batches.samples = samples
        return batches

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        n_samples = len(self.samples)
        whole = len(self) == 1
        order = np.arange(n_samples)
        if self.generator is not None and not whole:
            self.generator.shuffle(order)
        parts = np.array_split(order, len(self))
        lengths = self.samples.X.lengths
        if lengths is not None and self.generator is not None:
            parts = self._of_similar_length(order, lengths)
        elif lengths is not None:
            parts = list(batches_by_length(lengths, _MEAN_LENGTH * self.batch_size))
            whole = len(parts) == 1
        for part in parts:
            rows = slice(None) if whole else part
            inputs = self.samples.X if whole else self.samples.X[rows]
            if self.token_dropout and self.generator is not None:
                inputs = inputs.drop_tokens(self.token_dropout, self.generator)
            weight = self.samples.weight[rows].astype(np.float32)
            batch = Batch(as_tensors(inputs, self.device), self._move(weight))
            yield batch, self._move(self.samples.y[rows])

    def _of_similar_length(
        self, order: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> list[NDArray[np.int64]]:
        """Draw batches of samples of similar length."""
        parts: list[NDArray[np.int64]] = []
        together = _DRAWN_TOGETHER * self.batch_size
        for drawn in np.split(order, np.arange(together, len(order), together)):
            drawn = drawn[np.argsort(lengths[drawn], kind="stable")]
            parts += np.array_split(drawn, -(-len(drawn) // self.batch_size))
        self.generator.shuffle(parts)  # type: ignore[union-attr]
        return parts

    def _move(self, array: NDArray[Any]) -> Tensor:
        return as_tensor(array).to(self.device)


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor of an array: on its memory, or a copy of an array that is read-only."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def as_tensors(inputs: Inputs, device: torch.device) -> dict[str, Any]:
    """Convert inputs to the keyword arguments of a module, all in one batch."""
    return {name: _convert(value, device) for name, value in inputs.to_arrays().items()}


def _convert(value: Any, device: torch.device) -> Any:
    if isinstance(value, np.ndarray):
        return as_tensor(value).to(device)
    return value if isinstance(value, int) else sparse_tensor(value, device)


def sparse_tensor(matrix: csr_array, device: torch.device) -> Tensor:
    """A tensor of torch's CSR layout, without its warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            as_tensor(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )
