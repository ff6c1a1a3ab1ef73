"""Look-up of words: those in a table, those whose sub-word tokens are, and the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .oov import hashed_vectors
from .table import Table
from .tokenizer import TableTokenizer

OutOfVocabulary = Literal["ignore", "subword", "hash"]


def knows(
    table: Table, words: Sequence[str], *, fold_case: bool = False, are_tokens: bool = False
) -> NDArray[np.bool_]:
    """Return which words, or some of their tokens, have a vector in a table: shape (n,)."""
    if table.tokenizer is not None and not are_tokens:
        return np.diff(_find_tokens(table, table.tokenizer, words).indptr) > 0
    is_known: NDArray[np.bool_] = table.words.find(words, fold_case=fold_case) >= 0
    return is_known


def look_up(
    table: Table,
    words: Sequence[str],
    *,
    fold_case: bool,
    are_tokens: bool,
    predict: Callable[[list[str]], NDArray[np.float32]] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Look up many words as :meth:`PretrainedVectors.look_up`; `predict` is for unknown ones."""
    if table.tokenizer is not None and not are_tokens:
        is_known, vectors = _mean_of_tokens(table, table.tokenizer, words)
    else:
        position = table.words.find(words, fold_case=fold_case)
        is_known = position >= 0
        vectors = table.vectors(position[is_known])
    index = np.where(is_known, np.cumsum(is_known) - 1, -1)
    if predict is None or is_known.all():
        return index, vectors
    unknown = np.flatnonzero(~is_known)
    predicted = predict([words[i].lower() if fold_case else words[i] for i in unknown.tolist()])
    index[unknown] = len(vectors) + np.arange(len(unknown))
    return index, np.concatenate([vectors, predicted])


def predict_by_hash(table: Table, words: list[str]) -> NDArray[np.float32]:
    """Return random vectors of the same scale as those of a table, shape (n, dim)."""
    sample = table.vectors(slice(None, None, max(1, len(table.words) // 1000)))
    scale = float(np.sqrt(np.mean(sample**2))) if len(sample) else 1.0
    return hashed_vectors(words, table.dim, scale=scale)


def _find_tokens(table: Table, tokenizer: TableTokenizer, words: Sequence[str]) -> csr_array:
    """Return the known tokens of each word, in order, as ones: shape (n, n_words)."""
    split = list(tokenizer.split_all(words))
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    position = table.words.find([token for word in split for token in word])
    is_known = position >= 0
    bounds = np.append(0, np.cumsum(is_known))[np.append(0, np.cumsum(lengths))]
    once = np.ones(np.count_nonzero(is_known), dtype=np.float32)
    return csr_array((once, position[is_known], bounds), shape=(len(words), len(table.words)))


def _mean_of_tokens(
    table: Table, tokenizer: TableTokenizer, words: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which words have known tokens, shape (n,), and the means of their vectors."""
    tokens = _find_tokens(table, tokenizer, words)
    lengths = np.diff(tokens.indptr)
    used, column = np.unique(tokens.indices, return_inverse=True)
    narrow = csr_array((tokens.data, column, tokens.indptr), shape=(len(words), len(used)))
    means: NDArray[np.float32] = narrow[lengths > 0] @ table.vectors(used)
    means /= lengths[lengths > 0].astype(np.float32)[:, None]
    return lengths > 0, means
