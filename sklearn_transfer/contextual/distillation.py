"""A table of what a sentence encoder gives for single tokens or words: which, and their weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..vectors.table.compression import reduce
from ..vectors.table.table import Table
from ..vectors.table.tokenizer import TableTokenizer
from ..vectors.table.vocabulary import Vocabulary

_WORD = re.compile(r"\w+")
# The smoothing of frequencies, as Model2Vec has it.
_SMOOTHING = 1e-4


@dataclass(frozen=True)
class Lexicon:
    """What is to be encoded, each alone.

    Attributes
    ----------
    words : list of str
    share : ndarray of float64, shape (n_words,)
        How frequent each is.
    ids : ndarray of int32, shape (n_words,), or None, default=None
        Of the tokens of a tokenizer.
    tokenizer : TableTokenizer or None, default=None
        What splits texts into them, where they are tokens.
    """

    words: list[str]
    share: NDArray[np.float64]
    ids: NDArray[np.int32] | None = None
    tokenizer: TableTokenizer | None = None

    @classmethod
    def of_tokenizer(cls, content: str) -> Lexicon:
        """The tokens of a ``tokenizer.json``, which has the frequent ones first."""
        tokenizer = TableTokenizer(content)
        names, unknown = tokenizer.names, tokenizer.unknown
        ids = np.fromiter(names, np.int32, len(names))
        known = tokenizer.skipping([] if unknown is None else [unknown])
        return cls(list(names.values()), _zipf(len(names)), ids, known)

    @classmethod
    def of_words(cls, words: Sequence[str]) -> Lexicon:
        """Words, the most frequent first; or the words of texts, in lower case, counted.

        Parameters
        ----------
        words : sequence of str
            Texts, if any has a space inside.

        Returns
        -------
        Lexicon

        Raises
        ------
        ValueError
            If there is no word.
        """
        distinct = list(dict.fromkeys(words))
        if any(" " in word.strip() for word in distinct):
            counts = Counter(word for text in words for word in _WORD.findall(text.lower()))
            distinct = [word for word, _ in counts.most_common()]
            share = np.array([counts[word] for word in distinct]) / max(1, counts.total())
        else:
            share = _zipf(len(distinct))
        if not distinct:
            raise ValueError("distill needs at least one word; the texts have none.")
        return cls(distinct, share)

    def table(self, matrix: NDArray[np.float32], n_components: int | None) -> Table:
        """The words with their vectors, reduced, and weights ``a / (a + share)`` as factors.

        Parameters
        ----------
        matrix : ndarray of float32, shape (n_words, dim)
            What the encoder gives for each.
        n_components : int or None
            Of a principal component analysis; None, or more than there are, keeps all.

        Returns
        -------
        Table
        """
        table = Table(Vocabulary(self.words), matrix)
        if n_components is not None and n_components < table.dim:
            table = reduce(table, n_components)
        weights = (_SMOOTHING / (_SMOOTHING + self.share)).astype(np.float32)
        return Table(table.words, table.matrix, scales=weights, tokenizer=self.tokenizer)


def _zipf(n_words: int) -> NDArray[np.float64]:
    """Shares that fall with the place of a word."""
    share: NDArray[np.float64] = 1 / np.arange(2, n_words + 2)
    share /= share.sum()
    return share
