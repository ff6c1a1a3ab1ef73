"""Opening models of sentence-transformers, each once per process."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from .._utils.devices import resolve_device
from .._utils.errors import VectorFormatError
from .._utils.hashing import Content, hash_stream
from .._utils.memo import ObjectCache
from .._utils.optional import import_optional
from .runtime import OpenModel
from .safety import check_folder, hash_files
from .settings import Settings

_EXTRA = "contextual"

# Folders by path, content and settings; opened models by identity and the state of their weights.
_opened: ObjectCache[OpenModel] = ObjectCache(n_recent=2)


def open_folder(path: Path, settings: Settings, *, expected: str | None = None) -> OpenModel:
    """Open a folder of the `expected` fingerprint, or return its model that is open already."""
    device = resolve_device(settings.device)
    trusted = settings.trust_remote_code
    fingerprint = hash_files(path, check_folder(path, trust_remote_code=trusted))
    if expected not in (None, fingerprint):
        raise ValueError(
            f"The pickle refers to the contextual model in {path}, which has changed since: "
            f"expected the fingerprint {expected}, found {fingerprint}. Put the old files back, "
            f"or fit again."
        )

    def load() -> OpenModel:
        return OpenModel(_load(path, settings, device), fingerprint, device, path)

    return _opened.get((path, fingerprint, settings.precision, device, trusted), load)


def _load(path: Path, settings: Settings, device: str) -> Any:
    purpose = f"Opening the contextual model in {path}"
    library = import_optional("sentence_transformers", extra=_EXTRA, purpose=purpose)
    dtype = getattr(import_module("torch"), settings.precision)
    try:
        with _without_progress_bar():
            return library.SentenceTransformer(
                os.fspath(path),
                device=device,
                local_files_only=True,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs={"use_safetensors": True, "dtype": dtype},
            ).eval()
    except Exception as error:  # the library raises errors of all types on damaged files
        raise VectorFormatError(
            f"{path}: sentence-transformers cannot open this model: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Hide the bar that the library shows while it loads weights."""
    logging = import_optional(
        "transformers.utils.logging", extra=_EXTRA, purpose="A contextual model"
    )
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def wrap_library_model(library: Any, settings: Settings) -> OpenModel:
    """Wrap a SentenceTransformer in evaluation mode, once until its weights change."""
    chosen = library.device if settings.device == "auto" else resolve_device(settings.device)
    device = str(chosen)
    library = library.to(device).eval()
    # torch counts the changes of a tensor in place.
    versions = tuple(p._version for p in library.parameters())  # noqa: SLF001 (no public name)
    key = (id(library), versions, device)  # an OpenModel keeps its library: no id is used twice
    return _opened.get(key, lambda: OpenModel(library, _hash_library(library), device))


def _hash_library(library: Any) -> str:
    return hash_stream(_describe_library(library))


def _describe_library(library: Any) -> Iterator[Content]:
    yield repr(library)
    for name, tensor in sorted(library.state_dict().items()):
        yield name
        yield tensor.detach().cpu().float().numpy()
    backend = getattr(library.tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # Truncation and padding are settings of the last call.
        yield json.dumps(json.loads(backend.to_str()) | {"truncation": None, "padding": None})


def copy_to_cpu(library: Any) -> Any:
    """Copy a model of an accelerator, so that its pickle opens without one."""
    return library if str(library.device) == "cpu" else copy.deepcopy(library).to("cpu")
