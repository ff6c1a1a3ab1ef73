"""Pooling of token vectors to one vector per text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .tokenization.token_ids import TokenIds

_Float = TypeVar("_Float", bound=np.floating)
Pooling = Literal["mean", "sum", "max", "min"]

# Texts longer than this are pooled one by one, shorter ones together, a position at a time.
_LONG = 512


def check_poolings(pooling: Any) -> tuple[Pooling, ...]:
    """A pooling, or several, as a tuple; ValueError if it is neither."""
    names = get_args(Pooling)
    poolings = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    if not poolings or not set(poolings) <= set(names):
        raise ValueError(
            f"The 'pooling' parameter must be one of {', '.join(map(repr, names))} or a non-empty "
            f"tuple of them, got {pooling!r}."
        )
    return poolings


def pool(
    token_ids: TokenIds,
    vectors: NDArray[np.float32],
    pooling: Sequence[Pooling] = ("mean",),
    weights: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Pool the vectors of the tokens of each text.

    Parameters
    ----------
    token_ids : TokenIds, length n_texts
        Rows of `vectors`.
    vectors : ndarray of float32, shape (n_rows, dim)
    pooling : sequence of {"mean", "sum", "max", "min"}, default=("mean",)
        Several are concatenated.
    weights : ndarray of float32, shape (n_rows,), default=None
        Each row is multiplied by its weight before it is pooled. With SIF weights the mean is
        equation 3 of Arora et al. 2017.

    Returns
    -------
    ndarray of float32, shape (n_texts, len(pooling) * dim)
        Zero for a text without tokens.

    Examples
    --------
    >>> import numpy as np
    >>> ids = TokenIds(np.array([0, 1, 1], dtype=np.int32), np.array([0, 3, 3]))
    >>> pool(ids, np.array([[3.0, 0.0], [0.0, 6.0]], dtype=np.float32), ("mean", "max")).tolist()
    [[1.0, 4.0, 3.0, 6.0], [0.0, 0.0, 0.0, 0.0]]
    """
    n_texts, dim = len(token_ids), vectors.shape[1]
    pooled = np.empty((n_texts, len(pooling) * dim), dtype=np.float32)
    if weights is not None:
        vectors = vectors * weights[:, None]
    total = None
    for i, name in enumerate(pooling):
        block = pooled[:, i * dim : (i + 1) * dim]
        if name in ("max", "min"):
            block[:] = _extreme(token_ids, vectors, np.maximum if name == "max" else np.minimum)
            continue
        if total is None:
            total = _sum(token_ids, vectors)
        if name == "sum":
            block[:] = total
        else:
            np.divide(
                total, np.maximum(token_ids.lengths, 1)[:, None], out=block, casting="same_kind"
            )
    return pooled


def _sum(token_ids: TokenIds, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    ones = np.ones(len(token_ids.ids), dtype=np.float32)
    shape = (len(token_ids), len(vectors))
    counts = csr_array((ones, token_ids.ids, token_ids.offsets), shape=shape)
    total: NDArray[np.float32] = counts @ vectors
    return total


def _extreme(
    token_ids: TokenIds, vectors: NDArray[np.float32], extremum: np.ufunc
) -> NDArray[np.float32]:
    """Largest or smallest value of each coordinate, shape (n_texts, dim)."""
    lengths, starts = token_ids.lengths, token_ids.offsets[:-1]
    result = np.zeros((len(token_ids), vectors.shape[1]), dtype=np.float32)
    for text in np.flatnonzero(lengths > _LONG):
        for start in range(starts[text], token_ids.offsets[text + 1], 1 << 16):
            stop = min(start + (1 << 16), int(token_ids.offsets[text + 1]))
            value = extremum.reduce(vectors[token_ids.ids[start:stop]], axis=0)
            result[text] = value if start == starts[text] else extremum(result[text], value)
    # The other texts in order of decreasing length: those with a token at a position are a prefix.
    short = np.flatnonzero((lengths > 0) & (lengths <= _LONG))
    short = short[np.argsort(-lengths[short], kind="stable")]
    if len(short):
        begin, length = starts[short], lengths[short]
        best = vectors[token_ids.ids[begin]]
        reach = len(short) - np.searchsorted(length[::-1], np.arange(length[0]), side="right")
        for position, n in enumerate(reach.tolist()[1:], start=1):
            values = vectors[token_ids.ids[begin[:n] + position]]
            extremum(best[:n], values, out=best[:n])
        result[short] = best
    return result


def idf(document_frequency: NDArray[np.floating], n_texts: float) -> NDArray[np.float32]:
    """Smoothed inverse document frequency, ``ln((1 + n) / (1 + df)) + 1``, as in scikit-learn."""
    log = np.log((1 + n_texts) / (1 + document_frequency))
    return np.asarray(log + 1, dtype=np.float32)


def sif(frequency: NDArray[np.floating], a: float = 1e-3) -> NDArray[np.float32]:
    """Smooth inverse frequency ``a / (a + p)`` of shares of tokens (Arora et al. 2017, eq. 3)."""
    return (a / (a + frequency)).astype(np.float32)


def common_components(features: NDArray[np.float32], n_components: int) -> NDArray[np.float32]:
    """Find the directions that pooled texts have in common.

    Parameters
    ----------
    features : ndarray of float32, shape (n_texts, n_features)
    n_components : int
        At most ``min(n_texts, n_features)`` are returned.

    Returns
    -------
    ndarray of float32, shape (n_components, n_features)
        The first right singular vectors, without centring (Arora et al. 2017, algorithm 1; Mu &
        Viswanath 2018 remove several). Orthonormal; the sign makes the largest value positive.
    """
    gram = features.T.astype(np.float64) @ features.astype(np.float64)
    _, vectors = np.linalg.eigh(gram)
    n = min(n_components, len(features))
    components = vectors[:, ::-1][:, :n].T
    position = np.abs(components).argmax(axis=1)[:, None]
    largest = np.take_along_axis(components, position, axis=1)
    return (components * np.where(largest < 0, -1.0, 1.0)).astype(np.float32)


def remove_components(
    features: NDArray[np.float32], components: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Project orthonormal `components` out of `features`, shape (n_texts, n_features)."""
    projected = (features @ components.T) @ components
    return (features - projected).astype(np.float32, copy=False)


def normalize_rows(rows: NDArray[_Float]) -> NDArray[_Float]:
    """Scale rows to length one; zero stays zero."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    length[length == 0] = 1
    normalized: NDArray[_Float] = rows / length[:, None]
    return normalized


def sum_rows(
    values: NDArray[np.float32],
    indices: NDArray[np.integer],
    pointer: NDArray[np.integer],
    rows: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The product of a CSR matrix and `rows`, shape (n_texts, dim)."""
    if len(pointer) == 2:  # for one text, the checks of SciPy take longer than the product
        with np.errstate(invalid="ignore"):  # see Design.multiply_dense
            product: NDArray[np.float32] = (values @ rows[indices])[None]
        return product
    product = csr_array((values, indices, pointer), shape=(len(pointer) - 1, len(rows))) @ rows
    return product
