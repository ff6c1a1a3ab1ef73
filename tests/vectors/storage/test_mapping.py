from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.storage import mapping
from sklearn_transfer.vectors.storage.mapping import map_array, take_rows
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.vocabulary import Vocabulary


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", "<f2", "|i1", "<i8", "<u8", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4), (0, 3)])
def test_arrays_are_mapped_as_numpy_saved_them(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, order: str
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = map_array(tmp_path / "a.npy")
    assert found.dtype.str == dtype
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_arrays_of_every_version_of_numpys_format_are_mapped(
    tmp_path: Path, version: tuple[int, int]
) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(6.0).reshape(2, 3), version=version)
    np.testing.assert_array_equal(map_array(tmp_path / "a.npy"), np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"(3, 4)", b"(1000000000000, 4)", "makes 16000000000[0-9]+ bytes, found"),
        (b"(3, 4)", b"(4611686018427387904, 4)", "announces an array of shape"),
        (b"(3, 4)", b"(3L, 4)", "expected the head of a NumPy array"),
        (b"(3, 4)", b"(3,04)", "expected the head of a NumPy array"),
        (b"(3, 4)", b"(-3, 4)", "expected the head of a NumPy array"),
        (b"(3, 4)", b"(3, 5)", "makes [0-9]+ bytes, found"),
        (b"'<f4'", b"'<f5'", "cannot be opened: data type"),
        (b"'<f4'", b"'|O8'", "expected the head of a NumPy array"),
        (b"(3, 4)", b"print", "expected the head of a NumPy array"),
        (b"NUMPY\1\0", b"NUMPY\1\1", "expected the head of a NumPy array"),
        (b"NUMPY", b"NUMPX", "expected the head of a NumPy array"),
    ],
)
def test_the_head_of_an_array_is_checked_before_anything_is_mapped(
    tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4), dtype=np.float32))
    content = path.read_bytes()
    # The head keeps its length: spaces at its end go.
    content = content.replace(old, new).replace(b" " * max(len(new) - len(old), 0) + b"\n", b"\n")
    path.write_bytes(content)
    with pytest.raises(VectorFormatError, match=f"a.npy: .*{message}"):
        map_array(path)


def test_an_archive_of_arrays_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a", np.zeros(3))
    with pytest.raises(VectorFormatError, match=r"a.npz: .*expected the head of a NumPy array"):
        map_array(tmp_path / "a.npz")


@pytest.mark.parametrize("large", [0, 1 << 60])
@pytest.mark.parametrize("dtype", ["<f4", "|i1"])
def test_rows_are_taken_as_numpy_takes_them(
    tmp_path: Path, dtype: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "_LARGE", large)
    array = np.arange(300).reshape(100, 3).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    rows = np.random.default_rng(0).integers(0, 100, 53)
    for source in (np.asarray(map_array(tmp_path / "a.npy")), array):
        for chosen in (rows, rows[:0], rows[:1]):
            np.testing.assert_array_equal(take_rows(source, chosen), array[chosen])


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_looking_up_rows_of_a_large_table_leaves_no_pages_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "_LARGE", 0)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "matrix.npy", rng.random((20_000, 100), dtype=np.float32))
    mapped = np.load(tmp_path / "matrix.npy", mmap_mode="r")
    table = Table(Vocabulary(map(str, range(20_000))), np.asarray(mapped))
    rows = np.arange(0, 20_000, 200)
    np.testing.assert_array_equal(table.vectors(rows), mapped[rows])
    assert resident(tmp_path / "matrix.npy") > 0  # of the right-hand side
    np.testing.assert_array_equal(table.vectors(rows), table.vectors(rows))
    assert resident(tmp_path / "matrix.npy") == 0


def test_what_was_written_into_a_private_map_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "_LARGE", 0)
    np.save(tmp_path / "matrix.npy", np.zeros((3, 2), dtype=np.float32))
    private = np.load(tmp_path / "matrix.npy", mmap_mode="c")
    private[1] = 1
    table = Table(Vocabulary("abc"), private)
    for _ in range(2):
        assert table.vectors(np.array([1])).tolist() == [[1, 1]]


def resident(file: Path) -> int:
    """kB of a file that are mapped into this process."""
    mappings = Path("/proc/self/smaps").read_text().split(str(file))[1:]
    return sum(int(lines.split("Rss:")[1].split()[0]) for lines in mappings)
