"""Pretrained models in a model file: each once, whole, in part, or by name and fingerprint."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from .._utils.errors import ModelFormatError
from .._utils.objects.state import State
from ..contextual.model import ContextualModel
from ..sources import Source
from ..vectors.formats import formats
from ..vectors.origin import Origin
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.storage import folder as vectors_folder
from ..vectors.table.table import Reading

_ENCODER = re.compile(r"encoder-\d{1,4}")
_FOLDER = re.compile(r"vectors-\d{1,4}")

VectorsMode = Literal["all", "used", "reference"]


class SourceWriter:
    """Write the sources of an estimator into a folder.

    Parameters
    ----------
    folder : Path
    mode : {"all", "used", "reference"}
    used_words : callable
        ``used_words(vectors)`` returns the words of the training texts.
    """

    def __init__(
        self,
        folder: Path,
        mode: VectorsMode,
        used_words: Callable[[PretrainedVectors], list[str]],
    ) -> None:
        self._folder, self._mode, self._used_words = folder, mode, used_words
        self._numbers: dict[int, int] = {}
        self._encoders: dict[str, str] = {}
        self._kept: list[Source] = []  # their ids are not used again
        self.entries: list[dict[str, Any]] = []

    def encode(self, source: Source) -> dict[str, Any]:
        """Write a source that was not written before, and refer to it."""
        if id(source) not in self._numbers:
            self._numbers[id(source)] = len(self._kept)
            self._kept.append(source)
            self.entries.append(self._write(source, len(self.entries)))
        return {"source": self._numbers[id(source)]}

    def _write(self, source: Source, number: int) -> dict[str, Any]:
        if isinstance(source, ContextualModel):
            return self._write_encoder(source, number)
        if self._mode == "reference":
            return self._refer(source)
        table = source.table
        if self._mode == "used":
            subset = source.subset(self._used_words(source))
            table = replace(subset.table, known_case=source.cased)
        name = f"vectors-{number}"
        vectors_folder.write(table, self._folder / name)
        fingerprint = formats.fingerprint(self._folder / name)
        return {
            "kind": "vectors",
            "folder": name,
            "name": source.name,
            "fingerprint": fingerprint,
        }

    def _write_encoder(self, model: ContextualModel, number: int) -> dict[str, Any]:
        if self._mode == "reference":
            return {"kind": "encoder reference", **model.to_reference()}
        fingerprint = model.fingerprint
        name = self._encoders.setdefault(fingerprint, f"encoder-{number}")
        if not (self._folder / name).exists():
            model.write(self._folder / name)
        return {"kind": "encoder", "folder": name, "settings": model.plain_settings()}

    def _refer(self, source: PretrainedVectors) -> dict[str, Any]:
        if source.origin is None:
            raise ValueError(
                f"vectors='reference' needs vectors with a name or path, got {source!r}. Write "
                f"them first (PretrainedVectors.save), or use vectors='all'."
            )
        return {"kind": "reference", **source.origin.to_state()}


def read_source(folder: Path, entry: Any, *, mmap: bool) -> Source:
    """Open a source; with `mmap` its matrix stays in the file."""
    state = State("a source", entry if isinstance(entry, dict) else {})
    kind = state.choice("kind", "vectors", "reference", "encoder", "encoder reference")
    if kind == "reference":
        return PretrainedVectors.open(Origin.from_state(state))
    if kind == "encoder reference":
        return ContextualModel.from_reference(state)
    name = state.of("folder", str)
    if kind == "encoder" and _ENCODER.fullmatch(name):
        return ContextualModel.from_folder(folder / name, state, stays=mmap)
    if not _FOLDER.fullmatch(name):
        raise state.error("folder", "the name of a folder of vectors", name)
    display = state.optional("name", str)
    if not mmap:  # all digests are compared
        table = vectors_folder.read(folder / name, Reading(mmap=False))
        return PretrainedVectors.from_table(table, display)
    found, expected = formats.fingerprint(folder / name), state.of("fingerprint", str)
    if found != expected:
        raise ModelFormatError(
            f"{folder / name}: expected vectors with the fingerprint {expected}, found {found}; "
            f"the model file is damaged. Save the model again."
        )
    opened = PretrainedVectors.load(folder / name)
    return PretrainedVectors.from_table(opened.table, display, opened.origin)
