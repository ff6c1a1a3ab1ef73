"""Folders that model2vec's ``StaticModel`` and sentence-transformers open."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..._utils.validation import import_optional
from ..storage.files import written_folder
from ..storage.tensors import write_tensors
from ..table.table import Table
from ..table.tokenizer import TableTokenizer
from .static_models import CONFIGS, MODULES, SUBFOLDER, TENSORS, TOKENIZER, WEIGHTS
from .text_files import check_words

# The characters of the default token pattern `\w+`: what Python takes for letters and digits.
_WORD = r"[\p{L}\p{N}_]+"
_UNKNOWN = "[UNK]"
_BLOCK = 1 << 14  # rows at a time

_MODEL2VEC_CONFIG, _SENTENCE_TRANSFORMERS_CONFIG = CONFIGS
# By this entry of the configuration a folder is known as one that may be replaced.
_OURS = {"written_by": "sklearn_transfer"}
_STATIC_EMBEDDING = "sentence_transformers.models.StaticEmbedding"


def write_model2vec(table: Table, path: Path) -> None:
    """Write a folder for ``model2vec.StaticModel.from_pretrained``.

    Parameters
    ----------
    table : Table
        Shared rows become the tensor ``mapping``, factors ``weights``. N-gram rows are left out.
    path : Path

    Raises
    ------
    FileExistsError
        If a file, or a folder that this package did not write, is there.
    ValueError
        If a table without a tokenizer has no words, or one with a lone surrogate.
    MissingDependencyError
        If ``safetensors`` or ``tokenizers``, of the extra ``static``, is not installed.

    Notes
    -----
    model2vec leaves out what the tokenizer does not know, also where the table has a vector for it,
    and nothing else: a token that the tokenizer has and the table has not, as in a subset, counts
    there as a vector of zeros.
    """
    tokenizer, position = _tokens(table)
    arrays = _arrays(table, position)
    config: dict[str, Any] = {
        "normalize": False,
        # Else it reads no more than 512 tokens of a text.
        "max_length": None,
        "embedding_dtype": arrays["embeddings"].dtype.name,
    }
    if "mapping" in arrays:
        config["vocabulary_quantization"] = len(arrays["embeddings"])
    with _written(path, _MODEL2VEC_CONFIG, config, module=".") as new:
        write_tensors(new / WEIGHTS, arrays)
        (new / TOKENIZER).write_bytes(tokenizer.content.encode())


def write_sentence_transformers(table: Table, path: Path) -> None:
    """Write a folder for ``sentence_transformers.SentenceTransformer``.

    Parameters
    ----------
    table : Table
        It becomes one float32 row a token. N-gram rows are left out.
    path : Path

    Raises
    ------
    FileExistsError
        If a file, or a folder that this package did not write, is there.
    ValueError
        If a table without a tokenizer has no words, or one with a lone surrogate.
    MissingDependencyError
        If ``safetensors`` or ``tokenizers``, of the extra ``static``, is not installed.

    Notes
    -----
    sentence-transformers leaves no token out of the mean: one without a vector, or that the table
    leaves out, counts as zeros, so that features of texts with such tokens differ in length, and
    not in direction.
    """
    tokenizer, position = _tokens(table)
    skipped = [id_ for id_, token in tokenizer.names.items() if token in tokenizer.skipped]
    position[skipped] = -1
    config: dict[str, Any] = {"model_type": "SentenceTransformer", "prompts": {}}
    with _written(path, _SENTENCE_TRANSFORMERS_CONFIG, config, module=SUBFOLDER) as new:
        inner = new / SUBFOLDER
        inner.mkdir()
        matrix = _spread(table.vectors, position, table.dim, np.float32)
        write_tensors(inner / WEIGHTS, {TENSORS["sentence-transformers"]: matrix})
        (inner / TOKENIZER).write_bytes(tokenizer.content.encode())


@contextmanager
def _written(path: Path, name: str, config: Mapping[str, Any], *, module: str) -> Iterator[Path]:
    """A new folder with its configuration, that takes its place when the body has succeeded."""
    names = (name, MODULES, WEIGHTS, TOKENIZER, SUBFOLDER)
    modules = [{"idx": 0, "name": "0", "path": module, "type": _STATIC_EMBEDDING}]
    with written_folder(path, names, lambda folder: _is_ours(folder, name)) as new:
        yield new
        for file, content in ((name, {**config, **_OURS}), (MODULES, modules)):
            (new / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for found in new.rglob("*"):
            if found.is_file():
                with found.open("rb+") as content_file:
                    os.fsync(content_file.fileno())


def _is_ours(path: Path, name: str) -> bool:
    """Whether the configuration of a folder says that this package wrote it."""
    try:
        return bool(json.loads((path / name).read_bytes()).items() >= _OURS.items())
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _tokens(table: Table) -> tuple[TableTokenizer, NDArray[np.int64]]:
    """The tokenizer, and for each of its ids the word of the table, or -1: shape (n_ids,)."""
    tokenizer = table.tokenizer
    if tokenizer is None:
        check_words(table.words, b"", "static model")
        return _word_tokenizer(table), np.append(np.arange(len(table.words)), -1)
    names = tokenizer.check(Path(TOKENIZER))
    ids = np.fromiter(names, np.int64, len(names))
    position = np.full(int(ids[-1]) + 1, -1, dtype=np.int64)
    position[ids] = table.words.find(list(names.values()))
    return tokenizer, position


def _word_tokenizer(table: Table) -> TableTokenizer:
    """A tokenizer of whole words, as the estimators split by default; the last id is unknown."""
    library = import_optional("tokenizers", extra="static", purpose="Writing tokenizer.json")
    unknown = _UNKNOWN
    while unknown in table.words:
        unknown = f"[{unknown}]"
    vocabulary = {word: i for i, word in enumerate([*table.words, unknown])}
    tokenizer = library.Tokenizer(library.models.WordLevel(vocabulary, unk_token=unknown))
    if not table.cased:
        tokenizer.normalizer = library.normalizers.Lowercase()
    # Inverted, it removes what is not matched.
    tokenizer.pre_tokenizer = library.pre_tokenizers.Split(
        library.Regex(_WORD), "removed", invert=True
    )
    return TableTokenizer(tokenizer.to_str(), [unknown])


def _arrays(table: Table, position: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The tensors of a Model2Vec file, a token as :func:`_tokens` gives them."""
    name = TENSORS["model2vec"]
    matrix, rows, scales = table.matrix, table.rows, table.scales
    if (rows is None and scales is None) or not len(matrix):
        return {name: _spread(matrix.__getitem__, position, table.dim, matrix.dtype)}
    # A token without a vector has the factor 0, whatever its row.
    known = position >= 0
    weights = np.zeros(len(position), dtype=np.float32)
    weights[known] = 1 if scales is None else scales[position[known]]
    if rows is None:
        spread = _spread(matrix.__getitem__, position, table.dim, matrix.dtype)
        return {name: spread, "weights": weights}
    mapping = np.zeros(len(position), dtype=np.int64)
    mapping[known] = rows[position[known]]
    return {name: matrix, "weights": weights, "mapping": mapping}


def _spread(
    take: Callable[[NDArray[np.int64]], NDArray[Any]],
    position: NDArray[np.int64],
    dim: int,
    dtype: DTypeLike,
) -> NDArray[Any]:
    """What `take` gives for the word of each token, zeros where it has none."""
    spread = np.zeros((len(position), dim), dtype=dtype)
    for start in range(0, len(position), _BLOCK):
        known = start + np.flatnonzero(position[start : start + _BLOCK] >= 0)
        spread[known] = take(position[known])
    return spread
