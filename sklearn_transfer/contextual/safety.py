"""Folders of contextual models: recognised, and refused if they are unsafe to open."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from .._utils.devices import lacks_memory
from .._utils.errors import VectorFormatError
from ..vectors.storage.files import open_regular, read_json

_OURS = "sentence_transformers."

# The files that the libraries read: weights (and shards, which the index lists), configurations of
# modules, and vocabularies. Code that is trusted may read any.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PARTS = (
    *_WEIGHTS,
    *("modules.json", "config.json", "config_sentence_transformers.json", "router_config.json"),
    *("sentence_*_config.json", "cnn_config.json", "lstm_config.json", "*processor_config.json"),
    *("wordembedding_config.json", "*tokenizer_config.json", "chat_template.*"),
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "*.model", "*.spm"),
)
_TRUSTED_PARTS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.py")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
_MODULES, _CONFIG, _ADAPTER = "modules.json", "config.json", "adapter_config.json"
_ROUTER, _ROUTERS = "router_config.json", ("Router", "Asym")
# A model with one vector per token is a table.
_STATIC = ("StaticEmbedding", "model2vec")
_LONGEST_NAME = 255  # bytes, in most file systems
# Settings with which a configuration fetches and runs code.
_RUNS = ("auto_map", "custom_pipelines", "allow_all_kernels", "use_kernels", "kernel_config")

# Settings for which the libraries build parts, one by one, or arrays of a size. The weights
# have a tensor for each part, whose entry in the header takes this many bytes at least.
_PART_COUNTS, _ENTRY = re.compile(r"(layers?|hidden_groups|blocks?|depths?)$"), 40
_SIZES = re.compile(r"(size|dim|features|channels|heads?|model|inner|ffn?|embd|width)$")
# Names and modules that are made for each, without a tensor of its own.
_OTHERS, _MAX_OTHERS = re.compile(r"(num_labels|experts)$"), 1 << 16


def is_library_model(source: Any) -> bool:
    """True for a SentenceTransformer; the library is not imported."""
    return any(
        kind.__name__ == "SentenceTransformer" and kind.__module__.startswith(_OURS)
        for kind in type(source).__mro__
    )


def is_contextual_folder(path: Path) -> bool:
    """True for the folder of a transformer, judged by its configuration."""
    if (path / _MODULES).is_file():
        kind = next((kind for kind, _ in _read_modules(path)), "")
        return bool(kind) and not kind.endswith(_STATIC)
    if (path / _ADAPTER).is_file():
        return True
    if not (path / _CONFIG).is_file():
        return False
    config = read_json(path / _CONFIG)
    named = config.get("model_type") if isinstance(config, dict) else None
    return isinstance(named, str) and named not in _STATIC


def check_folder(path: Path, *, trust_remote_code: bool) -> list[Path]:
    """List the files of a model that is safe to open, in a fixed order; refuse other folders."""
    if not path.is_dir() or not is_contextual_folder(path):
        raise VectorFormatError(
            f"{path}: expected the folder of a contextual model, with {_MODULES} or a {_CONFIG} "
            f"that names its model_type."
        )
    folders = _module_folders(path)
    _refuse_special_files(folders)
    _refuse_adapters(path, folders)
    _refuse_pickles(folders)
    if not any((folder / name).is_file() for folder in folders for name in _WEIGHTS):
        raise VectorFormatError(
            f"{path}: expected weights in safetensors (model.safetensors), found none."
        )
    _check_sizes(folders)
    code = "" if trust_remote_code else _find_code(path, folders)
    if code:
        raise VectorFormatError(
            f"{path}: this model brings Python code of its own ({code}), which runs whatever its "
            f"author put inside. Read it, and set trust_remote_code=True if you trust it."
        )
    patterns = _TRUSTED_PARTS if trust_remote_code else _PARTS
    files = {file for folder in folders for part in patterns for file in folder.glob(part)}
    files |= {shard for folder in folders for shard in _find_shards(folder)}
    return sorted(file for file in files if file.is_file())


def _find_shards(folder: Path) -> Iterator[Path]:
    index = folder / _WEIGHTS[1]
    content = read_json(index) if index.is_file() else {}
    shards = content.get("weight_map", {}) if isinstance(content, dict) else {}
    for name in set(map(str, shards.values())) if isinstance(shards, dict) else ():
        _check_inside(index, name)
        yield folder / name


def _read_modules(path: Path) -> list[tuple[str, str]]:
    """Type and path of each module that ``modules.json`` lists, and of those of a router.

    Empty without that file.
    """
    content = read_json(path / _MODULES) if (path / _MODULES).is_file() else []
    given = content if isinstance(content, list) else []
    modules = [module if isinstance(module, dict) else {} for module in given]
    listed = [(str(module.get("type", "")), str(module.get("path", ""))) for module in modules]
    for kind, name in tuple(listed):
        _check_inside(path / _MODULES, name)
        router = path / name / (_ROUTER if (path / name / _ROUTER).is_file() else _CONFIG)
        if kind.endswith(_ROUTERS) and router.is_file():
            parts = read_json(router)
            types = parts.get("types", {}) if isinstance(parts, dict) else {}
            for part, inner in types.items() if isinstance(types, dict) else ():
                _check_inside(router, part)
                listed.append((str(inner), str(PurePosixPath(name, part))))
    return listed


def _module_folders(path: Path) -> list[Path]:
    """The folder of a model, and the folders that its list of modules names."""
    folders = [path / name for _, name in _read_modules(path)]
    return list(dict.fromkeys(folder for folder in [path, *folders] if folder.is_dir()))


def _refuse_adapters(path: Path, folders: Sequence[Path]) -> None:
    for folder in folders:
        if not (folder / _ADAPTER).exists():
            continue
        config = read_json(folder / _ADAPTER)
        base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
        raise VectorFormatError(
            f"{folder / _ADAPTER}: an adapter (LoRA), whose base model, {base!r:.80}, lies "
            f"elsewhere. Open both with peft, and pass the opened model: "
            f"pretrained=SentenceTransformer({str(path)!r})."
        )


def _check_inside(file: Path, name: str) -> None:
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or "\\" in name:
        raise VectorFormatError(f"{file}: the path {name!r:.80} leads out of the folder.")
    try:
        longest = max((len(os.fsencode(part)) for part in inner.parts), default=0)
    except UnicodeEncodeError:  # half a surrogate pair
        longest = _LONGEST_NAME + 1
    if "\0" in name or longest > _LONGEST_NAME:
        raise VectorFormatError(f"{file}: expected the path of a folder, found {name!r:.80}.")


def _refuse_special_files(folders: Sequence[Path]) -> None:
    """Refuse named pipes, sockets and devices, on which the libraries would wait for ever."""
    for folder in folders:
        for entry in sorted(folder.iterdir()):
            try:
                mode = entry.stat().st_mode
            except OSError:  # a link to nothing, which cannot be opened
                continue
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise VectorFormatError(f"{entry}: expected a regular file or a folder.")


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
    """Return the setting that names code in the folder, or an empty string."""
    for kind, _ in _read_modules(path):
        if not kind.startswith(_OURS):
            return f"{_MODULES}: {kind}"
    for folder in folders:
        for config in sorted(folder.glob("*config*.json")):
            for name, value in _settings(read_json(config)):
                # An implementation of attention with a slash names a kernel on the hub.
                fetched = name.endswith("attn_implementation") and "/" in json.dumps(value)
                if name in _RUNS or fetched:
                    return f"{config.relative_to(path)}: {name}"
    return ""


def _check_sizes(folders: Sequence[Path]) -> None:
    """Refuse configurations of far more parts or larger ones than the weights have."""
    weights = [file for folder in folders for file in folder.glob("*.safetensors")]
    weights = [file for file in weights if file.is_file()]
    n_bytes = sum(file.stat().st_size for file in weights)
    limits = [
        (_PART_COUNTS, min(n_bytes, sum(map(_header_size, weights))) // _ENTRY),
        (_SIZES, 2 * n_bytes),  # four bits are the least that a value takes
        (_OTHERS, _MAX_OTHERS),
    ]
    for folder in folders:
        for config in sorted(folder.glob("*config*.json")):
            for name, value in _settings(read_json(config)):
                largest = max(_integers(value), default=0)
                limit = min((n for names, n in limits if names.search(name)), default=largest)
                if largest > limit:
                    raise VectorFormatError(
                        f"{config}: expected {name!r:.80} to be at most {limit} with weights of "
                        f"{n_bytes} bytes, found {largest}."
                    )


def _header_size(file: Path) -> int:
    with open_regular(file) as content:
        return int.from_bytes(content.read(8), "little")


def _integers(value: Any) -> Iterator[int]:
    """Yield a number, or the numbers in a list."""
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, int):
            yield number


def _settings(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield all names and values of a configuration, nested ones included, however deep."""
    waiting = [config]
    while waiting:
        content = waiting.pop()
        if isinstance(content, dict):
            yield from content.items()
            waiting += content.values()
        elif isinstance(content, list):
            waiting += content


@contextmanager
def catch_library_errors(path: Path | None) -> Iterator[None]:
    """Turn errors of all types, while a model is tried, into one that names its folder."""
    try:
        yield
    except (VectorFormatError, ImportError):
        raise
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"  # of a library in Rust
        if path is None or not (isinstance(error, Exception) or is_panic) or lacks_memory(error):
            raise
        raise VectorFormatError(
            f"{path}: this model cannot be used: {type(error).__name__}: {error}"
        ) from error
