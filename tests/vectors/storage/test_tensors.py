from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors", reason="the extra static")

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.storage.tensors import read_tensors, write_tensors

ARRAYS = {
    "a": np.arange(6, dtype=np.int8).reshape(2, 3),
    "b": np.arange(6, dtype=np.float32).reshape(3, 2),
    "c": np.arange(5, dtype=np.float16),
    "d": np.arange(3, dtype=np.int64),
    "number": np.array(1.5),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "t.safetensors", ARRAYS)
    return tmp_path / "t.safetensors"


def test_written_tensors_are_read(file: Path) -> None:
    tensors = read_tensors(file)
    assert set(tensors) == set(ARRAYS)
    for name, array in ARRAYS.items():
        loaded = tensors[name].to_numpy()
        assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded, array)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", {"a": np.array([1.5, -2.0], dtype=np.float32)[:, None]})
    content = (tmp_path / "t").read_bytes()
    bits = np.array([1.5, -2.0], dtype=np.float32).view(np.uint16)[1::2]
    content = content.replace(b'"F32"', b'"BF16"').replace(b"[0,8]}}", b"[0,4]}}")
    (tmp_path / "t").write_bytes(content[:-8] + bits.tobytes())
    size = int.from_bytes(content[:8], "little") + (len(b'"BF16"') - len(b'"F32"'))
    content = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(size.to_bytes(8, "little") + content[8:])
    assert read_tensors(tmp_path / "t")["a"].to_numpy().tolist() == [[1.5], [-2.0]]


def test_an_array_in_any_order_is_written_by_rows(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_tensors(tmp_path / "t", {"a": array})
    np.testing.assert_array_equal(read_tensors(tmp_path / "t")["a"].to_numpy(), array)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 40, -1])
def test_a_file_that_is_cut_off_is_named(file: Path, cut: int) -> None:
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:cut] or b"\0")
    with pytest.raises(VectorFormatError, match=r"t.safetensors: the file .* damaged or cut off"):
        read_tensors(file)


def test_a_pointer_of_git_lfs_is_answered_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(VectorFormatError, match=r"t: .* pointer of Git LFS .*: git lfs pull"):
        read_tensors(tmp_path / "t")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VectorFormatError, match="expected a regular file"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("name", ["F32", "F8_E4M3"])
def test_what_numpy_has_no_use_for_is_refused(tmp_path: Path, name: str) -> None:
    array = np.zeros((0, 2), dtype=np.float32) if name == "F32" else np.zeros((2, 2), dtype=np.int8)
    write_tensors(tmp_path / "t", {"a": array})
    content = (tmp_path / "t").read_bytes()
    size = int.from_bytes(content[:8], "little")
    heading = content[8 : 8 + size].replace(b'"I8"', b'"%b"' % name.encode())
    (tmp_path / "t").unlink()
    body = len(heading).to_bytes(8, "little") + heading + content[8 + size :]
    (tmp_path / "t").write_bytes(body)
    with pytest.raises(VectorFormatError, match=rf"in the tensor 'a', found {name} of shape"):
        read_tensors(tmp_path / "t")["a"].to_numpy()
