from __future__ import annotations

import bz2
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet
from vector_caches import is_mapped

from sklearn_transfer import PretrainedVectors, VectorFormatError, cache_info
from sklearn_transfer._utils.errors import MissingDependencyError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t"


def written(path: Path, columns: dict[str, object], **options: object) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


def lists(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values.tolist(), kind or pa.list_(pa.float32()))


def check(path: Path, tiny: Table) -> None:
    table = formats.read(path)
    assert formats.detect_format(path) == "parquet"
    assert list(table.words) == list(tiny.words)
    assert table.matrix.dtype == np.float32
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


KINDS = {
    "list": pa.list_(pa.float32()),
    "large list": pa.large_list(pa.float32()),
    "fixed": pa.list_(pa.float32(), 4),
    "doubles": pa.list_(pa.float64()),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("words", [pa.string(), pa.large_string(), pa.dictionary("i4", "string")])
def test_lists_of_all_kinds_are_vectors(path: Path, tiny: Table, kind, words) -> None:
    column = pa.array(list(tiny.words)).cast(words)
    written(path, {"vector": lists(tiny.matrix, kind), "word": column})
    check(path, tiny)


def test_columns_of_numbers_are_the_dimensions_in_order(path: Path, tiny: Table) -> None:
    columns = {f"d{i}": tiny.matrix[:, i] for i in range(4)}
    written(path, {"d0": columns["d0"], "word": list(tiny.words), **columns})
    check(path, tiny)


def test_columns_of_several_numeric_types_become_float32(path: Path) -> None:
    written(path, {"w": ["a"], "x": pa.array([1], "i8"), "y": pa.array([0.5], "f8")})
    assert formats.read(path).matrix.tolist() == [[1.0, 0.5]]


def test_float16_stays_float16(path: Path) -> None:
    half = np.array([[1, 2], [3, 4]], dtype=np.float16)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(half.ravel()), 2)
    written(path, {"w": ["a", "b"], "v": vectors})
    table = formats.read(path)
    assert table.matrix.dtype == np.float16
    np.testing.assert_array_equal(table.matrix, half)


def test_what_pandas_wrote_is_read(path: Path, tiny: Table) -> None:
    pd.DataFrame(tiny.matrix, index=list(tiny.words)).rename(columns=str).to_parquet(path)
    check(path, tiny)
    frame = pd.DataFrame({"word": list(tiny.words), "v": list(tiny.matrix)})
    frame.index = range(20, 8, -1)  # kept as a column that is no dimension
    frame.to_parquet(path, index=True)
    frame.index = [*range(11), 99]
    frame.to_parquet(path, index=True)
    check(path, tiny)


def test_what_polars_wrote_is_read(path: Path, tiny: Table) -> None:
    pl.DataFrame({"word": list(tiny.words), "v": tiny.matrix}).write_parquet(path)
    check(path, tiny)
    pl.DataFrame({"word": list(tiny.words), "v": tiny.matrix.tolist()}).write_parquet(path)
    np.testing.assert_array_equal(formats.read(path).matrix, tiny.matrix)


@pytest.mark.parametrize("limit", [None, 3, 20_000, 100_000])
@pytest.mark.parametrize("groups", [7_000, 100_000])
def test_row_groups_of_any_size_and_a_limit(path: Path, limit: int | None, groups: int) -> None:
    matrix = np.random.default_rng(0).random((40_000, 2), dtype=np.float32)
    words = [f"w{i}" for i in range(len(matrix))]
    written(path, {"word": words, "v": lists(matrix)}, row_group_size=groups)
    table = formats.read(path, limit=limit)
    assert list(table.words) == words[:limit]
    np.testing.assert_array_equal(table.matrix, matrix[:limit])


def test_repeated_words_are_warned_of(path: Path) -> None:
    written(path, {"w": ["a", "b", "a"], "x": [1.0, 2.0, 3.0]})
    with pytest.warns(UserWarning, match=r"1 repeated word"):
        assert formats.read(path).matrix.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0]}, "expected one column of strings, the words, .*found x: double. Leave out"),
        ({"w": ["a"]}, "one column of strings.*found w: string"),
        ({"w": ["a"], "v": ["b"], "x": [1.0]}, "found w: string, v: string, x: double"),
        ({"w": ["a"], "v": [True]}, "found w: string, v: bool"),
        ({"w": ["a"], "v": [["x"]]}, "found w: string, v: list<"),
        ({"w": ["a"], "v": [[1.0]], "x": [1.0]}, "found w: string, v: list<.*x: double"),
        ({"w": ["a"]} | {f"s{i}": ["b"] for i in range(9)}, "s6: string and 2 more"),
        ({"w": ["a"]} | {f"s{i}": ["b"] for i in range(8)}, "s6: string and 1 more"),
        ({"w": ["a"]} | {f"s{i}": ["b"] for i in range(7)}, r"s6: string\. Leave out"),
        ({"w": ["a", None], "x": [1.0, 2.0]}, "expected a word for each row, found nulls"),
        ({"w": ["a", "b"], "x": [1.0, None]}, "expected numbers, found nulls among them"),
        ({"w": ["a", "b"], "v": [[1.0], None]}, "a vector in each row, found nulls"),
        ({"w": ["a", "b"], "v": [[1.0], [None]]}, "expected numbers, found nulls among them"),
        ({"w": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}, "lists of one length, found some of 1 num"),
        ({"w": ["a"], "v": pa.array([[]], pa.list_(pa.float32()))}, "1 lists of 0 numbers, at lea"),
        ({"w": ["a"], "x": [float("nan")]}, "row 0 .* holds NaN or infinity"),
        ({"w": ["a"], "x": [1e300]}, "row 0 .* holds NaN or infinity"),
        ({"w": pa.array([], "string"), "x": pa.array([], "f4")}, "expected 0 rows, found 0"),
    ],
)
def test_what_is_no_table_of_vectors_is_named(path: Path, columns: dict, message: str) -> None:
    written(path, columns)
    with pytest.raises(VectorFormatError, match=f"t: .*{message}|t: {message}"):
        formats.read(path)


@pytest.mark.parametrize("dictionary", [True, False])
def test_words_that_are_no_utf8_are_an_error(path: Path, dictionary: bool) -> None:
    offsets, text = np.array([0, 1, 3], dtype=np.int32), b"a\xff\xff"
    words = pa.StringArray.from_buffers(2, pa.py_buffer(offsets), pa.py_buffer(text))
    written(path, {"w": words, "x": [1.0, 2.0]}, use_dictionary=dictionary)
    with pytest.raises(VectorFormatError, match=r"t: cannot be read: .*UTF8"):
        formats.read(path)


def test_lists_that_change_their_length_are_an_error(path: Path) -> None:
    lengths = [1] * 20_000 + [2] * 20_000
    columns = {"w": [f"w{i}" for i in range(40_000)], "v": [[1.0] * n for n in lengths]}
    written(path, columns, row_group_size=20_000)
    with pytest.raises(VectorFormatError, match=r"found (2 from|some of 1 numbers and some of 2)"):
        formats.read(path)


def test_a_compressed_file_is_refused_with_the_cure(path: Path, tiny: Table) -> None:
    formats.write(tiny, path, "parquet")
    path.write_bytes(bz2.compress(path.read_bytes()))
    with pytest.raises(
        VectorFormatError,
        match=r"found bzip2 data, expected a Parquet file.*\. Decompress it first",
    ):
        formats.read(path)


@pytest.mark.parametrize("keep", [4, 20, -1])
def test_a_cut_file_is_named(path: Path, tiny: Table, keep: int) -> None:
    formats.write(tiny, path, "parquet")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(VectorFormatError, match="t: cannot be read: "):
        formats.read(path)


def test_a_cut_page_is_named(path: Path, tiny: Table) -> None:
    formats.write(tiny, path, "parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with pytest.raises(VectorFormatError, match="t: cannot be read: "):
        formats.read(path)


@pytest.mark.parametrize("shape", ["lists", "columns"])
def test_damage_is_an_error_or_another_table(path: Path, tiny: Table, survive, shape: str) -> None:
    if shape == "lists":
        formats.write(tiny, path, "parquet")
    else:
        columns = {f"d{i}": tiny.matrix[:, i] for i in range(4)}
        written(path, {"word": list(tiny.words), **columns}, compression="none")
    for table in survive(path):
        assert table.matrix.ndim == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_is_written_comes_back(path: Path, tiny: Table, dtype: type) -> None:
    vectors = PretrainedVectors(list(tiny.words), tiny.matrix.astype(dtype))
    vectors.write(path, format="parquet")
    schema = parquet.read_schema(path)
    assert schema.names == ["word", "vector"]
    assert schema.types[1] == pa.list_(pa.from_numpy_dtype(dtype), 4)
    assert not any(field.nullable for field in schema)
    table = formats.read(path)
    assert list(table.words) == list(tiny.words)
    assert table.matrix.dtype == dtype
    np.testing.assert_array_equal(table.matrix, vectors.matrix)


def test_other_libraries_read_what_is_written(path: Path, tiny: Table) -> None:
    formats.write(tiny, path, "parquet")
    frame = pl.read_parquet(path)
    assert frame["word"].to_list() == list(tiny.words)
    np.testing.assert_array_equal(frame["vector"].to_numpy(), tiny.matrix)
    assert pd.read_parquet(path)["word"].tolist() == list(tiny.words)


def test_shared_and_scaled_rows_are_written_a_word(path: Path, tiny: Table) -> None:
    rows = np.arange(12, dtype=np.int32) // 3
    scales = np.full(12, 0.5, dtype=np.float32)
    table = Table(tiny.words, tiny.matrix.astype(np.float16), rows=rows, scales=scales)
    formats.write(table, path, "parquet")
    np.testing.assert_array_equal(formats.read(path).matrix, table.vectors(slice(None)))
    assert formats.read(path).matrix.dtype == np.float32


def test_a_word_that_is_no_utf8_is_named_and_nothing_written(path: Path) -> None:
    table = Table(Vocabulary(["a", "\ud800"]), np.eye(2, dtype=np.float32))
    with pytest.raises(ValueError, match=r"Parquet format cannot hold the word '\\ud800'"):
        formats.write(table, path, "parquet")
    assert not path.exists()


def test_a_large_file_is_converted_once(path: Path, tiny: Table) -> None:
    values = np.random.default_rng(0).random((12, 120_000), dtype=np.float32)
    formats.write(Table(tiny.words, values), path, "parquet")
    for _ in range(2):
        np.testing.assert_array_equal(formats.read(path).matrix, values)
    assert cache_info().n_tables == 1
    assert is_mapped(formats.read(path))


def test_without_pyarrow_the_extra_is_named(
    path: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats.write(tiny, path, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (lambda: formats.read(path), lambda: formats.write(tiny, path, "parquet")):
        with pytest.raises(MissingDependencyError, match=r'pip install -e "\.\[parquet\]"'):
            use()


# ---- bombs ----


def repeated(text: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), [text])


BOMBS: dict[str, dict[str, object]] = {
    "a million equal rows": {
        "w": repeated("a", 1 << 20),
        "x": np.zeros(1 << 20),
        "y": [0] * (1 << 20),
    },
    "one long vector": {"w": ["a"], "v": pa.array([np.zeros(5 << 20)], pa.list_(pa.float32()))},
    "one long word": {"w": repeated("a" * (1 << 16), 1 << 10), "x": np.zeros(1 << 10)},
    "one long word, in batches": {"w": repeated("a" * 1000, 1 << 15), "x": np.zeros(1 << 15)},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_it_expands(path: Path, bomb: str) -> None:
    written(path, BOMBS[bomb], compression="zstd")
    with pytest.raises(VectorFormatError, match=r"t: the [0-9]+ bytes of the file expand to"):
        formats.read(path)


def test_the_words_of_the_wheel_have_the_same_limit(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data / "wheel", tmp_path / "wheel"))
    bomb = {"word": repeated("a" * (1 << 16), 1 << 10)}
    written(folder / "tiny_index.parquet", bomb, compression="zstd")
    with pytest.raises(VectorFormatError, match=r"parquet: the [0-9]+ bytes of the file expand to"):
        formats.read(folder)


SCHEMAS = """
import sys
from pathlib import Path
from sklearn_transfer import PretrainedVectors, VectorFormatError
path = Path(sys.argv[1])
content = path.read_bytes()
start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
refused = 0
for position in range(start + 15, start + 40):
    for bit in (2, 4, 8):
        damaged = bytearray(content)
        damaged[position] ^= bit
        path.write_bytes(damaged)
        try:
            PretrainedVectors.load(path)
        except VectorFormatError as error:
            assert str(error).count(str(path)) == 1, error
            refused += 1
print(refused)
"""


def test_a_schema_of_other_types_than_its_columns_does_not_end_the_process(path: Path):
    numbers = pa.array([1.0, 2.0], pa.float32())
    damaged = written(path, {"word": ["a", "b"], "x": numbers})
    command = [sys.executable, "-c", SCHEMAS, str(damaged)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) > 8
