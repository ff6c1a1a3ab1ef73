"""Texts to rows of a table that is trained: the pretrained vectors of the words that occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.lookup import OutOfVocabulary
from ..vectors.table.vocabulary import Vocabulary
from .coverage import find_known, measure_coverage
from .tokens import Tokenization, TokenIds
from .weights import TermWeighting, Weighting


@dataclass(frozen=True)
class Bags:
    """Texts as weighted rows of a table.

    Attributes
    ----------
    token_ids : TokenIds, length n_texts
        Row numbers; those from the table's length on are rows of `extra`.
    weights : ndarray of float32, shape (n_rows + n_extra,)
        Weight of each row.
    extra : ndarray of float32, shape (n_extra, dim)
        Vectors of words that the table does not have.
    """

    token_ids: TokenIds
    weights: NDArray[np.float32]
    extra: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.token_ids)

    def __getitem__(self, texts: NDArray[np.integer] | slice) -> Bags:
        """Some of the texts, in the order given."""
        return Bags(self.token_ids[texts], self.weights, self.extra)


class WordRows:
    """The rows of a trainable table: a row for each word of the training texts.

    Parameters
    ----------
    sources : sequence of PretrainedVectors
        What they know of a word is concatenated.
    splitting : Tokenization
    weighting : {"idf", "sif"} or None
        Weight of a word, learned from the first texts.
    oov : {"ignore", "subword", "hash"}
        Where the row of a word without a pretrained vector starts: at zero, at the mean of its
        n-grams, at a random vector. With "ignore", such a word outside the training texts is left
        out.

    Attributes
    ----------
    vocabulary : Vocabulary, length n_rows
    rows : ndarray of float32, shape (n_rows, dim)
        Where the rows of the first texts start.
    coverage : float
        Share of the tokens of the first texts that have a pretrained vector.
    dim : int
    """

    def __init__(
        self,
        sources: Sequence[PretrainedVectors],
        splitting: Tokenization,
        *,
        weighting: Weighting = None,
        oov: OutOfVocabulary = "ignore",
    ) -> None:
        self.sources, self.splitting = tuple(sources), splitting
        self.weighting, self.oov = weighting, oov
        self.vocabulary = Vocabulary([])
        self.dim = sum(source.dim for source in self.sources)

    def fit_transform(
        self,
        texts: Sequence[str],
        membership: csr_array | None,
        sample_weight: NDArray[np.floating],
    ) -> Bags:
        """Learn the words of the first texts; sets `rows`.

        Parameters
        ----------
        texts : sequence of str, length n_texts
        membership : csr_array or None
            Ignored.
        sample_weight : ndarray of float, shape (n_texts,)

        Returns
        -------
        Bags, length n_texts
        """
        tokens, token_ids = self.splitting(texts, self.sources)
        self._token_weights = TermWeighting(
            self.weighting, tokens, token_ids, sample_weight
        )
        known = find_known(tokens, self.sources, fold_case=self._folds_case)
        self.coverage = measure_coverage(tokens, token_ids, known, self.oov)
        self.rows = self._extend(tokens)
        return self.transform(texts)

    def extend(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Add rows for the words of more texts; where they start, shape (n_new, dim)."""
        tokens, _ = self.splitting(texts, self.sources)
        return self._extend(tokens)

    def transform(self, texts: Sequence[str]) -> Bags:
        """Texts as rows.

        Parameters
        ----------
        texts : sequence of str, length n_texts

        Returns
        -------
        Bags, length n_texts
        """
        tokens, token_ids = self.splitting(texts, self.sources)
        row = self.vocabulary.find(tokens, fold_case=self._folds_case)
        unseen = np.flatnonzero(row < 0)
        vectors, known = self._vectors([tokens[i] for i in unseen.tolist()])
        row[unseen[known]] = len(self.vocabulary) + np.arange(np.count_nonzero(known))
        weights = np.ones(len(self.vocabulary) + np.count_nonzero(known), dtype=np.float32)
        if self.weighting is not None:
            weights[row[row >= 0]] = self._token_weights(tokens, fold_case=self._folds_case)[
                row >= 0
            ]
        return Bags(token_ids.translate(row), weights, vectors[known])

    @property
    def _folds_case(self) -> bool:
        return self.splitting.folds_case(self.sources)

    def _extend(self, tokens: list[str]) -> NDArray[np.float32]:
        new = self.vocabulary.find(tokens) < 0
        words = [token for token, is_new in zip(tokens, new.tolist(), strict=True) if is_new]
        self.vocabulary = Vocabulary([*self.vocabulary, *words])
        return self._vectors(words)[0]

    def _vectors(self, words: list[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What the sources know, shape (n, dim), and whether any knows a word, shape (n,)."""
        vectors = np.zeros((len(words), self.dim), dtype=np.float32)
        known = np.zeros(len(words), dtype=bool)
        start = 0
        for source in self.sources:
            index, found = source.look_up(words, fold_case=self._folds_case, oov=self.oov)
            vectors[index >= 0, start : start + source.dim] = found[index[index >= 0]]
            known |= index >= 0
            start += source.dim
        return vectors, known
