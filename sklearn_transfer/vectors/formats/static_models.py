"""Static models: one vector a token, and a tokenizer; of Model2Vec and sentence-transformers.

- Model2Vec: a folder of ``model.safetensors`` with ``embeddings`` (and ``weights``, a factor a
  token; ``mapping``, the row of each token), ``tokenizer.json`` and ``config.json``. What the
  tokenizer does not know is left out of a text.
- sentence-transformers' ``StaticEmbedding``: ``embedding.weight`` in place of ``embeddings``,
  alone or as the first module that ``modules.json`` names. What is not known counts, by the row of
  the token that stands for it.
- wordllama: the same tensor in ``weights/``, the tokenizer in ``tokenizers/``.

That a model normalises what it gives (``normalize`` of Model2Vec, a module ``Normalize``) is
left to those who pool: ``PretrainedEmbeddingTransformer(norm="l2")`` does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.validation import VectorFormatError
from ..storage.files import open_member
from ..storage.tensors import Tensor, read_tensors
from ..table.table import Matrix, Reading, Table
from ..table.tokenizer import TableTokenizer

WEIGHTS, TOKENIZER, MODULES = "model.safetensors", "tokenizer.json", "modules.json"
CONFIGS = ("config.json", "config_sentence_transformers.json")
SUBFOLDER = "0_StaticEmbedding"
KINDS = ("model2vec", "sentence-transformers", "wordllama")
# The tensor that tells whose model it is.
TENSORS = {"model2vec": "embeddings", "sentence-transformers": "embedding.weight"}

_MATRICES = {"F64", "F32", "F16", "BF16", "I8"}
_LONGEST = 255  # bytes of a name, in most file systems
_PICKLES = ("pytorch_model.bin", "model.pt", "model.pkl")


@dataclass(frozen=True)
class StaticFiles:
    """What a static model consists of.

    Attributes
    ----------
    weights, tokenizer : Path
    about : tuple of Path
        What else belongs to it.
    """

    weights: Path
    tokenizer: Path
    about: tuple[Path, ...] = ()

    @property
    def all(self) -> list[Path]:
        """All of them, in a fixed order."""
        return [self.weights, self.tokenizer, *self.about]


def find(path: Path) -> StaticFiles | None:
    """Look for a static model in a folder.

    Parameters
    ----------
    path : Path

    Returns
    -------
    StaticFiles or None
        None if nothing of it looks like one.

    Raises
    ------
    VectorFormatError
        If a part is missing, the weights are a pickle, or other modules belong to the model.
    """
    modules = path / MODULES
    inner = path
    if modules.exists():
        inner = path / _subfolder(modules)
    elif not (path / WEIGHTS).exists() and (path / SUBFOLDER).is_dir():
        inner = path / SUBFOLDER
    weights, tokenizer = inner / WEIGHTS, inner / TOKENIZER
    if not weights.exists():
        for name in _PICKLES:
            if (inner / name).exists():
                raise VectorFormatError(
                    f"{inner / name}: a pickle, which runs whatever its author put inside, and is "
                    f"not opened. Expected {WEIGHTS}: save the model again with the library that "
                    f"it comes from."
                )
        if inner == path and not modules.exists():
            return _in_wordllama(path)
    for file in (weights, tokenizer):
        if not file.is_file():
            raise VectorFormatError(
                f"{path}: expected a static model, with {WEIGHTS} and {TOKENIZER}, found no file "
                f"{file.relative_to(path)}."
            )
    about = (modules, *(path / name for name in CONFIGS))
    return StaticFiles(weights, tokenizer, tuple(file for file in about if file.is_file()))


def _subfolder(modules: Path) -> PurePosixPath:
    """Where the only module lies that has vectors."""
    found = _read_json(modules)
    try:
        kinds = [str(module["type"]).rpartition(".")[2] for module in found]
        subfolder = PurePosixPath(str(found[0]["path"]))
    except (TypeError, KeyError, IndexError):
        raise VectorFormatError(
            f"{modules}: expected a list of modules, each with a type and a path."
        ) from None
    if kinds[0] != "StaticEmbedding" or not set(kinds[1:]) <= {"Normalize"}:
        raise VectorFormatError(
            f"{modules}: expected the module StaticEmbedding, and none behind it but Normalize; "
            f"found {', '.join(kinds)}. Only static models are tables of vectors."
        )
    if len(str(subfolder).encode(errors="replace")) > _LONGEST:
        raise VectorFormatError(
            f"{modules}: expected the path of a folder, found {subfolder!s:.60}..."
        )
    if subfolder.is_absolute() or ".." in subfolder.parts or "\\" in str(subfolder):
        raise VectorFormatError(f"{modules}: the path {str(subfolder)!r} leads out of the folder.")
    return subfolder


def _read_json(file: Path) -> Any:
    try:
        with open_member(file) as content:
            return json.loads(content.read())
    except (OSError, ValueError, RecursionError) as error:
        raise VectorFormatError(f"{file}: expected JSON, found: {error}") from error


def _in_wordllama(path: Path) -> StaticFiles | None:
    """The package wordllama, or a folder that its wheel was unpacked into."""
    for root in (path, path / "wordllama"):
        weights = sorted((root / "weights").glob("*.safetensors"))
        tokenizers = sorted((root / "tokenizers").glob("*.json"))
        if not weights or not tokenizers:
            continue
        if len(weights) > 1 or len(tokenizers) > 1:
            names = ", ".join(file.name for file in (*weights, *tokenizers))
            raise VectorFormatError(
                f"{root}: expected one file of weights and one tokenizer, found {names}. Copy the "
                f"two that you want into a folder, as {WEIGHTS} and {TOKENIZER}."
            )
        return StaticFiles(weights[0], tokenizers[0])
    return None


def files(path: Path) -> list[Path]:
    """The files of a static model in a folder; empty unless something of it looks like one."""
    found = find(path)
    return [] if found is None else found.all


def _whose(path: Path, tensors: dict[str, Tensor]) -> str:
    for name, tensor in TENSORS.items():
        if tensor in tensors:
            return name
    raise VectorFormatError(
        f"{path}: expected a tensor {' or '.join(map(repr, TENSORS.values()))}, as static models "
        f"have, found {', '.join(map(repr, sorted(tensors)[:3])) or 'none'}."
    )


def read(path: Path, options: Reading) -> Table:
    """Read a static model.

    Parameters
    ----------
    path : Path
        The folder.
    options : Reading
        The matrix can be mapped, unless it is of bfloat16 or float64.

    Returns
    -------
    Table
        Of the tokens, in the order of their ids, with the tokenizer.

    Raises
    ------
    VectorFormatError
        If a file is damaged, or they do not belong together.
    MissingDependencyError
        If ``safetensors`` or ``tokenizers``, of the extra ``static``, is not installed.
    """
    files = find(path)
    if files is None:
        raise VectorFormatError(f"{path}: expected a static model, found none.")
    tensors = read_tensors(files.weights)
    whose = _whose(files.weights, tensors)
    matrix = _read_matrix(tensors[TENSORS[whose]], options)
    tokenizer = _read_tokenizer(files.tokenizer)
    names = tokenizer.check(files.tokenizer)
    ids = np.fromiter(names, np.int64, len(names))
    rows = scales = None
    if whose == "model2vec":
        unknown = tokenizer.unknown
        tokenizer = tokenizer.skipping([] if unknown is None else [unknown])
        if (mapping := tensors.get("mapping")) is not None:
            rows = _a_token(mapping, "iu", ids)
        if (weights := tensors.get("weights")) is not None:
            with np.errstate(over="ignore"):
                scales = _a_token(weights, "f", ids).astype(np.float32)
    if rows is None:
        if ids[-1] >= len(matrix):
            raise VectorFormatError(
                f"{files.weights}: expected a row for each token of {files.tokenizer.name}, the "
                f"last of which has the id {ids[-1]}; found {len(matrix)} rows."
            )
        if ids[-1] < len(ids):  # no gaps; there may be rows behind the last token
            matrix = matrix[: len(ids)]
        else:
            rows = ids
    if rows is not None:
        if not 0 <= int(rows.min()) <= int(rows.max()) < len(matrix):
            raise VectorFormatError(
                f"{files.weights}: expected rows from 0 to {len(matrix) - 1} in the tensor "
                f"'mapping', found {rows.min()} to {rows.max()}."
            )
        rows = rows.astype(np.int32)
    return Table.from_rows(
        names.values(), matrix, files.weights, rows=rows, scales=scales, tokenizer=tokenizer
    ).head(options.limit)


def _read_matrix(tensor: Tensor, options: Reading) -> Matrix:
    if tensor.dtype not in _MATRICES or len(tensor.shape) != 2:
        raise VectorFormatError(
            f"{tensor.path}: expected a matrix of {', '.join(sorted(_MATRICES))} as the tensor "
            f"{tensor.name!r}, found {tensor.dtype} of shape {tensor.shape}."
        )
    matrix = tensor.load(mmap=options.mmap)
    if matrix.dtype == np.float64:
        with np.errstate(over="ignore"):  # what becomes infinite is refused with the rest
            matrix = matrix.astype(np.float32)
    return matrix


def _a_token(tensor: Tensor, kinds: str, ids: NDArray[np.int64]) -> NDArray[Any]:
    """The values of a tensor that has one for each token, shape (n_tokens,)."""
    if len(tensor.shape) != 1 or tensor.shape[0] <= ids[-1]:
        raise VectorFormatError(
            f"{tensor.path}: expected a value for each of the ids up to {ids[-1]} in the tensor "
            f"{tensor.name!r}, found shape {tensor.shape}."
        )
    values = tensor.load()
    if values.dtype.kind not in kinds:
        wanted = "floats" if kinds == "f" else "integers"
        raise VectorFormatError(
            f"{tensor.path}: expected {wanted} in the tensor {tensor.name!r}, found {tensor.dtype}."
        )
    found: NDArray[Any] = values[ids]
    return found


def _read_tokenizer(file: Path) -> TableTokenizer:
    try:
        with open_member(file) as content:
            return TableTokenizer(content.read().decode())
    except UnicodeDecodeError as error:
        raise VectorFormatError(f"{file}: no tokenizer.json: {error}") from error
