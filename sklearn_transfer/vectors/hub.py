"""Names of the Hugging Face hub: ``org/name``, ``hf://org/name``, ``hf://org/name@revision``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from .._utils.optional import import_optional
from .formats.static_models import MODULES, SUBFOLDER, TOKENIZER, WEIGHTS
from .storage.folder import METADATA

_PREFIX = "hf://"
_PART = r"[A-Za-z0-9][\w.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([\w./-]+))?", re.ASCII)
# Endings of files: a missing file is not looked up in the hub, unless its name has the prefix.
_FILE = re.compile(r"\.(bin|bz2|gz|json|kv|model|npy|npz|parquet|pkl|safetensors|tsv|txt|vec|zip)")

_FASTTEXT = "model.bin"
# The files of a repository that this package opens; no others are downloaded.
_PATTERNS = [METADATA, _FASTTEXT, "*.npy", "*.safetensors", "*.json", "*.txt", "*.model"]


class HubName(NamedTuple):
    """A repository of the hub, and a branch, tag or commit of it (None: the main branch)."""

    repository: str
    revision: str | None


def parse(source: str) -> HubName | None:
    """Parse a name of the hub.

    Parameters
    ----------
    source : str
        Without the prefix, only ``org/name`` is a name, unless its ending or an existing folder
        ``org`` make it the path of a missing file.

    Returns
    -------
    HubName or None
        None if it is no name.

    Raises
    ------
    ValueError
        If the text after the prefix is no name.

    Examples
    --------
    >>> parse("hf://minishlab/potion-base-8M@main")
    HubName(repository='minishlab/potion-base-8M', revision='main')
    >>> parse("./vectors") is parse("data/vectors.txt") is None
    True
    """
    if source.startswith(_PREFIX):
        match = _NAME.fullmatch(source.removeprefix(_PREFIX))
        if match is None:
            raise ValueError(
                f"expected a name of the Hugging Face hub, hf://org/name or "
                f"hf://org/name@revision, got {source!r}."
            )
        return HubName(*match.groups())
    match = _NAME.fullmatch(source)
    if match is None or match[2] or _FILE.fullmatch(Path(source).suffix.lower()):
        return None
    return None if Path(source).parent.is_dir() else HubName(match[1], None)


def find_repository(name: HubName) -> Path:
    """Find the folder of a repository in the hub's local cache, or download it.

    Parameters
    ----------
    name : HubName
        The network is not used for a repository in the cache, so that fits, searches and workers
        work offline. Name a revision to get a later state.

    Returns
    -------
    Path
        The folder, or the file ``model.bin`` of a fastText model.

    Raises
    ------
    FileNotFoundError
        If it is not in the cache and cannot be downloaded, or holds no vectors.
    MissingDependencyError
        If the library ``huggingface_hub``, of the extra ``static``, is not installed.
    """
    purpose = f"Looking up {name.repository!r}, which is no path here, on the Hugging Face hub"
    library = import_optional("huggingface_hub", extra="static", purpose=purpose)
    constants = import_optional("huggingface_hub.constants", extra="static", purpose=purpose)
    # Read again: the library reads its variables only when it is imported.
    cache = os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    reason = "HF_HUB_OFFLINE is set"
    for local in (True, False):
        if not local and is_offline:
            continue
        try:
            folder = library.snapshot_download(
                name.repository,
                revision=name.revision,
                cache_dir=cache,
                allow_patterns=_PATTERNS,
                local_files_only=local,
            )
        except Exception as error:  # of the library, of the network, of the server
            reason = reason if local else f"the hub says: {error}"
            continue
        if (path := _find_vectors(Path(folder))) is not None:
            return path
        if not local:
            reason = f"the hub has no {WEIGHTS} with {TOKENIZER}, {METADATA} or {_FASTTEXT} there"
    at = f" at the revision {name.revision!r}" if name.revision else ""
    raise FileNotFoundError(
        f"No pretrained vectors called {name.repository!r}{at}: not a path (looked from "
        f"{Path.cwd()}), not in {cache}, and {reason}."
    )


def _find_vectors(folder: Path) -> Path | None:
    """Return the folder or file to open, if it is complete."""
    if (folder / METADATA).exists():
        return folder
    for inner in (folder, folder / SUBFOLDER):
        if (inner / WEIGHTS).exists() and (inner / TOKENIZER).exists():
            return folder
    if (folder / MODULES).exists() and any(folder.glob("*.safetensors")):
        return folder  # of a contextual model, which may have other tokenizer files
    return folder / _FASTTEXT if (folder / _FASTTEXT).exists() else None
