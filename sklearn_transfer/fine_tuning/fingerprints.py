"""Content of samples, modules and parameters as digests that are equal in every process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._utils.hashing import Content, hash_content, hash_stream
from ..training.batches import Samples

# Samples that are digested at a time: padding and copies are those of one batch.
_N_TOGETHER = 256


def content_keys(X: Any) -> NDArray[np.int64]:
    """Key of each sample: equal for equal samples, in every process; shape (n_samples,)."""
    return np.fromiter((int(hash_content(part)[:15], 16) for part in _contents(X)), np.int64)


def _contents(X: Any) -> Iterator[bytes]:
    if isinstance(X, list):
        return (text.encode("utf-8", "surrogatepass") for text in X)
    if not hasattr(X, "tocsr"):
        return (row.tobytes() for row in X)
    matrix = X.tocsr(copy=True)
    matrix.sum_duplicates()
    bounds = zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    columns = matrix.indices.astype(np.int64)
    return (columns[a:b].tobytes() + matrix.data[a:b].tobytes() for a, b in bounds)


def digest_module(module: nn.Module) -> str:
    """Digest of the parameters and buffers of a module."""
    return hash_content(
        *(
            # As bytes: NumPy has no bfloat16.
            name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
            for name, tensor in module.state_dict().items()
        )
    )


def digest_samples(samples: Samples) -> str:
    """Digest of samples as a net reads them, with their targets and weights."""
    return hash_stream(_sample_contents(samples))


def _sample_contents(samples: Samples) -> Iterator[Content]:
    for start in range(0, len(samples), _N_TOGETHER):
        for name, value in samples.X[start : start + _N_TOGETHER].to_arrays().items():
            yield name
            if hasattr(value, "indptr"):  # CSR
                yield from (value.indptr, value.indices, value.data)
            else:
                yield np.asarray(value)
    yield from (samples.y, samples.weight)


def describe(value: Any) -> str:
    """Describe a parameter by a text that is the same in every process."""
    if isinstance(value, torch.nn.Module):
        return type(value).__name__
    name = getattr(value, "__qualname__", None)
    if name is None:
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses differ by process
    module = getattr(value, "__module__", None)  # methods such as str.split have none
    return name if module is None else f"{module}.{name}"
