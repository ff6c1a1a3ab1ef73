"""Occlusion: the change of a logit when a token is removed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...text.tokenization.places import PlacedTokens
from ...text.tokenization.token_ids import TokenIds

# Tokens of shortened texts that are read at a time.
_TOGETHER = 1 << 16

# From texts, distinct tokens and their positions to logits, shape (n_texts, n_outputs).
Logits = Callable[[list[str], list[str], TokenIds], NDArray[np.floating]]


def occlude(
    placed: PlacedTokens, logits: Logits, outputs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Attribute to each token the logit of its text minus the logit without the token.

    Contributions do not add up to the logit. A text of n tokens is read n + 2 times, so that the
    time grows with the square of its length.

    Parameters
    ----------
    placed : PlacedTokens, length n_texts
    logits : callable
        ``logits(texts, tokens, token_ids)`` has the shape (n_texts, n_outputs).
    outputs : ndarray of int64, shape (n_texts, n_targets)

    Returns
    -------
    contributions : ndarray of float64, shape (n_tokens, n_targets)
    baseline : ndarray of float64, shape (n_texts, n_targets)
        Logits of an empty text.
    """
    offsets = placed.token_ids.offsets
    nothing = TokenIds(np.empty(0, np.int32), np.zeros(2, np.int64))
    empty = logits([""], placed.tokens, nothing)[0].astype(np.float64)
    whole = logits(placed.texts, placed.tokens, placed.token_ids)
    whole = np.take_along_axis(whole.astype(np.float64), outputs, axis=1)
    contributions = np.zeros((len(placed.start), outputs.shape[1]))
    for text, (start, stop) in enumerate(pairwise(offsets.tolist())):
        step = max(1, _TOGETHER // max(1, stop - start))
        for first in range(start, stop, step):
            positions = np.arange(first, min(first + step, stop))
            texts, token_ids = _remove_each(placed, text, positions)
            without = logits(texts, placed.tokens, token_ids)[:, outputs[text]]
            contributions[positions] = whole[text] - without
    return contributions, empty[outputs]


def _remove_each(
    placed: PlacedTokens, text: int, positions: NDArray[np.int64]
) -> tuple[list[str], TokenIds]:
    """Copies of a text, each without one of the tokens at some positions."""
    start, stop = placed.token_ids.offsets[text : text + 2]
    kept = np.arange(start, stop) != positions[:, None]
    ids = np.broadcast_to(placed.token_ids.ids[start:stop], kept.shape)[kept]
    offsets = np.arange(len(positions) + 1) * (stop - start - 1)
    whole = placed.texts[text]
    places = zip(placed.start[positions].tolist(), placed.end[positions].tolist(), strict=True)
    texts = [whole[:a] + whole[b:] if a >= 0 else whole for a, b in places]
    return texts, TokenIds(ids, offsets)
