"""ONNX graphs under construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._utils.optional import import_optional

# Names of values, arrays or numbers.
Operand = str | NDArray[Any] | int | float | Sequence[int]
# The versions of operators and of the format; runtimes since 2024 read both.
_OPSET, _IR_VERSION = 18, 10
# Protocol buffers, and so files in one piece, end at 2 GiB.
_MAX_BYTES = (2 << 30) - (16 << 20)


def import_onnx() -> Any:
    """The library."""
    return import_optional("onnx", extra="onnx", purpose="An ONNX file")


class Output(NamedTuple):
    """The name of the output of a graph, the names of its axes, and its type."""

    name: str
    axes: Sequence[str]
    dtype: type[np.floating]


class Graph:
    """A graph to which nodes are added; Python integers are int64, floats are float32.

    Parameters
    ----------
    model : ModelProto or None, default=None
        A model with one output that is extended; None begins a new one.
    """

    def __init__(self, model: Any = None) -> None:
        self._onnx = import_onnx()
        self._n_names, self._n_bytes, self.model = 0, 0, model
        if model is None:
            graph = self._onnx.GraphProto(name="sklearn_transfer")
            self.model = self._onnx.helper.make_model(
                graph,
                opset_imports=[self._onnx.helper.make_opsetid("", _OPSET)],
                ir_version=_IR_VERSION,
            )
        self._graph = self.model.graph

    def input(self, name: str, shape: Sequence[str]) -> str:
        """Declare an input of int64; names of axes stand for any size."""
        helper = self._onnx.helper
        value = helper.make_tensor_value_info(name, self._onnx.TensorProto.INT64, list(shape))
        self._graph.input.append(value)
        return name

    def add(self, operator: str, *operands: Operand, **attributes: Any) -> str:
        """Add a node, and return the name of its first output."""
        return self.add_all(operator, *operands, n_outputs=1, **attributes)[0]

    def add_all(
        self, operator: str, *operands: Operand, n_outputs: int, **attributes: Any
    ) -> list[str]:
        """Add a node, and return the names of its outputs."""
        names = [value if isinstance(value, str) else self._constant(value) for value in operands]
        outputs = [self._name() for _ in range(n_outputs)]
        node = self._onnx.helper.make_node(operator, names, outputs, **attributes)
        self._graph.node.append(node)
        return outputs

    def filled(self, shape: Operand, value: float) -> str:
        """An array of one value; int64 for an integer, else float32."""
        array = np.array([value], dtype=_dtype(value))
        return self.add("ConstantOfShape", shape, value=self._onnx.numpy_helper.from_array(array))

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Convert to another type."""
        to = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.add("Cast", value, to=to)

    def array(self, value: Any, dtype: type[np.generic]) -> str:
        """Add an array of another type."""
        return self._add_array(np.asarray(value, dtype=dtype))

    def finish(self, output: Output, metadata: dict[str, str]) -> bytes:
        """Name the output, and return the content of the file."""
        helper, name = self._onnx.helper, "predictions"
        to = helper.np_dtype_to_tensor_dtype(np.dtype(output.dtype))
        self._graph.node.append(helper.make_node("Cast", [output.name], [name], to=to))
        del self._graph.output[:]
        self._graph.output.append(helper.make_tensor_value_info(name, to, list(output.axes)))
        helper.set_model_props(self.model, metadata)
        if self.model.ByteSize() > _MAX_BYTES:
            raise ValueError(_too_large(self.model.ByteSize()))
        self._onnx.checker.check_model(self.model)
        content: bytes = self.model.SerializeToString()
        return content

    def _constant(self, value: Operand) -> str:
        array = np.asarray(value)
        return self._add_array(
            np.ascontiguousarray(array, dtype=_dtype(array)).reshape(array.shape)
        )

    def _add_array(self, array: NDArray[Any]) -> str:
        self._n_bytes += array.nbytes
        if self._n_bytes > _MAX_BYTES:
            raise ValueError(_too_large(self._n_bytes))
        name = self._name()
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _name(self) -> str:
        self._n_names += 1
        return f"value_of_sklearn_transfer_{self._n_names}"


def _dtype(value: Any) -> type[np.generic]:
    kind = np.asarray(value).dtype.kind
    if kind == "b":
        return np.bool_
    return np.int64 if kind in "iu" else np.float32


def _too_large(n_bytes: int) -> str:
    return (
        f"Expected a model below 2 GiB, the limit of an ONNX file, got {n_bytes / 2**30:.1f} GiB. "
        f"Leave out the vectors of words outside the training texts: export_onnx(path, "
        f"vectors='used'), or reduce the vectors before fitting."
    )


def add_linear(graph: Graph, value: str, weight: Operand, bias: Operand) -> str:
    """``value @ weight + bias``."""
    return graph.add("Add", graph.add("MatMul", value, weight), bias)


def add_normalized(graph: Graph, rows: str) -> str:
    """Rows scaled to length one; zero stays zero."""
    square = graph.add("ReduceSum", graph.add("Mul", rows, rows), [1], keepdims=1)
    length = graph.add("Sqrt", square)
    is_zero = graph.add("Equal", length, 0.0)
    return graph.add("Div", rows, graph.add("Where", is_zero, 1.0, length))


def add_centred(graph: Graph, rows: str, mean: NDArray[np.float32], scale: float) -> str:
    """The dense columns of pooled rows: see `BagFeatures`."""
    rows = add_normalized(graph, rows)
    largest = graph.add("ReduceMax", graph.add("Abs", rows), [1], keepdims=1)
    has_values = graph.add("Greater", largest, 0.0)
    centred = graph.add("Where", has_values, graph.add("Sub", rows, mean), 0.0)
    return graph.add("Mul", add_normalized(graph, centred), scale)
