from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from vector_caches import entries, is_mapped

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.table.table import Table

KINDS = {
    "folder": "folder",
    "wheel": "kumo",
    "word2vec.txt": "word2vec-text",
    "word2vec.txt.gz": "word2vec-text",
    "fasttext.vec": "word2vec-text",
    "word2vec.bin": "word2vec-binary",
    "word2vec_gensim.bin": "word2vec-binary",
    "glove.txt": "glove",
    "fasttext.bin": "fasttext",
    "gensim.kv": "gensim",
    "word2vec.model": "gensim",
    "fasttext.model": "gensim",
}
SAME = [name for name in KINDS if not name.endswith(".model") and name != "fasttext.bin"]
WRITTEN = ["folder", "word2vec-text", "word2vec-binary", "glove", "gensim", "parquet"]


def copy(source: Path, target: Path) -> Path:
    return Path((shutil.copytree if source.is_dir() else shutil.copy)(source, target))


@pytest.mark.parametrize(("file", "kind"), KINDS.items())
def test_the_kind_is_recognised_by_content_whatever_the_name(
    data: Path, tmp_path: Path, file: str, kind: str
) -> None:
    assert formats.detect_format(data / file) == kind
    assert formats.detect_format(copy(data / file, tmp_path / "vectors.other")) == kind


@pytest.mark.parametrize("file", ["word2vec.txt", "word2vec.bin", "glove.txt"])
def test_gzip_is_looked_into(data: Path, tmp_path: Path, tiny: Table, file: str) -> None:
    (tmp_path / "t").write_bytes(gzip.compress((data / file).read_bytes()))
    assert formats.detect_format(tmp_path / "t") == KINDS[file]
    np.testing.assert_array_equal(formats.read(tmp_path / "t").matrix, tiny.matrix)


@pytest.mark.parametrize("file", SAME)
def test_every_format_gives_the_same_table(data: Path, tiny: Table, file: str) -> None:
    table = formats.read(data / file, allow_pickle=True)
    assert list(table.words) == list(tiny.words)
    assert table.matrix.dtype == np.float32
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_format_gives_back_what_was_written(
    tmp_path: Path, tiny: Table, format: str, suffix: str
) -> None:
    path = tmp_path / f"t{suffix}"
    formats.write(tiny, path, format)
    table = formats.read(path, allow_pickle=True)
    assert formats.detect_format(path) == format
    assert list(table.words) == list(tiny.words)
    assert table.matrix.tobytes() == tiny.matrix.tobytes()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", ["word2vec-text", "word2vec-binary", "glove"])
def test_the_suffix_gz_compresses_to_the_same_bytes_each_time(
    tmp_path: Path, tiny: Table, format: str
) -> None:
    for name in ("a.gz", "b.gz", "plain"):
        formats.write(tiny, tmp_path / name, format)
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "plain").read_bytes()
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path: Path, tiny: Table) -> None:
    with pytest.raises(ValueError, match=r"format must be one of 'folder', 'word2vec-text'.*'csv'"):
        formats.write(tiny, tmp_path / "t", "csv")


@pytest.mark.parametrize("format", WRITTEN[1:])
def test_a_crash_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, tiny: Table, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").write_text("old")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        formats.write(tiny, tmp_path / "t", format)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert (tmp_path / "t").read_text() == "old"


def test_writing_where_no_folder_is_says_so(tmp_path: Path, tiny: Table) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        formats.write(tiny, tmp_path / "no" / "t", "glove")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_is_not_positive_is_an_error(data: Path, limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit must be a positive number .* got {limit}"):
        formats.read(data / "glove.txt", limit=limit)


@pytest.mark.parametrize("function", [formats.detect_format, formats.read, formats.fingerprint])
def test_a_missing_file_is_named(tmp_path: Path, function) -> None:
    with pytest.raises(FileNotFoundError, match=r"No pretrained vectors at '.*nothing.txt'"):
        function(tmp_path / "nothing.txt")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t").touch()
    with pytest.raises(VectorFormatError, match="t: expected vectors, found an empty file"):
        formats.read(tmp_path / "t")


def test_an_empty_gzip_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(gzip.compress(b""))
    with pytest.raises(VectorFormatError, match="t: expected one of the formats"):
        formats.read(tmp_path / "t")


def test_a_folder_of_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(VectorFormatError, match=r"expected a folder of vectors, with vectors.json"):
        formats.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"once upon a time\n", b"\x93NUMPY", b"\0" * 100, b"word 12\nlist 7\n"],
)
def test_what_is_no_table_is_answered_with_the_known_formats(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(
        VectorFormatError,
        match=r"expected one of the formats folder, kumo, .*(begins with b|a NumPy array)",
    ):
        formats.read(tmp_path / "t")


def test_a_damaged_first_line_of_text_is_still_text(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"2 2\ncat 1 x\ndog 3 4\n")
    with pytest.raises(VectorFormatError, match="line 2: expected a finite number, found b'x'"):
        formats.read(tmp_path / "t")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t")
    with pytest.raises(VectorFormatError, match="expected a regular file or a folder"):
        formats.read(tmp_path / "t")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Windows has no socket files")
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("t")
        with pytest.raises(VectorFormatError, match="expected a regular file or a folder"):
            formats.read("t")


def put_folder(path: Path) -> None:
    path.mkdir()


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_loop(path: Path) -> None:
    path.symlink_to(path)


def put_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def put_nothing(path: Path) -> None:
    pass


PARTS = ["folder/vectors.json", "folder/matrix.npy", "folder/text.npy"]
PARTS += ["wheel/tiny_emb.npy", "wheel/tiny_index.parquet"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither pipes nor sockets as files")
@pytest.mark.parametrize("put", [put_folder, put_pipe, put_loop, put_socket, put_nothing])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("function", [formats.read, formats.fingerprint])
def test_what_is_no_file_within_a_folder_is_refused_and_not_waited_for(
    data: Path, tmp_path: Path, function, part: str, put
) -> None:
    folder, _, name = part.partition("/")
    copied = copy(data / folder, tmp_path / folder)
    (copied / name).unlink()
    put(copied / name)
    if (
        function is formats.fingerprint
        and name in ("matrix.npy", "text.npy")
        and put is put_nothing
    ):
        function(copied)  # of the other files
        return
    with pytest.raises(VectorFormatError, match=rf"{folder}.*: (expected a folder|cannot be open)"):
        function(copied)


@pytest.mark.skipif(os.name == "nt", reason="Windows asks for rights to make links")
@pytest.mark.parametrize("function", [formats.detect_format, formats.read, formats.fingerprint])
def test_a_link_to_itself_is_refused(tmp_path: Path, function) -> None:
    put_loop(tmp_path / "t")
    with pytest.raises(VectorFormatError, match="t: the symbolic link is circular"):
        function(tmp_path / "t")


@pytest.mark.parametrize("file", [name for name in KINDS if name not in ("folder", "wheel")])
def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / file).mkdir()
    with pytest.raises(VectorFormatError, match="expected a folder of vectors, with"):
        formats.read(tmp_path / file)


@pytest.mark.parametrize("file", SAME)
def test_a_table_stays_when_another_takes_the_place_of_its_file(
    data: Path, tmp_path: Path, tiny: Table, file: str
) -> None:
    path = copy(data / file, tmp_path / "t")
    table = formats.read(path, allow_pickle=True)
    path.rename(tmp_path / "old")
    path.write_bytes(b"x 1 2\n")
    (shutil.rmtree if (tmp_path / "old").is_dir() else os.unlink)(tmp_path / "old")
    assert list(table.words) == list(tiny.words)
    np.testing.assert_array_equal(table.matrix, tiny.matrix)


@pytest.mark.parametrize("other", [name for name in KINDS if name not in ("folder", "wheel")])
@pytest.mark.parametrize("file", ["word2vec.txt", "word2vec.bin", "glove.txt", "fasttext.bin"])
def test_a_file_that_changes_after_its_format_was_recognised_is_a_table_or_an_error(
    data: Path, tmp_path: Path, tiny: Table, monkeypatch, file: str, other: str
) -> None:
    path, detect = copy(data / file, tmp_path / "t"), formats.detect_format

    def detect_before_a_change(path: Path) -> str:
        format = detect(path)
        path.unlink()
        copy(data / other, path)
        return format

    monkeypatch.setattr(formats, "detect_format", detect_before_a_change)
    try:
        table = formats.read(path)
    except VectorFormatError as error:
        assert str(path) in str(error)  # noqa: PT017  # either outcome is right
    else:
        assert set(table.words) == set(tiny.words)


@pytest.mark.parametrize("file", KINDS)
def test_a_copy_has_the_same_fingerprint(data: Path, tmp_path: Path, file: str) -> None:
    copied = copy(data / file, tmp_path / "other")
    assert formats.fingerprint(copied) == formats.fingerprint(data / file)
    assert len(formats.fingerprint(copied)) == 32


@pytest.mark.parametrize(
    "file", [name for name in KINDS if name not in ("folder", "wheel", "word2vec.txt.gz")]
)
def test_another_last_byte_gives_another_fingerprint(data: Path, tmp_path: Path, file: str) -> None:
    copied = copy(data / file, tmp_path / "other")
    with copied.open("r+b") as content:
        content.seek(-1, os.SEEK_END)
        content.write(b"!")
    assert formats.fingerprint(copied) != formats.fingerprint(data / file)


def test_another_table_in_our_folder_gives_another_fingerprint(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "a", "folder")
    formats.write(Table(tiny.words, -tiny.matrix), tmp_path / "b", "folder")
    assert formats.fingerprint(tmp_path / "a") != formats.fingerprint(tmp_path / "b")


@pytest.mark.parametrize("name", ["tiny_emb.npy", "tiny_index.parquet"])
def test_both_files_of_the_wheel_are_in_the_fingerprint(
    data: Path, tmp_path: Path, name: str
) -> None:
    copied = copy(data / "wheel", tmp_path / "wheel")
    with (copied / name).open("ab") as content:
        content.write(b"!")
    assert formats.fingerprint(copied) != formats.fingerprint(data / "wheel")


def test_files_beside_a_gensim_file_are_in_the_fingerprint(data: Path, tmp_path: Path) -> None:
    copied = copy(data / "gensim.kv", tmp_path / "t[1].kv")
    before = formats.fingerprint(copied)
    (tmp_path / "t[1].kv.vectors.npy").write_bytes(b"1")
    assert formats.fingerprint(copied) != before


@pytest.mark.parametrize("file", [name for name in KINDS if name not in ("folder", "wheel")])
def test_damage_is_an_error_or_another_table(
    data: Path, tmp_path: Path, survive, file: str
) -> None:
    for table in survive(copy(data / file, tmp_path / "t")):
        assert table.matrix.ndim == 2


def test_the_first_version_of_fasttext_has_no_magic_number_and_is_recognised() -> None:
    assert formats.detect_format(datapath("non_ascii_fasttext.bin")) == "fasttext"


def test_what_no_reader_knows_is_named_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"x" * 100)
    with pytest.raises(VectorFormatError, match=r"begins with b'x{40}'\."):
        formats.detect_format(tmp_path / "t")


# ---- which formats are mapped from the cache ----


@pytest.fixture
def large() -> KeyedVectors:
    """Vectors that fill more than the 4 MB from which tables are converted."""
    vectors = KeyedVectors(64)
    matrix = np.random.default_rng(0).standard_normal((18_000, 64), dtype=np.float32)
    vectors.add_vectors([f"w{i}" for i in range(18_000)], matrix)
    return vectors


def test_a_large_file_of_gensim_is_mapped_from_the_cache(
    large: KeyedVectors, tmp_path: Path, cache_folder: Path
) -> None:
    large.save(str(tmp_path / "t.kv"))
    assert is_mapped(formats.read(tmp_path / "t.kv", allow_pickle=True))
    assert len(entries(cache_folder)) == 1


def test_a_converted_file_of_gensim_still_needs_permission(
    large: KeyedVectors, tmp_path: Path, cache_folder: Path
) -> None:
    large.save(str(tmp_path / "t.kv"))
    formats.read(tmp_path / "t.kv", allow_pickle=True)
    with pytest.raises(VectorFormatError, match="allow_pickle=True"):
        formats.read(tmp_path / "t.kv")
    assert len(entries(cache_folder)) == 1


def test_arrays_next_to_a_file_of_gensim_are_mapped_where_they_are(
    large: KeyedVectors, tmp_path: Path, cache_folder: Path
) -> None:
    large.save(str(tmp_path / "t.kv"), sep_limit=0)
    assert (tmp_path / "t.kv.vectors.npy").exists()
    assert is_mapped(formats.read(tmp_path / "t.kv", allow_pickle=True))
    assert not entries(cache_folder)


def test_a_folder_of_ours_is_mapped_where_it_is(
    large: KeyedVectors, tmp_path: Path, cache_folder: Path
) -> None:
    table = Table.from_rows(large.index_to_key, large.vectors, tmp_path)
    formats.write(table, tmp_path / "t", "folder")
    assert is_mapped(formats.read(tmp_path / "t"))
    assert not entries(cache_folder)


def test_the_files_of_a_mapped_table_are_listed(
    large: KeyedVectors, tmp_path: Path, data: Path
) -> None:
    large.save(str(tmp_path / "t.kv"), sep_limit=0)
    (tmp_path / "t.kvother").touch()
    (tmp_path / "t.kv.folder").mkdir()

    def listed(path: Path) -> list[str]:
        table = formats.read(path, allow_pickle=True)
        return [file.name for file in formats.list_mapped(path, table)]

    assert listed(tmp_path / "t.kv") == ["t.kv", "t.kv.vectors.npy"]
    assert set(listed(data / "folder")) >= {"vectors.json"}
    for file in ("gensim.kv", "glove.txt", "wheel"):
        assert listed(data / file) == []


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_a_tar_archive_says_to_extract_it(tmp_path: Path, data: Path, suffix: str) -> None:
    file = tmp_path / f"glove.tar{suffix}"
    with tarfile.open(file, f"w:{suffix[1:]}") as archive:
        archive.add(data / "glove.txt", "glove.txt")
    with pytest.raises(VectorFormatError, match=r"found a tar archive\. Extract it, tar -xf FILE"):
        formats.read(file)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            "\ufeffcat 1 2\n".encode("utf-16-le"),
            "text in UTF-16. Convert it first: iconv -f UTF-16",
        ),
        (
            "\ufeffcat 1 2\n".encode("utf-16-be"),
            "text in UTF-16. Convert it first: iconv -f UTF-16",
        ),
        (
            "\ufeffcat 1 2\n".encode("utf-32-le"),
            "text in UTF-32. Convert it first: iconv -f UTF-32",
        ),
        (lzma.compress(b"cat 1 2\n"), "xz data. Decompress it first"),
        (b"\x93NUMPY\x01\x00v\x00{}", r"a NumPy array without words. Pass a pair \(words, matrix"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS.*git lfs pull"),
        (b"<!doctype html>\n", "a web page. Download the file itself"),
        (b"<HTML><body>\n", "a web page. Download the file itself"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "zstd data. Decompress it first, or compress it with gzip"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive. Extract it, and open the file"),
    ],
)
def test_files_that_take_the_place_of_vectors_are_recognised(
    tmp_path: Path, start: bytes, message: str
) -> None:
    (tmp_path / "t").write_bytes(start * 3)
    with pytest.raises(VectorFormatError, match=f"found {message}"):
        formats.read(tmp_path / "t")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("content", ["2 3\ncat 1 2 3\ndog 4 5 6\n", "猫 0.1 -2e-3\nñandú 4 5\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_wide_text_without_a_byte_order_mark_is_recognised(
    tmp_path: Path, content: str, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "t").write_bytes(pack(content.encode(encoding)))
    name = encoding.upper().replace("-LE", "LE").replace("-BE", "BE")
    message = f"found text in {name} without a byte order mark. Convert.* iconv -f {name} -t UTF-8"
    with pytest.raises(VectorFormatError, match=message):
        formats.read(tmp_path / "t")


@pytest.mark.parametrize("format", ["folder", "parquet", "model2vec"])
@pytest.mark.parametrize("option", [{"encoding": "latin-1"}, {"errors": "replace"}])
def test_an_encoding_without_effect_is_refused(
    tmp_path: Path, tiny: Table, format: str, option: dict[str, str]
) -> None:
    formats.write(tiny, tmp_path / "t", format)
    with pytest.raises(ValueError, match=r"has no effect on the format.*words are UTF-8; it is"):
        formats.read(tmp_path / "t", **option)
    formats.read(tmp_path / "t", encoding="UTF8", errors="strict")


def test_an_encoding_of_a_gensim_file_or_wheel_is_refused(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "t", "gensim")
    with pytest.raises(ValueError, match="encoding='cp1252' has no effect on the format 'gensim'"):
        formats.read(tmp_path / "t", allow_pickle=True, encoding="cp1252")
