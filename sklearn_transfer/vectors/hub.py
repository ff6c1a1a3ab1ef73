"""Names of the Hugging Face hub: ``org/name``, ``hf://org/name``, ``hf://org/name@revision``."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .._utils.optional import import_optional
from .formats.static_models import CONFIGS, MODULES, SUBFOLDER, TOKENIZER, WEIGHTS
from .storage.files import read_json
from .storage.folder import METADATA

_PREFIX = "hf://"
_PART = r"[A-Za-z0-9][\w.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([\w./-]+))?", re.ASCII)
# Endings of files: a missing file is not looked up in the hub, unless its name has the prefix.
_FILE = re.compile(r"\.(bin|bz2|gz|json|kv|model|npy|npz|parquet|pkl|safetensors|tsv|txt|vec|zip)")

_FASTTEXT, _CONFIG, _MODEL2VEC = "model.bin", CONFIGS[0], "model2vec"
_BARE = "Normalize"  # a module without files
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


def find_repository(name: HubName, *, asks_hub: bool = True) -> Path:
    """Find the folder of a repository in the hub's local cache, or download it.

    Parameters
    ----------
    name : HubName
        The network is not used for a repository in the cache of the hub, or in the folder
        ``SENTENCE_TRANSFORMERS_HOME``, so that fits, searches and workers work offline. Name a
        revision to get a later state.
    asks_hub : bool, default=True
        False looks only at this machine.

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
    # Read again: the libraries read their variables only when they are imported.
    caches = [os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE]
    if folder_of_encoders := os.environ.get("SENTENCE_TRANSFORMERS_HOME"):
        caches.insert(0, folder_of_encoders)
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    reason = "HF_HUB_OFFLINE is set"
    partial = []
    for cache, local in [*((cache, True) for cache in caches), (caches[0], False)]:
        if not local and (is_offline or not asks_hub):
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
            if not _may_be_incomplete(path, name, cache, library):
                return path
            if not local:
                with suppress(Exception):  # the library notes that the repository has none
                    library.hf_hub_download(
                        name.repository, MODULES, revision=name.revision, cache_dir=cache
                    )
                return path
            partial.append(path)
        if not local:
            reason = f"the hub has no {WEIGHTS} with {TOKENIZER}, {METADATA} or {_FASTTEXT} there"
    at = f" at the revision {name.revision!r}" if name.revision else ""
    if partial:
        raise FileNotFoundError(
            f"The copy of {name.repository!r}{at} in {partial[0]} may be incomplete: expected "
            f"{MODULES} and the modules that it lists, which make features of the vectors of "
            f"tokens, and {reason}. Connect to the hub once; or name the folder itself, for the "
            f"mean of the vectors."
        )
    raise FileNotFoundError(
        f"No pretrained vectors called {name.repository!r}{at}: not a path (looked from "
        f"{Path.cwd()}), not in {' or '.join(caches)}, and {reason}."
    )


def _may_be_incomplete(path: Path, name: HubName, cache: str, library: Any) -> bool:
    """True for a transformer without ``modules.json``, or without a module that it lists.

    Other libraries download only the files of the transformer.
    """
    if (path / METADATA).is_file() or not (path / _CONFIG).is_file():
        return False
    if (path / MODULES).is_file():
        content = read_json(path / MODULES)
        modules = [module for module in content if isinstance(module, dict)]
        paths = [str(m.get("path")) for m in modules if not str(m.get("type")).endswith(_BARE)]
        return not all((path / inner).is_dir() for inner in paths)
    config = read_json(path / _CONFIG)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind in (None, _MODEL2VEC):
        return False
    # A path, an object that says that the hub has none, or None where the hub was not asked.
    found = library.try_to_load_from_cache(
        name.repository, MODULES, cache_dir=cache, revision=name.revision
    )
    return found is None


def _find_vectors(folder: Path) -> Path | None:
    """Return the folder or file to open, if it is complete."""
    if (folder / METADATA).exists():
        return folder
    for inner in (folder, folder / SUBFOLDER):
        if (inner / WEIGHTS).exists() and (inner / TOKENIZER).exists():
            return folder
    if (folder / MODULES).exists() and any(
        any(folder.glob(pattern)) for pattern in ("*.safetensors", "*/*.safetensors")
    ):
        return folder  # of a contextual model, which may have other tokenizer files
    return folder / _FASTTEXT if (folder / _FASTTEXT).exists() else None
