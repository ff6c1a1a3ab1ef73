"""A tiny file of every format, and files and what is in place of files as one mapping."""

from __future__ import annotations

import bz2
import contextlib
import io
import os
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutants import Odd, Tree
from spacy_toys import key, write_vocab

from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.table.compression import quantise
from sklearn_transfer.vectors.table.oov import Subwords
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer
from sklearn_transfer.vectors.table.vocabulary import Vocabulary

DATA = Path(__file__).parent / "data"

Make = Callable[[Path], Path]


def _copied(name: str) -> Make:
    def make(folder: Path) -> Path:
        copy: Any = shutil.copytree if (DATA / name).is_dir() else shutil.copy
        return Path(copy(DATA / name, folder / name))

    return make


def _compressed(compress: Callable[[bytes], bytes]) -> Make:
    def make(folder: Path) -> Path:
        (folder / "vectors").write_bytes(compress((DATA / "word2vec.txt").read_bytes()))
        return folder / "vectors"

    return make


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/vectors.txt", content)
    return buffer.getvalue()


def _full_folder(folder: Path) -> Path:
    """A folder of ours with all that it can hold."""
    words = ["the", "cat", "", "New York", "naïve", "\ud800", "猫"]
    numbers = np.random.default_rng(0).normal(size=(5, 4))
    table = Table(
        Vocabulary(words),
        (numbers * 50).astype(np.int8),
        Subwords(numbers.astype(np.float32), 3, 5),
        rows=np.array([0, 1, 2, 1, 3, 4, 4], dtype=np.int32),
        scales=np.linspace(0.1, 1, 7, dtype=np.float32),
        tokenizer=TableTokenizer('{"model": {}}', ["[UNK]"]),
    )
    formats.write(table, folder / "vectors", "folder")
    return folder / "vectors"


def _gensim_apart(folder: Path) -> Path:
    """As gensim saves a large matrix: beside the file."""
    from sklearn_transfer.vectors.formats.gensim_files import to_gensim

    to_gensim(formats.read(DATA / "glove.txt")).save(str(folder / "t.kv"), separately=["vectors"])
    return folder / "t.kv"


def _written(format: str, *, small: bool = False) -> Make:
    def make(folder: Path) -> Path:
        table = formats.read(DATA / "word2vec.txt")
        if small:
            rows = (np.arange(len(table.words)) % 5).astype(np.int32)
            table = quantise(Table(table.words, table.matrix[:5], rows=rows))
        formats.write(table, folder / "vectors", format)
        return folder / "vectors"

    return make


def _spacy(folder: Path) -> Path:
    words = ["the", "cat", "number", "New York", "naïve", "猫", ""]
    numbers = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    entries = {key(word): i % 5 for i, word in enumerate(words)}
    return write_vocab(folder / "vocab", numbers, entries, sorted([*words, "nobody"]))


# The tiny file of every format: from a folder to write in, to the path that is opened.
FORMATS: dict[str, Make] = {
    "folder": _copied("folder"),
    "folder with all parts": _full_folder,
    "kumo": _copied("wheel"),
    "word2vec-text": _copied("word2vec.txt"),
    "word2vec-text, gzip": _copied("word2vec.txt.gz"),
    "word2vec-text, bzip2": _compressed(bz2.compress),
    "word2vec-text, zip": _compressed(_zipped),
    "word2vec-binary": _copied("word2vec.bin"),
    "word2vec-binary of gensim": _copied("word2vec_gensim.bin"),
    "glove": _copied("glove.txt"),
    "fasttext": _copied("fasttext.bin"),
    "gensim": _copied("gensim.kv"),
    "gensim, matrix apart": _gensim_apart,
    "parquet": _written("parquet"),
    "model2vec": _written("model2vec"),
    "model2vec, int8, shared rows": _written("model2vec", small=True),
    "sentence-transformers": _written("sentence-transformers"),
    "spacy": _spacy,
}


def check_well_formed(table: Table) -> None:
    """What holds for every table, wherever it comes from."""
    words = list(table.words)
    assert len(words) > 0
    assert len(set(words)) == len(words), "repeated words"
    assert table.words.find(words).tolist() == list(range(len(words))), "words are not found"
    if table.rows is None:
        assert len(table.matrix) == len(words)
    vectors = table.vectors(np.arange(len(words)))
    assert vectors.shape == (len(words), table.dim)
    assert np.isfinite(vectors).all(), "values that are not finite"


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def load_tree(folder: Path) -> dict[str, bytes]:
    """All files in a folder, by their paths in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def save_tree(tree: Tree, folder: Path) -> None:
    """Write files, and what is in place of files."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is Odd.FOLDER:
            path.mkdir()
        elif content is Odd.PIPE:
            os.mkfifo(path)
        elif content is Odd.LOOP:
            path.symlink_to(path.name)
        else:
            with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
                listener.bind(path.name)  # the path of a socket is short


def other_contents(folder: Path) -> list[bytes]:
    """A file of each format, and of some that no reader here knows, to splice with."""
    contents: list[bytes] = []
    for i, make in enumerate(FORMATS.values()):
        with contextlib.suppress(ImportError):
            make(fresh(folder / str(i)))
        contents += load_tree(folder / str(i)).values() or [b""]
    archive = io.BytesIO()
    np.savez(archive, matrix=np.zeros((2, 2), dtype=np.float32))
    objects = io.BytesIO()
    np.save(objects, np.array([[None, "x"]], dtype=object), allow_pickle=True)
    return [*contents, archive.getvalue(), objects.getvalue(), b"", b"\n", b"{}", b"[" * 100_000]
