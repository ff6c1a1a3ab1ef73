"""Fingerprints of opened models: of all that changes their features."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from .._utils.hashing import Content, hash_stream

# Private attributes of a module that change its features: the adapters in use (of peft).
_ADAPTERS = ("_active_adapter", "_disable_adapters")
# Entries of a configuration that do not: where and by what it was written.
_PROVENANCE = ("_name_or_path", "name_or_path", "transformers_version")


def fingerprint_library(library: Any) -> str:
    """Hash the modules of a SentenceTransformer, with their settings, weights and tokenizers."""
    return hash_stream(_describe(library))


def stamp_library(library: Any) -> Hashable:
    """Return a value that differs after a change of a SentenceTransformer; no weight is read."""
    tensors = [*library.parameters(), *library.buffers()]
    # torch counts the changes of a tensor in place, except of those made for inference.
    versions = ((t.data_ptr(), -1 if t.is_inference() else t._version) for t in tensors)  # noqa: SLF001
    splitting = (
        repr((id(b), b.get_vocab_size(), b.normalizer, b.pre_tokenizer, b.post_processor))
        for b in _find_tokenizers(library)
    )
    return hash_stream(_describe_modules(library)), *versions, *splitting


def find_default_prompt(library: Any) -> str:
    """Return the text that a SentenceTransformer prepends unless another one is named."""
    return str(library.prompts.get(library.default_prompt_name or "", "") or "")


def _describe(library: Any) -> Iterator[Content]:
    yield from _describe_modules(library)
    # Buffers that are not saved, too: they may follow from settings that are not kept.
    tensors = dict(library.named_buffers()) | library.state_dict()
    for name, value in sorted(tensors.items()):
        yield name
        yield from _contents(value)
    for backend in _find_tokenizers(library):
        # Truncation and padding are settings of the last call.
        yield json.dumps(json.loads(backend.to_str()) | {"truncation": None, "padding": None})


def _find_tokenizers(library: Any) -> list[Any]:
    given: Iterator[Any] = (getattr(module, "tokenizer", None) for module in library.modules())
    found = (getattr(tokenizer, "backend_tokenizer", tokenizer) for tokenizer in given)
    return list({id(backend): backend for backend in found if hasattr(backend, "to_str")}.values())


def _describe_modules(library: Any) -> Iterator[Content]:
    """Yield the name, type and settings of each module, and the number of features."""
    torch = import_module("torch")
    internal = vars(torch.nn.Module()).keys()
    yield repr(library.truncate_dim)
    described = set()
    for name, module in library.named_modules():
        if module is library:  # its other attributes are about saving, and prompts
            continue
        yield f"{name} {type(module).__module__}.{type(module).__qualname__}"
        settings = {k: v for k, v in vars(module).items() if k[0] != "_" or k in _ADAPTERS}
        own = {k: v for k, v in settings.items() if k not in internal}
        yield json.dumps(_simplify(own), sort_keys=True)
        config: Any = getattr(module, "config", None)
        if hasattr(config, "to_dict") and id(config) not in described:
            described.add(id(config))  # the modules of a transformer share one
            yield json.dumps(_simplify(config.to_dict()), sort_keys=True)


def _simplify(value: Any) -> Any:
    """Return a setting as JSON can hold it: of other objects the type, of functions the name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(k): _simplify(v) for k, v in value.items() if k not in _PROVENANCE}
    if isinstance(value, list | tuple):
        return [_simplify(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return getattr(value, "__qualname__", type(value).__qualname__)


def _contents(value: Any) -> Iterator[Content]:
    """Yield the content of an entry of a state: a tensor, or of quantized modules a tuple."""
    torch = import_module("torch")
    if isinstance(value, tuple | list):
        for item in value:
            yield from _contents(item)
    elif isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.dequantize() if value.is_quantized else value
        value = value.to_dense() if value.layout != torch.strided else value
        yield repr(tuple(value.shape))
        yield np.asarray(value.float() if value.is_floating_point() else value)
    else:
        yield repr(value)
