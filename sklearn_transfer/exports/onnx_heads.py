"""The last layers of models as nodes of an ONNX graph: from features to logits to outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..text.linear.linear_model import LinearModel
from .onnx_graph import Graph, add_linear

# Modules without parameters that a head may have, by their class.
_OPERATORS = {"ReLU": "Relu", "Tanh": "Tanh", "Sigmoid": "Sigmoid"}
_PASSED = ("Identity", "Dropout")


class Head(Protocol):
    """A head, from dense columns to logits."""

    def add(self, graph: Graph, dense: str) -> str:
        """Add its nodes."""


@dataclass(frozen=True)
class LinearHead:
    """A linear model; the token weights are left to the features."""

    model: LinearModel

    @property
    def token_weights(self) -> NDArray[np.floating]:
        """Weights of the sparse columns, shape (n_sparse, n_outputs)."""
        return self.model.token_weights

    def add(self, graph: Graph, dense: str) -> str:
        """Multiply the dense columns."""
        return add_linear(graph, dense, self.model.head, self.model.intercept)


@dataclass(frozen=True)
class LayeredHead:
    """The layers of a network's head."""

    layers: Any

    def add(self, graph: Graph, dense: str) -> str:
        """Apply the layers in turn."""
        value = dense
        for layer in self.layers:
            name = type(layer).__name__
            if name == "Linear":
                weight, bias = (p.detach().cpu().numpy() for p in (layer.weight, layer.bias))
                value = add_linear(graph, value, weight.T, bias)
            elif name == "GELU":
                bell = graph.add("Erf", graph.add("Mul", value, float(np.sqrt(0.5))))
                half = graph.add("Mul", value, 0.5)
                value = graph.add("Mul", half, graph.add("Add", bell, 1.0))
            elif name not in _PASSED:
                value = graph.add(_OPERATORS[name], value)
        return value
