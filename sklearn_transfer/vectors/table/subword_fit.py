r"""An n-gram model of a table without n-gram rows, fitted to its own words.

The model of Zhao, Mudgal & Liang 2018 [1]_: the vector of a word is the mean of the rows of its
n-grams, ``v_w = 1/|S_w| \sum_{g \in S_w} x_g`` (equation 1), and the rows ``x`` minimise the
squared error over the words, all with equal weight. There are three differences. N-grams are
hashed into buckets as in fastText, so that the result has the form of a fastText model. The
target is the difference of each vector from the mean ``m`` of all, and ``m`` is not added
again: a word with unknown n-grams then counts as little as one that is left out, while ``m`` in
each of the many unknown words of a text would outweigh their differences. And instead of
stopping gradient descent early, a ridge penalty keeps the rows of rare n-grams small. The sum

``\sum_w |v_w - (E_w - m)|^2 + ridge \sum_g |x_g|^2``

is minimised by a fixed number of steps of conjugate gradients [2]_ on its normal equations,
preconditioned by their diagonal, for each dimension separately. There is no randomness.

Predictions are shorter than vectors, and the more so the less the n-grams determine the word.
They are not rescaled: least squares asks for it, and uncertain words count less in a mean.

.. [1] Zhao, Mudgal & Liang, "Generalizing word embeddings using bag of subwords", EMNLP 2018.
.. [2] Saad, "Iterative methods for sparse linear systems", 2003, algorithm 9.1.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from .oov import Subwords
from .table import Table
from .vocabulary import Vocabulary


class SubwordFit(NamedTuple):
    """Parameters of a fit of n-gram rows; n-grams have `min_n` to `max_n` characters."""

    min_n: int = 3
    max_n: int = 6
    max_buckets: int = 1 << 19  # rows: a power of two; small tables have fewer
    max_words: int = 400_000  # the first ones of a table, which the rows are fitted to
    ridge: float = 0.2  # weight of the squared n-gram rows relative to the squared errors
    n_steps: int = 5  # of conjugate gradients


_DEFAULTS = SubwordFit()
_WORDS, _COLUMNS = 1 << 15, 32  # per block, which bounds the memory


def fit_subwords(table: Table, parameters: SubwordFit = _DEFAULTS) -> Subwords:
    """Fit n-gram rows whose means approximate the centred vectors: float32, (n_buckets, dim)."""
    n_words = min(len(table.words), parameters.max_words)
    incidence = _incidence(table.words, n_words, parameters)
    transposed = incidence.T.tocsr()
    diagonal = np.bincount(
        incidence.indices, weights=incidence.data**2, minlength=incidence.shape[1]
    )
    scale = (1 / (diagonal + parameters.ridge)).astype(np.float32)[:, None]
    matrix = np.empty((incidence.shape[1], table.dim), dtype=np.float32)
    for start in range(0, table.dim, _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        target = _target(table, n_words, columns)
        mean = target.sum(axis=0, dtype=np.float64) / max(1, n_words)
        target -= mean.astype(np.float32)
        matrix[:, columns] = _solve(incidence, transposed, target, scale, parameters)
    return Subwords(matrix, parameters.min_n, parameters.max_n)


def _target(table: Table, n_words: int, columns: slice) -> NDArray[np.float32]:
    """Copy some columns of the vectors of the first words: shape (n_words, n_columns)."""
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
    parameters: SubwordFit,
) -> NDArray[np.float32]:
    """Run conjugate gradients on all columns at once: shape (n_buckets, n_columns)."""
    residual = transposed @ target
    solution = np.zeros_like(residual)
    direction = scale * residual
    fall = np.einsum("ij,ij->j", residual, direction)
    for _ in range(parameters.n_steps):
        image = transposed @ (incidence @ direction)
        image += np.float32(parameters.ridge) * direction
        # Where the residual is zero, so are both, and the step.
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
    """Return the quotients, shape (n,); 0 where the denominator is not positive."""
    zero = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zero, where=denominator > 0)


def _incidence(words: Vocabulary, n_words: int, parameters: SubwordFit) -> csr_array:
    """Return the share of each n-gram in each word: float32, shape (n_words, n_buckets)."""
    blank = np.zeros((parameters.max_buckets, 0), dtype=np.float32)
    blocks = []
    first = islice(iter(words), n_words)
    while block := list(islice(first, _WORDS)):
        word, bucket = Subwords(blank, parameters.min_n, parameters.max_n).ngrams(block)
        counts = np.bincount(word, minlength=len(block))
        share = (1 / counts[word]).astype(np.float32)
        place = (word.astype(np.int32), bucket.astype(np.int32))
        blocks.append(csr_array((share, place), shape=(len(block), parameters.max_buckets)))
    if not blocks:
        return csr_array(np.zeros((0, 1), dtype=np.float32))
    whole = csr_array(vstack(blocks, format="csr"))
    # A table with few n-grams needs few rows. Buckets are remainders of a hash modulo a power of
    # two, so the remainders modulo a smaller power follow from them.
    n_buckets = min(parameters.max_buckets, 1 << max(0, whole.nnz - 1).bit_length())
    indices = whole.indices % np.int32(n_buckets)
    narrow = csr_array((whole.data, indices, whole.indptr), shape=(n_words, n_buckets))
    narrow.sum_duplicates()
    return narrow
