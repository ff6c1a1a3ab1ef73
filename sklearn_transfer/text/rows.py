"""Texts as rows of a trainable table: the pretrained vectors of the words that occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .._utils.compact import open_state, pack_state
from .._utils.objects.state import State
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.lookup import OutOfVocabulary
from ..vectors.table.vocabulary import Vocabulary
from .ngrams import count_tokens
from .tokenization.coverage import (
    find_used,
    has_vector,
    learn_tokenization,
    measure_coverage,
    relearn_tokenization,
)
from .tokenization.places import PlacedTokens, place_tokens
from .tokenization.token_ids import TokenIds
from .tokenization.tokens import Tokenization
from .tokenization.units import UnitName, find_unit, read_unit
from .weights import Weighting, learn_term_weights


@dataclass(frozen=True)
class Bags:
    """Texts as weighted rows of a table.

    Attributes
    ----------
    token_ids : TokenIds, length n_texts
        Row numbers; numbers from the length of the table on are rows of `extra`.
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

    @property
    def lengths(self) -> None:
        """None: texts are not padded, so that batches may mix lengths."""
        return None

    def drop_tokens(self, share: float, generator: np.random.Generator) -> Bags:
        """Leave out each token with probability `share`."""
        token_ids = self.token_ids.thin(1 - share, generator)
        return Bags(token_ids, self.weights, self.extra)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Keyword arguments of a text encoder.

        Returns
        -------
        dict
            ``tokens``, int64, the distinct rows of the table; ``extra``, float32, the vectors of
            the other distinct words; ``ids``, int64 of shape (n_tokens,), positions among both;
            ``offsets``, int64 of shape (n_texts + 1,); ``weights``, float32 of shape (n_tokens,).
        """
        positions, rows = self.token_ids.distinct(len(self.weights))
        n_rows = len(self.weights) - len(self.extra)
        n_inside = np.searchsorted(rows, n_rows)  # distinct rows are sorted
        return {
            "tokens": rows[:n_inside],
            "extra": self.extra[rows[n_inside:] - n_rows],
            "ids": positions.ids.astype(np.int64),
            "offsets": positions.offsets,
            "weights": self.weights[self.token_ids.ids],
        }


class ComparedRows(NamedTuple):
    """Words, and their vectors before and after training, float32 of shape (n_words, dim)."""

    words: Sequence[str]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


class WordRows:
    """A trainable table with one row per word of the training texts.

    Parameters
    ----------
    sources : sequence of PretrainedVectors
        Their vectors of a word are concatenated.
    tokenization : Tokenization
    weighting : {"idf", "sif"} or None
        Weight of a word, learned from the first texts.
    oov : {"ignore", "subword", "hash"}
        Initial row of a word without a pretrained vector: zero, the mean of its n-grams, or a
        random vector. With "ignore", such a word outside the training texts is left out.

    Attributes
    ----------
    vocabulary : Vocabulary, length n_rows
    rows : ndarray of float32, shape (n_rows, dim)
        Initial rows of the words of the first texts, until :meth:`release_rows`.
    coverage : float
        Share of the tokens of the first texts that have a pretrained vector.
    token_unit : {"word", "character"}
        The unit that most tokens of the first texts are.
    dim : int
    """

    input_kinds: ClassVar[tuple[str, ...]] = ("words",)

    def __init__(
        self,
        sources: Sequence[PretrainedVectors],
        tokenization: Tokenization,
        *,
        weighting: Weighting = None,
        oov: OutOfVocabulary = "ignore",
    ) -> None:
        self.sources, self.tokenization = tuple(sources), tokenization
        self.weighting, self.oov = weighting, oov
        self.token_unit: UnitName | None = None
        self.vocabulary = Vocabulary([])
        self.dim = sum(source.dim for source in self.sources)

    def fit_transform(
        self,
        texts: Sequence[str],
        membership: csr_array | None,  # noqa: ARG002 (the protocol of inputs)
        sample_weight: NDArray[np.floating],
    ) -> Bags:
        """Learn the words of the first texts, and set `rows`; `membership` is ignored."""
        self.tokenization = learn_tokenization(texts, self.tokenization, self.sources)
        tokens, token_ids = self.tokenization.split(texts, self.sources)
        self.token_unit = find_unit(tokens, token_ids).name
        counts = count_tokens(token_ids, len(tokens))
        self._term_weights = learn_term_weights(self.weighting, token_ids, counts, sample_weight)
        covered = has_vector(tokens, self.sources, fold_case=self._folds_case)
        self.coverage = measure_coverage(tokens, token_ids, covered, self.oov)
        self.rows = self._extend(tokens)
        self._weighted_tokens = self.vocabulary
        return self.transform(texts)

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file; the network has the rows."""
        return {
            "sources": self.sources,
            "tokenization": self.tokenization,
            "weighting": self.weighting,
            "oov": self.oov,
            "vocabulary": self.vocabulary,
            "weighted_tokens": self._weighted_tokens,
            "term_weights": self._term_weights,
            "coverage": self.coverage,
            "token_unit": self.token_unit,
        }

    @classmethod
    def from_state(cls, state: State) -> WordRows:
        """The words of these entries, with rows of zeros."""
        made = cls(
            state.items("sources", PretrainedVectors),
            state.of("tokenization", Tokenization),
            weighting=state.choice("weighting", "idf", "sif", None),
            oov=state.choice("oov", "ignore", "subword", "hash"),
        )
        made.vocabulary = state.of("vocabulary", Vocabulary)
        made._weighted_tokens = state.of("weighted_tokens", Vocabulary)
        n_weights = len(made._weighted_tokens) + 1
        made._term_weights = state.array("term_weights", "float32", n_weights)
        made.coverage = state.number("coverage")
        made.token_unit = read_unit(state)
        made.rows = np.zeros((len(made.vocabulary), made.dim), dtype=np.float32)
        return made

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them."""
        words = list(self.vocabulary)
        return find_used(words, vectors, self.tokenization, self.sources, self.oov)

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "_term_weights")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "_term_weights")

    def release_rows(self) -> NDArray[np.float32]:
        """Return the initial rows and forget them: the model has its own table."""
        rows = self.rows
        del self.rows
        return rows

    def word_weights(self) -> NDArray[np.float32]:
        """The weight of each word of the vocabulary, shape (n_rows,)."""
        if self.weighting is None:
            return np.ones(len(self.vocabulary), dtype=np.float32)
        token = self._weighted_tokens.find(list(self.vocabulary), fold_case=self._folds_case)
        return np.asarray(self._term_weights[token], dtype=np.float32)

    @property
    def n_words(self) -> int:
        """The number of words of the vocabulary."""
        return len(self.vocabulary)

    @property
    def unseen_weight(self) -> float:
        """The weight of a word outside the training texts."""
        return 1.0 if self.weighting is None else float(self._term_weights[-1])

    def extend(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Add rows for the words of more texts; return the initial rows, shape (n_new, dim)."""
        # The first texts in a script without spaces may come late; other words stay as they are.
        self.tokenization = relearn_tokenization(
            texts, self.tokenization, self.sources, self.vocabulary
        )
        tokens, _ = self.tokenization.split(texts, self.sources)
        return self._extend(tokens)

    def initial_rows(self, words: list[str]) -> NDArray[np.float32]:
        """The rows of words before training, shape (n_words, dim); zero without a vector."""
        return self._vectors(words)[0]

    def transform(self, texts: Sequence[str]) -> Bags:
        """Transform texts to row numbers."""
        return self.transform_tokens(texts, *self.tokenization.split(texts, self.sources))

    def place(self, texts: Sequence[str]) -> PlacedTokens:
        """The tokens of texts, and their places."""
        return place_tokens(texts, self.tokenization, self.sources)

    def transform_tokens(
        self,
        texts: Sequence[str],  # noqa: ARG002 (the protocol of explanations)
        tokens: list[str],
        token_ids: TokenIds,
    ) -> Bags:
        """Transform texts whose tokens are given, `token_ids` as positions in `tokens`."""
        row, weights, extra = self._find_rows(tokens)
        return Bags(token_ids.translate(row), weights, extra)

    def has_row(self, tokens: list[str]) -> NDArray[np.bool_]:
        """Mark the tokens that are not left out, shape (n_tokens,)."""
        has_row: NDArray[np.bool_] = self._find_rows(tokens)[0] >= 0
        return has_row

    def _find_rows(
        self, tokens: list[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Row numbers of tokens, or -1; weights of all rows; and the rows behind the table."""
        row = self.vocabulary.find(tokens, fold_case=self._folds_case)
        unseen = np.flatnonzero(row < 0)
        vectors, covered = self._vectors([tokens[i] for i in unseen.tolist()])
        extra = vectors[covered]
        row[unseen[covered]] = len(self.vocabulary) + np.arange(len(extra))
        weights = np.ones(len(self.vocabulary) + len(extra), dtype=np.float32)
        if self.weighting is not None:
            has_row = row >= 0
            token = self._weighted_tokens.find(tokens, fold_case=self._folds_case)
            weights[row[has_row]] = self._term_weights[token[has_row]]
        return row, weights, extra

    @property
    def _folds_case(self) -> bool:
        return self.tokenization.folds_case(self.sources)

    def _extend(self, tokens: list[str]) -> NDArray[np.float32]:
        new = self.vocabulary.find(tokens) < 0
        words = [token for token, is_new in zip(tokens, new.tolist(), strict=True) if is_new]
        self.vocabulary = Vocabulary([*self.vocabulary, *words])
        return self._vectors(words)[0]

    def _vectors(self, words: list[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Pretrained vectors, shape (n, dim), and a mask of the words that have one, shape (n,)."""
        vectors = np.zeros((len(words), self.dim), dtype=np.float32)
        covered = np.zeros(len(words), dtype=bool)
        start = 0
        for source in self.sources:
            index, rows = source.look_up(words, fold_case=self._folds_case, oov=self.oov)
            has_row = index >= 0
            vectors[has_row, start : start + source.dim] = rows[index[has_row]]
            covered |= has_row
            start += source.dim
        return vectors, covered
