"""Samples and their batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .._utils.devices import resolve_device
from ..contextual.sequences import Sequences, batches_by_length
from ..models.columns import SparseColumns
from ..text.design import Design
from ..text.rows import Bags


@dataclass(frozen=True)
class Arrays:
    """Samples for a user's module.

    Attributes
    ----------
    values : ndarray, shape (n_samples, ...)
    """

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> Arrays:
        """Some of the samples, in the order given."""
        return Arrays(self.values[rows])


Inputs = Design | Bags | Arrays | Sequences

# Maximum of the average sequence length of a batch of predictions, in tokens.
_MEAN_LENGTH = 32
# Number of batches of sequences that are drawn at a time and sorted by length.
_DRAWN_TOGETHER = 16


def by_length(inputs: Inputs) -> tuple[Inputs, Any]:
    """Sort inputs by length, so that batches need little padding.

    Parameters
    ----------
    inputs : Inputs, length n_samples

    Returns
    -------
    inputs : Inputs, length n_samples
    back : ndarray of int64, shape (n_samples,), or slice
        Restores the order: ``results[back]`` belong to the inputs in their original order.
    """
    if not isinstance(inputs, Sequences):
        return inputs, slice(None)
    order = np.argsort(-inputs.lengths, kind="stable")
    return inputs[order], np.argsort(order)


def find_device(device: str) -> torch.device:
    """Find a device; see :func:`sklearn_transfer._utils.devices.resolve_device`."""
    return torch.device(resolve_device(device))


class Samples(Dataset[Any]):
    """Inputs, targets and weights.

    Parameters
    ----------
    inputs : Design, Bags, Arrays or Sequences, length n_samples
    target : ndarray or None, length n_samples
        Class codes, int64, or an indicator, float32.
    weight : ndarray of float, shape (n_samples,), or None
        None gives each sample weight 1.
    """

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
        """True if each tensor has a row for each sample."""
        tensors = (part for part in self.tensors.values() if not isinstance(part, int))
        return all(isinstance(part, Tensor) and len(part) == len(self) for part in tensors)

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
    samples : Samples
    batch_size : int
        Maximum number of samples per batch.
    device : torch.device
    generator : numpy Generator or None, default=None
        Shuffles samples and drops tokens. None keeps the order and all tokens.
    token_dropout : float, default=0.0
        Share of the tokens that are left out of a batch.
    linear : bool, default=False
        Whether the batches of a Design go to a `LinearBag`, whose sparse columns stay sparse.
    """

    def __init__(  # noqa: PLR0913 (skorch passes keywords)
        self,
        samples: Samples,
        batch_size: int,
        device: torch.device,
        generator: np.random.Generator | None = None,
        token_dropout: float = 0.0,
        *,
        linear: bool = False,
    ) -> None:
        self.samples, self.batch_size, self.device = samples, max(batch_size, 1), device
        self.generator, self.token_dropout = generator, token_dropout
        self.linear = linear
        # Of the user; training itself runs in one.
        self.n_threads = torch.get_num_threads()

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
        if isinstance(self.samples.X, Sequences):
            lengths = self.samples.X.lengths
            if self.generator is not None:
                parts = self._of_similar_length(order, lengths)
            else:
                parts = list(batches_by_length(lengths, _MEAN_LENGTH * self.batch_size))
                whole = len(parts) == 1
        for part in parts:
            rows = slice(None) if whole else part
            tensors = self.tensors(self.samples.X if whole else self.samples.X[rows])
            weight = self._move(self.samples.weight[rows]).to(_floating(tensors))
            yield Batch(tensors, weight), self._move(self.samples.y[rows])

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

    def tensors(self, inputs: Inputs) -> dict[str, Any]:
        """Convert inputs to the keyword arguments of a module, as one batch."""
        if isinstance(inputs, Sequences):
            padded = {name: self._move(array) for name, array in inputs.padded().items()}
            return padded if inputs.states is None else {**padded, "level": inputs.level}
        if isinstance(inputs, Arrays):
            return {"x": self._move(inputs.values.copy())}  # a module may write into its input
        if isinstance(inputs, Bags):
            return self._bag_tensors(inputs)
        if not self.linear:
            columns = np.concatenate([inputs.sparse.toarray(), inputs.dense], axis=1)
            return {"dense": self._move(columns.astype(np.float32, copy=False))}
        tensors: dict[str, Any] = {"dense": self._move(inputs.dense)}
        if inputs.sparse.shape[1]:
            tensors["sparse"] = SparseColumns(inputs.sparse, self.device, n_threads=self.n_threads)
        return tensors

    def _bag_tensors(self, bags: Bags) -> dict[str, Tensor]:
        token_ids = bags.token_ids
        if self.token_dropout and self.generator is not None:
            token_ids = token_ids.thin(1 - self.token_dropout, self.generator)
        positions, rows = token_ids.distinct(len(bags.weights))
        n_rows = len(bags.weights) - len(bags.extra)
        inside = np.searchsorted(rows, n_rows)  # distinct rows are sorted
        return {
            "tokens": self._move(rows[:inside]),
            "extra": self._move(bags.extra[rows[inside:] - n_rows]),
            "ids": self._move(positions.ids.astype(np.int64)),
            "offsets": self._move(positions.offsets),
            "weights": self._move(bags.weights[token_ids.ids]),
        }

    def _move(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def as_tensors(inputs: Inputs, device: torch.device) -> dict[str, Any]:
    """Convert inputs to the keyword arguments of a module, as one batch."""
    return Batches(Samples(inputs), max(len(inputs), 1), device).tensors(inputs)


def _floating(tensors: dict[str, Any]) -> torch.dtype:
    """The dtype of the features of a batch; float32 for integers."""
    for name in ("dense", "extra", "x"):
        if name in tensors and tensors[name].is_floating_point():
            dtype: torch.dtype = tensors[name].dtype
            return dtype
    return torch.float32
