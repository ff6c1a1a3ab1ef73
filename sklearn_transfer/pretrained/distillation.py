"""A sentence encoder distilled into a table: each token through it once, and never again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .sequences import Sequences
from .smaller import reduce
from .table import Table
from .tokenizer import TableTokenizer
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .contextual import ContextualModel

_WORD = re.compile(r"\w+")
# The smoothing of frequencies, as Model2Vec has it.
_SMOOTHING = 1e-4


def distill(model: ContextualModel, words: Sequence[str] | None, n_components: int | None) -> Table:
    """Make a table of what an encoder gives for single tokens, or words.

    Parameters
    ----------
    model : ContextualModel
    words : sequence of str, or None
        None: the tokens of the model's own tokenizer, which then belongs to the table. Words
        without spaces: these, the most frequent first. Texts: their words, in lower case.
    n_components : int or None
        Of a principal component analysis; None, or more than there are, keeps all.

    Returns
    -------
    Table
        Of float32, in memory; factors are the weights of the tokens.

    Raises
    ------
    ValueError
        If there is no word, or `n_components` is not positive.

    Notes
    -----
    The method of Model2Vec (Tulkens & van Dongen 2024 [1]_): tokens through the encoder, principal
    components, weights ``a / (a + p)`` with ``a = 1e-4`` (Arora et al. 2017). Where no texts tell
    how frequent a token is, ``p`` is by Zipf's law that of its place, as tokenizers list frequent
    tokens first.

    References
    ----------
    .. [1] Tulkens & van Dongen, "Model2Vec: fast state-of-the-art static embeddings", 2024
       (github.com/MinishLab/model2vec).
    """
    if n_components is not None and n_components < 1:
        raise ValueError(f"n_components must be a positive number or None, got {n_components}.")
    tokenizer = None
    if words is None:
        tokenizer = TableTokenizer(model.tokenizer_json)
        names = tokenizer.names
        unknown = tokenizer.unknown
        tokenizer = tokenizer.skipping([] if unknown is None else [unknown])
        tokens, share = list(names.values()), _zipf(len(names))
        alone = _alone(model, np.fromiter(names, np.int32, len(names)))
        matrix = model.run(alone, prompted=False)
    else:
        tokens, share = _count(words)
        matrix = model.encode(tokens)
    table = Table(Vocabulary(tokens), matrix, tokenizer=tokenizer)
    if n_components is not None and n_components < table.dim:
        table = reduce(table, n_components)
    weights = (_SMOOTHING / (_SMOOTHING + share)).astype(np.float32)
    return Table(table.words, table.matrix, scales=weights, tokenizer=tokenizer)


def _alone(model: ContextualModel, ids: NDArray[np.int32]) -> Sequences:
    """Tokens as texts of their own, each between the special tokens of a text."""
    before, after = model.special_tokens()
    lines = np.tile(np.concatenate([before, [0], after]).astype(np.int32), (len(ids), 1))
    lines[:, len(before)] = ids
    lengths = np.full(len(ids), lines.shape[1])
    starts = np.cumsum(lengths) - lengths
    return Sequences(lines.ravel(), starts, lengths, lengths, model.padding)


def _zipf(n_tokens: int) -> NDArray[np.float64]:
    """Shares that fall with the place of a token."""
    share: NDArray[np.float64] = 1 / np.arange(2, n_tokens + 2)
    share /= share.sum()
    return share


def _count(words: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """Distinct words and how frequent they are: counted in texts, by place in a list of words."""
    distinct = list(dict.fromkeys(words))
    if any(" " in word.strip() for word in distinct):
        counts = Counter(word for text in words for word in _WORD.findall(text.lower()))
        ranked = counts.most_common()
        distinct = [word for word, _ in ranked]
        share = np.array([n for _, n in ranked], dtype=np.float64) / max(1, counts.total())
    else:
        share = _zipf(len(distinct))
    if not distinct:
        raise ValueError("distill needs at least one word; the texts have none.")
    return distinct, share
