"""Fitted models as ONNX files."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._utils.atomic import write_atomically
from ..contextual.model import ContextualModel
from ..fine_tuning.fitted.prediction import Predictor
from ..fine_tuning.targets.thresholds import to_probabilities
from ..text.bag.bag_features import BagFeatures
from ..text.rows import WordRows
from .onnx_graph import Graph, Output, add_centred, import_onnx
from .onnx_heads import Head, LayeredHead, LinearHead
from .onnx_sequences import SequenceOfTokens
from .onnx_words import BagOfTokens, Vectors

_VERSION = 1  # of the inputs and the metadata


class Exported(Protocol):
    """A model as a graph, from the ids of tokens to logits."""

    def inputs(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The inputs of the graph for some texts."""

    def start(self) -> Graph:
        """A graph that is empty, or that of an encoder."""

    def add_logits(self, graph: Graph) -> str:
        """Add the inputs and the nodes up to the logits, shape (n_texts, n_outputs)."""

    def metadata(self) -> dict[str, Any]:
        """Entries that another program needs to make the inputs."""


def write_onnx(predictor: Predictor, path: str | os.PathLike[str], vectors: Vectors) -> None:
    """Write a fitted model; see `Exports.export_onnx`."""
    if vectors not in ("all", "used"):
        raise ValueError(f"Expected vectors='all' or 'used', got {vectors!r}.")
    import_onnx()
    exported = find_exported(predictor, vectors)
    graph = exported.start()
    logits = exported.add_logits(graph)
    output = Output(*predictor.task.add_outputs(graph, logits, predictor.temperature))
    about = {"producer": "sklearn_transfer", "version": _VERSION}
    content = {**about, **predictor.task.describe(), **exported.metadata()}
    thresholds = to_probabilities(predictor.thresholds, predictor.temperature)
    if thresholds is not None:
        content["thresholds"] = thresholds.tolist()
    metadata = {key: json.dumps(value, default=str) for key, value in content.items()}
    written = graph.finish(output, metadata)
    with write_atomically(Path(path)) as file:
        file.write(written)


def find_exported(predictor: Any, vectors: Vectors) -> Exported:
    """The model as a graph; `ValueError` for one that cannot be."""
    linear = predictor.as_linear() if hasattr(predictor, "as_linear") else None
    if linear is not None:
        return _export(linear.design, None, LinearHead(linear.model), vectors)
    fitted = predictor.resume()
    network = fitted.net.module_
    head = LayeredHead(network.head)
    return _export(fitted.representation.features, network.encoder, head, vectors)


def _export(features: Any, encoder: Any, head: Head, vectors: Vectors) -> Exported:
    if isinstance(features, WordRows):
        return SequenceOfTokens(features, encoder, head, vectors)
    if isinstance(features, BagFeatures):
        if features.is_sum_of_tokens:
            return BagOfTokens(features, head, vectors)
        if len(features.sources) == 1 and features.columns is None:
            return _export_frozen(features, head)
    inputs = getattr(features, "inputs", features)
    model = getattr(inputs, "model", None)
    if isinstance(model, ContextualModel):
        return _export_tuned(features, model, encoder, head)
    raise ValueError(
        "Expected a model on texts with word vectors or with one sentence encoder, got another one "
        "(a module on arrays, numeric features, or sentence encoders next to words). Save it by "
        "model.save(path); a module of your own is exported by torch.onnx.export."
    )


def _export_frozen(features: BagFeatures, head: Head) -> Exported:
    model: Any
    (model,), (block,) = features.sources, features.blocks
    center = partial(add_centred, mean=block.mean, scale=block.scale)
    library = copy.deepcopy(model.library_model).cpu()
    exported: Exported = _encode_sentences()(model, library, center, head)
    return exported


def _export_tuned(features: Any, model: ContextualModel, encoder: Any, head: Head) -> Exported:
    center = None
    if encoder is None:  # the features of a module, which a stage has tuned
        encoder = features.encoder
        encoder.restore()
        center = partial(_add_scaled, mean=features.mean, factor=float(features.factor))
    library = copy.deepcopy(encoder.module).cpu()
    exported: Exported = _encode_sentences()(model, library, center, head)
    return exported


def _encode_sentences() -> Any:
    """The class for sentence encoders, which needs torch."""
    return import_module(".onnx_sentences", __package__).EncodedSentences


def _add_scaled(graph: Graph, rows: str, mean: NDArray[np.float32], factor: float) -> str:
    return graph.add("Mul", graph.add("Sub", rows, mean), factor)
