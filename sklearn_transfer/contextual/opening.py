"""Models of sentence-transformers, opened once per process."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from .._utils.devices import resolve_device
from .._utils.errors import VectorFormatError
from .._utils.hashing import hash_content
from .._utils.objects.memo import ObjectCache
from .._utils.optional import import_optional
from ..vectors.storage.fingerprints import fingerprint_files
from .library_state import fingerprint_library, stamp_library
from .runtime import OpenModel, Settings
from .safety import catch_library_errors, check_folder

# Folders by path, content and settings; opened models by identity and state.
_opened: ObjectCache[OpenModel] = ObjectCache(n_recent=2)


def fingerprint_folder(path: Path, settings: Settings) -> str:
    """Hash the weights, the configuration and the vocabulary of a folder."""
    files = check_folder(path, trust_remote_code=settings.trust_remote_code)
    names = (file.relative_to(path).as_posix() for file in files)
    return hash_content(*names, fingerprint_files(files))


def open_folder(path: Path, settings: Settings) -> OpenModel:
    """Open a folder, or return its model that is open already."""
    device, fingerprint = resolve_device(settings.device), fingerprint_folder(path, settings)
    key = (path, fingerprint, settings.precision, device, settings.trust_remote_code)
    return _opened.get(
        key, lambda: OpenModel(_open(path, settings, device), fingerprint, device, path)
    )


def _open(path: Path, settings: Settings, device: str) -> Any:
    with catch_library_errors(path):  # also those that are no `Exception`
        return _load(path, settings, device)


def _load(path: Path, settings: Settings, device: str) -> Any:
    purpose = f"Opening the contextual model in {path}"
    library = import_optional("sentence_transformers", extra="contextual", purpose=purpose)
    dtype = getattr(import_module("torch"), settings.precision)
    try:
        with ExitStack() as stack:
            logging = import_module("transformers.utils.logging")
            if logging.is_progress_bar_enabled():  # the bar of the weights
                logging.disable_progress_bar()
                stack.callback(logging.enable_progress_bar)
            return library.SentenceTransformer(
                os.fspath(path),
                device=device,
                local_files_only=True,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs={
                    "use_safetensors": True,
                    "dtype": dtype,
                    "ignore_mismatched_sizes": True,  # weights that are used are checked later
                },
            ).eval()
    except Exception as error:  # the library raises errors of all types on damaged files
        raise VectorFormatError(
            f"{path}: sentence-transformers cannot open this model: {type(error).__name__}: {error}"
        ) from error


def wrap_library_model(library: Any, settings: Settings) -> OpenModel:
    """Wrap a SentenceTransformer in evaluation mode, once until it changes."""
    device = str(library.device) if settings.device == "auto" else resolve_device(settings.device)
    library = library.to(device).eval()
    # An OpenModel keeps its library: no id is used twice.
    key = (id(library), stamp_library(library), device)
    return _opened.get(key, lambda: OpenModel(library, fingerprint_library(library), device))
