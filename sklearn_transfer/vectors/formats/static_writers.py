"""Folders that model2vec's ``StaticModel`` and sentence-transformers open.

- model2vec: shared rows become the tensor ``mapping``, factors the tensor ``weights``. The library
  leaves out text that the tokenizer does not know, even if the table has a vector for it. A token
  that the tokenizer has and the table lacks, as in a subset, counts as a vector of zeros.
- sentence-transformers includes all tokens in the mean: a token without a vector, or that the table
  skips, counts as zeros. Features of texts with such tokens differ in length, not in direction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..._utils.atomic import replace_folder
from ..._utils.optional import import_optional
from ..storage.files import read_json
from ..storage.tensors import write_tensors
from ..table.table import Table
from ..table.tokenizer import TableTokenizer
from .static_models import CONFIGS, MODULES, SUBFOLDER, TENSORS, TOKENIZER, WEIGHTS
from .text_files import check_words

# The characters of the default token pattern `\w+`: letters and digits of Python.
_WORD = r"[\p{L}\p{N}_]+"
_MARK = r"[^\p{L}\p{N}_\s]"
_UNKNOWN = "[UNK]"
_BLOCK = 1 << 14  # rows at a time

_MODEL2VEC_CONFIG, _SENTENCE_TRANSFORMERS_CONFIG = CONFIGS
# Entry of the configuration of a folder that may be replaced.
_OURS = {"written_by": "sklearn_transfer"}
_STATIC_EMBEDDING = "sentence_transformers.models.StaticEmbedding"


def write_model2vec(table: Table, path: Path) -> None:
    """Write a folder for ``model2vec.StaticModel.from_pretrained``, which has no prompts."""
    tokenizer, position = _tokens(table)
    if tokenizer.prompt:
        raise ValueError(
            f"Model2Vec has no prompts, and these vectors have the prompt {tokenizer.prompt!r}. "
            f"Write them with format='sentence-transformers'."
        )
    arrays = _arrays(table, position)
    config: dict[str, Any] = {
        "normalize": False,
        "max_length": None,  # else it reads at most 512 tokens of a text
        "embedding_dtype": arrays["embeddings"].dtype.name,
    }
    if "mapping" in arrays:
        config["vocabulary_quantization"] = len(arrays["embeddings"])
    with _replace_model(path, _MODEL2VEC_CONFIG, config, module=".") as new:
        _write_parts(new, arrays, tokenizer)


def write_sentence_transformers(table: Table, path: Path) -> None:
    """Write a folder for ``sentence_transformers.SentenceTransformer``: a float32 row per token."""
    tokenizer, position = _tokens(table)
    skipped = [id_ for id_, token in tokenizer.names.items() if token in tokenizer.skipped]
    position[skipped] = -1
    config: dict[str, Any] = {"model_type": "SentenceTransformer", "prompts": {}}
    if tokenizer.prompt:
        config |= {"prompts": {"default": tokenizer.prompt}, "default_prompt_name": "default"}
    matrix = _spread(table.vectors, position, table.dim, np.float32)
    with _replace_model(path, _SENTENCE_TRANSFORMERS_CONFIG, config, module=SUBFOLDER) as new:
        inner = new / SUBFOLDER
        inner.mkdir()
        _write_parts(inner, {TENSORS["sentence-transformers"]: matrix}, tokenizer)


def _write_parts(
    folder: Path, arrays: Mapping[str, NDArray[Any]], tokenizer: TableTokenizer
) -> None:
    write_tensors(folder / WEIGHTS, arrays)
    (folder / TOKENIZER).write_bytes(tokenizer.content.encode())


@contextmanager
def _replace_model(
    path: Path, name: str, config: Mapping[str, Any], *, module: str
) -> Iterator[Path]:
    """Create a folder and its configuration, which replace `path` only if the body succeeds."""
    names = (name, MODULES, WEIGHTS, TOKENIZER, SUBFOLDER)
    modules = [{"idx": 0, "name": "0", "path": module, "type": _STATIC_EMBEDDING}]
    with replace_folder(path, names, lambda folder: _is_ours(folder, name)) as new:
        yield new
        for file, content in ((name, {**config, **_OURS}), (MODULES, modules)):
            (new / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _is_ours(path: Path, name: str) -> bool:
    """Return True if the configuration of a folder says that this package wrote it."""
    try:
        return bool(read_json(path / name).items() >= _OURS.items())
    except (OSError, ValueError, AttributeError):
        return False


def _tokens(table: Table) -> tuple[TableTokenizer, NDArray[np.int64]]:
    """Return the tokenizer, and the position of each id's word or -1: shape (n_ids,)."""
    tokenizer = table.tokenizer
    if tokenizer is None:
        check_words(table.words, b"", "static model")
        tokenizer = make_word_tokenizer(table.words, cased=table.cased)
        return tokenizer, np.append(np.arange(len(table.words)), -1)
    names = tokenizer.check(Path(TOKENIZER))
    ids = np.fromiter(names, np.int64, len(names))
    position = np.full(int(ids[-1]) + 1, -1, dtype=np.int64)
    position[ids] = table.words.find(list(names.values()))
    return tokenizer, position


def make_word_tokenizer(
    words: Sequence[str], *, cased: bool, punctuation: bool = False
) -> TableTokenizer:
    """Make a tokenizer of words or, as fine-tuned estimators have it, of punctuation as well."""
    # Its last id is unknown text.
    library = import_optional("tokenizers", extra="static", purpose="Writing tokenizer.json")
    unknown = _UNKNOWN
    while unknown in words:
        unknown = f"[{unknown}]"
    vocabulary = {word: i for i, word in enumerate([*words, unknown])}
    tokenizer = library.Tokenizer(library.models.WordLevel(vocabulary, unk_token=unknown))
    if not cased:
        tokenizer.normalizer = library.normalizers.Lowercase()
    # Inverted, it removes everything that does not match.
    tokenizer.pre_tokenizer = library.pre_tokenizers.Split(
        library.Regex(f"{_WORD}|{_MARK}" if punctuation else _WORD), "removed", invert=True
    )
    return TableTokenizer(tokenizer.to_str(), [unknown])


def _arrays(table: Table, position: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the tensors of a Model2Vec file, one row per id."""
    name = TENSORS["model2vec"]
    matrix, rows, scales = table.matrix, table.rows, table.scales
    if (rows is None and scales is None) or not len(matrix):
        return {name: _spread(matrix.__getitem__, position, table.dim, matrix.dtype)}
    # A token without a vector has the factor 0, and any row.
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
    """Return the rows that `take` returns for the word of each token, zeros without a word."""
    spread = np.zeros((len(position), dim), dtype=dtype)
    for start in range(0, len(position), _BLOCK):
        known = start + np.flatnonzero(position[start : start + _BLOCK] >= 0)
        spread[known] = take(position[known])
    return spread
