"""Are our numbers those of the libraries that the models come from?

The first 1,000 training texts of 20 Newsgroups, with all their tokens. Each row compares what ours
gives with what the library gives for the same files, by the largest absolute difference of any
value; the largest absolute value beside it says how much that is. "As written": a folder that ours
wrote, opened by the library, against the table that it was written from.

Differences of zero are possible: model2vec and ours both add float32 rows in the order of the
tokens. The same tokens in another order differ by 4e-05 in the case of wordllama. Both sides split
texts by the library `tokenizers`, so that its work is shared, and not compared.

Second table: 1,000 keys of spaCy's en_core_web_md, whose hashes, rows and vectors are computed in
plain Python, and the files in gensim's test data that gensim 4 itself opens: words, order, all
vectors, and for fastText those of words that are not in the file.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors

from . import same_tables
from .data import load_20newsgroups
from .measure import markdown_table, progress
from .wheels import WheelUnavailable, download_wheel, read_wordllama

PACKAGES = ("model2vec", "tokenizers", "safetensors")
TOLERANCE = 1e-4  # of the largest value: float32, as many tokens summed in another order
_TOKENLEARN = "tokenlearn-static-model==0.1.1"
_WORDLLAMA = "wordllama==0.4.0.post1"
_N_TEXTS = 1000

Row = dict[str, Any]


def model2vec_on_wordllama(texts: list[str]) -> Iterator[Row]:
    """WordLlama's weights (float16, 32,000 byte pairs) in model2vec, as float32."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    matrix, tokenizer = read_wordllama()
    upstream = StaticModel(matrix, Tokenizer.from_str(tokenizer))
    with _unpacked(_WORDLLAMA, "wordllama/weights/", "wordllama/tokenizers/") as folder:
        yield from _rows_of_model2vec("wordllama", folder / "wordllama", upstream, texts)


def model2vec_on_tokenlearn(texts: list[str]) -> Iterator[Row]:
    """A Model2Vec folder of int8 rows, with weights and mapping, and a Unigram tokenizer."""
    from model2vec import StaticModel

    with _unpacked(_TOKENLEARN, "static_model/model/") as folder:
        model = folder / "static_model" / "model"
        upstream = StaticModel.from_pretrained(model)
        yield from _rows_of_model2vec("tokenlearn-static-model", model, upstream, texts)


# What makes rows from texts; each is left out where its wheel is not to be had.
ROWS: tuple[Callable[[list[str]], Iterable[Row]], ...] = (
    model2vec_on_wordllama,
    model2vec_on_tokenlearn,
)


def _rows_of_model2vec(name: str, folder: Path, upstream: Any, texts: list[str]) -> Iterator[Row]:
    from model2vec import StaticModel

    vectors = PretrainedVectors.load(folder)
    for norm in (None, "l2"):
        expected = upstream.encode(texts, max_length=None, normalize=norm is not None)
        yield compare(name, "model2vec encode", norm, _embed(vectors, texts, norm), expected)
    with tempfile.TemporaryDirectory() as temporary:
        # A float16 model gives float16 there.
        vectors = vectors.astype("float32") if vectors.matrix.dtype == np.float16 else vectors
        vectors.write(Path(temporary) / "written", format="model2vec")
        expected = StaticModel.from_pretrained(Path(temporary) / "written").encode(texts)
    yield compare(
        name, "model2vec encode, as written", None, _embed(vectors, texts, None), expected
    )


def _embed(vectors: PretrainedVectors, texts: list[str], norm: str | None) -> NDArray[np.float32]:
    return PretrainedEmbeddingTransformer(vectors, norm=norm).fit(texts).transform(texts)


def compare(
    model: str, upstream: str, norm: str | None, ours: NDArray[Any], theirs: NDArray[Any]
) -> Row:
    """The row of two matrices that should be equal, shapes (n, dim)."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    difference, largest = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
    return {
        "model": model,
        "library": upstream,
        "norm": norm or "",
        "texts": f"{len(ours):,}",
        "dim": ours.shape[1],
        "largest value": f"{largest:.4g}",
        "largest difference": f"{difference:.1e}",
        "equal": _verdict(difference, largest),
    }


def _verdict(difference: float, largest: float) -> str:
    if difference == 0:
        return "bit for bit"
    # Not so for NaN.
    return "but for rounding" if difference <= TOLERANCE * largest else "no"


@contextmanager
def _unpacked(requirement: str, *prefixes: str) -> Iterator[Path]:
    """Some of the files of a wheel, in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(download_wheel(requirement)) as archive:
            names = [name for name in archive.namelist() if name.startswith(prefixes)]
            archive.extractall(folder, names)
        yield Path(folder)


def main(limit: int | None = None) -> str:
    texts = load_20newsgroups().train[: limit or _N_TEXTS]
    rows: list[Row] = []
    left_out = []
    for make in ROWS:
        progress(make.__name__)
        try:
            rows += make(texts)
        except WheelUnavailable as error:
            left_out.append(f"{make.__name__}: left out, {error}")
    table = markdown_table(list(rows[0]), [list(row.values()) for row in rows]) if rows else ""
    progress("files of spaCy and gensim")
    try:
        tables = same_tables.table()
    except WheelUnavailable as error:
        tables = f"Tables: left out, {error}"
    return "\n\n".join([table, *left_out, tables])
