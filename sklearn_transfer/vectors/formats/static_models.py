"""Static models: a tokenizer and one vector per token, by Model2Vec and sentence-transformers.

- Model2Vec: a folder of ``model.safetensors`` with the tensor ``embeddings`` (and ``weights``, a
  factor per token; ``mapping``, the row of each token), ``tokenizer.json`` and ``config.json``.
  Unknown tokens are left out of a text.
- ``StaticEmbedding`` of sentence-transformers: the tensor ``embedding.weight`` instead of
  ``embeddings``, alone or as the first module in ``modules.json``. Unknown tokens count, with the
  row of the token for unknown text. ``config_sentence_transformers.json`` may name a default
  prompt, which precedes every text, and the number of dimensions that are used.
- wordllama: the same tensor in ``weights/``, the tokenizer in ``tokenizers/``.

Normalisation of the output (``normalize`` of Model2Vec, a module ``Normalize``) is not read: use
``PretrainedEmbeddingTransformer(norm="l2")``.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.errors import VectorFormatError
from ..storage.files import open_regular, read_json
from ..storage.tensors import Tensor, read_tensors
from ..table.table import Matrix, Reading, Table, as_float_matrix
from ..table.tokenizer import TableTokenizer

WEIGHTS, TOKENIZER, MODULES = "model.safetensors", "tokenizer.json", "modules.json"
CONFIGS = ("config.json", "config_sentence_transformers.json")
SUBFOLDER = "0_StaticEmbedding"
# The tensor by which a model's library is recognised.
TENSORS = {"model2vec": "embeddings", "sentence-transformers": "embedding.weight"}

_MATRICES = {"F64", "F32", "F16", "BF16", "I8"}
_LONGEST_NAME = 255  # bytes, in most file systems
_PICKLES = ("pytorch_model.bin", "model.pt", "model.pkl")


def list_files(path: Path) -> list[Path]:
    """Return the weights, the tokenizer and the configuration of a static model; empty if none."""
    modules = path / MODULES
    inner = path
    if modules.exists():
        inner = path / _read_subfolder(modules)
    elif not (path / WEIGHTS).exists() and (path / SUBFOLDER).is_dir():
        inner = path / SUBFOLDER
    weights, tokenizer = inner / WEIGHTS, inner / TOKENIZER
    if not weights.exists():
        for name in _PICKLES:
            if (inner / name).exists():
                raise VectorFormatError(
                    f"{inner / name}: a pickle, which can run any code, is not opened. Expected "
                    f"{WEIGHTS}: save the model again with the library that it comes from."
                )
        if inner == path and not modules.exists():
            return _find_in_wordllama(path)
    for file in (weights, tokenizer):
        if not file.is_file():
            raise VectorFormatError(
                f"{path}: expected a static model, with {WEIGHTS} and {TOKENIZER}, found no file "
                f"{file.relative_to(path)}."
            )
    about = (modules, *(path / name for name in CONFIGS))
    return [weights, tokenizer, *(file for file in about if file.is_file())]


def _read_subfolder(modules: Path) -> PurePosixPath:
    """Read the folder of the only module that has vectors."""
    entries = read_json(modules)
    try:
        kinds = [str(module["type"]).rpartition(".")[2] for module in entries]
        subfolder = PurePosixPath(str(entries[0]["path"]))
    except (TypeError, KeyError, IndexError):
        raise VectorFormatError(
            f"{modules}: expected a list of modules, each with a type and a path."
        ) from None
    if kinds[0] != "StaticEmbedding" or not set(kinds[1:]) <= {"Normalize"}:
        raise VectorFormatError(
            f"{modules}: expected the module StaticEmbedding, followed only by Normalize, "
            f"found {', '.join(kinds)}. Only static models are tables of vectors."
        )
    if len(str(subfolder).encode(errors="replace")) > _LONGEST_NAME:
        raise VectorFormatError(
            f"{modules}: expected the path of a folder, found {subfolder!s:.60}..."
        )
    if subfolder.is_absolute() or ".." in subfolder.parts or "\\" in str(subfolder):
        raise VectorFormatError(f"{modules}: the path {str(subfolder)!r} leads out of the folder.")
    return subfolder


def _find_in_wordllama(path: Path) -> list[Path]:
    """Find the files of the package wordllama, or of its unpacked wheel."""
    for root in (path, path / "wordllama"):
        weights = sorted((root / "weights").glob("*.safetensors"))
        tokenizers = sorted((root / "tokenizers").glob("*.json"))
        if not weights or not tokenizers:
            continue
        if len(weights) > 1 or len(tokenizers) > 1:
            names = ", ".join(file.name for file in (*weights, *tokenizers))
            raise VectorFormatError(
                f"{root}: expected one file of weights and one tokenizer, found {names}. Copy the "
                f"right two into a folder, as {WEIGHTS} and {TOKENIZER}."
            )
        return [weights[0], tokenizers[0]]
    return []


def _find_library(path: Path, tensors: dict[str, Tensor]) -> str:
    for name, tensor in TENSORS.items():
        if tensor in tensors:
            return name
    raise VectorFormatError(
        f"{path}: expected a tensor {' or '.join(map(repr, TENSORS.values()))}, as static models "
        f"have, found {', '.join(map(repr, sorted(tensors)[:3])) or 'none'}."
    )


def read(path: Path, options: Reading) -> Table:
    """Read a static model: a table of its tokens, in the order of their ids, with the tokenizer."""
    files = list_files(path)
    if not files:
        raise VectorFormatError(f"{path}: expected a static model, found none.")
    weights_file, tokenizer_file = files[:2]
    tensors = read_tensors(weights_file)
    library = _find_library(weights_file, tensors)
    dim, prompt = _read_settings(path)
    matrix = _read_matrix(tensors[TENSORS[library]])
    matrix = matrix if dim is None else matrix[:, :dim].copy()
    tokenizer = _read_tokenizer(tokenizer_file, prompt)
    names = tokenizer.check(tokenizer_file)
    ids = np.fromiter(names, np.int64, len(names))
    rows = scales = None
    if library == "model2vec":
        unknown = tokenizer.unknown
        tokenizer = tokenizer.skipping([] if unknown is None else [unknown])
        if (mapping := tensors.get("mapping")) is not None:
            rows = _read_per_token(mapping, "iu", ids)
        if (weights := tensors.get("weights")) is not None:
            with np.errstate(over="ignore"):
                scales = _read_per_token(weights, "f", ids).astype(np.float32)
    return tabulate(tokenizer, matrix, weights_file, rows=rows, scales=scales).head(options.limit)


def tabulate(
    tokenizer: TableTokenizer,
    matrix: Matrix,
    file: Path,
    *,
    rows: NDArray[Any] | None = None,
    scales: NDArray[np.float32] | None = None,
) -> Table:
    """Make a table of the tokens of a tokenizer; without `rows`, their ids are those of rows."""
    names = tokenizer.names
    ids = np.fromiter(names, np.int64, len(names))
    if rows is None:
        if ids[-1] >= len(matrix):
            raise VectorFormatError(
                f"{file}: expected a row for each token of {TOKENIZER}, whose largest id is "
                f"{ids[-1]}, found {len(matrix)} rows."
            )
        if ids[-1] < len(ids):  # no gaps; there may be rows after the last token
            matrix = matrix[: len(ids)]
        else:
            rows = ids
    return Table.from_rows(
        names.values(), matrix, file, rows=rows, scales=scales, tokenizer=tokenizer
    )


def _read_settings(path: Path) -> tuple[int | None, str]:
    """Read the number of dimensions that are used, and the default prompt."""
    file = path / CONFIGS[1]
    content = read_json(file) if file.is_file() else {}
    settings = content if isinstance(content, dict) else {}
    dim, prompts = settings.get("truncate_dim"), settings.get("prompts")
    if dim is not None and not (isinstance(dim, int) and dim > 0):
        raise VectorFormatError(f"{file}: expected a positive number as truncate_dim, got {dim!r}.")
    name = settings.get("default_prompt_name")
    prompt = prompts.get(str(name)) if isinstance(prompts, dict) else None
    return dim, str(prompt or "")


def _read_matrix(tensor: Tensor) -> Matrix:
    if tensor.dtype not in _MATRICES or len(tensor.shape) != 2:
        raise VectorFormatError(
            f"{tensor.path}: expected a matrix of {', '.join(sorted(_MATRICES))} as the tensor "
            f"{tensor.name!r}, found {tensor.dtype} of shape {tensor.shape}."
        )
    matrix = tensor.to_numpy()
    return matrix if matrix.dtype == np.int8 else as_float_matrix(matrix, tensor.path)


def _read_per_token(tensor: Tensor, kinds: str, ids: NDArray[np.int64]) -> NDArray[Any]:
    """Return the values of a tensor for each token, shape (n_tokens,)."""
    if len(tensor.shape) != 1 or tensor.shape[0] <= ids[-1]:
        raise VectorFormatError(
            f"{tensor.path}: expected a value for each of the ids up to {ids[-1]} in the tensor "
            f"{tensor.name!r}, found shape {tensor.shape}."
        )
    values = tensor.to_numpy()
    if values.dtype.kind not in kinds:
        expected = "floats" if kinds == "f" else "integers"
        raise VectorFormatError(
            f"{tensor.path}: expected {expected} in the tensor {tensor.name!r}, found "
            f"{tensor.dtype}."
        )
    per_token: NDArray[Any] = values[ids]
    return per_token


def _read_tokenizer(file: Path, prompt: str) -> TableTokenizer:
    try:
        with open_regular(file) as content:
            return TableTokenizer(content.read().decode(), prompt=prompt)
    except UnicodeDecodeError as error:
        raise VectorFormatError(f"{file}: no tokenizer.json: {error}") from error
