"""Words to vectors: those that a table has, those whose pieces it has, and the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .table import Table
from .tokenizer import TableTokenizer
from .unknown import Subwords, hashed_vectors

OutOfVocabulary = Literal["ignore", "subword", "hash"]


def knows(
    table: Table, words: Sequence[str], *, fold_case: bool = False, are_tokens: bool = False
) -> NDArray[np.bool_]:
    """Whether a table has a vector for a word, or for a piece of it.

    Parameters
    ----------
    table : Table
    words : sequence of str, length n
    fold_case : bool, default=False
        Whether the lower-cased form of a word counts too.
    are_tokens : bool, default=False
        Whether the table's tokenizer gave the words.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if table.tokenizer is not None and not are_tokens:
        return np.diff(_find_pieces(table, table.tokenizer, words).indptr) > 0
    known: NDArray[np.bool_] = table.words.find(words, fold_case=fold_case) >= 0
    return known


def look_up(
    table: Table,
    words: Sequence[str],
    *,
    fold_case: bool,
    oov: OutOfVocabulary,
    are_tokens: bool,
    subwords: Callable[[], Subwords],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The vectors of many words.

    Parameters
    ----------
    table : Table
    words : sequence of str, length n
    fold_case : bool
        Take the lower-cased form of words that the table does not have.
    oov : {"ignore", "subword", "hash"}
        What becomes of words that the table does not have.
    are_tokens : bool
        The words are what the table's tokenizer gave, and are not split again.
    subwords : callable
        Gives the n-gram rows, where they are needed.

    Returns
    -------
    index : ndarray of int64, shape (n,)
        The row in `vectors` of each word, -1 where it has none.
    vectors : ndarray of float32, shape (n_found, dim)
    """
    if table.tokenizer is not None and not are_tokens:
        found, vectors = _mean_of_pieces(table, table.tokenizer, words)
    else:
        position = table.words.find(words, fold_case=fold_case)
        found = position >= 0
        vectors = table.vectors(position[found])
    index = np.where(found, np.cumsum(found) - 1, -1)
    if oov == "subword" and table.tokenizer is not None and table.subwords is None:
        oov = "ignore"  # it has split the words into pieces already
    if oov == "ignore" or found.all():
        return index, vectors
    unknown = np.flatnonzero(~found)
    strangers = [words[i].lower() if fold_case else words[i] for i in unknown.tolist()]
    if oov == "hash":
        more = hashed_vectors(strangers, table.dim, scale=_scale(table))
    else:
        more = subwords().vectors(strangers)
    index[unknown] = len(vectors) + np.arange(len(unknown))
    return index, np.concatenate([vectors, more])


def _scale(table: Table) -> float:
    """Root mean square of the values, of a thousand words."""
    sample = table.vectors(slice(None, None, max(1, len(table.words) // 1000)))
    return float(np.sqrt(np.mean(sample**2))) if len(sample) else 1.0


def _find_pieces(table: Table, tokenizer: TableTokenizer, words: Sequence[str]) -> csr_array:
    """The tokens of each word that the table has, in order, as ones: shape (n, n_words)."""
    split = list(tokenizer.split_all(words))
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    position = table.words.find([token for tokens in split for token in tokens])
    known = position >= 0
    bounds = np.append(0, np.cumsum(known))[np.append(0, np.cumsum(lengths))]
    once = np.ones(np.count_nonzero(known), dtype=np.float32)
    return csr_array((once, position[known], bounds), shape=(len(words), len(table.words)))


def _mean_of_pieces(
    table: Table, tokenizer: TableTokenizer, words: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Whether the table knows a token of each word, (n,); means of the vectors of such tokens."""
    pieces = _find_pieces(table, tokenizer, words)
    lengths = np.diff(pieces.indptr)
    used, column = np.unique(pieces.indices, return_inverse=True)
    narrow = csr_array((pieces.data, column, pieces.indptr), shape=(len(words), len(used)))
    means: NDArray[np.float32] = narrow[lengths > 0] @ table.vectors(used)
    means /= lengths[lengths > 0].astype(np.float32)[:, None]
    return lengths > 0, means
