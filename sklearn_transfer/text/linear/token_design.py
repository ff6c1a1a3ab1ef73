"""A design matrix as a sum over the tokens of each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..tokenization.token_ids import TokenIds
from .linear_model import LinearModel

# Cells of the products of vectors and coefficients that are held at a time.
_CELLS = 1 << 22


@dataclass(frozen=True)
class Block:
    """The dense columns of one source: their places, the centre and the norm of their rows."""

    columns: slice
    mean: NDArray[np.float32]
    scale: float


@dataclass(frozen=True)
class TokenVectors:
    """The dense columns of one source as weighted vectors of tokens.

    Attributes
    ----------
    rows : ndarray of float32, shape (n_rows, dim)
        Vectors of the distinct tokens.
    factors : ndarray of float64, shape (n_tokens,)
        Token ``i`` adds ``factors[i] * rows[token_ids.ids[i]]`` to the columns of its text.
    constant : ndarray of float64, shape (n_texts, dim)
        The part of no token: minus the scaled centre.
    columns : slice
        The places of the columns among all dense columns.
    """

    rows: NDArray[np.float32]
    factors: NDArray[np.float64]
    constant: NDArray[np.float64]
    columns: slice

    @classmethod
    def of(
        cls,
        rows: NDArray[np.float32],
        weights: NDArray[np.floating],
        token_ids: TokenIds,
        block: Block,
    ) -> Self:
        """Take the norms of texts whose tokens have `weights`, shape (n_tokens,)."""
        shape = len(token_ids), len(rows)
        pooled = csr_array((weights, token_ids.ids, token_ids.offsets), shape=shape) @ rows
        inverse = _invert(np.linalg.norm(pooled, axis=1))
        # A text without a vector stays at zero.
        centred = np.where(inverse[:, None] > 0, pooled * inverse[:, None] - block.mean, 0)
        scale = block.scale * _invert(np.linalg.norm(centred, axis=1))
        factors = weights * (inverse * scale)[token_ids.text_index]
        return cls(rows, factors, -scale[:, None] * block.mean, block.columns)


def _invert(norms: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inverse of norms; zero for a norm of zero."""
    inverse: NDArray[np.float64] = np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0)
    return inverse


@dataclass(frozen=True)
class TokenDesign:
    """Rows of a design matrix as sums over tokens, at the norms of the text.

    The rows of a block are scaled to a norm that depends on all tokens of the text. With this norm
    held fixed, a row is the sum of the parts of its tokens and of a constant, the centring.

    Attributes
    ----------
    token_ids : TokenIds, length n_texts
    sparse : csr_array of float64, shape (n_tokens, n_sparse)
        The parts of the tokens in the sparse columns.
    vectors : tuple of TokenVectors
        Their parts in the dense columns, for each table of vectors.
    """

    token_ids: TokenIds
    sparse: csr_array
    vectors: tuple[TokenVectors, ...]

    def contributions(
        self, model: LinearModel, outputs: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Contributions of tokens to outputs of a linear model.

        Parameters
        ----------
        model : LinearModel
        outputs : ndarray of int, shape (n_texts, n_targets)
            Numbers of outputs, for each text.

        Returns
        -------
        ndarray of float64, shape (n_tokens, n_targets)
        """
        text = self.token_ids.text_index
        total = np.zeros((len(text), outputs.shape[1]))
        token = np.repeat(np.arange(len(text)), np.diff(self.sparse.indptr))
        for target, output in enumerate(outputs.T):
            weights = model.token_weights[self.sparse.indices, output[text[token]]]
            total[:, target] = np.bincount(token, self.sparse.data * weights, len(text))
        for part in self.vectors:
            products = part.rows.astype(np.float64) @ model.head[part.columns]
            chosen = products[self.token_ids.ids[:, None], outputs[text]]
            total += chosen * part.factors[:, None]
        return total

    def baseline(self, model: LinearModel, outputs: NDArray[np.integer]) -> NDArray[np.float64]:
        """Outputs without the contributions of tokens, shape (n_texts, n_targets)."""
        outside = np.tile(model.intercept.astype(np.float64), (len(outputs), 1))
        for part in self.vectors:
            outside += part.constant @ model.head[part.columns].astype(np.float64)
        return np.take_along_axis(outside, outputs, axis=1)

    def constant(self, n_dense: int) -> NDArray[np.float64]:
        """The parts of no token in the dense columns, shape (n_texts, n_dense)."""
        total = np.zeros((len(self.token_ids), n_dense))
        for part in self.vectors:
            total[:, part.columns] = part.constant
        return total

    def sums(self, n_dense: int) -> NDArray[np.float64]:
        """The sums of the parts of the tokens in the dense columns, shape (n_texts, n_dense)."""
        total = np.zeros((len(self.token_ids), n_dense))
        for part in self.vectors:
            shape = len(self.token_ids), len(part.rows)
            weights = part.factors, self.token_ids.ids, self.token_ids.offsets
            total[:, part.columns] = csr_array(weights, shape=shape) @ part.rows
        return total

    def project(self, gradients: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
        """Contributions of tokens through the dense columns, for coefficients of each text.

        Parameters
        ----------
        gradients : sequence of ndarray, each of shape (n_texts, n_dense), one per target

        Returns
        -------
        ndarray of float64, shape (n_tokens, n_targets)
        """
        text = self.token_ids.text_index
        total = np.zeros((len(text), len(gradients)))
        for part in self.vectors:
            step = max(1, _CELLS // part.rows.shape[1])
            for start in range(0, len(text), step):
                some = slice(start, start + step)
                rows = part.rows[self.token_ids.ids[some]].astype(np.float64)
                rows *= part.factors[some, None]
                for target, gradient in enumerate(gradients):
                    chosen = gradient[text[some], part.columns]
                    total[some, target] += np.einsum("ij,ij->i", rows, chosen)
        return total


@dataclass(frozen=True)
class ColumnDesign:
    """The design of given features, which take the place of tokens.

    Attributes
    ----------
    token_ids : TokenIds, length n_samples
        Numbers of columns.
    values : ndarray of float64, shape (n_tokens,)
    """

    token_ids: TokenIds
    values: NDArray[np.float64]

    def contributions(
        self, model: LinearModel, outputs: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Values times coefficients, shape (n_tokens, n_targets); see `TokenDesign`."""
        weights = np.concatenate([model.token_weights, model.head])
        chosen = weights[self.token_ids.ids[:, None], outputs[self.token_ids.text_index]]
        contributions: NDArray[np.float64] = chosen * self.values[:, None]
        return contributions

    def baseline(self, model: LinearModel, outputs: NDArray[np.integer]) -> NDArray[np.float64]:
        """The intercepts, shape (n_samples, n_targets)."""
        intercepts: NDArray[np.float64] = model.intercept.astype(np.float64)[outputs]
        return intercepts


def count_in_text(token_ids: TokenIds, n_tokens: int) -> NDArray[np.int64]:
    """For each token, count its occurrences in its text, shape (n_tokens,)."""
    keys = token_ids.text_index * n_tokens + token_ids.ids
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    counts: NDArray[np.int64] = times[inverse]
    return counts
