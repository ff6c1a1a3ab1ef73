"""The scale of words next to sentence encoders, by leave-one-out predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..._utils.hashing import hash_content
from ..linear.design import Design

# Norms of words, relative to that of the encoders. With fewer texts than `_FEW_TEXTS`, the first is
# taken. At most `_MOST_TEXTS` are compared.
_RATIOS = (0.5, 0.7, 1.0, 1.4)
_FEW_TEXTS, _MOST_TEXTS = 200, 1200
# The best norm grows with the number of texts, from which the weights of words are learned.
_GROWTH = 0.25


def choose_word_scale(
    texts: Sequence[str],
    design: Design,
    is_encoder: NDArray[np.bool_],
    membership: csr_array | None,
    sample_weight: NDArray[np.floating],
) -> float:
    """Choose the norm of words by the squared hinge of leave-one-out predictions.

    The predictions are those of kernel ridge regression, in closed form:
    ``y - A^-1 y / diag(A^-1)`` with ``A = K + 1 / w`` (Rasmussen & Williams 2006, section 5.4.2).
    Equal texts are left out together, and count as one of their weights.

    Parameters
    ----------
    texts : sequence of str, length n_texts
    design : Design, length n_texts
        Words have the norm 1.
    is_encoder : ndarray of bool, shape (n_dense,)
        The dense columns of sentence encoders.
    membership : csr_array, shape (n_texts, n_classes), or None
        1 if a text belongs to a class.
    sample_weight : ndarray of float, shape (n_texts,)

    Returns
    -------
    float
        Relative to the norm of the encoders: 0.5 with few texts, else 0.5, 0.7, 1 or 1.4. With
        more than 1,200 texts, of which so many are compared, this is multiplied by the fourth root
        of their number over 1,200.
    """
    keys, first, group = np.unique(
        [hash_content(text) for text in texts], return_index=True, return_inverse=True
    )
    if membership is None or len(keys) < _FEW_TEXTS:
        return _RATIOS[0]
    weight = np.bincount(group, sample_weight).astype(np.float64)
    places = group, np.arange(len(texts))
    share = csr_array((sample_weight / weight[group], places), (len(keys), len(texts)))
    target = 2.0 * (share @ membership).toarray()[:_MOST_TEXTS] - 1
    weight, part = weight[:_MOST_TEXTS], design[first[:_MOST_TEXTS]]
    encoders, dense = (part.dense[:, rows].astype(np.float64) for rows in (is_encoder, ~is_encoder))
    words = (part.sparse @ part.sparse.T).toarray().astype(np.float64) + dense @ dense.T
    square = float(np.square(encoders).sum(axis=1).max(initial=0)) or 1.0
    losses = [
        _loss_left_out(encoders @ encoders.T + ratio**2 * square * words, target, weight)
        for ratio in _RATIOS
    ]
    growth = max(1.0, len(keys) / _MOST_TEXTS) ** _GROWTH
    return float(_RATIOS[int(np.argmin(losses))] * growth)


def _loss_left_out(
    kernel: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    """The squared hinge of leave-one-out predictions, on average."""
    kernel = kernel + 1.0  # the intercept
    kernel[np.diag_indices_from(kernel)] += 1 / weight
    inverse = np.linalg.inv(kernel)
    predicted = target - inverse @ target / np.diag(inverse)[:, None]
    loss = np.square(np.maximum(0, 1 - target * predicted)).sum(axis=1)
    return float(np.average(loss, weights=weight))
