"""Texts to the features of a fine-tuned bag of words: token columns beside pretrained ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from ..sources import Source, find_contextual, find_tables
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.lookup import OutOfVocabulary
from ..vectors.table.vocabulary import Vocabulary, pack
from .coverage import find_known, measure_coverage, measure_reading
from .design import Design
from .ngrams import CharNgrams, WordNgrams, as_index, count_tokens, document_frequency
from .pooling import idf
from .tokens import Splitting, TokenIds
from .weights import TokenWeights, Weighting, supervised_scale, unseen_share

# How much the blocks count beside the words, whose block has norm 1.
_NGRAM_WEIGHT, _CHAR_WEIGHT = 0.7, 0.5
# Character n-grams pay where texts are short: at most so many tokens in the mean.
_SHORT_TEXT = 60
# From so many texts on, n-grams must occur in two of them.
_MANY_TEXTS = 1000
# Where half of a text is words that the pretrained part alone knows, it has full strength.
_HALF, _LEAST_STRENGTH = 0.5, 0.25


class BagFeatures:
    r"""Features of the model ``logit = sum_w a_w (u_w + E_w H) + b``.

    The pretrained row ``E_w`` of a token stays, and its own offset ``u_w``, in the space of the
    logits, is what fine-tuning adds. A linear model on these features learns ``u`` as the weights
    of the sparse columns and ``H`` as those of the dense ones; a quadratic penalty on ``u`` pulls
    the model towards the pretrained one (L2-SP, Li et al. 2018 [1]_).

    Parameters
    ----------
    sources : sequence of PretrainedVectors and ContextualModel
        Each gives a block of dense columns. None of them: only token columns.
    splitting : Splitting
    ngram_range : tuple of int (min_n, max_n)
        Word n-grams with a column, (1, 1) for words alone.
    char_ngram_range : tuple of int, "auto" or None
        Character n-grams inside words with a column; "auto" is (2, 4) where the training texts have
        60 tokens or fewer in the mean, and None elsewhere.
    strength : float or "auto"
        Norm of a text's dense block beside its words' norm of 1; "auto" is
        ``clip(2 q, 0.25, 1)``, q the share of a training text's squared tf-idf, in the mean, that
        lies in words with a pretrained vector that no other training text has.
    pull : float
        Strength of the penalty on the offsets beside 1 for that on the head: the sparse columns are
        divided by its square root.
    offsets : bool
        Whether tokens have columns. False is feature extraction.
    weighting : {"idf", "sif"} or None
        Weight of a token in the dense block.
    oov : {"ignore", "subword", "hash"}
        Words without a vector in the dense block.

    Attributes
    ----------
    vocabulary : Vocabulary, length n_words
        The tokens of the training texts.
    strength : float
    coverage : float
        Share of the tokens of the training texts that have a pretrained vector.

    Notes
    -----
    A sparse value is ``(1 + ln tf) idf s``. The supervised scale of a column, at least 0.75 and 1
    in the mean, is ``s = 0.75 + 0.25 r / mean(r)``, r the largest absolute log-ratio over the
    classes of the smoothed share of texts that have it, in the class against the rest (Wang &
    Manning 2012 [2]_); character n-grams are not scaled. Words, each length of n-grams, and
    characters are normalised row by row, each on their own, and weigh 1, 0.7 and 0.5. A dense value
    is the row-normalised, centred, and again row-normalised sum of ``(1 + ln tf) a_w E_w`` over all
    words that have a vector, also those never seen in training.

    References
    ----------
    .. [1] Li, Grandvalet & Davoine, "Explicit inductive bias for transfer learning with
       convolutional networks", ICML 2018.
    .. [2] Wang & Manning, "Baselines and bigrams: simple, good sentiment and topic
       classification", ACL 2012.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        splitting: Splitting,
        *,
        ngram_range: tuple[int, int] = (1, 2),
        char_ngram_range: tuple[int, int] | Literal["auto"] | None = "auto",
        strength: float | Literal["auto"] = "auto",
        pull: float = 1.0,
        offsets: bool = True,
        weighting: Weighting = "idf",
        oov: OutOfVocabulary = "ignore",
    ) -> None:
        self.sources, self.splitting = tuple(sources), splitting
        self.tables = find_tables(self.sources)
        self.ngram_range, self.char_ngram_range = ngram_range, char_ngram_range
        self._strength, self.pull, self.offsets = strength, pull, offsets
        self.weighting, self.oov = weighting, oov

    def fit_transform(
        self,
        texts: Sequence[str],
        membership: csr_array | None,
        sample_weight: NDArray[np.floating],
    ) -> Design:
        """Learn vocabulary, weights and scales, and give the features of the same texts.

        Parameters
        ----------
        texts : sequence of str, length n_texts
        membership : csr_array, shape (n_texts, n_classes), or None
            1 where a text belongs to a class; None leaves the columns unscaled.
        sample_weight : ndarray of float, shape (n_texts,)
            Positive. A text of weight 2 counts as two.

        Returns
        -------
        Design, length n_texts
        """
        tokens, token_ids = self._split(texts)
        self.vocabulary, word = Vocabulary.unique(*pack(self._words(tokens)))
        word_ids = token_ids.translate(word)
        self._n_texts = float(sample_weight.sum())
        self._n_tokens = float(np.dot(sample_weight, token_ids.lengths))
        counts = count_tokens(token_ids, len(tokens))
        words = _renumber(counts, word, len(self.vocabulary))
        self._token_weights = TokenWeights(
            self.weighting, self.vocabulary, word_ids, sample_weight, words
        )
        known = find_known(tokens, self.tables, fold_case=self._folds_case)
        self.coverage = 0.0
        if self.tables:
            self.coverage = measure_coverage(tokens, token_ids, known, self.oov)
        elif self.sources:
            self.coverage = measure_reading(texts, find_contextual(self.sources))
        known = np.bincount(word[known], minlength=len(self.vocabulary)) > 0
        self.strength = self._find_strength(words, known, sample_weight)
        blocks = []
        self._columns: list[tuple[float, NDArray[np.float32]]] = []
        if self.offsets:
            counted = self._fit_counts(tokens, counts, word_ids, words, sample_weight)
            for weight, of_words, block in counted:
                column = idf(document_frequency(block, sample_weight), self._n_texts)
                if membership is not None and of_words:
                    column *= supervised_scale(block, membership, sample_weight)
                self._columns.append((weight, column))
                blocks.append(_weigh(block, column, weight / np.sqrt(self.pull)))
        pooled = self._pool(texts, tokens, counts, word)
        self._means = [
            np.average(block, axis=0, weights=sample_weight).astype(np.float32) for block in pooled
        ]
        return self._assemble(blocks, pooled)

    def transform(self, texts: Sequence[str]) -> Design:
        """The features of texts.

        Parameters
        ----------
        texts : sequence of str, length n_texts

        Returns
        -------
        Design, length n_texts
        """
        tokens, token_ids = self._split(texts)
        word = self.vocabulary.find(self._words(tokens))
        counts = count_tokens(token_ids, len(tokens))
        blocks = []
        if self.offsets:
            counted = self._counts(tokens, token_ids, counts, word)
            for (weight, column), block in zip(self._columns, counted, strict=True):
                blocks.append(_weigh(block, column, weight / np.sqrt(self.pull)))
        return self._assemble(blocks, self._pool(texts, tokens, counts, word))

    @property
    def _folds_case(self) -> bool:
        return self.splitting.folds_case(self.tables)

    def _split(self, texts: Sequence[str]) -> tuple[list[str], TokenIds]:
        if self.tables or self.offsets:
            return self.splitting(texts, self.tables)
        # Contextual models split on their own.
        return [], TokenIds(np.empty(0, np.int32), np.zeros(len(texts) + 1, np.int64))

    def _words(self, tokens: list[str]) -> list[str]:
        """Tokens as the vocabulary writes them."""
        return [token.lower() for token in tokens] if self._folds_case else tokens

    def _fit_counts(
        self,
        tokens: list[str],
        counts: csr_array,
        word_ids: TokenIds,
        words: csr_array,
        sample_weight: NDArray[np.floating],
    ) -> Iterator[tuple[float, bool, csr_array]]:
        """For every block of columns its weight, whether they are words, and the counts."""
        shortest, longest = self.ngram_range
        min_df = 2 if self._n_texts > _MANY_TEXTS else 0
        if shortest == 1:
            yield 1.0, True, words
        self._word_ngrams = self._char_ngrams = None
        if longest > 1:
            self._word_ngrams = WordNgrams(len(self.vocabulary), longest)
            by_length = self._word_ngrams.fit_count(word_ids, sample_weight, min_df)
            for block in by_length[max(shortest - 2, 0) :]:
                yield _NGRAM_WEIGHT, True, block
        char_range = self.char_ngram_range
        if char_range == "auto":
            short = self._n_tokens <= _SHORT_TEXT * self._n_texts
            char_range = (2, 4) if short else None
        if char_range is not None:
            self._char_ngrams = CharNgrams(*char_range)
            yield (
                _CHAR_WEIGHT,
                False,
                self._char_ngrams.fit_count(self._words(tokens), counts, sample_weight, min_df),
            )

    def _counts(
        self, tokens: list[str], token_ids: TokenIds, counts: csr_array, word: NDArray[np.int64]
    ) -> Iterator[csr_array]:
        """The counts of every block, in the order of `_fit_counts`."""
        shortest, _ = self.ngram_range
        n_words = len(self.vocabulary)
        if shortest == 1:
            yield _renumber(counts, word, n_words)
        if self._word_ngrams is not None:
            # Unknown words keep their place, so that no n-gram reaches over one.
            word_ids = token_ids.translate(np.where(word < 0, n_words, word))
            yield from self._word_ngrams.count(word_ids)[max(shortest - 2, 0) :]
        if self._char_ngrams is not None:
            yield self._char_ngrams.count(self._words(tokens), counts)

    def _find_strength(
        self, words: csr_array, known: NDArray[np.bool_], sample_weight: NDArray[np.floating]
    ) -> float:
        if self._strength != "auto":
            return float(self._strength)
        unseen = unseen_share(words, known, sample_weight)
        return float(np.clip(unseen / _HALF, _LEAST_STRENGTH, 1))

    def _pool(
        self,
        texts: Sequence[str],
        tokens: list[str],
        counts: csr_array,
        word: NDArray[np.int64],
    ) -> list[NDArray[np.float32]]:
        """One block a source, row-normalised, each shape (n_texts, dim)."""
        weighted = _weigh(counts.copy(), self._token_weights.values[word], None)
        blocks = []
        for source in self.sources:
            if not isinstance(source, PretrainedVectors):
                blocks.append(_normalize(source.encode(texts)))
                continue
            index, vectors = source.look_up(tokens, fold_case=self._folds_case, oov=self.oov)
            known = np.flatnonzero(index >= 0)
            part = weighted if len(known) == len(index) else weighted[:, known]
            blocks.append(_normalize(part @ vectors[index[known]]))
        return blocks

    def _assemble(self, blocks: list[csr_array], pooled: list[NDArray[np.float32]]) -> Design:
        n_texts = len(pooled[0]) if pooled else blocks[0].shape[0]
        dense = []
        for block, mean in zip(pooled, self._means, strict=True):
            # A text without a known word stays at zero: nothing is known of it.
            centred = np.where(block.any(axis=1, keepdims=True), block - mean, 0)
            dense.append(_normalize(centred) * np.float32(self.strength / np.sqrt(len(pooled))))
        nothing = np.zeros((n_texts, 0), dtype=np.float32)
        sparse = hstack(blocks, format="csr") if blocks else csr_array(nothing)
        bounds = tuple(np.cumsum([0, *(block.shape[1] for block in blocks)]).tolist())
        return Design(sparse, np.concatenate([nothing, *dense], axis=1), bounds)


def _normalize(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one; zero stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    length[length == 0] = 1
    return np.asarray(rows / length, dtype=np.float32)


def _renumber(counts: csr_array, new: NDArray[np.int64], n_columns: int) -> csr_array:
    """Column ``i`` as column ``new[i]``: left out where that is negative, added where equal."""
    columns = new[counts.indices]
    known = columns >= 0
    data, pointer = counts.data[known], np.append(0, np.cumsum(known))[counts.indptr]
    size = max(len(data), n_columns)
    arrays = (data, as_index(columns[known], size), as_index(pointer, size))
    renumbered = csr_array(arrays, shape=(counts.shape[0], n_columns))
    renumbered.sum_duplicates()
    return renumbered


def _weigh(counts: csr_array, column: NDArray[np.float32], norm: float | None) -> csr_array:
    """``(1 + ln tf) * column``, each row scaled to length `norm` unless that is None; in place."""
    values = counts.data
    np.log(values, out=values)
    values += 1
    values *= column[counts.indices]
    if norm is not None:
        per_row = np.diff(counts.indptr)
        row = np.repeat(np.arange(len(per_row)), per_row)
        length = np.sqrt(np.bincount(row, weights=values**2, minlength=len(per_row)))
        scale = norm / np.where(length > 0, length, 1)
        values *= scale.astype(np.float32)[row]
    return counts
