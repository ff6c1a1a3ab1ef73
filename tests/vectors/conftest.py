"""Damaged files, and what may come of them."""

from __future__ import annotations

import random
import shutil
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_files import check_well_formed

from sklearn_transfer import clear_cache
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors
from sklearn_transfer.vectors.table.table import Table

N_MUTANTS = 100  # `python -m benchmarks fuzz` reads 20,000 of each format
MEMORY = 16 << 20  # bytes: blocks and buffers, but nothing as large as a damaged header may claim


def mutants(content: bytes) -> Iterator[bytes]:
    """The same damaged versions of a file in every run."""
    rng = random.Random(0)
    size = len(content)
    for _ in range(N_MUTANTS):
        start = rng.randrange(size)
        stop = min(size, start + rng.choice([1, 2, 4, 8, 64]))
        noise = rng.randbytes(stop - start)
        flipped = bytes([content[start] ^ (1 << rng.randrange(8))])
        yield rng.choice(
            [
                content[:start],
                content[:start] + flipped + content[start + 1 :],
                content[:start] + content[stop:],
                content[:start] + noise + content[stop:],
                content[:start] + noise + content[start:],
                content[:stop] + content[start:],
                content[:start]
                + rng.choice([b"9" * 12, b" ", b"\n", b"\0", b"\xff", b"nan"])
                + content[start:],
            ]
        )


@pytest.fixture
def survive(tmp_path: Path) -> Callable[..., list[Table]]:
    """Read every mutant of a file; each must give a well-formed table or a VectorFormatError."""

    def check(file: Path, source: Path | None = None, **options: bool) -> list[Table]:
        tables = []
        content = file.read_bytes()
        tracemalloc.start()
        try:
            for mutant in mutants(content):
                file.unlink()  # not written in place: an earlier table may be mapped to it
                file.write_bytes(mutant)
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*repeated word", UserWarning)
                    warnings.filterwarnings("ignore", ".*without a string", UserWarning)
                    try:
                        table = formats.read(source or file, **options)
                    except VectorFormatError:
                        continue
                check_well_formed(table)
                tables.append(table)
            assert tracemalloc.get_traced_memory()[1] < MEMORY
        finally:
            tracemalloc.stop()
        return tables

    return check


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    """Each test begins and ends without tables that were opened before."""
    clear_cache()
    yield
    clear_cache()


@pytest.fixture
def vectors(tiny: Table) -> PretrainedVectors:
    return PretrainedVectors(list(tiny.words), tiny.matrix, name="tiny")


@pytest.fixture
def with_ngrams(data: Path) -> PretrainedVectors:
    return PretrainedVectors.load(data / "fasttext.bin")


@pytest.fixture
def folder(vectors: PretrainedVectors, tmp_path: Path) -> Path:
    """The table as our own folder."""
    vectors.write(tmp_path / "tiny", format="folder")
    return tmp_path / "tiny"


@pytest.fixture
def text_file(tmp_path: Path, data: Path) -> Path:
    return Path(shutil.copy(data / "word2vec.txt", tmp_path / "vectors.txt"))


@pytest.fixture(scope="session")
def wide_files(tiny: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files of more than 4 MB, which are converted: 12 words in 100,000 dimensions."""
    folder = tmp_path_factory.mktemp("wide")
    wide = Table(tiny.words, np.tile(tiny.matrix, (1, 25_000)))
    formats.write(wide, folder / "word2vec.bin", "word2vec-binary")
    wide = Table(tiny.words, wide.matrix[:, :40_000])
    for name, format in {"word2vec.txt": "word2vec-text", "glove.txt": "glove"}.items():
        formats.write(wide, folder / name, format)
    assert all(file.stat().st_size > 4 << 20 for file in folder.iterdir())
    return folder


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it ten seconds later, when a change of a file shows in its times."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 10)
