"""Models on words as ONNX graphs: bags of tokens, and sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..text.bag_features import BagFeatures
from ..text.rows import WordRows
from ..text.tokens import Tokenization
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.vocabulary import Vocabulary, to_offsets
from .onnx_graph import Graph, add_centred, add_linear
from .onnx_heads import Head, LinearHead

Vectors = Literal["all", "used"]


class Vocabularies(NamedTuple):
    """The words of the training texts, and those that only the tables have; ids go on."""

    learned: list[str]
    others: Vocabulary

    @classmethod
    def of(
        cls, learned: list[str], tables: Sequence[PretrainedVectors], vectors: Vectors
    ) -> Vocabularies:
        """All words of the tables, or with "used" none beside the learned ones."""
        known = set(learned)
        others: dict[str, None] = {}
        if vectors == "all":
            for table in tables:
                others |= dict.fromkeys(word for word in table.words if word not in known)
        return cls(learned, Vocabulary(list(others)))

    def __len__(self) -> int:
        return len(self.learned) + len(self.others)

    @property
    def words(self) -> list[str]:
        """All of them."""
        return [*self.learned, *self.others]

    def complete(self, tokens: Sequence[str], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the tokens without an id those of the other words; -1 remains for unknown ones."""
        missing = np.flatnonzero(ids < 0)
        found = self.others.find([tokens[i] for i in missing.tolist()])
        completed = ids.copy()
        completed[missing] = np.where(found >= 0, found + len(self.learned), -1)
        return completed


class BagOfTokens:
    """A linear model, or a head with hidden layers, on a bag of tokens.

    Ids are those of the words, in the order of `Vocabularies`, then of the columns of word and
    character n-grams.

    Parameters
    ----------
    features, head, vectors : BagFeatures, Head, {"all", "used"}
    """

    def __init__(self, features: BagFeatures, head: Head, vectors: Vectors) -> None:
        check_spelling(features.tokenization, features.tables, features.oov)
        self.features, self.head = features, head
        self.words = Vocabularies.of(list(features.vocabulary), features.tables, vectors)
        self.columns = features.columns
        first = 0 if self.columns is None else self.columns.ngram_range[0]
        # Columns of words come first, and have the ids of the words.
        self._n_word_columns = len(self.words.learned) if first == 1 else 0

    def inputs(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The ids of the words and n-grams of each text, repeated as they occur."""
        features = self.features
        tokens, token_ids = features.tokenization.split(texts, features.tables)
        word = features.find_words(tokens)
        ids = token_ids.translate(self.words.complete(tokens, word))
        parts = [(ids.text_index, ids.ids.astype(np.int64))]
        if self.columns is not None:
            shift = len(self.words) - self._n_word_columns
            found = self.columns.list_occurrences(tokens, word, token_ids)
            for text, column in found:
                is_other = column >= self._n_word_columns
                parts.append((text[is_other], column[is_other] + shift))
        return join_ragged(parts, len(texts))

    def start(self) -> Graph:
        """An empty graph."""
        return Graph()

    def add_logits(self, graph: Graph) -> str:
        """Add the graph up to the logits."""
        n_columns = self.features.n_columns[0]
        n_ids = len(self.words) + n_columns - (self._n_word_columns if self.columns else 0)
        bag = Bag.add(graph, n_ids)
        logits = self.head.add(graph, self._add_dense(graph, bag))
        if self.columns is not None and isinstance(self.head, LinearHead):
            sparse = self._add_sparse(graph, bag, self.head.token_weights)
            logits = graph.add("Add", logits, sparse)
        return graph.add("Slice", logits, [0], [-1], [0])

    def metadata(self) -> dict[str, Any]:
        """What a program needs to find the ids of a text."""
        features, columns = self.features, self.columns
        names: list[str] = []
        if columns is not None:
            learned, n_columns = self.words.learned, features.n_columns[0]
            names = [columns.name(i, learned) for i in range(self._n_word_columns, n_columns)]
        n_ngrams = 0 if columns is None else columns.n_word_columns - self._n_word_columns
        return {
            **describe_tokenization(features.tokenization, features.tables),
            "words": self.words.words,
            "word_ngrams": names[:n_ngrams],
            "character_ngrams": names[n_ngrams:],
        }

    def _add_dense(self, graph: Graph, bag: Bag) -> str:
        features, n_words = self.features, len(self.words)
        if not features.tables:
            return graph.filled(graph.add("Concat", bag.n_rows, [0], axis=0), 0.0)
        weights = np.full(n_words, features.term_weights[-1], dtype=np.float32)
        weights[: len(self.words.learned)] = features.term_weights[:-1]
        is_word = graph.add("Less", bag.ids, n_words)
        word, row = (graph.add("Compress", value, is_word, axis=0) for value in (bag.ids, bag.rows))
        count = graph.add("Compress", bag.frequency, is_word, axis=0)
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
        n_words, n_word_columns = len(self.words), self._n_word_columns
        is_ngram = graph.add("Not", graph.add("Less", bag.ids, n_words))
        is_column = graph.add("Or", is_ngram, graph.add("Less", bag.ids, n_word_columns))
        ids, row, frequency = (
            graph.add("Compress", value, is_column, axis=0)
            for value in (bag.ids, bag.rows, bag.frequency)
        )
        shifted = graph.add("Sub", ids, n_words - n_word_columns)
        column = graph.add("Where", graph.add("Less", ids, n_word_columns), ids, shifted)
        value = graph.add("Mul", frequency, graph.add("Gather", columns.weights, column))
        # The values of each text and block are scaled to the norm of the block.
        n_blocks = len(columns.norms)
        ends = np.array(columns.bounds[1:-1], dtype=np.int64)
        after = graph.add("Not", graph.add("Less", graph.add("Unsqueeze", column, [1]), ends[None]))
        block = graph.add("ReduceSum", graph.cast(after, np.int64), [1], keepdims=0)
        cell = graph.add("Add", graph.add("Mul", row, n_blocks), block)
        size = graph.add("Mul", bag.n_rows, n_blocks)
        zeros = graph.filled(size, 0.0)
        square = graph.add("Mul", value, value)
        total = graph.add("ScatterElements", zeros, cell, square, axis=0, reduction="add")
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
        ids, row, n_rows = add_ragged(graph)
        key = graph.add("Add", graph.add("Mul", row, n_ids), ids)
        distinct, _, _, count = graph.add_all("Unique", key, n_outputs=4, sorted=1)
        rows = graph.add("Div", distinct, n_ids)
        own = graph.add("Sub", distinct, graph.add("Mul", rows, n_ids))
        frequency = graph.add("Add", graph.add("Log", graph.cast(count, np.float32)), 1.0)
        return cls(own, rows, frequency, n_rows)

    def add_sums(self, graph: Graph, values: str, row: str, width: int) -> str:
        """The sum of the values of each row, shape (n_rows, width)."""
        return add_sums(graph, values, row, self.n_rows, width)


def add_sums(graph: Graph, values: str, row: str, n_rows: str, width: int) -> str:
    """The sum of values, shape (n, width), by row."""
    zeros = graph.filled(graph.add("Concat", n_rows, [width], axis=0), 0.0)
    place = graph.add("Unsqueeze", row, [1])
    return graph.add("ScatterND", zeros, place, values, reduction="add")


def add_ragged(graph: Graph) -> tuple[str, str, str]:
    """Add the inputs; return ids, rows and the number of rows, of which the last has the id 0."""
    ids, offsets = graph.input("ids", ["n_ids"]), graph.input("offsets", ["n_offsets"])
    n_ids, n_rows = graph.add("Shape", ids), graph.add("Shape", offsets)
    inner = graph.add("Slice", offsets, [1], [-1], [0])
    ones = graph.filled(graph.add("Shape", inner), 1)
    zeros = graph.filled(graph.add("Add", n_ids, 1), 0)
    begins = graph.add("ScatterElements", zeros, inner, ones, axis=0, reduction="add")
    rows = graph.add("Slice", graph.add("CumSum", begins, 0), [0], [-1], [0])
    rows = graph.add("Concat", rows, graph.add("Sub", n_rows, 1), axis=0)
    return graph.add("Concat", ids, [0], axis=0), rows, n_rows


class SequenceOfTokens:
    """A network that reads the vectors of the words of a text.

    Parameters
    ----------
    features, encoder, head, vectors : WordRows, TextEncoder, Head, {"all", "used"}
    """

    def __init__(self, features: WordRows, encoder: Any, head: Head, vectors: Vectors) -> None:
        check_spelling(features.tokenization, features.sources, features.oov)
        self.features, self.encoder, self.head = features, encoder, head
        self.reader = type(encoder.reader).__name__
        if self.reader not in ("MeanReader", "AttentionReader", *_READERS):
            raise ValueError(
                "Expected an encoder given by its name ('mean', 'attention', 'cnn' or 'rnn'), got "
                "a module of your own. Export it by torch.onnx.export; model.module_ holds it."
            )
        self.words = Vocabularies.of(list(features.vocabulary), features.sources, vectors)

    def inputs(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The ids of the words of each text; padded with -1 for the readers of sequences."""
        features = self.features
        tokens, token_ids = features.tokenization.split(texts, features.sources)
        found = self.words.complete(tokens, features.vocabulary.find(tokens))
        ids = token_ids.translate(found)
        if self.reader not in _READERS:
            return {"ids": ids.ids.astype(np.int64), "offsets": ids.offsets}
        longest = max(int(ids.lengths.max(initial=0)), 1)
        padded = np.full((len(ids), longest), -1, dtype=np.int64)
        padded[np.arange(longest) < ids.lengths[:, None]] = ids.ids
        return {"ids": padded}

    def start(self) -> Graph:
        """An empty graph."""
        return Graph()

    def add_logits(self, graph: Graph) -> str:
        """Add the graph up to the logits."""
        vectors = self._vectors()
        if self.reader in _READERS:
            return self.head.add(graph, _add_padded(graph, self.encoder.reader, vectors))
        ids, row, n_rows = add_ragged(graph)
        own = graph.add("Gather", vectors, ids)
        weight = graph.add("Gather", self._weights(), ids)
        if self.reader == "AttentionReader":
            share = _add_attention(graph, self.encoder.reader, (own, weight, row, n_rows))
        else:
            zeros, ones = graph.filled(n_rows, 0.0), graph.filled(graph.add("Shape", ids), 1.0)
            count = graph.add("ScatterElements", zeros, row, ones, axis=0, reduction="add")
            share = graph.add("Div", weight, graph.add("Gather", count, row))
        weighted = graph.add("Mul", own, graph.add("Unsqueeze", share, [1]))
        encoded = add_sums(graph, weighted, row, n_rows, vectors.shape[1])
        return self.head.add(graph, graph.add("Slice", encoded, [0], [-1], [0]))

    def metadata(self) -> dict[str, Any]:
        """What a program needs to find the ids of a text."""
        tokenization = describe_tokenization(self.features.tokenization, self.features.sources)
        return {**tokenization, "words": self.words.words}

    def _vectors(self) -> NDArray[np.float32]:
        encoder = self.encoder
        rows = encoder.rows.detach().cpu().numpy()
        words = list(self.words.others)
        others = np.concatenate([look_up(table, words) for table in self.features.sources], axis=1)
        if encoder.multichannel:
            rows, others = rows + encoder.start.detach().cpu().numpy(), 2 * others
        return np.concatenate([rows, others]).astype(np.float32)

    def _weights(self) -> NDArray[np.float32]:
        learned = self.features.word_weights()
        unseen = self.features.unseen_weight
        return np.append(learned, np.full(len(self.words.others), unseen, dtype=np.float32))


def _add_attention(graph: Graph, reader: Any, tokens: tuple[str, str, str, str]) -> str:
    """The share of each token in its text."""
    vectors, weight, row, n_rows = tokens
    hidden = graph.add("Tanh", add_linear(graph, vectors, *_linear(reader.hidden)))
    score = graph.add("MatMul", hidden, reader.score.weight.detach().cpu().numpy().T)
    score = graph.add("Squeeze", score, [1])
    lowest = graph.filled(n_rows, -np.inf)
    highest = graph.add("ScatterElements", lowest, row, score, axis=0, reduction="max")
    part = graph.add("Exp", graph.add("Sub", score, graph.add("Gather", highest, row)))
    part = graph.add("Mul", part, weight)
    zeros = graph.filled(n_rows, 0.0)
    total = graph.add("ScatterElements", zeros, row, part, axis=0, reduction="add")
    total = graph.add("Max", total, 1e-12)
    return graph.add("Div", part, graph.add("Gather", total, row))


def _add_padded(graph: Graph, reader: Any, vectors: NDArray[np.float32]) -> str:
    """Read sequences that are padded with -1; zero for a text without tokens."""
    ids = graph.input("ids", ["n_texts", "length"])
    inside = graph.add("Not", graph.add("Less", ids, 0))
    length = graph.add("ReduceSum", graph.cast(inside, np.int64), [1], keepdims=0)
    own = graph.add("Gather", vectors, graph.add("Max", ids, 0))
    own = graph.add("Where", graph.add("Unsqueeze", inside, [2]), own, 0.0)
    encoded = _READERS[type(reader).__name__](graph, reader, own, length)
    has_tokens = graph.add("Unsqueeze", graph.add("Greater", length, 0), [1])
    return graph.add("Where", has_tokens, encoded, 0.0)


def _add_convolution(graph: Graph, reader: Any, vectors: str, length: str) -> str:
    channels = graph.add("Transpose", vectors, perm=[0, 2, 1])
    filters = reader.filters.detach().cpu().numpy()
    maxima, place = [], 0
    for width in reader.widths:
        weight = filters[:, place : place + width].transpose(2, 0, 1)
        place += width
        sums = graph.add("Conv", channels, weight, pads=[width - 1, width - 1])
        maxima.append(_add_maxima(graph, sums, graph.add("Add", length, width - 1)))
    joined = graph.add("Concat", *maxima, axis=1)
    bias = reader.bias.detach().cpu().numpy()
    return graph.add("Relu", graph.add("Add", joined, bias))


def _add_maxima(graph: Graph, values: str, length: str) -> str:
    """The maximum over the last axis, up to the length of each text."""
    n_places = graph.add("Gather", graph.add("Shape", values), 2)
    place = graph.add("Unsqueeze", graph.add("Range", 0, n_places, 1), [0])
    inside = graph.add("Less", place, graph.add("Unsqueeze", length, [1]))
    kept = graph.add("Where", graph.add("Unsqueeze", inside, [1]), values, -np.inf)
    return graph.add("ReduceMax", kept, [2], keepdims=0)


# The gates in the order of ONNX, by their positions in torch.
_GATES = {"GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}


def _add_recurrence(graph: Graph, reader: Any, vectors: str, length: str) -> str:
    network = reader.network
    cell = type(network).__name__
    options = {"linear_before_reset": 1} if cell == "GRU" else {}
    states = graph.add("Transpose", vectors, perm=[1, 0, 2])
    n_steps = graph.cast(graph.add("Max", length, 1), np.int32)
    for layer in range(network.num_layers):
        inputs, recurrent, bias = _recurrent_weights(network, cell, layer)
        whole = graph.add(
            cell,
            *(states, inputs, recurrent, bias, n_steps),
            direction="bidirectional",
            hidden_size=network.hidden_size,
            **options,
        )
        joined = graph.add("Transpose", whole, perm=[0, 2, 1, 3])
        states = graph.add("Reshape", joined, [0, 0, 2 * network.hidden_size])
    return _add_maxima(graph, graph.add("Transpose", states, perm=[1, 2, 0]), length)


def _recurrent_weights(
    network: Any, cell: str, layer: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The weights of both directions, with the gates in the order of ONNX."""

    def take(name: str) -> NDArray[np.float32]:
        directions = []
        for suffix in ("", "_reverse"):
            parameter: Any = getattr(network, f"{name}_l{layer}{suffix}")
            gates = np.split(parameter.detach().cpu().numpy(), len(_GATES[cell]))
            directions.append(np.concatenate([gates[i] for i in _GATES[cell]]))
        return np.stack(directions)

    biases = [take("bias_ih"), take("bias_hh")]
    return take("weight_ih"), take("weight_hh"), np.concatenate(biases, axis=1)


_READERS = {"ConvolutionReader": _add_convolution, "RecurrentReader": _add_recurrence}


def _linear(layer: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()


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
    """How texts are split, where a pattern says it."""
    is_pattern = tokenization.tokenizer is None and tokenization.table_tokenizer(tables) is None
    return {
        "token_pattern": tokenization.token_pattern if is_pattern else None,
        "lowercase": tokenization.lowers_case(tables),
        "max_tokens": tokenization.max_tokens,
    }


def join_ragged(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], n_texts: int
) -> dict[str, NDArray[np.int64]]:
    """Ids and offsets of pairs of a text and an id."""
    text, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(text, kind="stable")
    lengths = np.bincount(text, minlength=n_texts)
    return {"ids": ids[order], "offsets": to_offsets(lengths)}
