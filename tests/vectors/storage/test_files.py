from __future__ import annotations

import bz2
import gzip
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.storage import files
from sklearn_transfer.vectors.storage.files import compression, content_size
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
    assert compression(path) == how
    assert content_size(path) == (data / file).stat().st_size
    assert formats.detect_format(path) == formats.detect_format(data / file)
    np.testing.assert_array_equal(formats.read(path).matrix, tiny.matrix)


@pytest.mark.parametrize("how", COMPRESS)
def test_a_compressed_fasttext_model_is_refused_with_the_cure(
    how: str, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "t").write_bytes(COMPRESS[how]((data / "fasttext.bin").read_bytes()))
    with pytest.raises(VectorFormatError, match=rf"t: .*found it inside {how}\. Decompress it"):
        formats.read(tmp_path / "t")


def test_what_is_not_compressed_is_opened_as_it_is(data: Path) -> None:
    assert compression(data / "glove.txt") is None
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
    ("stderr", "patience", "shows"),
    [(Terminal(), 0, True), (Terminal(), 60, False), (io.StringIO(), 0, False)],
    ids=["slow", "fast", "no-terminal"],
)
@pytest.mark.parametrize("file", ["word2vec.txt", "word2vec.bin", "glove.txt"])
def test_progress_is_shown_of_slow_reading_in_a_terminal(
    data: Path,
    file: str,
    stderr: io.StringIO,
    patience: float,
    shows: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(files, "_PATIENCE", patience)
    formats.read(data / file)
    written = stderr.getvalue()
    assert (file in written) == bool(written) == shows
    assert not shows or written.rsplit("\r", 1)[0].endswith(" " * 10)  # wiped in the end
    stderr.truncate(0)
    stderr.seek(0)
