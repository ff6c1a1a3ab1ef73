"""Sentence encoders and their heads as ONNX graphs, by torch's exporter."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._utils.optional import import_optional
from ..contextual.model import ContextualModel
from ..contextual.runtime import PROBES, make_inputs
from .onnx_graph import Graph, import_onnx
from .onnx_heads import Head

_INPUTS = ["input_ids", "attention_mask"]
_TOLERANCE = 1e-4


class EncodedSentences:
    """A sentence encoder, `library`, what is done with its embeddings, and a head."""

    def __init__(
        self,
        model: ContextualModel,
        library: Any,
        center: Callable[[Graph, str], str] | None,
        head: Head,
    ) -> None:
        if model.batching != "padded":
            raise ValueError(
                f"Expected an encoder whose features do not depend on padding, got {model!r}, "
                f"which reads texts of one length at a time. Save it by model.save(path)."
            )
        types = {p.dtype for p in library.parameters() if p.is_floating_point()}
        if types - {torch.float32}:
            raise ValueError(
                f"Expected an encoder with precision='float32', got {model!r}: a graph in another "
                f"precision would predict otherwise. Open it with precision='float32', and fit."
            )
        if model.settings.windows is not None:
            raise ValueError(
                f"Expected an encoder that truncates texts, got {model!r}, whose windows are not "
                f"part of a graph. Leave windows out, or save the estimator by model.save(path)."
            )
        self.model, self.library, self.center, self.head = model, library, center, head

    def inputs(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Padded token ids, and 1 where they are not padding."""
        padded = self.model.split(texts).padded()
        return {"input_ids": padded["ids"], "attention_mask": padded["mask"].astype(np.int64)}

    def add_logits(self, graph: Graph) -> str:
        """Add the head behind the encoder, whose graph it is."""
        embedding = graph.model.graph.output[0].name
        if self.center is not None:
            embedding = self.center(graph, embedding)
        return self.head.add(graph, embedding)

    def metadata(self) -> dict[str, Any]:
        """The tokenizer as the library `tokenizers` opens it, and what is put before a text."""
        tokenizer = self.model.tokenizer
        return {
            "tokenizer": tokenizer.content,
            "max_tokens": tokenizer.max_tokens,
            "prompt": tokenizer.prompt,
            "padding": tokenizer.padding,
        }

    def start(self) -> Graph:
        """The graph of the encoder."""
        import_onnx()
        import_optional("onnxscript", extra="onnx", purpose="The graph of a sentence encoder")
        module = _Encoder(self.library, self.model.split(PROBES).n_prompt).eval()
        example = self._tensors(PROBES)
        axes = {0: torch.export.Dim("n_texts"), 1: torch.export.Dim("length")}
        with _silent():
            program: Any = torch.onnx.export(
                module,
                example,
                input_names=_INPUTS,
                output_names=["sentence_embedding"],
                dynamic_shapes=(axes, axes),
                dynamo=True,
                verbose=False,
            )
        proto = program.model_proto
        self._compare(proto, module)
        return Graph(proto)

    def _tensors(self, texts: Sequence[str]) -> tuple[Tensor, ...]:
        return tuple(map(torch.from_numpy, self.inputs(texts).values()))

    def _compare(self, proto: Any, module: nn.Module) -> None:
        """Raise an error if the graph is that of the example alone."""
        runtime = import_optional("onnx.reference", extra="onnx", purpose="The check of a graph")
        evaluator = runtime.ReferenceEvaluator(proto)
        for texts in (["One text."], [*PROBES, " ".join(["word"] * 40)]):
            tensors = self._tensors(texts)
            with torch.no_grad():
                expected = module(*tensors).numpy()
            feeds = dict(zip(_INPUTS, (t.numpy() for t in tensors), strict=True))
            difference = np.abs(evaluator.run(None, feeds)[0] - expected).max()
            if not difference < _TOLERANCE:
                raise ValueError(
                    f"torch's exporter gives another model for {self.model!r}: the embeddings of "
                    f"other texts than its example differ by {difference:.1g}. Save the model by "
                    f"model.save(path)."
                )


@contextmanager
def _silent() -> Iterator[None]:
    """Without the reports of torch's exporter: a graph that is wrong is found by comparison."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _Encoder(nn.Module):
    """A SentenceTransformer from ids and mask to embeddings."""

    def __init__(self, library: Any, n_prompt: int) -> None:
        super().__init__()
        self.library, self.n_prompt = library, n_prompt

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode texts."""
        inputs = make_inputs(self.library, input_ids, attention_mask, self.n_prompt)
        embedding: Tensor = self.library(inputs)["sentence_embedding"]
        return embedding.float()
