"""An n-gram model of a table that has no n-gram rows: fitted to its own words, and kept."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from ..._utils.validation import levels_to_caller
from ..storage import cache
from .table import Reading, Table
from .unknown import Subwords
from .vocabulary import Vocabulary


class Fit(NamedTuple):
    """How the n-gram rows are fitted.

    Attributes
    ----------
    min_n, max_n : int
        Lengths of the n-grams, in characters.
    max_buckets : int
        Rows at most; a power of two. Small tables have fewer.
    max_words : int
        Only the first words of a table are fitted, at most so many.
    ridge : float
        Weight of the squared n-gram rows beside the squared errors.
    n_steps : int
        Steps of conjugate gradients.
    """

    min_n: int = 3
    max_n: int = 6
    max_buckets: int = 1 << 19
    max_words: int = 400_000
    ridge: float = 0.2
    n_steps: int = 5


_FIT = Fit()
_WORDS, _COLUMNS = 1 << 15, 32  # that are worked on at once, which bounds the memory
# The model of a smaller table is fitted as fast as it would be looked up.
_WORTH = 1 << 20  # bytes


def fit_subwords(table: Table, how: Fit = _FIT) -> Subwords:
    r"""Fit n-gram rows whose means are nearly a table's vectors, less the mean of these.

    Parameters
    ----------
    table : Table
    how : Fit, default=Fit()

    Returns
    -------
    Subwords
        The matrix is float32 of shape (n_buckets, dim), in memory.

    Notes
    -----
    The model of Zhao, Mudgal & Liang 2018 [1]_: a word's vector is the mean of its n-grams',
    ``v_w = 1/|S_w| \sum_{g \in S_w} x_g`` (equation 1), and the rows ``x`` make the squared
    error over the words least, all of which weigh alike. Three things differ. N-grams are hashed
    into buckets, as those of fastText are, so that the result is what a fastText file holds. What
    is fitted is how words differ from their mean ``m``, and ``m`` is not added again, so that a
    word of whose n-grams nothing is known counts as little as one that is left out: a text has
    many unknown words, and ``m`` in all of them drowns what they differ in. And where the paper
    stops its gradient descent early, a ridge penalty keeps n-grams of few words small; the sum

    ``\sum_w |v_w - (E_w - m)|^2 + ridge \sum_g |x_g|^2``

    is lowered by a fixed number of steps of conjugate gradients [2]_ on its normal equations,
    preconditioned by their diagonal, for each dimension on its own. No random number is drawn.

    Predictions are shorter than vectors, the more so the less n-grams tell of a word, and stay so:
    that is what least squared error asks for, and makes uncertain words count less in a mean.

    References
    ----------
    .. [1] Zhao, Mudgal & Liang, "Generalizing word embeddings using bag of subwords", EMNLP 2018.
    .. [2] Saad, "Iterative methods for sparse linear systems", 2003, algorithm 9.1.
    """
    n_words = min(len(table.words), how.max_words)
    incidence = _incidence(table.words, n_words, how)
    transposed = incidence.T.tocsr()
    diagonal = np.bincount(
        incidence.indices, weights=incidence.data**2, minlength=incidence.shape[1]
    )
    scale = (1 / (diagonal + how.ridge)).astype(np.float32)[:, None]
    matrix = np.empty((incidence.shape[1], table.dim), dtype=np.float32)
    for start in range(0, table.dim, _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        target = _target(table, n_words, columns)
        mean = target.sum(axis=0, dtype=np.float64) / max(1, n_words)
        target -= mean.astype(np.float32)
        matrix[:, columns] = _solve(incidence, transposed, target, scale, how)
    return Subwords(matrix, how.min_n, how.max_n)


def _target(table: Table, n_words: int, columns: slice) -> NDArray[np.float32]:
    """Some columns of the first words' vectors, shape (n_words, n_columns), as a copy."""
    width = len(range(*columns.indices(table.dim)))
    target = np.empty((n_words, width), dtype=np.float32)
    for start in range(0, n_words, _WORDS):
        block = slice(start, min(start + _WORDS, n_words))
        target[block] = table.vectors(block)[:, columns]
    return target


def _solve(
    incidence: csr_array,
    transposed: csr_array,
    target: NDArray[np.float32],
    scale: NDArray[np.float32],
    how: Fit,
) -> NDArray[np.float32]:
    """Conjugate gradients for every column at once, shape (n_buckets, n_columns)."""
    residual = transposed @ target
    solution = np.zeros_like(residual)
    direction = scale * residual
    fall = np.einsum("ij,ij->j", residual, direction)
    for _ in range(how.n_steps):
        image = transposed @ (incidence @ direction)
        image += np.float32(how.ridge) * direction
        # Where nothing is left to be explained both are zero, and the step is, too.
        step = _ratio(fall, np.einsum("ij,ij->j", direction, image))
        solution += step * direction
        image *= step
        residual -= image
        np.multiply(scale, residual, out=image)
        before, fall = fall, np.einsum("ij,ij->j", residual, image)
        direction *= _ratio(fall, before)
        direction += image
    return solution


def _ratio(numerator: NDArray[np.float32], denominator: NDArray[np.float32]) -> NDArray[np.float32]:
    """The quotients, shape (n,); 0 where the denominator is not positive."""
    zero = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zero, where=denominator > 0)


def _incidence(words: Vocabulary, n_words: int, how: Fit) -> csr_array:
    """The share of each n-gram in each word: float32, shape (n_words, n_buckets), int32 indices."""
    blank = np.zeros((how.max_buckets, 0), dtype=np.float32)
    blocks = []
    for block in _in_blocks(words, n_words):
        word, bucket = Subwords(blank, how.min_n, how.max_n).ngrams(block)
        counts = np.bincount(word, minlength=len(block))
        share = (1 / counts[word]).astype(np.float32)
        place = (word.astype(np.int32), bucket.astype(np.int32))
        blocks.append(csr_array((share, place), shape=(len(block), how.max_buckets)))
    if not blocks:
        return csr_array(np.zeros((0, 1), dtype=np.float32))
    whole = csr_array(vstack(blocks, format="csr"))
    # A table of few n-grams needs few rows. Buckets are remainders of one hash, so that those of a
    # smaller power of two are remainders of those of the larger.
    n_buckets = min(how.max_buckets, 1 << max(0, whole.nnz - 1).bit_length())
    indices = whole.indices % np.int32(n_buckets)
    narrow = csr_array((whole.data, indices, whole.indptr), shape=(n_words, n_buckets))
    narrow.sum_duplicates()
    return narrow


def _in_blocks(words: Vocabulary, n_words: int) -> Iterator[list[str]]:
    first = islice(iter(words), n_words)
    while block := list(islice(first, _WORDS)):
        yield block


def open_subwords(table: Table, name: str, origin: str | None) -> Subwords:
    """The n-gram model of a table, fitted by the first process that asks and kept in the cache.

    Parameters
    ----------
    table : Table
    name : str
        For the messages.
    origin : str or None
        What identifies the content of a table that comes from a file. None: its content is read.

    Returns
    -------
    Subwords
        Memory-mapped where it is in the cache.

    Warns
    -----
    UserWarning
        If the cache cannot be written; the model is then in memory alone.
    """
    root = cache.find_root()
    n_values = min(len(table.words), _FIT.max_words) * table.dim
    if root is None or n_values * np.dtype(np.float32).itemsize < _WORTH:
        return fit_subwords(table)

    def make() -> Table:
        nothing = np.zeros((0, table.dim), dtype=np.float32)
        return Table(Vocabulary([]), nothing, fit_subwords(table))

    def warn(error: Exception) -> None:
        warnings.warn(
            f"{name}: the n-gram model for oov='subword' cannot be kept in {root}: {error}. It is "
            f"fitted anew in each process; set {cache.VARIABLE} to a folder with room.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )

    entry = _entry(root, table, origin)
    subwords = cache.open_or_make(entry, Reading(), make, warn=warn).subwords
    return fit_subwords(table) if subwords is None else subwords


def _entry(root: Path, table: Table, origin: str | None) -> Path:
    """Where the model of a table is kept: by what it is fitted to, and how."""
    digest = hashlib.blake2b(repr((tuple(_FIT), table.dim)).encode(), digest_size=16)
    if origin is not None:
        digest.update(origin.encode())
    else:
        n_words = min(len(table.words), _FIT.max_words)
        words = table.words.arrays()
        offsets = np.ascontiguousarray(words["offsets"][: n_words + 1])
        digest.update(offsets.data)
        digest.update(np.ascontiguousarray(words["text"][: offsets[-1]]).data)
        for start in range(0, n_words, _WORDS):
            block = table.vectors(slice(start, min(start + _WORDS, n_words)))
            digest.update(np.ascontiguousarray(block).data)
    return root / cache.MODELS / digest.hexdigest()
