"""Words ranked by the distance that fine-tuning moved their vectors, with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class MovedWord(NamedTuple):
    """A word whose vector was trained.

    Attributes
    ----------
    word : str
    distance : float
        Euclidean distance between the vectors of the word before and after training.
    before, after : tuple of str
        Nearest neighbours of the word before and after training, by cosine among the words of the
        training texts, nearest first.
    """

    word: str
    distance: float
    before: tuple[str, ...]
    after: tuple[str, ...]


def find_moved_words(
    words: Sequence[str],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    n: int,
    n_neighbours: int,
) -> list[MovedWord]:
    """Find the words that moved most.

    Parameters
    ----------
    words : sequence of str, length n_words
    before, after : ndarray of float, shape (n_words, dim)
        Words whose vector was zero before training had none, and are left out.
    n, n_neighbours : int
        Numbers of words, and of neighbours of each.

    Returns
    -------
    list of MovedWord
        By decreasing distance.
    """
    pretrained = np.flatnonzero(before.any(axis=1))
    names = [words[i] for i in pretrained.tolist()]
    first, last = before[pretrained], after[pretrained]
    distance = np.linalg.norm(last - first, axis=1)
    moved = np.argsort(-distance, kind="stable")[:n]
    neighbours = [_find_neighbours(part, moved, n_neighbours) for part in (first, last)]
    return [
        MovedWord(names[i], float(distance[i]), *(tuple(names[j] for j in near) for near in pair))
        for i, *pair in zip(moved.tolist(), *neighbours, strict=True)
    ]


def _find_neighbours(
    vectors: NDArray[np.floating], chosen: NDArray[np.int64], n: int
) -> list[list[int]]:
    """The rows nearest to each of some rows by cosine, without itself."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    cosine = unit[chosen] @ unit.T
    cosine[np.arange(len(chosen)), chosen] = -np.inf
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(n, len(vectors) - 1)]
    found: list[list[int]] = nearest.tolist()
    return found
