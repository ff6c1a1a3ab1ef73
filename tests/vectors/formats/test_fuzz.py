"""Damaged files of every format; ``python -m benchmarks fuzz`` takes 20,000 of each."""

from __future__ import annotations

import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from fuzz_limits import Tally
from fuzz_models import ROOMS
from fuzz_processes import Share, supervise
from fuzzing import Fuzzer, judge
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mutants import EDITS, mutate
from tiny_files import FORMATS

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.table.table import Table

N_MUTANTS = 100

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits and damages by what Linux has"
)


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    return {tally.format: tally for tally in supervise(N_MUTANTS, list(FORMATS))}


@pytest.mark.parametrize("name", FORMATS)
def test_damage_gives_a_right_table_or_an_error_that_names_the_file(
    name: str, tallies: dict[str, Tally]
) -> None:
    tally = tallies[name]
    assert not tally.outside, "\n".join(tally.outside)
    assert tally.mutants == tally.tables + tally.refusals == N_MUTANTS
    assert tally.refusals


def test_every_format_is_fuzzed(tmp_path: Path) -> None:
    kinds = set()
    for i, make in enumerate(FORMATS.values()):
        (tmp_path / str(i)).mkdir()
        kinds.add(formats.detect_format(make(tmp_path / str(i))))
    assert kinds == set(formats.READERS)


def test_a_mutant_is_the_same_each_time(tmp_path: Path) -> None:
    fuzzer = Fuzzer("glove", tmp_path, seed=0)
    assert [fuzzer.mutant(i) for i in range(50)] == [fuzzer.mutant(i) for i in range(50)]


@pytest.mark.parametrize(("name", "library"), [("spacy", "msgpack"), ("bombs", "pyarrow")])
def test_a_format_whose_library_is_missing_is_named(
    name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    others, tally = (
        judge(Share(format, 0, 20, 60.0), {}, tmp_path / format, 0, lambda _: True)
        for format in ("glove", name)
    )
    assert (others.mutants, others.missing) == (20, "")
    assert tally.mutants == 0
    assert library in tally.missing


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_bears_any_content_and_changes_some(edit: str, data: Path) -> None:
    text = (data / "glove.txt").read_bytes()
    for content in (b"", b"\n", b"1", text):
        found = [EDITS[edit](content, np.random.default_rng(i), [b"other"]) for i in range(20)]
    assert set(found) != {text}
    assert mutate(text, np.random.default_rng(0), [text])[1][0] in EDITS


@pytest.mark.parametrize("name", ["glove", "word2vec-binary", "folder", "fasttext", "kumo"])
def test_the_judge_sees_a_wrong_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzzer, right = Fuzzer(name, tmp_path, seed=0), formats.read

    def read(path: Path, **options: bool) -> Table:
        table = right(path, **options)
        return Table(table.words, table.matrix[::-1].copy(), table.subwords)

    monkeypatch.setattr(formats, "read", read)
    tally = Tally(name)
    for i in range(60):
        fuzzer.judge(i, tally)
    # A single row has no other to be exchanged with.
    assert len(tally.outside) > 5 * tally.tables
    assert len(tally.outside) >= 2
    assert "expected" in tally.outside[0]


@pytest.mark.parametrize(
    "error", [MemoryError("huge"), VectorFormatError("no file in it"), OSError(5, "odd")]
)
def test_the_judge_sees_other_errors(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzzer, tally = Fuzzer("glove", tmp_path, seed=0), Tally("glove")

    def read(path: Path, **_: bool) -> Table:
        if isinstance(error, MemoryError):
            raise VectorFormatError(f"{path}: {error}") from error
        raise error

    monkeypatch.setattr(formats, "read", read)
    fuzzer.judge(0, tally)
    assert len(tally.outside) == 1


HEADS = {
    "text": b"2 2\n",
    "bom": b"\xef\xbb\xbf2 2\n",
    "gzip": b"\x1f\x8b\x08\0",
    "bzip2": b"BZh9",
    "zip": b"PK\x03\x04",
    "fasttext": struct.pack("<2i", 793712314, 12),
    "pickle": b"\x80\x04",
    "glove": b"cat 1 2\n",
}


@pytest.mark.parametrize("head", HEADS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000, max_examples=100
)
@given(rest=st.binary() | st.text("0123456789. \n-e+nax\r\0").map(str.encode))
@example(rest=b"")
@example(rest=b"dog 1 " + b"9" * 20_000 + b"x\n")
def test_any_bytes_give_a_table_or_an_error_that_names_the_file(
    tmp_path: Path, head: str, rest: bytes
) -> None:
    path = tmp_path / "t"
    path.unlink(missing_ok=True)  # an earlier table may be mapped to it
    path.write_bytes(HEADS[head] + rest)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*repeated word", UserWarning)
        try:
            table = formats.read(path)
        except VectorFormatError as error:
            assert str(path) in str(error)  # noqa: PT017  # either outcome is right
        else:
            assert np.isfinite(table.matrix).all()


# ---- bombs, model folders, checkpoints, the cache ----


@pytest.fixture(scope="module")
def rooms() -> dict[str, Tally]:
    pytest.importorskip("sentence_transformers", reason="the extra contextual")
    return {tally.format: tally for tally in supervise(N_MUTANTS // 4, list(ROOMS), seconds=30)}


@pytest.mark.parametrize("name", ROOMS)
def test_what_else_is_opened_gives_a_right_result_or_the_promised_error(
    name: str, rooms: dict[str, Tally]
) -> None:
    tally = rooms[name]
    assert not tally.outside, "\n".join(tally.outside)
    assert tally.mutants == tally.tables + tally.refusals > 0
