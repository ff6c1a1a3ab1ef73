"""Networks that read sequences of words, as ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..text.rows import WordRows
from .onnx_graph import Graph, add_linear
from .onnx_heads import Head
from .onnx_words import (
    Vectors,
    Vocabularies,
    add_is_known,
    add_ragged,
    add_sums,
    check_spelling,
    describe_tokenization,
    look_up,
)


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
        words = Vocabularies.of(features, features.sources)
        self.words = words if vectors == "all" else words.without_others()

    def inputs(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The ids of the words of each text; padded with -1 for the readers of sequences."""
        features = self.features
        tokens, token_ids = features.tokenization.split(texts, features.sources)
        found = self.words.complete(tokens, features.vocabulary.find(tokens), features.n_words)
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
        ids, row, n_rows = add_ragged(graph, len(vectors))
        own = graph.add("Gather", vectors, ids)
        weight = graph.add("Gather", self._weights(), ids)
        add_reader = _add_attention if self.reader == "AttentionReader" else _add_mean
        encoded = add_reader(graph, self.encoder.reader, (own, weight, row, n_rows))
        return self.head.add(graph, graph.add("Slice", encoded, [0], [-1], [0]))

    def metadata(self) -> dict[str, Any]:
        """Entries that a program needs to find the ids of a text."""
        tokenization = describe_tokenization(self.features.tokenization, self.features.sources)
        words = {"words": self.words.learned, "other_words": list(self.words.others)}
        return {**tokenization, **words}

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


# Sums are in float32, and in the order of the network, so that long texts have the same ones.
def _add_mean(graph: Graph, reader: Any, tokens: tuple[str, str, str, str]) -> str:
    vectors, weight, row, n_rows = tokens
    total = _add_weighted(graph, reader, (vectors, weight, row, n_rows))
    zeros, ones = graph.filled(n_rows, 0.0), graph.filled(graph.add("Shape", row), 1.0)
    count = graph.add("ScatterElements", zeros, row, ones, axis=0, reduction="add")
    count = graph.add("Unsqueeze", graph.add("Max", count, 1.0), [1])
    return graph.add("Div", total, count)


def _add_attention(graph: Graph, reader: Any, tokens: tuple[str, str, str, str]) -> str:
    vectors, weight, row, n_rows = tokens
    hidden = graph.add("Tanh", add_linear(graph, vectors, *_linear(reader.hidden)))
    score = graph.add("MatMul", hidden, reader.score.weight.detach().cpu().numpy().T)
    score = graph.add("Squeeze", score, [1])
    lowest = graph.filled(n_rows, -np.inf)
    highest = graph.add("ScatterElements", lowest, row, score, axis=0, reduction="max")
    part = graph.add("Exp", graph.add("Sub", score, graph.add("Gather", highest, row)))
    part = graph.add("Mul", part, weight)
    total = add_sums(graph, graph.add("Unsqueeze", part, [1]), row, n_rows, 1)
    total = graph.add("Max", graph.add("Squeeze", total, [1]), 1e-12)
    share = graph.add("Div", part, graph.add("Gather", total, row))
    return _add_weighted(graph, reader, (vectors, share, row, n_rows))


def _add_weighted(graph: Graph, reader: Any, tokens: tuple[str, str, str, str]) -> str:
    vectors, weight, row, n_rows = tokens
    weighted = graph.add("Mul", vectors, graph.add("Unsqueeze", weight, [1]))
    return add_sums(graph, weighted, row, n_rows, reader.n_features)


def _add_padded(graph: Graph, reader: Any, vectors: NDArray[np.float32]) -> str:
    """Read sequences that are padded with -1; zero for a text without tokens."""
    ids = _add_close_up(graph, graph.input("ids", ["n_texts", "length"]), len(vectors))
    inside = graph.add("Not", graph.add("Less", ids, 0))
    length = graph.add("ReduceSum", graph.cast(inside, np.int64), [1], keepdims=0)
    own = graph.add("Gather", vectors, graph.add("Max", ids, 0))
    own = graph.add("Where", graph.add("Unsqueeze", inside, [2]), own, 0.0)
    encoded = _READERS[type(reader).__name__](graph, reader, own, length)
    has_tokens = graph.add("Unsqueeze", graph.add("Greater", length, 0), [1])
    return graph.add("Where", has_tokens, encoded, 0.0)


def _add_close_up(graph: Graph, ids: str, n_ids: int) -> str:
    """Move the padding and the ids of unknown words, as -1, to the end; there is at least one."""
    is_known = add_is_known(graph, ids, n_ids)
    size = graph.add("Shape", ids)
    width = graph.add("Slice", size, [1], [2])
    rank = graph.add("CumSum", graph.cast(is_known, np.int64), 1)
    place = graph.add("Where", is_known, graph.add("Sub", rank, 1), width)
    kept = graph.add("Where", is_known, ids, -1)
    empty = graph.filled(graph.add("Add", size, np.array([0, 1])), -1)
    return graph.add("ScatterElements", empty, place, kept, axis=1)


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
