from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer.vectors.table.memory_maps import take_rows


@pytest.mark.parametrize("large", [0, 1 << 60])
@pytest.mark.parametrize("dtype", ["<f4", "|i1"])
def test_rows_are_taken_as_numpy_takes_them(tmp_path: Path, dtype: str, large: int) -> None:
    array = np.arange(300).reshape(100, 3).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    rows = np.random.default_rng(0).integers(0, 100, 53)
    for source in (np.load(tmp_path / "a.npy", "r"), array):
        for chosen in (rows, rows[:0], rows[:1]):
            taken = take_rows(source, chosen, min_released=large)
            np.testing.assert_array_equal(taken, array[chosen])


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_looking_up_rows_of_a_large_table_leaves_no_pages_in_the_process(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "matrix.npy", rng.random((20_000, 100), dtype=np.float32))
    mapped = np.load(tmp_path / "matrix.npy", mmap_mode="r")
    rows = np.arange(0, 20_000, 200)
    expected = mapped[rows]
    assert resident(tmp_path / "matrix.npy") > 0
    taken = take_rows(np.asarray(mapped), rows, min_released=0)
    assert resident(tmp_path / "matrix.npy") == 0
    np.testing.assert_array_equal(taken, expected)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_pages_of_a_small_table_stay(tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.ones((20_000, 100), dtype=np.float32))
    mapped = np.load(tmp_path / "matrix.npy", mmap_mode="r")
    assert take_rows(np.asarray(mapped), np.array([0, 19_999])).tolist() == [[1] * 100] * 2
    assert resident(tmp_path / "matrix.npy") > 0


def test_what_was_written_into_a_private_map_stays(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "matrix.npy", np.zeros((3, 2), dtype=np.float32))
    private = np.load(tmp_path / "matrix.npy", mmap_mode="c")
    private[1] = 1
    for _ in range(2):
        assert take_rows(private, np.array([1]), min_released=0).tolist() == [[1, 1]]


def resident(file: Path) -> int:
    """kB of a file that are mapped into this process."""
    mappings = Path("/proc/self/smaps").read_text().split(str(file))[1:]
    return sum(int(lines.split("Rss:")[1].split()[0]) for lines in mappings)
