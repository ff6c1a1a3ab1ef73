"""Weights of tokens and scales of columns, learned from texts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from .ngrams import document_frequency
from .pooling import idf, sif
from .tokenization.token_ids import TokenIds

Weighting = Literal["idf", "sif"] | None

# Lower bound of the supervised scale.
_LEAST_SCALE = 0.75
# Cells of the table of classes by columns that are held at a time.
_CELLS = 1 << 18


def learn_term_weights(
    weighting: Weighting,
    token_ids: TokenIds,
    counts: csr_array,
    sample_weight: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Learn a weight per token: its idf, its smooth inverse frequency, or 1.

    Parameters
    ----------
    weighting : {"idf", "sif"} or None
    token_ids : TokenIds, length n_texts
    counts : csr_array, shape (n_texts, n_tokens)
        Counts of each token in each text.
    sample_weight : ndarray of float, shape (n_texts,)
        A text of weight 2 counts as two.

    Returns
    -------
    ndarray of float32, shape (n_tokens + 1,)
        The last weight, at position -1, is that of a token outside the texts.
    """
    n_tokens = counts.shape[1]
    if weighting == "idf":
        frequency = document_frequency(counts, sample_weight)
        return idf(np.append(frequency, 0), sample_weight.sum())
    if weighting == "sif":
        times = np.repeat(sample_weight, token_ids.lengths)
        total = np.bincount(token_ids.ids, weights=times, minlength=n_tokens + 1)
        return sif(total / max(times.sum(), 1))
    return np.ones(n_tokens + 1, dtype=np.float32)


def unseen_share(
    counts: csr_array, covered: NDArray[np.bool_], sample_weight: NDArray[np.floating]
) -> float:
    """The share of the squared tf-idf of a text in covered words of no other text, on average.

    Parameters
    ----------
    counts : csr_array, shape (n_texts, n_words)
    covered : ndarray of bool, shape (n_words,)
        The words with a pretrained vector.
    sample_weight : ndarray of float, shape (n_texts,)

    Returns
    -------
    float
    """
    n_texts = counts.shape[0]
    frequency = document_frequency(counts, sample_weight)
    squared = (1 + np.log(counts.data)) * idf(frequency, sample_weight.sum())[counts.indices]
    squared **= 2
    text = np.repeat(np.arange(n_texts), np.diff(counts.indptr))
    total = np.bincount(text, weights=squared, minlength=n_texts)
    # A text of weight 2 is two texts; without weight in other texts, the word is in one text alone.
    is_alone = frequency[counts.indices] <= np.minimum(sample_weight, 1)[text]
    squared *= covered[counts.indices] & is_alone
    alone = np.bincount(text, weights=squared, minlength=n_texts)
    share = np.divide(alone, total, out=np.zeros(n_texts), where=total > 0)
    weight = sample_weight[total > 0].sum()
    return float(sample_weight @ share / weight) if weight else 0.0


def supervised_scale(
    counts: csr_array, membership: csr_array, sample_weight: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Scales of columns by the strength of their relation to the classes, 1 on average.

    The scale is ``0.75 + 0.25 r / mean(r)``, r the largest absolute log-ratio over the classes of
    the smoothed share of texts with the column, in the class against the rest.

    Parameters
    ----------
    counts : csr_array, shape (n_texts, n_columns)
    membership : csr_array, shape (n_texts, n_classes)
    sample_weight : ndarray of float, shape (n_texts,)

    Returns
    -------
    ndarray of float32, shape (n_columns,)
    """
    ones = np.ones(len(counts.data), dtype=np.float32)
    presence = csr_array((ones, counts.indices, counts.indptr), shape=counts.shape)
    weighted = csr_array(membership.T * sample_weight).astype(np.float32)
    in_class: Any = csc_array(weighted @ presence)
    in_any = document_frequency(counts, sample_weight).astype(np.float32)
    class_size = np.asarray(membership.T @ sample_weight)
    prior = np.log((sample_weight.sum() - class_size + 2) / (class_size + 2))
    prior = prior.astype(np.float32)[:, None]
    largest = np.empty(counts.shape[1], dtype=np.float32)
    step = max(1, _CELLS // max(1, membership.shape[1]))
    for start in range(0, counts.shape[1], step):
        inside = in_class[:, start : start + step].toarray()
        outside = in_any[start : start + step] - inside
        inside += 1
        inside /= outside + 1
        log_ratio = np.log(inside, out=inside)
        log_ratio += prior
        largest[start : start + step] = np.abs(log_ratio, out=log_ratio).max(axis=0)
    mean = largest.mean() if len(largest) else 1.0
    scaled = _LEAST_SCALE + (1 - _LEAST_SCALE) * largest / (mean if mean > 0 else 1)
    return scaled.astype(np.float32)
