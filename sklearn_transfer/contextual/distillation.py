"""Tables of static vectors made of a sentence encoder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..vectors.table.compression import reduce
from ..vectors.table.table import Table
from ..vectors.table.tokenizer import TableTokenizer
from ..vectors.table.vocabulary import Vocabulary
from .embedding_cache import Encode

_WORD = re.compile(r"\w+")
_SMOOTHING = 1e-4  # of frequencies, as in Model2Vec

Features = NDArray[np.float32]  # of words or tokens, shape (n_words, dim)


def distill_tokens(
    content: str, encode: Callable[[NDArray[np.int64]], Features], n_components: int | None
) -> Table:
    """Make a table of the tokens of a ``tokenizer.json``, which lists frequent ones first."""
    tokenizer = TableTokenizer(content)
    names, unknown = tokenizer.names, tokenizer.unknown
    matrix = encode(np.fromiter(names, np.int64, len(names)))
    without_unknown = tokenizer.skipping([] if unknown is None else [unknown])
    frequency = _zipf(len(names))
    return _make_table(list(names.values()), matrix, frequency, n_components, without_unknown)


def distill_words(words: Sequence[str], encode: Encode, n_components: int | None) -> Table:
    """Make a table of words, the most frequent first; or of the words of lower-cased texts."""
    distinct = list(dict.fromkeys(words))
    if any(" " in word.strip() for word in distinct):
        counts = Counter(word for text in words for word in _WORD.findall(text.lower()))
        distinct = [word for word, _ in counts.most_common()]
        frequency = np.array([counts[word] for word in distinct]) / max(1, counts.total())
    else:
        frequency = _zipf(len(distinct))
    if not distinct:
        raise ValueError("distill needs at least one word; the texts have none.")
    return _make_table(distinct, encode(distinct), frequency, n_components)


def _make_table(
    words: Sequence[str],
    matrix: Features,
    frequency: NDArray[np.float64],
    n_components: int | None,
    tokenizer: TableTokenizer | None = None,
) -> Table:
    """Reduce vectors to principal components, and weigh them by ``a / (a + frequency)``."""
    table = Table(Vocabulary(words), matrix)
    if n_components is not None and n_components < table.dim:
        table = reduce(table, n_components)
    weights = (_SMOOTHING / (_SMOOTHING + frequency)).astype(np.float32)
    return Table(table.words, table.matrix, scales=weights, tokenizer=tokenizer)


def _zipf(n_words: int) -> NDArray[np.float64]:
    """Relative frequencies by rank (Zipf's law)."""
    frequency: NDArray[np.float64] = 1 / np.arange(2, n_words + 2)
    frequency /= frequency.sum()
    return frequency
