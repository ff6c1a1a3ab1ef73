"""Features of texts that pretrained models give without labels: pooled word vectors, encodings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.objects.state import State
from ..contextual.model import ContextualModel
from ..sources import Source, find_contextual, find_tables
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.lookup import OutOfVocabulary
from ..vectors.table.vocabulary import Vocabulary
from .ngrams import count_tokens
from .pooling import Pooling, check_poolings, common_components, pool, remove_components
from .tokenization.coverage import (
    find_used,
    has_vector,
    learn_tokenization,
    measure_coverage,
    measure_reading,
)
from .tokenization.token_ids import TokenIds
from .tokenization.tokens import Tokenization
from .tokenization.units import UnitName, find_unit, read_unit
from .weights import Weighting, learn_term_weights


class PooledFeatures:
    """Each text as the pooled vectors of its words, or as the encoding of a contextual model.

    Parameters
    ----------
    sources : sequence of PretrainedVectors and ContextualModel
        Their features are concatenated.
    tokenization : Tokenization
    poolings : sequence of {"mean", "sum", "max", "min"}
    weighting : {"idf", "sif"} or None
    n_components : int
        Number of common directions that are projected out.
    oov : {"ignore", "subword", "hash"}

    Attributes
    ----------
    coverage : float
        Share of the tokens of the training texts with a vector, or that contextual models read.
    token_unit : {"word", "character"} or None
        The unit that most tokens of the training texts are; None without tables of vectors.
    vocabulary : Vocabulary, length n_tokens
        The tokens of the training texts.
    term_weights : ndarray of float32, shape (n_tokens + 1,)
        See :func:`learn_term_weights`.
    components : ndarray of float32, shape (n_components, n_features)
    n_features : int
    """

    def __init__(  # noqa: PLR0913 (a constructor)
        self,
        sources: Sequence[Source],
        tokenization: Tokenization,
        *,
        poolings: Sequence[Pooling],
        weighting: Weighting,
        n_components: int,
        oov: OutOfVocabulary,
    ) -> None:
        self.sources, self.tokenization = tuple(sources), tokenization
        self.poolings, self.weighting, self.oov = tuple(poolings), weighting, oov
        self.n_components = n_components
        self.token_unit: UnitName | None = None
        self.tables = find_tables(self.sources)
        self.fold_case = tokenization.folds_case(self.tables)
        self.are_tokens = tokenization.table_tokenizer(self.tables) is not None
        self.n_features = sum(
            source.dim * (len(self.poolings) if isinstance(source, PretrainedVectors) else 1)
            for source in self.sources
        )

    def fit_transform(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Learn weights and components; return the features, shape (n_texts, n_features)."""
        if self.tables:
            self.tokenization = learn_tokenization(texts, self.tokenization, self.tables)
        tokens, token_ids = self._split(texts)
        if self.tables:
            self.token_unit = find_unit(tokens, token_ids).name
            covered = has_vector(
                tokens, self.tables, fold_case=self.fold_case, are_tokens=self.are_tokens
            )
            self.coverage = measure_coverage(tokens, token_ids, covered, self.oov)
        else:
            self.coverage = measure_reading(texts, find_contextual(self.sources))
        if self.weighting is not None:
            self.vocabulary = Vocabulary(tokens)
            counts, equal = count_tokens(token_ids, len(tokens)), np.ones(len(token_ids))
            self.term_weights = learn_term_weights(self.weighting, token_ids, counts, equal)
        pooled = self._pool(texts, tokens, token_ids)
        self.components = common_components(pooled, self.n_components)
        return self._remove_components(pooled)

    def transform(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The features of other texts, shape (n_texts, n_features)."""
        return self._remove_components(self._pool(texts, *self._split(texts)))

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        weighted = self.weighting is not None
        return {
            "sources": self.sources,
            "tokenization": self.tokenization,
            "poolings": self.poolings,
            "weighting": self.weighting,
            "n_components": self.n_components,
            "oov": self.oov,
            "coverage": self.coverage,
            "token_unit": self.token_unit,
            "components": self.components,
            "vocabulary": self.vocabulary if weighted else None,
            "term_weights": self.term_weights if weighted else None,
        }

    @classmethod
    def from_state(cls, state: State) -> PooledFeatures:
        """The features of these entries."""
        made = cls(
            state.items("sources", PretrainedVectors, ContextualModel),
            state.of("tokenization", Tokenization),
            poolings=check_poolings(tuple(state.items("poolings", str))),
            weighting=state.choice("weighting", "idf", "sif", None),
            n_components=state.integer("n_components"),
            oov=state.choice("oov", "ignore", "subword", "hash"),
        )
        made.coverage = state.number("coverage")
        made.token_unit = read_unit(state)
        made.components = state.array("components", "float32", None, made.n_features)
        if made.weighting is not None:
            made.vocabulary = state.of("vocabulary", Vocabulary)
            n_weights = len(made.vocabulary) + 1
            made.term_weights = state.array("term_weights", "float32", n_weights)
        return made

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them; with `weighting`."""
        words = list(self.vocabulary)
        return find_used(words, vectors, self.tokenization, self.tables, self.oov)

    def _split(self, texts: Sequence[str]) -> tuple[list[str], TokenIds]:
        return self.tokenization.split(texts if self.tables else [], self.tables)

    def _pool(
        self, texts: Sequence[str], tokens: list[str], token_ids: TokenIds
    ) -> NDArray[np.float32]:
        blocks = []
        for source in self.sources:
            if not isinstance(source, PretrainedVectors):
                blocks.append(source.encode(texts))
                continue
            index, vectors = source.look_up(
                tokens, oov=self.oov, fold_case=self.fold_case, are_tokens=self.are_tokens
            )
            weights = None
            if self.weighting is not None:
                has_row = index >= 0
                weights = np.empty(len(vectors), dtype=np.float32)
                token = self.vocabulary.find(tokens, fold_case=self.fold_case)
                weights[index[has_row]] = self.term_weights[token[has_row]]
            blocks.append(pool(token_ids.translate(index), vectors, self.poolings, weights))
        return np.concatenate(blocks, axis=1)

    def _remove_components(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        return remove_components(pooled, self.components) if len(self.components) else pooled
