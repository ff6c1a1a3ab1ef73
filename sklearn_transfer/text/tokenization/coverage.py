"""Coverage: the share of the tokens of texts that pretrained models can use."""

from __future__ import annotations

import re
import reprlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..._utils.errors import levels_to_caller
from ...contextual.model import ContextualModel
from ...vectors.pretrained_vectors import PretrainedVectors
from ...vectors.table.lookup import OutOfVocabulary
from .patterns import CHARACTER_PATTERNS, UNSPACED
from .token_ids import TokenIds
from .tokens import Tokenization

_UNSPACED = re.compile(f"[{UNSPACED}]")
_ENOUGH = 0.5
# Where fewer characters have a script without spaces, they are a few words of another language.
_SOME = 0.01
_N_NAMED = 5


def has_vector(
    tokens: Sequence[str],
    sources: Sequence[PretrainedVectors],
    *,
    fold_case: bool,
    are_tokens: bool = False,
) -> NDArray[np.bool_]:
    """Mark the tokens that have a vector in any source, shape (n_tokens,)."""
    covered = np.zeros(len(tokens), dtype=bool)
    for source in sources:
        covered |= source.knows(tokens, fold_case=fold_case, are_tokens=are_tokens)
    return covered


def learn_tokenization(
    texts: Sequence[str], tokenization: Tokenization, sources: Sequence[PretrainedVectors]
) -> Tokenization:
    """Find the tokenization of training texts: by character, where a pattern finds no words.

    Parameters
    ----------
    texts : sequence of str
    tokenization : Tokenization
    sources : sequence of PretrainedVectors

    Returns
    -------
    Tokenization
        The same, or, if it splits texts by a pattern of words, and most characters of scripts
        without spaces between words belong to tokens without a vector, one that makes each
        character of these scripts a token. Words of other scripts, next to them, stay words.
    """
    pattern = CHARACTER_PATTERNS.get(tokenization.token_pattern)
    if pattern is None or tokenization.tokenizer is not None:
        return tokenization
    if tokenization.table_tokenizer(sources) is not None:
        return tokenization
    if not any(_UNSPACED.search(text) for text in texts if not text.isascii()):
        return tokenization
    tokens, token_ids = tokenization.split(texts, sources)
    covered = has_vector(tokens, sources, fold_case=tokenization.folds_case(sources))
    if not _lack_spaces(tokens, token_ids, covered, least=_SOME):
        return tokenization
    return replace(tokenization, token_pattern=pattern)


def relearn_tokenization(
    texts: Sequence[str],
    tokenization: Tokenization,
    sources: Sequence[PretrainedVectors],
    words: Sequence[str],
) -> Tokenization:
    """Find the tokenization for more training texts, with the words of the first ones.

    Parameters
    ----------
    texts, tokenization, sources : object
        See :func:`learn_tokenization`.
    words : sequence of str
        Of the earlier texts.

    Returns
    -------
    Tokenization
        The same, if an earlier word of a script without spaces has a vector: the earlier texts
        separate the words of that script.
    """
    learned = learn_tokenization(texts, tokenization, sources)
    if learned != tokenization:
        unspaced = [word for word in words if _UNSPACED.search(word)]
        if has_vector(unspaced, sources, fold_case=tokenization.folds_case(sources)).any():
            return tokenization
    return learned


def _lack_spaces(
    tokens: Sequence[str],
    token_ids: TokenIds,
    covered: NDArray[np.bool_],
    least: float = _ENOUGH,
) -> bool:
    """True if more characters than a share have scripts without spaces, and most are not read."""
    times = np.bincount(token_ids.ids, minlength=len(tokens))
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    found = (0 if token.isascii() else len(_UNSPACED.findall(token)) for token in tokens)
    n_unspaced = times * np.fromiter(found, np.int64, len(tokens))
    n_unread = n_unspaced[~covered & (lengths > 1)].sum()
    return bool(
        n_unspaced.sum() > least * (times @ lengths) and n_unread > _ENOUGH * n_unspaced.sum()
    )


def find_used(
    words: Sequence[str],
    vectors: PretrainedVectors,
    tokenization: Tokenization,
    sources: Sequence[PretrainedVectors],
    oov: OutOfVocabulary,
) -> list[str]:
    """Find the words of a table that the words of texts are looked up by.

    Parameters
    ----------
    words : sequence of str
        The words of texts, or the tokens of the tokenizer of the sources.
    vectors : PretrainedVectors
    tokenization, sources, oov : Tokenization, sequence of PretrainedVectors, str
        Those of the features.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If words without a vector are predicted from the whole table.
    """
    if oov != "ignore":
        raise ValueError(
            f"vectors='used' leaves words out, from which oov={oov!r} predicts others. Use "
            f"vectors='all'."
        )
    own = tokenization.table_tokenizer(sources)
    if vectors.tokenizer is not None and own is None:
        return list(dict.fromkeys(chain.from_iterable(vectors.tokenizer.split_all(words))))
    position = vectors.words.find(words, fold_case=tokenization.folds_case(sources))
    return [vectors.words[i] for i in np.unique(position[position >= 0]).tolist()]


def measure_coverage(
    tokens: Sequence[str], token_ids: TokenIds, covered: NDArray[np.bool_], oov: OutOfVocabulary
) -> float:
    """The share of the tokens of texts that have a pretrained vector.

    Parameters
    ----------
    tokens : sequence of str, length n_distinct
    token_ids : TokenIds
        Positions in `tokens`.
    covered : ndarray of bool, shape (n_distinct,)
        The tokens with a vector, see :func:`has_vector`.
    oov : {"ignore", "subword", "hash"}
        Treatment of the other tokens.

    Returns
    -------
    float
        0 where there are no tokens.

    Warns
    -----
    UserWarning
        Below one half, or where texts are not split into words, if the other tokens are ignored;
        the message names the most frequent.
    """
    if not len(token_ids.ids):
        return 0.0
    times = np.bincount(token_ids.ids, minlength=len(tokens))
    share = float(times[covered].sum() / times.sum())
    lack_spaces = _lack_spaces(tokens, token_ids, covered)
    if (share < _ENOUGH or lack_spaces) and oov == "ignore":
        unknown = np.flatnonzero(~covered)
        frequent = unknown[np.argsort(-times[unknown], kind="stable")[:_N_NAMED]]
        names = ", ".join(reprlib.repr(tokens[i]) for i in frequent)
        remedy = (
            "The script has no spaces between words: tokenizer=list splits texts into characters, "
            "and a segmenter (tokenizer=) into words."
            if lack_spaces
            else "oov='hash' gives every word a vector."
        )
        warnings.warn(
            f"Only {share:.0%} of the tokens of the training texts have a pretrained vector. The "
            f"most frequent without one: {names}. Are the vectors of another language, or the "
            f"texts not split into words (tokenizer=)? {remedy}",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
    return share


def measure_reading(texts: Sequence[str], models: Sequence[ContextualModel]) -> float:
    """The share of the tokens of texts that contextual models read; the smallest of several.

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
        Below one half; the message gives the number of truncated texts and the maximum length.
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
                f"{model.max_tokens} tokens of {model!r}, and are truncated. Read long texts in "
                f"windows, ContextualModel(..., windows=N), or use a model with a larger maximum "
                f"length.",
                UserWarning,
                stacklevel=levels_to_caller(),
            )
    return min(shares)
