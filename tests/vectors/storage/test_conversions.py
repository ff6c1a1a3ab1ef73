from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer import cache_info, clear_cache
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats, text_files
from sklearn_transfer.vectors.storage import cache, conversions, folder
from sklearn_transfer.vectors.table.table import Table

FILES = ["word2vec.txt", "word2vec.bin", "glove.txt", "fasttext.bin", "wheel"]


@pytest.fixture(autouse=True)
def every_file_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversions, "_WORTH", 0)
    monkeypatch.setattr(conversions, "_SETTLED", -60)  # even the files of this second are old


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this second may change within it."""
    monkeypatch.setattr(conversions, "_SETTLED", 60)


@pytest.fixture
def file(tmp_path: Path, data: Path) -> Path:
    """A text file that was last changed an hour ago."""
    path = Path(shutil.copy(data / "word2vec.txt", tmp_path / "vectors.txt"))
    age(path)
    return path


def age(path: Path, seconds: float = 3600) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The text files that have been parsed."""
    return counting(monkeypatch, "word2vec-text")


def counting(monkeypatch: pytest.MonkeyPatch, kind: str) -> list[Path]:
    calls: list[Path] = []
    reader = formats._READERS[kind]

    def read(path: Path, options: object) -> Table:
        calls.append(path)
        return reader(path, options)  # type: ignore[arg-type]

    monkeypatch.setitem(formats._READERS, kind, read)
    return calls


def same(table: Table, other: Table) -> None:
    assert list(table.words) == list(other.words)
    np.testing.assert_array_equal(table.matrix, other.matrix)
    assert (table.subwords is None) == (other.subwords is None)
    if table.subwords is not None and other.subwords is not None:
        np.testing.assert_array_equal(table.subwords.matrix, other.subwords.matrix)


def mapped(table: Table) -> bool:
    array: object = table.matrix
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def entries(cache_folder: Path) -> list[Path]:
    return sorted((cache_folder / "tables-1").glob(f"*/{folder.METADATA}"))


# ---- what is converted ----


@pytest.mark.parametrize("name", FILES)
def test_the_first_and_the_second_opening_give_what_the_reader_gives(
    name: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = formats.read(data / name), formats.read(data / name)
    monkeypatch.setenv(cache.VARIABLE, "")
    direct = formats.read(data / name)
    for table in (first, second):
        same(table, direct)
        assert mapped(table)


def test_a_file_is_parsed_once(file: Path, parsed: list[Path]) -> None:
    for _ in range(3):
        formats.read(file)
    assert parsed == [file]


def test_a_known_file_is_not_even_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.read(file)

    def digest(source: object) -> str:
        raise AssertionError("the file was read")

    monkeypatch.setattr(conversions._Source, "digest", digest)
    formats.read(file)


def test_equal_content_elsewhere_is_one_entry(
    file: Path, parsed: list[Path], cache_folder: Path
) -> None:
    other = Path(shutil.copy(file, file.with_name("other.txt")))
    formats.read(file)
    formats.read(other)
    assert parsed == [file]
    assert len(entries(cache_folder)) == 1


def test_a_file_that_changed_is_converted_anew(file: Path, tiny: Table) -> None:
    formats.read(file)
    text_files.write_word2vec(Table(tiny.words, tiny.matrix + 1), file)
    age(file, 1800)
    np.testing.assert_allclose(formats.read(file).matrix, tiny.matrix + 1, rtol=1e-6)


def test_a_change_that_keeps_size_and_time_is_seen(file: Path) -> None:
    status = file.stat()
    formats.read(file)
    content = file.read_bytes()
    assert content.count(b"cat") == 1
    file.write_bytes(content.replace(b"cat", b"cow"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(formats.read(file).words)[1] == "cow"


@pytest.mark.usefixtures("young")
def test_a_young_file_is_looked_at_each_time(
    file: Path, parsed: list[Path], cache_folder: Path
) -> None:
    for _ in range(2):
        formats.read(file)
    assert parsed == [file]
    assert not (cache_folder / "known-1").exists()


def test_small_files_are_not_converted(
    file: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversions, "_WORTH", 1 << 20)
    assert not mapped(formats.read(file))
    assert entries(cache_folder) == []


def test_a_part_of_a_file_is_not_converted(file: Path, cache_folder: Path, tiny: Table) -> None:
    assert list(formats.read(file, limit=3).words) == list(tiny.words)[:3]
    assert entries(cache_folder) == []


def test_a_part_of_a_converted_file_is_taken_from_the_cache(
    file: Path, parsed: list[Path], tiny: Table
) -> None:
    formats.read(file)
    assert list(formats.read(file, limit=3).words) == list(tiny.words)[:3]
    assert parsed == [file]


def test_mmap_false_reads_into_memory(file: Path) -> None:
    formats.read(file)
    assert not mapped(formats.read(file, mmap=False))


def test_our_folder_is_not_converted(tmp_path: Path, tiny: Table, cache_folder: Path) -> None:
    folder.write(tiny, tmp_path / "saved")
    formats.read(tmp_path / "saved")
    assert entries(cache_folder) == []


def test_a_converted_pickle_is_still_refused(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "vectors.kv", "gensim")
    assert len(formats.read(tmp_path / "vectors.kv", allow_pickle=True).words) == len(tiny.words)
    with pytest.raises(VectorFormatError, match="allow_pickle=True"):
        formats.read(tmp_path / "vectors.kv")


def test_a_damaged_file_leaves_no_entry(file: Path, cache_folder: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(VectorFormatError):
        formats.read(file)
    assert entries(cache_folder) == []


# ---- what can go wrong ----


@pytest.mark.parametrize("name", ["vectors.json", "matrix.npy", "hashes.npy"])
def test_a_damaged_entry_is_made_anew(
    name: str, file: Path, parsed: list[Path], cache_folder: Path, tiny: Table
) -> None:
    formats.read(file)
    (entry,) = entries(cache_folder)
    damaged = entry.parent / name
    damaged.write_bytes(damaged.read_bytes()[:-9])
    same(formats.read(file), formats.read(file))
    assert parsed == [file, file]


@pytest.mark.parametrize("limit", [None, 3])
def test_an_entry_of_a_newer_version_is_not_misread(
    limit: int | None, file: Path, cache_folder: Path, tiny: Table
) -> None:
    formats.read(file)
    (entry,) = entries(cache_folder)
    about = {**json.loads(entry.read_text()), "version": 99}
    entry.write_text(json.dumps(about))
    table = formats.read(file, limit=limit)
    assert list(table.words) == list(tiny.words)[:limit]
    np.testing.assert_array_equal(table.matrix, tiny.matrix[:limit])


def test_a_damaged_note_costs_a_look_at_the_file(
    file: Path, parsed: list[Path], cache_folder: Path, tiny: Table
) -> None:
    formats.read(file)
    (note,) = (cache_folder / "known-1").iterdir()
    for content in ("", "[]", "{}", '{"stamps": 1, "digest": 2}', "\0"):
        note.write_text(content)
        assert list(formats.read(file).words) == list(tiny.words)
    assert parsed == [file]


def test_what_cannot_be_kept_is_used_with_a_warning(
    file: Path, cache_folder: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    with pytest.warns(
        UserWarning, match=r"cannot be kept in .*No space left.*set SKLEARN_TRANSFER_CACHE to"
    ):
        table = formats.read(file)
    np.testing.assert_allclose(table.matrix, tiny.matrix, rtol=1e-6)
    left = [path.name for path in (cache_folder / "tables-1").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_a_cache_that_is_no_folder_is_said(
    file: Path, tmp_path: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "taken"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert list(formats.read(file).words) == list(tiny.words)


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    file: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = formats._READERS["word2vec-text"]

    def read(path: Path, options: object) -> Table:
        table = reader(path, options)  # type: ignore[arg-type]
        age(path, 10)
        return table

    monkeypatch.setitem(formats._READERS, "word2vec-text", read)
    formats.read(file)
    assert list((cache_folder / "tables-1").glob("*[!k]")) == []


def test_a_mapped_file_that_changes_while_it_is_written_is_not_kept(
    data: Path, tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(data / "fasttext.bin", tmp_path / "fasttext.bin"))
    write = folder.write

    def slowly(table: Table, draft: Path) -> None:
        write(table, draft)
        path.write_bytes(path.read_bytes())

    monkeypatch.setattr(folder, "write", slowly)
    formats.read(path)
    assert entries(cache_folder) == []


@pytest.mark.usefixtures("young")
def test_a_young_file_is_kept_if_its_content_has_stayed(
    file: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(["before", "after", "same", "same"])
    monkeypatch.setattr(conversions._Source, "digest", lambda source: next(digests))
    formats.read(file)
    assert entries(cache_folder) == []
    formats.read(file)
    assert [entry.parent.name for entry in entries(cache_folder)] == ["same"]


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_an_entry_that_cannot_be_opened_just_now_stays(
    error: int, file: Path, cache_folder: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats.read(file)
    (entry,) = entries(cache_folder)
    inode = entry.stat().st_ino

    def load(*args: object, **kwargs: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(folder, "map_array", load)
    with pytest.warns(UserWarning, match=f"cannot be kept in .*{os.strerror(error)}"):
        assert list(formats.read(file).words) == list(tiny.words)
    assert entry.stat().st_ino == inode


def test_a_cache_that_is_cleared_meanwhile_costs_nothing(
    file: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def and_clear(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        if path.name.endswith(".draft"):
            clear_cache()
        return moved

    monkeypatch.setattr(Path, "rename", and_clear)
    assert list(formats.read(file).words) == list(tiny.words)


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), TimeoutError("too long")])
def test_without_locks_files_are_read_as_they_are(
    error: Exception, file: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(cache.FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match="cannot be kept in .*: (no flock|too long)"):
        assert list(formats.read(file).words) == list(tiny.words)


SLOW = """
    import sys, time
    from pathlib import Path
    from sklearn_transfer.vectors.formats import formats, text_files
    from sklearn_transfer.vectors.storage import conversions, folder
    conversions._WORTH = 0
    function = {slow}.{name}
    def slow(*args, **kwargs):
        Path(sys.argv[2], str(time.time_ns())).touch()
        time.sleep({seconds})
        return function(*args, **kwargs)
    {patch}
    print(len(formats.read(Path(sys.argv[1])).words))
"""
READ_SLOWLY = {
    "slow": "text_files",
    "name": "read_word2vec",
    "patch": 'formats._READERS["word2vec-text"] = slow',
}
WRITE_SLOWLY = {"slow": "folder", "name": "_digest_of", "patch": "folder._digest_of = slow"}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def start(file: Path, calls: Path) -> Start:
    def run(seconds: float, **where: str) -> subprocess.Popen[str]:
        script = textwrap.dedent(SLOW.format(seconds=seconds, **where))
        command = [sys.executable, "-c", script, str(file), str(calls)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return run


def test_many_processes_at_once_convert_once(start: Start, calls: Path) -> None:
    processes = [start(0.5, **READ_SLOWLY) for _ in range(4)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["12"] * 4
    assert len(list(calls.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("where", [READ_SLOWLY, WRITE_SLOWLY])
def test_a_killed_conversion_leaves_nothing_that_is_taken_for_an_entry(
    where: dict[str, str], start: Start, calls: Path, file: Path, cache_folder: Path, tiny: Table
) -> None:
    process = start(60, **where)
    while not list(calls.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert entries(cache_folder) == []
    assert list(formats.read(file).words) == list(tiny.words)
    remains = [p.name for p in (cache_folder / "tables-1").iterdir() if p.name.startswith(".")]
    assert remains == []


# ---- looking at it ----


def test_info_counts_tables_and_bytes(file: Path, cache_folder: Path) -> None:
    assert cache_info() == cache.CacheInfo(cache_folder, 0, 0)
    formats.read(file)
    info = cache_info()
    written = [path.stat().st_size for path in cache_folder.rglob("*") if path.is_file()]
    assert (info.folder, info.n_tables, info.n_bytes) == (cache_folder, 1, sum(written))


def test_clearing_leaves_open_tables_usable(
    file: Path, parsed: list[Path], cache_folder: Path, tiny: Table
) -> None:
    table = formats.read(file)
    (cache_folder / "of somebody else").touch()
    clear_cache()
    np.testing.assert_allclose(table.matrix, tiny.matrix, rtol=1e-6)
    assert cache_info().n_tables == 0
    assert [path.name for path in cache_folder.iterdir()] == ["of somebody else"]
    formats.read(file)
    assert len(parsed) == 2


def test_without_a_cache_files_are_read_each_time(
    file: Path, parsed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, "")
    assert [mapped(formats.read(file)) for _ in range(2)] == [False, False]
    assert parsed == [file, file]
    assert cache_info() == cache.CacheInfo(None, 0, 0)
    clear_cache()


def test_the_platform_says_where_caches_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.VARIABLE)
    found = cache_info().folder
    assert found is not None
    assert found.name == "sklearn_transfer"
