"""Pretrained models in a model file: each once, whole, in part, or by name and fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from .._utils.errors import ModelFormatError
from .._utils.state import State
from ..sources import Source
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.storage import folder as vectors_folder
from ..vectors.table.table import Reading

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
        if not isinstance(source, PretrainedVectors):
            raise TypeError(
                f"A model file holds word vectors, got {source!r}. Pickle the model "
                f"(joblib.dump); ContextualModel(pickle_weights=True) makes the pickle complete."
            )
        if self._mode == "reference":
            return {"kind": "reference", "state": source.to_reference()}
        written = source
        if self._mode == "used":
            written = source.subset(self._used_words(source))
        name = f"vectors-{number}"
        vectors_folder.write(written.table, self._folder / name)
        return {"kind": "vectors", "folder": name, "name": source.name, "cased": source.cased}


def read_source(folder: Path, entry: Any, *, mmap: bool) -> Source:
    """Open a source; with `mmap` its matrix stays in the file."""
    state = State("a source", entry if isinstance(entry, dict) else {})
    if state.choice("kind", "vectors", "reference") == "reference":
        return PretrainedVectors.from_reference(state.of("state", dict))
    name = state.of("folder", str)
    if not name.startswith("vectors-") or not name.removeprefix("vectors-").isdecimal():
        raise ModelFormatError(f"{folder}: expected a folder of vectors, found {name!r:.80}.")
    table = vectors_folder.read(folder / name, Reading(mmap=mmap))
    if mmap:
        vectors_folder.check_matrices(folder / name)
    vectors = PretrainedVectors.from_table(
        table.with_case(cased=state.of("cased", bool)), state.optional("name", str)
    )
    return vectors
