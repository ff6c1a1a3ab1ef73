"""The folder of a contextual model: what tells that it is one, and whether it is safe to open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._validation import VectorFormatError

OURS = "sentence_transformers."
# What belongs to a model: weights, configurations, vocabularies.
_PARTS = ("*.safetensors", "*.json", "*.txt", "*.model")
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pkl", "*.ckpt")
_MODULES, _CONFIG = "modules.json", "config.json"
# Models of which every token has one vector are tables.
_STATIC = ("StaticEmbedding", "model2vec")


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
        If it is no folder of a model, has no weights in safetensors, or brings code.
    """
    if not path.is_dir() or not is_contextual_folder(path):
        raise VectorFormatError(
            f"{path}: expected the folder of a contextual model, with {_MODULES} or a {_CONFIG} "
            f"that names its model_type."
        )
    files = sorted({file for part in _PARTS for file in path.rglob(part) if file.is_file()})
    weights = {file.parent for file in files if file.suffix == ".safetensors"}
    for pattern in _PICKLES:
        for file in sorted(path.rglob(pattern)):
            if file.parent not in weights:
                raise VectorFormatError(
                    f"{file}: a pickle, which runs whatever its author put inside, and is not "
                    f"opened. Expected weights in safetensors: save the model again with "
                    f"save_pretrained."
                )
    if not weights:
        raise VectorFormatError(
            f"{path}: expected weights in safetensors (model.safetensors), found none."
        )
    code = _find_code(path)
    if code and not trust_remote_code:
        raise VectorFormatError(
            f"{path}: this model brings Python code of its own ({code}), which runs whatever its "
            f"author put inside. Read it, and set trust_remote_code=True if you trust it."
        )
    return files


def _find_code(path: Path) -> str:
    """What names code of the model's own; nothing if nothing does."""
    if (path / _MODULES).is_file():
        modules = _read_json(path / _MODULES)
        for module in modules if isinstance(modules, list) else ():
            kind = str(module.get("type", "")) if isinstance(module, dict) else ""
            if not kind.startswith(OURS):
                return f"{_MODULES}: {kind}"
    for config in sorted(path.rglob("*.json")):
        found = _read_json(config)
        if isinstance(found, dict) and "auto_map" in found:
            return f"{config.relative_to(path)}: auto_map"
    return ""


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise VectorFormatError(f"{file}: expected JSON, found: {error}") from error
