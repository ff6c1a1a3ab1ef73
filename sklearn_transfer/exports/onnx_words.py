"""Bags of words and n-grams as ONNX graphs; the words of a graph and their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .._utils.objects.memo import register_memo
from ..text.bag.bag_features import BagFeatures
from ..text.tokenization.patterns import describe_pattern
from ..text.tokenization.tokens import Tokenization
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.vocabulary import Vocabulary, to_offsets
from .onnx_graph import Graph, add_centred
from .onnx_heads import Head, LinearHead

Vectors = Literal["all", "used"]


class Vocabularies(NamedTuple):
    """The words of the training texts, and those that only the tables have."""

    learned: list[str]
    others: Vocabulary

    @classmethod
    def of(cls, features: Any, tables: Sequence[PretrainedVectors]) -> Vocabularies:
        """The words of features and tables, kept for as long as the features."""
        kept = _kept.get(features)
        if kept is None or len(kept.learned) != features.n_words:
            kept = _kept[features] = cls._list(list(features.vocabulary), tables)
        return kept

    @classmethod
    def _list(cls, learned: list[str], tables: Sequence[PretrainedVectors]) -> Vocabularies:
        known = set(learned)
        others: dict[str, None] = {}
        for table in tables:
            others |= dict.fromkeys(word for word in table.words if word not in known)
        return cls(learned, Vocabulary(list(others)))

    def __len__(self) -> int:
        return len(self.learned) + len(self.others)

    @property
    def words(self) -> list[str]:
        """All of them."""
        return [*self.learned, *self.others]

    def without_others(self) -> Vocabularies:
        """The words of the training texts alone."""
        return Vocabularies(self.learned, Vocabulary([]))

    def complete(
        self, tokens: Sequence[str], ids: NDArray[np.int64], first: int
    ) -> NDArray[np.int64]:
        """Give tokens without an id that of another word, from `first` on; -1 if it is none."""
        missing = np.flatnonzero(ids < 0)
        found = self.others.find([tokens[i] for i in missing.tolist()])
        completed = ids.copy()
        completed[missing] = np.where(found >= 0, found + first, -1)
        return completed


_kept: WeakKeyDictionary[Any, Vocabularies] = WeakKeyDictionary()
register_memo(_kept.clear)


class BagOfTokens:
    """A linear model, or a head with hidden layers, on a bag of tokens.

    Ids are those of the words of the training texts, of the columns of word and character n-grams,
    and of the words that only the tables have.

    Parameters
    ----------
    features, head, vectors : BagFeatures, Head, {"all", "used"}
    """

    def __init__(self, features: BagFeatures, head: Head, vectors: Vectors) -> None:
        check_spelling(features.tokenization, features.tables, features.oov)
        self.features, self.head, self.columns = features, head, features.columns
        words = Vocabularies.of(features, features.tables)
        self.words = words if vectors == "all" else words.without_others()
        # Columns of words come first, and have the ids of the words.
        n_words, n_columns = len(words.learned), features.n_columns[0]
        has_word_columns = self.columns is not None and self.columns.ngram_range[0] == 1
        self._n_word_columns = n_words if has_word_columns else 0
        self._shift = n_words - self._n_word_columns  # from columns to ids
        self._n_own = self._shift + n_columns

    def inputs(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The ids of the words and n-grams of each text, repeated as they occur."""
        features = self.features
        tokens, token_ids = features.tokenization.split(texts, features.tables)
        word = features.find_words(tokens)
        ids = token_ids.translate(self.words.complete(tokens, word, self._n_own))
        parts = [(ids.text_index, ids.ids.astype(np.int64))]
        if self.columns is not None:
            for text, column in self.columns.list_occurrences(tokens, word, token_ids):
                is_other = column >= self._n_word_columns
                parts.append((text[is_other], column[is_other] + self._shift))
        return join_ragged(parts, len(texts))

    def start(self) -> Graph:
        """An empty graph."""
        return Graph()

    def add_logits(self, graph: Graph) -> str:
        """Add the graph up to the logits."""
        bag = Bag.add(graph, self._n_own + len(self.words.others))
        logits = self.head.add(graph, self._add_dense(graph, bag))
        if self.columns is not None and isinstance(self.head, LinearHead):
            sparse = self._add_sparse(graph, bag, self.head.token_weights)
            logits = graph.add("Add", logits, sparse)
        return graph.add("Slice", logits, [0], [-1], [0])

    def metadata(self) -> dict[str, Any]:
        """Entries that a program needs to find the ids of a text."""
        features, columns = self.features, self.columns
        names: list[str] = []
        n_word_ngrams = 0
        if columns is not None:
            learned, n_columns = self.words.learned, features.n_columns[0]
            names = [columns.name(i, learned) for i in range(self._n_word_columns, n_columns)]
            n_word_ngrams = columns.n_word_columns - self._n_word_columns
        return {
            **describe_tokenization(features.tokenization, features.tables),
            "ngram_range": None if columns is None else columns.ngram_range,
            "char_ngram_range": None if columns is None else columns.char_lengths,
            "words": self.words.learned,
            "word_ngrams": names[:n_word_ngrams],
            "character_ngrams": names[n_word_ngrams:],
            "other_words": list(self.words.others),
        }

    def _add_dense(self, graph: Graph, bag: Bag) -> str:
        features, n_learned = self.features, len(self.words.learned)
        if not features.tables:
            return graph.filled(graph.add("Concat", bag.n_rows, [0], axis=0), 0.0)
        weights = np.full(len(self.words), features.term_weights[-1], dtype=np.float32)
        weights[:n_learned] = features.term_weights[:-1]
        is_learned = graph.add("Less", bag.ids, n_learned)
        is_other = graph.add("Not", graph.add("Less", bag.ids, self._n_own))
        ids, row, count = bag.select(graph, graph.add("Or", is_learned, is_other))
        shifted = graph.add("Sub", ids, self._n_own - n_learned)
        word = graph.add("Where", graph.add("Less", ids, n_learned), ids, shifted)
        value = graph.add("Mul", count, graph.add("Gather", weights, word))
        words, blocks = self.words.words, []
        for table, block in zip(features.tables, features.blocks, strict=True):
            vectors = graph.add("Gather", look_up(table, words), word)
            weighted = graph.add("Mul", vectors, graph.add("Unsqueeze", value, [1]))
            total = bag.add_sums(graph, weighted, row, table.dim)
            blocks.append(add_centred(graph, total, block.mean, block.scale))
        return blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)

    def _add_sparse(self, graph: Graph, bag: Bag, token_weights: NDArray[np.float32]) -> str:
        columns: Any = self.columns
        is_column = graph.add("Less", bag.ids, self._n_own)
        if self._shift:
            is_word = graph.add("Less", bag.ids, self._shift)
            is_column = graph.add("And", is_column, graph.add("Not", is_word))
        ids, row, frequency = bag.select(graph, is_column)
        column = graph.add("Sub", ids, self._shift)
        value = graph.add("Mul", frequency, graph.add("Gather", columns.weights, column))
        # The values of each text and block are scaled to the norm of the block.
        n_blocks = len(columns.norms)
        ends = np.array(columns.bounds[1:-1], dtype=np.int64)
        after = graph.add("Not", graph.add("Less", graph.add("Unsqueeze", column, [1]), ends[None]))
        block = graph.add("ReduceSum", graph.cast(after, np.int64), [1], keepdims=0)
        cell = graph.add("Add", graph.add("Mul", row, n_blocks), block)
        size = graph.add("Mul", bag.n_rows, n_blocks)
        square = graph.add("Unsqueeze", graph.add("Mul", value, value), [1])
        total = graph.add("Squeeze", add_exact_sums(graph, square, cell, size, 1), [1])
        length = graph.add("Sqrt", graph.add("Gather", total, cell))
        length = graph.add("Where", graph.add("Equal", length, 0.0), 1.0, length)
        norm = graph.add("Gather", columns.norms.astype(np.float32), block)
        value = graph.add("Div", graph.add("Mul", value, norm), length)
        weights = graph.add("Gather", token_weights, column)
        weighted = graph.add("Mul", weights, graph.add("Unsqueeze", value, [1]))
        return bag.add_sums(graph, weighted, row, token_weights.shape[1])


class Bag(NamedTuple):
    """Names of the distinct pairs of a row and an id, and of how often each occurs.

    There is a row for each text, and a last one, with the id 0, so that nothing is empty.
    """

    ids: str
    rows: str
    frequency: str  # 1 + ln(count)
    n_rows: str  # shape (1,)

    @classmethod
    def add(cls, graph: Graph, n_ids: int) -> Bag:
        """Add the inputs `ids` and `offsets`, and count."""
        ids, row, n_rows = add_ragged(graph, n_ids)
        key = graph.add("Add", graph.add("Mul", row, n_ids), ids)
        distinct, _, _, count = graph.add_all("Unique", key, n_outputs=4, sorted=1)
        rows = graph.add("Div", distinct, n_ids)
        own = graph.add("Sub", distinct, graph.add("Mul", rows, n_ids))
        frequency = graph.add("Add", graph.add("Log", graph.cast(count, np.float32)), 1.0)
        return cls(own, rows, frequency, n_rows)

    def select(self, graph: Graph, mask: str) -> tuple[str, str, str]:
        """The ids, rows and frequencies of some pairs."""
        ids, rows, frequency = (
            graph.add("Compress", value, mask, axis=0)
            for value in (self.ids, self.rows, self.frequency)
        )
        return ids, rows, frequency

    def add_sums(self, graph: Graph, values: str, row: str, width: int) -> str:
        """The sum of the values of each row, shape (n_rows, width)."""
        return add_exact_sums(graph, values, row, self.n_rows, width)


def add_exact_sums(graph: Graph, values: str, row: str, n_rows: str, width: int) -> str:
    """As `add_sums`, in float64."""
    exact = graph.cast(values, np.float64)
    return graph.cast(add_sums(graph, exact, row, n_rows, width, np.float64), np.float32)


def add_sums(  # noqa: PLR0913 (an operator)
    graph: Graph,
    values: str,
    row: str,
    n_rows: str,
    width: int,
    dtype: type[np.floating] = np.float32,
) -> str:
    """The sum of values, shape (n, width), by row, in their order."""
    shape = graph.add("Concat", n_rows, [width], axis=0)
    zeros = graph.cast(graph.filled(shape, 0.0), dtype)
    place = graph.add("Unsqueeze", row, [1])
    return graph.add("ScatterND", zeros, place, values, reduction="add")


def add_ragged(graph: Graph, n_ids: int) -> tuple[str, str, str]:
    """Add the inputs; return ids, rows and the number of rows, of which the last has the id 0."""
    ids, offsets = graph.input("ids", ["n_ids"]), graph.input("offsets", ["n_offsets"])
    n_given, n_rows = graph.add("Shape", ids), graph.add("Shape", offsets)
    inner = graph.add("Slice", offsets, [1], [-1], [0])
    ones = graph.filled(graph.add("Shape", inner), 1)
    zeros = graph.filled(graph.add("Add", n_given, 1), 0)
    begins = graph.add("ScatterElements", zeros, inner, ones, axis=0, reduction="add")
    rows = graph.add("Slice", graph.add("CumSum", begins, 0), [0], [-1], [0])
    rows = graph.add("Add", rows, _add_check(graph, offsets, n_given))
    is_known = add_is_known(graph, ids, n_ids)  # other ids are unknown words, without effect
    ids, rows = (graph.add("Compress", value, is_known, axis=0) for value in (ids, rows))
    rows = graph.add("Concat", rows, graph.add("Sub", n_rows, 1), axis=0)
    return graph.add("Concat", ids, [0], axis=0), rows, n_rows


def add_is_known(graph: Graph, ids: str, n_ids: int) -> str:
    """True for ids in ``range(n_ids)``."""
    is_negative = graph.add("Less", ids, 0)
    return graph.add("And", graph.add("Less", ids, n_ids), graph.add("Not", is_negative))


def _add_check(graph: Graph, offsets: str, n_ids: str) -> str:
    """0, or an error of the runtime unless offsets ascend from 0 to the number of ids."""
    last = np.iinfo(np.int64).max
    first, final = (graph.add("Slice", offsets, [a], [b]) for a, b in ((0, 1), (-1, last)))
    wrong = graph.add(
        "Sub", graph.add("Concat", first, final, axis=0), graph.add("Concat", [0], n_ids, axis=0)
    )
    later, earlier = (graph.add("Slice", offsets, [a], [b]) for a, b in ((1, last), (0, -1)))
    steps = graph.add("Concat", [0], graph.add("Sub", later, earlier), axis=0)
    descent = graph.add("ReduceMin", steps, keepdims=0)
    distance = graph.add("ReduceSum", graph.add("Abs", wrong), keepdims=0)
    # An index that is not 0 does not exist; runtimes name the node.
    index = graph.add("Sub", distance, descent)
    return graph.add("Gather", [0], index, name="offsets_ascend_from_0_to_the_number_of_ids")


def check_spelling(
    tokenization: Tokenization, tables: Sequence[PretrainedVectors], oov: str
) -> None:
    """Refuse what a table of words and ids cannot say."""
    if tokenization.folds_case(tables):
        raise ValueError(
            "Expected lowercase=True or False with cased vectors, got 'auto': a word would have "
            "two spellings and one id. Fit with lowercase=False or True."
        )
    if oov != "ignore" and tables:
        raise ValueError(
            f"Expected oov='ignore', got {oov!r}: the vectors of unknown words are computed from "
            f"their spelling, which a graph does not see. Fit with oov='ignore'."
        )


def look_up(table: PretrainedVectors, words: list[str]) -> NDArray[np.float32]:
    """The vectors of words, zero for those without, float32 of shape (n_words, dim)."""
    index, vectors = table.look_up(words)
    zeros = np.zeros((1, table.dim), dtype=np.float32)
    return np.concatenate([vectors, zeros])[index]


def describe_tokenization(
    tokenization: Tokenization, tables: Sequence[PretrainedVectors]
) -> dict[str, Any]:
    """The rule that splits texts, where a pattern says it."""
    is_pattern = tokenization.tokenizer is None and tokenization.table_tokenizer(tables) is None
    lowercase = tokenization.lowers_case(tables)
    described = describe_pattern(tokenization.token_pattern) if is_pattern else {}
    return {**described, "lowercase": lowercase, "max_tokens": tokenization.max_tokens}


def join_ragged(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], n_texts: int
) -> dict[str, NDArray[np.int64]]:
    """Ids and offsets of pairs of a text and an id."""
    text, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(text, kind="stable")
    lengths = np.bincount(text, minlength=n_texts)
    return {"ids": ids[order], "offsets": to_offsets(lengths)}
