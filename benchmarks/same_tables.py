"""Tables against what spaCy's and gensim's own rules give, a part of `upstream`.

spaCy's is checked by a murmur hash and a MessagePack loop in plain Python; gensim's test files
against what gensim loads.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gensim
import numpy as np
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import FastTextKeyedVectors, load_facebook_vectors

from sklearn_transfer import PretrainedVectors

from .measure import markdown_table, progress
from .sources import spacy_folder

_N_KEYS = 1000
_DATA = Path(gensim.__file__).parent / "test" / "test_data"
# No words of the files: their vectors come from n-grams alone.
_UNKNOWN = ["zzyzx", "unforgettableness", "naïveté", "Übermütigkeit", "猫猫", "a", "-12,5%"]

_TEXTS = (
    "high_precision.kv.txt word2vec_pre_kv_c pretrained.vec crime-and-punishment.vec "
    "lee_fasttext.vec pang_lee_polarity_fasttext.vec toy-model.vec"
)
_BINARIES = "euclidean_vectors.bin high_precision.kv.bin poincare_vectors.bin"
_FACEBOOK = (
    "crime-and-punishment.bin lee_fasttext.bin lee_fasttext_new.bin non_ascii_fasttext.bin "
    "pang_lee_polarity_fasttext.bin toy-model.bin toy-model-pretrained.bin cp852_fasttext.bin"
)
_FAST_TEXT = "fasttext_old fasttext_old_sep ft_model_2.3.0 lee_fasttext compatible-hash-true.model"
_VERSIONS = "0.12.0 0.12.4 0.13.0 0.13.4 1.0.0 2.0.0 2.3.0 3.0.0 3.1.0 3.2.0 3.3.0 3.4.0"
_WORD2VEC = (
    "word2vec_old word2vec_old_sep word2vec_3.3 word2vec_pre_kv_py2 word2vec_pre_kv_py3 "
    "word2vec_pre_kv_py3_4 word2vec_pre_kv_sep_py2 word2vec_pre_kv_sep_py3 "
    "word2vec_pre_kv_sep_py3_4 w2v-lee-v0.12.0 model-from-gensim-3.8.0.w2v "
    + " ".join(f"old_w2v_models/w2v_{version}.mdl" for version in _VERSIONS.split())
)


class Row(NamedTuple):
    """What a file was compared in, and the largest difference of values."""

    file: str
    n_words: int
    same_words: bool
    n_compared: int
    difference: float
    n_unknown: int = 0
    difference_unknown: float = 0.0


def spacy_rows() -> list[Row]:
    """1,000 keys of en_core_web_md: hash, row and vector by plain Python, against the package."""
    folder = spacy_folder()
    vectors = PretrainedVectors.load(folder)
    row_of = _read_map((folder / "key2row").read_bytes())
    matrix = np.load(folder / "vectors", allow_pickle=False)
    position = np.random.default_rng(0).choice(len(vectors), _N_KEYS, replace=False)
    words = [vectors.words[i] for i in position.tolist()]
    keys = [_murmur(word.encode()) for word in words]
    hashed = [(word, key) for word, key in zip(words, keys, strict=True) if key in row_of]
    expected = matrix[[row_of[key] for _, key in hashed]]
    found = vectors[[word for word, _ in hashed]]
    # Numbered words ("number", "DATE") have keys below 512; all others must be found by their hash.
    same = len(vectors) == len(row_of) and len(hashed) >= _N_KEYS - sum(k < 512 for k in row_of)
    return [Row("en_core_web_md", len(vectors), same, len(hashed), _largest(found, expected))]


def gensim_rows() -> list[Row]:
    """Every file of vectors in gensim's test data, opened by gensim and by the package."""
    readers: list[tuple[Callable[[str], Any], str]] = [
        (KeyedVectors.load_word2vec_format, _TEXTS),
        (lambda path: KeyedVectors.load_word2vec_format(path, binary=True), _BINARIES),
        (lambda path: KeyedVectors.load_word2vec_format(path, no_header=True), "test_glove.txt"),
        (load_facebook_vectors, _FACEBOOK),
        (FastText.load, _FAST_TEXT),
        (FastTextKeyedVectors.load, "ft_kv_3.6.0.model.gz"),
        (KeyedVectors.load, "w2v_keyedvectors_load_test.modeldata old_keyedvectors_320.dat"),
        (Word2Vec.load, _WORD2VEC),
    ]
    rows = [_against_gensim(name, load) for load, names in readers for name in names.split()]
    return [row for row in rows if row is not None]


def _against_gensim(name: str, load: Callable[[str], Any]) -> Row | None:
    path = _DATA / name
    try:
        theirs = load(str(path))
    except Exception as error:
        progress(f"gensim cannot open {name}: {type(error).__name__}: {error!s:.60}")
        return None
    theirs = getattr(theirs, "wv", theirs)
    try:
        ours = PretrainedVectors.load(path, allow_pickle=True)
    except Exception as error:
        progress(f"{name}: {type(error).__name__}: {error!s:.160}")
        return Row(name, len(theirs.index_to_key), False, 0, np.nan)
    words = theirs.index_to_key
    same = list(ours.words) == list(words)
    row = Row(name, len(words), same, len(words), _largest(ours[list(ours.words)], theirs.vectors))
    if ours.subwords is None:
        return row
    unknown = [word for word in _UNKNOWN if word not in ours]
    # Where a word has no n-gram, gensim gives its origin vector or raises.
    grams = [word for word in unknown if len(ours.subwords.ngrams([word])[0])]
    _, found = ours.look_up(grams, oov="subword")
    try:
        expected = np.array([theirs.get_vector(word) for word in grams])
    except Exception as error:
        progress(
            f"gensim has no vectors of unknown words in {name}: {type(error).__name__}: {error}"
        )
        return row
    return row._replace(n_unknown=len(grams), difference_unknown=_largest(found, expected))


def _largest(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> float:
    if ours.shape != theirs.shape:
        return np.inf
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))


def _murmur(data: bytes) -> int:
    """MurmurHash64A with seed 1, a block at a time."""
    factor, mask = 0xC6A4A7935BD1E995, 2**64 - 1
    h = 1 ^ (len(data) * factor & mask)
    for start in range(0, len(data), 8):
        block = data[start : start + 8]
        k = int.from_bytes(block, "little")
        if len(block) == 8:
            k = k * factor & mask
            k = (k ^ k >> 47) * factor & mask
        h = (h ^ k) * factor & mask
    h = (h ^ h >> 47) * factor & mask
    return h ^ h >> 47


def _read_map(packed: bytes) -> dict[int, int]:
    """A MessagePack map of unsigned integers, of 32-bit size."""

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


def table() -> str:
    """Both in one table; what gensim itself cannot open is told on stderr."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [*spacy_rows(), *gensim_rows()]
    logging.disable(logging.NOTSET)
    header = ["file", "words", "same, in order", "compared", "largest difference"]
    header += ["unknown words", "of these"]
    cells = [
        [
            row.file,
            f"{row.n_words:,}",
            "yes" if row.same_words else "NO",
            f"{row.n_compared:,}",
            f"{row.difference:.1e}",
            row.n_unknown,
            f"{row.difference_unknown:.1e}" if row.n_unknown else "",
        ]
        for row in rows
    ]
    return markdown_table(header, cells)
