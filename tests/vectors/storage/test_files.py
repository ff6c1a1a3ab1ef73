from __future__ import annotations

import bz2
import errno
import gzip
import io
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors
from sklearn_transfer.vectors.storage import files
from sklearn_transfer.vectors.storage.files import (
    check_expansion,
    check_readable,
    content_size,
    detect_compression,
    exists,
    expand_user,
    map_array,
    open_decompressed,
    open_regular,
    read_json,
)
from sklearn_transfer.vectors.table.table import Table

Compress = Callable[[bytes], bytes]


def zipped(content: bytes, *more: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        archive.writestr("folder/vectors.txt", content)
        for name in more:
            archive.writestr(name, content)
    return buffer.getvalue()


COMPRESS: dict[str, Compress] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zip": zipped,
}


@pytest.mark.parametrize("how", COMPRESS)
@pytest.mark.parametrize("file", ["word2vec.txt", "word2vec.bin", "glove.txt", "fasttext.vec"])
def test_compressed_files_are_read_whatever_their_name(
    how: str, file: str, data: Path, tmp_path: Path, tiny: Table
) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(COMPRESS[how]((data / file).read_bytes()))
    assert detect_compression(path) == how
    assert content_size(path) == (data / file).stat().st_size
    assert formats.detect_format(path) == formats.detect_format(data / file)
    np.testing.assert_array_equal(formats.read(path).matrix, tiny.matrix)


@pytest.mark.parametrize("how", COMPRESS)
def test_a_compressed_fasttext_model_is_refused_with_the_cure(
    how: str, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "t").write_bytes(COMPRESS[how]((data / "fasttext.bin").read_bytes()))
    with pytest.raises(VectorFormatError, match=rf"found {how} data, expected .*\. Decompress it"):
        formats.read(tmp_path / "t")


def test_what_is_not_compressed_is_opened_as_it_is(data: Path) -> None:
    assert detect_compression(data / "glove.txt") is None
    assert content_size(data / "glove.txt") == (data / "glove.txt").stat().st_size


@pytest.mark.parametrize("how", COMPRESS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_compressed_files_that_are_cut_off_are_said_to_be_damaged(
    how: str, share: float, data: Path, tmp_path: Path
) -> None:
    content = COMPRESS[how]((data / "word2vec.txt").read_bytes())
    (tmp_path / "t").write_bytes(content[: int(share * len(content))])
    with pytest.raises(VectorFormatError, match=f"t: the {how} data are damaged or cut off"):
        formats.read(tmp_path / "t")


@pytest.mark.parametrize("how", COMPRESS)
def test_damaged_compressed_files_give_a_table_or_an_error(
    how: str, data: Path, tmp_path: Path, survive: Callable[..., list[Table]]
) -> None:
    path = tmp_path / "t"
    path.write_bytes(COMPRESS[how]((data / "word2vec.txt").read_bytes()))
    survive(path)


def test_an_archive_of_several_files_names_them(data: Path, tmp_path: Path) -> None:
    content = (data / "glove.txt").read_bytes()
    (tmp_path / "glove.zip").write_bytes(zipped(content, "50.txt", "../300.txt"))
    with pytest.raises(
        VectorFormatError,
        match=r"archive of one file, found 3: folder/vectors.txt, 50.txt, ../300.txt\. Extract",
    ):
        formats.read(tmp_path / "glove.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["glove.zip"]


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt"])
def test_an_archive_cannot_write_outside(
    name: str, data: Path, tmp_path: Path, tiny: Table
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "t.zip", "w") as archive:
        archive.writestr(name, (data / "glove.txt").read_bytes())
    np.testing.assert_array_equal(formats.read(inside / "t.zip").matrix, tiny.matrix)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "t.zip"]
    assert not Path("/tmp/outside.txt").exists()


def test_an_archive_of_nothing_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t", "w") as archive:
        archive.mkdir("folder")
    with pytest.raises(VectorFormatError, match="archive of one file, found 0"):
        formats.read(tmp_path / "t")


def test_an_encrypted_archive_is_an_error(data: Path, tmp_path: Path) -> None:
    content = bytearray(zipped((data / "glove.txt").read_bytes()))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(magic) + flags] |= 1
    (tmp_path / "t").write_bytes(bytes(content))
    with pytest.raises(VectorFormatError, match=r"damaged or cut off: .*encrypted"):
        formats.read(tmp_path / "t")


@pytest.mark.parametrize("damage", ["no name", "no UTF-8"])
def test_an_archive_with_a_damaged_name_is_an_error(
    damage: str, data: Path, tmp_path: Path
) -> None:
    content = bytearray(zipped((data / "glove.txt").read_bytes()))
    if damage == "no name":
        place = content.rindex(b"PK\x01\x02")
        content[place + 28 : place + 30] = b"\0\0"
    else:
        place = content.rindex(b"PK\x03\x04")
        content[place + 7] |= 8  # the name is UTF-8
        content[place + 30] = 0xFF
    (tmp_path / "t").write_bytes(bytes(content))
    with pytest.raises(VectorFormatError, match="t: the zip data are damaged or cut off"):
        formats.read(tmp_path / "t")


def test_an_unknown_method_of_compression_is_an_error(data: Path, tmp_path: Path) -> None:
    content = bytearray(zipped((data / "glove.txt").read_bytes()))
    for magic, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.rindex(magic) + method] = 97
    (tmp_path / "t").write_bytes(bytes(content))
    with pytest.raises(VectorFormatError, match=r"damaged or cut off: .*method"):
        formats.read(tmp_path / "t")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stderr", "delay", "shows"),
    [(Terminal(), 0, True), (Terminal(), 60, False), (io.StringIO(), 0, False)],
    ids=["slow", "fast", "no-terminal"],
)
def test_progress_of_slow_reading_is_shown_in_a_terminal(
    data: Path, stderr: io.StringIO, delay: float, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    path = data / "glove.txt"
    size = path.stat().st_size
    with path.open("rb") as file, files.show_progress(file, path, size, delay=delay) as reading:
        assert reading.read() == path.read_bytes()
    written = stderr.getvalue()
    assert ("glove.txt" in written) == bool(written) == shows
    assert not shows or written.rsplit("\r", 1)[0].endswith(" " * 10)  # removed at the end


# ---- bombs ----

# The beginning of a bomb, and what follows for ever.
BOMBS = {
    "one line": (b"", b"9"),
    "one line after a header": (b"2 2\ncat ", b"1"),
    "blank lines": (b"cat 1 2\n", b"\n"),
    "a table": (b"", b"cat 1 2\n"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("how", COMPRESS)
def test_a_bomb_is_refused_before_it_expands(how: str, name: str, tmp_path: Path) -> None:
    start, unit = BOMBS[name]
    part = unit * ((1 << 20) // len(unit))
    if how == "bzip2":  # which is slow, and may consist of streams
        content = bz2.compress(start + part) + bz2.compress(part) * 23
    else:
        content = COMPRESS[how](start + part * 24)
    (tmp_path / "t").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(VectorFormatError, match=r"t: (the [0-9]+ bytes .* expand|expected)"):
            formats.read(tmp_path / "t")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_line_has_a_limit_in_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"cat 1 2\n" * 20_000 + b"dog " + b"9" * (2 << 20) + b" 2\n")
    with pytest.raises(VectorFormatError, match=r"t: expected lines of at most 1048576 bytes"):
        formats.read(path)


def test_what_compresses_well_is_read_all_the_same(tmp_path: Path) -> None:
    rows = [b"word%d %b\n" % (i, b"0 " * 99 + b"0") for i in range(20_000)]  # 4 MB, 60 times
    (tmp_path / "t").write_bytes(gzip.compress(b"".join(rows)))
    assert len(formats.read(tmp_path / "t").words) == 20_000


@pytest.mark.parametrize(("size", "most"), [(100, 4 << 20), (1 << 20, 200 << 20)])
def test_small_contents_and_two_hundred_times_the_file_are_no_bomb(
    size: int, most: int, tmp_path: Path
) -> None:
    path = tmp_path / "t"
    path.write_bytes(bytes(size))
    check_expansion(path, most)
    with pytest.raises(VectorFormatError, match=rf"{size} bytes of the file expand to {most + 1} "):
        check_expansion(path, most + 1)


def test_json_of_the_largest_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(b"[1, 2]")
    assert read_json(tmp_path / "t.json", max_bytes=6) == [1, 2]
    assert read_json(tmp_path / "t.json", max_bytes=None) == [1, 2]
    with pytest.raises(VectorFormatError, match="expected at most 5 bytes of JSON"):
        read_json(tmp_path / "t.json", max_bytes=5)


def test_json_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b"[" + b"[]," * 1000 + b"0]")
    assert len(read_json(path)) == 1001
    with pytest.raises(VectorFormatError, match=r"t.json: expected at most 3000 bytes of JSON"):
        read_json(path, max_bytes=3000)


# ---- paths ----


@pytest.mark.parametrize(
    "path", ["n" * 300, "n" * 300 + ".txt", "a/" + "n" * 300, "~nobody-of-that-name/x", "a\0b.txt"]
)
def test_a_path_that_cannot_be_is_a_path_with_nothing(path: str) -> None:
    assert not exists(expand_user(path))
    with pytest.raises(FileNotFoundError, match=r"No pretrained vectors at"):
        PretrainedVectors.load(Path(path))
    with pytest.raises(FileNotFoundError, match=r"No pretrained vectors at"):
        formats.read(path)


def test_a_folder_and_a_file_with_content_are_readable(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"1")
    for path in (tmp_path, tmp_path / "t"):
        check_readable(path)
        assert exists(path)


def test_an_error_of_the_system_is_not_a_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(PermissionError), open_regular(tmp_path):
            pass
        patch.setattr(Path, "stat", refuse)
        for function in (exists, check_readable):
            with pytest.raises(PermissionError):
                function(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize(
    "put", [os.mkdir, os.mkfifo, lambda _: None], ids=["folder", "pipe", "nothing"]
)
def test_only_a_regular_file_is_opened(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "t")
    before = len(os.listdir("/dev/fd"))
    with (
        pytest.raises(VectorFormatError, match="t: cannot be opened: "),
        open_regular(tmp_path / "t"),
    ):
        pass
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("how", COMPRESS)
def test_errors_of_a_disk_are_not_damage_of_compressed_data(how: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(COMPRESS[how](b"content"))
    with pytest.raises(OSError, match="broken disk"), open_decompressed(tmp_path / "t"):
        raise OSError(errno.EIO, "broken disk")
    for error in (OSError("no gzip"), OSError(errno.EINVAL, "a position"), EOFError("the end")):
        with (
            pytest.raises(VectorFormatError, match=f"t: the {how} data are damaged or cut off: "),
            open_decompressed(tmp_path / "t"),
        ):
            raise error


# ---- arrays ----


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
        (b"(3, 4)", b"(1000000000000, 4)", "cannot be opened as a NumPy array: .*"),
        (b"(3, 4)", b"(4611686018427387904, 4)", "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"(3,04)", "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"(-3, 4)", "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"(3, 5)", "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"(3, 3)", "makes [0-9]+ bytes, found [0-9]+"),
        (b"(3, 4)", b"(" * 400, "cannot be opened as a NumPy array"),
        (b"'<f4'", b"'<f5'", "cannot be opened as a NumPy array: .*descr"),
        (b"'<f4'", b"'|O8'", "cannot be opened as a NumPy array: .*"),
        (b"'<f4'", b"'<U1'", "expected an array of numbers, found <U1"),
        (b"(3, 4)", b"print", "cannot be opened as a NumPy array"),
        (b"NUMPY\1\0", b"NUMPY\1\1", "cannot be opened as a NumPy array"),
        (b"'<f4'", b"()", "cannot be opened as a NumPy array"),
        (b"'<f4'", b"[()]", "cannot be opened as a NumPy array"),
        (b"'<f4'", b"[{}]", "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"(3, 1e9)", "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"[" * 180 + b"]" * 180, "cannot be opened as a NumPy array"),
        (b"(3, 4)", b"-" * 800 + b"1", "cannot be opened as a NumPy array"),
        (b"NUMPY", b"NUMPX", "expected a NumPy array, found b"),
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
    with pytest.raises(VectorFormatError, match=r"a.npz: expected a NumPy array, found"):
        map_array(tmp_path / "a.npz")


@pytest.mark.parametrize("other", ["__MACOSX/._50.txt", "vectors/.DS_Store", "Thumbs.db"])
def test_files_of_the_system_in_an_archive_are_ignored(
    tmp_path: Path, data: Path, other: str
) -> None:
    content = (data / "glove.txt").read_bytes()
    (tmp_path / "glove.zip").write_bytes(zipped(content, other))
    assert len(formats.read(tmp_path / "glove.zip").words) == 12


def test_the_header_of_an_array_takes_no_more_memory_than_a_header(tmp_path: Path):
    file = tmp_path / "a.npy"
    np.save(file, np.zeros(4, dtype=np.float32))
    content = bytearray(file.read_bytes())
    content[6], content[8:12] = 2, (1 << 30).to_bytes(4, "little")
    file.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(VectorFormatError, match=r"header of at most .* found 1073741824 bytes"):
            map_array(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
