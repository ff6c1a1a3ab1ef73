"""Static vectors made of a sentence encoder: the words, and their weights by frequency."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..vectors.table.compression import reduce
from ..vectors.table.table import Table
from ..vectors.table.tokenizer import TableTokenizer
from ..vectors.table.vocabulary import Vocabulary

_WORD = re.compile(r"\w+")
_SMOOTHING = 1e-4  # of frequencies, as in Model2Vec


@dataclass(frozen=True)
class DistilledWords:
    """The words that are encoded one by one.

    Attributes
    ----------
    words : list of str
    frequency : ndarray of float64, shape (n_words,)
        Relative frequencies.
    ids : ndarray of int32, shape (n_words,), default=empty
        Token ids, if the words are the tokens of a tokenizer.
    tokenizer : TableTokenizer or None, default=None
        Splits texts into these tokens.
    """

    words: list[str]
    frequency: NDArray[np.float64]
    ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    tokenizer: TableTokenizer | None = None

    @classmethod
    def of_tokenizer(cls, content: str) -> DistilledWords:
        """The tokens of a ``tokenizer.json``, which lists frequent ones first."""
        tokenizer = TableTokenizer(content)
        names, unknown = tokenizer.names, tokenizer.unknown
        ids = np.fromiter(names, np.int32, len(names))
        without_unknown = tokenizer.skipping([] if unknown is None else [unknown])
        return cls(list(names.values()), _zipf(len(names)), ids, without_unknown)

    @classmethod
    def of_words(cls, words: Sequence[str]) -> DistilledWords:
        """Words, the most frequent first; or the words of texts, lower-cased and counted.

        Parameters
        ----------
        words : sequence of str
            Texts, if any has a space inside.

        Returns
        -------
        DistilledWords

        Raises
        ------
        ValueError
            If there is no word.
        """
        distinct = list(dict.fromkeys(words))
        if any(" " in word.strip() for word in distinct):
            counts = Counter(word for text in words for word in _WORD.findall(text.lower()))
            distinct = [word for word, _ in counts.most_common()]
            frequency = np.array([counts[word] for word in distinct]) / max(1, counts.total())
        else:
            frequency = _zipf(len(distinct))
        if not distinct:
            raise ValueError("distill needs at least one word; the texts have none.")
        return cls(distinct, frequency)

    def make_table(self, matrix: NDArray[np.float32], n_components: int | None) -> Table:
        """Reduce the vectors of the words, and weigh them by ``a / (a + frequency)``.

        Parameters
        ----------
        matrix : ndarray of float32, shape (n_words, dim)
            The features of each word.
        n_components : int or None
            The number of principal components; None, or more than `dim`, keeps all dimensions.

        Returns
        -------
        Table
        """
        table = Table(Vocabulary(self.words), matrix)
        if n_components is not None and n_components < table.dim:
            table = reduce(table, n_components)
        weights = (_SMOOTHING / (_SMOOTHING + self.frequency)).astype(np.float32)
        return Table(table.words, table.matrix, scales=weights, tokenizer=self.tokenizer)


def _zipf(n_words: int) -> NDArray[np.float64]:
    """Relative frequencies by rank (Zipf's law)."""
    frequency: NDArray[np.float64] = 1 / np.arange(2, n_words + 2)
    frequency /= frequency.sum()
    return frequency
