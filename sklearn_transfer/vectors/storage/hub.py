"""Names of the Hugging Face hub: ``org/name``, ``hf://org/name``, ``hf://org/name@revision``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from ..._utils.validation import import_optional
from ..formats.static_models import MODULES, SUBFOLDER, TOKENIZER, WEIGHTS
from .folder import METADATA

_PREFIX = "hf://"
_PART = r"[A-Za-z0-9][\w.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([\w./-]+))?", re.ASCII)
# Endings of files: a missing one is not asked of the hub, unless it is called by the prefix.
_FILE = re.compile(r"\.(bin|bz2|gz|json|kv|model|npy|npz|parquet|pkl|safetensors|tsv|txt|vec|zip)")

_FASTTEXT = "model.bin"
# What this package opens, and nothing else of a repository.
_PATTERNS = [
    METADATA,
    "*.npy",
    _FASTTEXT,
    *("*.safetensors", "*.json", "*.txt", "*.model"),
]


class HubName(NamedTuple):
    """A repository of the hub, and a branch, tag or commit of it (None: the main one)."""

    repository: str
    revision: str | None


def parse(source: str) -> HubName | None:
    """The name that a string is; None if it is none.

    Parameters
    ----------
    source : str
        Without the prefix, only ``org/name`` is a name: not what looks like a missing file, by its
        ending or because there is a folder ``org``.

    Returns
    -------
    HubName or None

    Raises
    ------
    ValueError
        If what follows the prefix is no name.

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


def locate(name: HubName) -> Path:
    """The folder of a repository in the local cache of the hub, downloaded where it is not there.

    What is there is not asked for again, so that fits, searches and workers stay off the network;
    a later state of a repository is had by its revision.

    Parameters
    ----------
    name : HubName

    Returns
    -------
    Path
        The folder; the file itself of a fastText model, which is ``model.bin`` there.

    Raises
    ------
    FileNotFoundError
        If it is neither in the cache nor to be downloaded; or holds nothing that is known here.
    MissingDependencyError
        If the library ``huggingface_hub``, of the extra ``static``, is not installed.
    """
    purpose = f"Looking up {name.repository!r}, which is no path here, on the Hugging Face hub"
    library = import_optional("huggingface_hub", extra="static", purpose=purpose)
    # Read anew: the library keeps what it found when it was imported.
    cache = os.environ.get("HF_HUB_CACHE") or library.constants.HF_HUB_CACHE
    told_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    reason = "HF_HUB_OFFLINE is set"
    for local in (True, False):
        if not local and told_offline:
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
        if (found := _vectors_in(Path(folder))) is not None:
            return found
        if not local:
            reason = f"the hub has no {WEIGHTS} with {TOKENIZER}, {METADATA} or {_FASTTEXT} there"
    at = f" at the revision {name.revision!r}" if name.revision else ""
    raise FileNotFoundError(
        f"No pretrained vectors called {name.repository!r}{at}: not a path (looked from "
        f"{Path.cwd()}), not in {cache}, and {reason}."
    )


def _vectors_in(folder: Path) -> Path | None:
    """What of a repository is opened, if all of it is there."""
    if (folder / METADATA).exists():
        return folder
    for inner in (folder, folder / SUBFOLDER):
        if (inner / WEIGHTS).exists() and (inner / TOKENIZER).exists():
            return folder
    if (folder / MODULES).exists() and any(folder.glob("*.safetensors")):
        return folder  # of a contextual model, whose tokenizer may lie in other files
    return folder / _FASTTEXT if (folder / _FASTTEXT).exists() else None
