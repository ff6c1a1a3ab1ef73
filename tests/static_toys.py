"""Tiny static models and tokenizers, made by the libraries that they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

TEXTS = [
    "The cat sat on the mat",
    "cat cat sat unbelievable",
    "",
    "zebra",
    "a zebra sat, the cat!",
    "\u732b cat",
]


def word_level() -> Tokenizer:
    words = ["[UNK]", "the", "cat", "sat", "on", "mat", ",", "unbelievable"]
    tokenizer = Tokenizer(models.WordLevel(_numbered(words), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def word_piece() -> Tokenizer:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "the", "cat", "sat", "un", "##believ", "##able", "##s"]
    tokenizer = Tokenizer(models.WordPiece(_numbered(pieces), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]"])
    # What texts are padded and cut to is no matter of a table.
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(2)
    return tokenizer


def bpe() -> Tokenizer:
    pieces = ["<unk>", "\u2581", "c", "a", "t", "s", "\u2581c", "at", "\u2581cat", "\u2581s"]
    pieces.append("\u2581sat")
    merges = [("\u2581", "c"), ("a", "t"), ("\u2581c", "at"), ("\u2581", "s"), ("\u2581s", "at")]
    model = models.BPE(_numbered(pieces), merges, unk_token="<unk>", fuse_unk=True)
    return _with_metaspace(Tokenizer(model))


def unigram() -> Tokenizer:
    pieces = ["<pad>", "<unk>", "\u2581", "\u2581cat", "\u2581sat", "c", "a", "t", "\u2581the"]
    scored = [(piece, -float(i)) for i, piece in enumerate(pieces)]
    return _with_metaspace(Tokenizer(models.Unigram(scored, unk_id=1)))


TOKENIZERS = {"WordLevel": word_level, "WordPiece": word_piece, "BPE": bpe, "Unigram": unigram}


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: i for i, token in enumerate(tokens)}


def _with_metaspace(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def numbers(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    values = np.random.default_rng(0).standard_normal(shape)
    return (40 * values if dtype == np.int8 else values).astype(dtype)


def save_model(
    folder: Path,
    tokenizer: Tokenizer,
    tensors: dict[str, NDArray[Any]] | None = None,
    *,
    config: dict[str, Any] | None = None,
) -> Path:
    """A model of some tensors; None: Model2Vec's, float32, of 3 columns."""
    folder.mkdir(parents=True, exist_ok=True)
    if tensors is None:
        tensors = {"embeddings": numbers(tokenizer.get_vocab_size(), 3)}
    save_file(tensors, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def save_modules(folder: Path, *modules: tuple[str, str]) -> Path:
    """``modules.json`` of sentence-transformers, of types and paths."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def means(
    tokenizer: Tokenizer, vectors: NDArray[Any], texts: list[str], dropped: int | None = None
) -> NDArray[np.float32]:
    """Naively: the mean of the rows of each text's token ids."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        found = [vectors[id_].astype(np.float32) for id_ in ids if id_ != dropped]
        rows.append(np.mean(found, axis=0) if found else np.zeros(vectors.shape[1]))
    return np.array(rows, dtype=np.float32)
