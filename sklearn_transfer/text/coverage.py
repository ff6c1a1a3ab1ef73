"""How much of texts the pretrained vectors know."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._utils.errors import levels_to_caller
from ..contextual.model import ContextualModel
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.lookup import OutOfVocabulary
from .tokens import TokenIds

_ENOUGH = 0.5
_N_NAMED = 5


def find_known(
    tokens: Sequence[str],
    sources: Sequence[PretrainedVectors],
    *,
    fold_case: bool,
    are_tokens: bool = False,
) -> NDArray[np.bool_]:
    """Whether any source has a vector for a token.

    Parameters
    ----------
    tokens : sequence of str, length n
    sources : sequence of PretrainedVectors
    fold_case : bool
        Whether the lower-cased form of a token counts too.
    are_tokens : bool, default=False
        Whether the sources' own tokenizer gave them.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    known = np.zeros(len(tokens), dtype=bool)
    for source in sources:
        known |= source.knows(tokens, fold_case=fold_case, are_tokens=are_tokens)
    return known


def measure_coverage(
    tokens: Sequence[str], token_ids: TokenIds, known: NDArray[np.bool_], oov: OutOfVocabulary
) -> float:
    """The share of the tokens of texts that have a pretrained vector.

    Parameters
    ----------
    tokens : sequence of str, length n_distinct
    token_ids : TokenIds
        Positions in `tokens`.
    known : ndarray of bool, shape (n_distinct,)
        See :func:`find_known`.
    oov : {"ignore", "subword", "hash"}
        What becomes of the others.

    Returns
    -------
    float
        0 where there are no tokens.

    Warns
    -----
    UserWarning
        Under a half, where the others are ignored; names the most frequent of them.
    """
    if not len(token_ids.ids):
        return 0.0
    times = np.bincount(token_ids.ids, minlength=len(tokens))
    share = float(times[known].sum() / times.sum())
    if share < _ENOUGH and oov == "ignore":
        unknown = np.flatnonzero(~known)
        often = unknown[np.argsort(-times[unknown], kind="stable")[:_N_NAMED]]
        warnings.warn(
            f"Only {share:.0%} of the tokens of the training texts have a pretrained vector. The "
            f"most frequent without one: {', '.join(repr(tokens[i]) for i in often.tolist())}. Are "
            f"the vectors of another language, or the texts not split into words (tokenizer=)? "
            f"oov='hash' gives every word a vector.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
    return share


def measure_reading(texts: Sequence[str], models: Sequence[ContextualModel]) -> float:
    """The share of the tokens of texts that contextual models read, the least of them.

    Parameters
    ----------
    texts : sequence of str, length n_texts
    models : sequence of ContextualModel, length 1 or more

    Returns
    -------
    float
        0 where there are no tokens.

    Warns
    -----
    UserWarning
        Under a half; says how many texts are cut off, and at which length.
    """
    shares = []
    for model in models:
        n_tokens = model.count_tokens(texts)
        read = np.minimum(n_tokens, model.max_tokens)
        shares.append(float(read.sum() / max(1, n_tokens.sum())))
        if shares[-1] < _ENOUGH and n_tokens.sum():
            warnings.warn(
                f"Only {shares[-1]:.0%} of the tokens of the training texts are read: "
                f"{np.count_nonzero(n_tokens > read)} of {len(texts)} texts have more than the "
                f"{model.max_tokens} tokens of {model!r}, and what is beyond is cut off. Split "
                f"long texts, or use a model that reads more.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )
    return min(shares)
