"""The folder of a contextual model: what tells that it is one, and whether it is safe to open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from .._utils.errors import VectorFormatError

_OURS = "sentence_transformers."

# What belongs to a model: weights, configurations, vocabularies; code, where that is trusted.
_PARTS, _CODE = ("*.safetensors", "*.json", "*.txt", "*.model"), "*.py"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
_MODULES, _CONFIG, _ADAPTER = "modules.json", "config.json", "adapter_config.json"
# Models of which every token has one vector are tables.
_STATIC = ("StaticEmbedding", "model2vec")
# Settings by which a configuration has code fetched and run.
_RUNS = ("auto_map", "custom_pipelines", "allow_all_kernels", "use_kernels", "kernel_config")
_BLOCK = 1 << 20

# Digests of files by their path, size, time and number: a model is named anew for every fit.
_known: dict[tuple[Any, ...], bytes] = {}


def is_library_model(source: Any) -> bool:
    """Whether this is a SentenceTransformer; the library is not imported."""
    return any(
        kind.__name__ == "SentenceTransformer" and kind.__module__.startswith(_OURS)
        for kind in type(source).__mro__
    )


def is_contextual_folder(path: Path) -> bool:
    """Whether a folder holds a transformer, judged by its configuration."""
    if (path / _MODULES).is_file():
        modules = _read_json(path / _MODULES)
        first = modules[0] if isinstance(modules, list) and modules else {}
        kind = str(first.get("type", "")) if isinstance(first, dict) else ""
        return bool(kind) and not kind.endswith(_STATIC)
    if not (path / _CONFIG).is_file():
        return False
    config = _read_json(path / _CONFIG)
    named = config.get("model_type") if isinstance(config, dict) else None
    return isinstance(named, str) and named not in _STATIC


def check_folder(path: Path, *, trust_remote_code: bool) -> list[Path]:
    """The files of a model, if they are safe to open.

    Parameters
    ----------
    path : Path
    trust_remote_code : bool
        Whether Python code of its own is welcome.

    Returns
    -------
    list of Path
        In a fixed order.

    Raises
    ------
    VectorFormatError
        If it is no folder of a model, has weights that are pickles or lie elsewhere, has none in
        safetensors, or brings code.
    """
    if not path.is_dir() or not is_contextual_folder(path):
        raise VectorFormatError(
            f"{path}: expected the folder of a contextual model, with {_MODULES} or a {_CONFIG} "
            f"that names its model_type."
        )
    folders = _module_folders(path)
    if not any((folder / name).is_file() for folder in folders for name in _WEIGHTS):
        _refuse_pickles(folders)
        raise VectorFormatError(
            f"{path}: expected weights in safetensors (model.safetensors), found none."
        )
    _refuse_pickles(folders)
    for folder in folders:
        if (folder / _ADAPTER).exists():
            raise VectorFormatError(
                f"{folder / _ADAPTER}: an adapter, whose base model lies elsewhere. Merge it into "
                f"its base model, and save that."
            )
    code = "" if trust_remote_code else _find_code(path, folders)
    if code:
        raise VectorFormatError(
            f"{path}: this model brings Python code of its own ({code}), which runs whatever its "
            f"author put inside. Read it, and set trust_remote_code=True if you trust it."
        )
    patterns = (*_PARTS, _CODE) if trust_remote_code else _PARTS
    found = {file for folder in folders for part in patterns for file in folder.glob(part)}
    return sorted(file for file in found if file.is_file())


def digest_model(path: Path, files: Sequence[Path]) -> str:
    """Tell whether a model is the same as before: of the names and all content of its files.

    Parameters
    ----------
    path : Path
        The folder.
    files : sequence of Path
        In it.

    Returns
    -------
    str
        32 hexadecimal digits. A file whose size and time are the same is not read again.
    """
    whole = hashlib.blake2b(digest_size=16)
    for file in files:
        about = file.stat()
        key = (file, about.st_size, about.st_mtime_ns, about.st_ino)
        if key not in _known:
            digest = hashlib.blake2b(digest_size=16)
            with file.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
            _known[key] = digest.digest()
        whole.update(file.relative_to(path).as_posix().encode() + b"\0" + _known[key])
    return whole.hexdigest()


def _module_folders(path: Path) -> list[Path]:
    """Where the parts of a model lie: its folder, and those that its list of modules names."""
    folders = [path]
    modules = _read_json(path / _MODULES) if (path / _MODULES).is_file() else []
    for module in modules if isinstance(modules, list) else ():
        place = str(module.get("path", "")) if isinstance(module, dict) else ""
        inner = PurePosixPath(place)
        if inner.is_absolute() or ".." in inner.parts or "\\" in place:
            raise VectorFormatError(
                f"{path / _MODULES}: the path {place!r} leads out of the folder."
            )
        if place and (path / inner).is_dir():
            folders.append(path / inner)
    return list(dict.fromkeys(folders))


def _refuse_pickles(folders: Sequence[Path]) -> None:
    for folder in folders:
        if any((folder / name).is_file() for name in _WEIGHTS):
            continue
        for file in sorted(folder.iterdir()):
            if file.suffix in _PICKLES:
                raise VectorFormatError(
                    f"{file}: a pickle, which runs whatever its author put inside, and is not "
                    f"opened. Expected weights in safetensors: save the model again with "
                    f"save_pretrained."
                )


def _find_code(path: Path, folders: Sequence[Path]) -> str:
    """What names code of the model's own; nothing if nothing does."""
    if (path / _MODULES).is_file():
        modules = _read_json(path / _MODULES)
        for module in modules if isinstance(modules, list) else ():
            kind = str(module.get("type", "")) if isinstance(module, dict) else ""
            if not kind.startswith(_OURS):
                return f"{_MODULES}: {kind}"
    for folder in folders:
        for config in sorted(folder.glob("*config*.json")):
            for name, value in _settings(_read_json(config)):
                # An implementation of attention that has a slash is a name of the hub's kernels.
                fetched = name.endswith("attn_implementation") and "/" in json.dumps(value)
                if name in _RUNS or fetched:
                    return f"{config.relative_to(path)}: {name}"
    return ""


def _settings(config: Any) -> Iterator[tuple[str, Any]]:
    """All names and values of a configuration, at any depth."""
    pairs = config.items() if isinstance(config, dict) else enumerate(config)
    for name, value in pairs:
        yield str(name), value
        if isinstance(value, dict | list):
            yield from _settings(value)


def _read_json(file: Path) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise VectorFormatError(f"{file}: expected JSON, found: {error}") from error
    if not isinstance(found, dict | list):
        raise VectorFormatError(f"{file}: expected a JSON object or list, found {found!r:.40}.")
    return found
