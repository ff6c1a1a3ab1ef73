"""Words whose table knows pieces of them: the mean of the vectors of their tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .table import Table
from .tokenizer import TableTokenizer


def find_pieces(table: Table, tokenizer: TableTokenizer, words: Sequence[str]) -> csr_array:
    """The tokens of each word that a table has.

    Parameters
    ----------
    table : Table
    tokenizer : TableTokenizer
    words : sequence of str, length n

    Returns
    -------
    csr_array of float32, shape (n, n_words)
        A 1 for each token, in their order; a token that occurs twice has two.
    """
    split = list(tokenizer.split_all(words))
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    position = table.words.find([token for tokens in split for token in tokens])
    known = position >= 0
    bounds = np.append(0, np.cumsum(known))[np.append(0, np.cumsum(lengths))]
    once = np.ones(np.count_nonzero(known), dtype=np.float32)
    return csr_array((once, position[known], bounds), shape=(len(words), len(table.words)))


def mean_of_pieces(
    table: Table, tokenizer: TableTokenizer, words: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """The mean of the vectors of each word's tokens.

    Parameters
    ----------
    table : Table
    tokenizer : TableTokenizer
    words : sequence of str, length n

    Returns
    -------
    found : ndarray of bool, shape (n,)
        Whether a word has a token that the table knows.
    vectors : ndarray of float32, shape (n_found, dim)
    """
    pieces = find_pieces(table, tokenizer, words)
    lengths = np.diff(pieces.indptr)
    used, column = np.unique(pieces.indices, return_inverse=True)
    narrow = csr_array((pieces.data, column, pieces.indptr), shape=(len(words), len(used)))
    means: NDArray[np.float32] = narrow[lengths > 0] @ table.vectors(used)
    means /= lengths[lengths > 0].astype(np.float32)[:, None]
    return lengths > 0, means
