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
from vector_caches import entries, is_mapped

from sklearn_transfer import cache_info, clear_cache
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.storage import cache
from sklearn_transfer.vectors.table.table import Table


@pytest.fixture
def file(tmp_path: Path, wide_files: Path) -> Path:
    return Path(shutil.copy(wide_files / "word2vec.txt", tmp_path / "vectors.txt"))


def assert_same(table: Table, other: Table) -> None:
    assert list(table.words) == list(other.words)
    np.testing.assert_array_equal(table.matrix, other.matrix)


# ---- conversion ----


@pytest.mark.parametrize("name", ["word2vec.txt", "word2vec.bin", "glove.txt"])
def test_the_first_and_the_second_opening_give_the_same_table_as_the_reader(
    name: str, wide_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = formats.read(wide_files / name), formats.read(wide_files / name)
    monkeypatch.setenv(cache.VARIABLE, "")
    direct = formats.read(wide_files / name)
    for table in (first, second):
        assert_same(table, direct)
        assert is_mapped(table)
    assert not is_mapped(direct)


def test_a_file_is_converted_once(file: Path, cache_folder: Path) -> None:
    formats.read(file)
    before = entries(cache_folder)
    assert len(before) == 1
    assert is_mapped(formats.read(file))
    assert entries(cache_folder) == before


def test_equal_content_elsewhere_is_one_entry(file: Path, cache_folder: Path) -> None:
    formats.read(file)
    before = entries(cache_folder)
    formats.read(Path(shutil.copy(file, file.with_name("other.txt"))))
    assert entries(cache_folder) == before


@pytest.mark.usefixtures("later")
def test_a_change_in_the_middle_that_keeps_size_and_time_is_seen(file: Path) -> None:
    status, table = file.stat(), formats.read(file)
    content = file.read_bytes()
    middle = content.index(b" ", len(content) // 2) + 1
    digit = content.index(b".", middle) + 1
    changed = b"%d" % ((content[digit] - ord("0") + 1) % 10)
    file.write_bytes(content[:digit] + changed + content[digit + 1 :])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (formats.read(file).matrix != table.matrix).sum() == 1


def test_small_files_are_not_converted(data: Path, cache_folder: Path) -> None:
    assert not is_mapped(formats.read(data / "word2vec.txt"))
    assert entries(cache_folder) == {}


def test_a_part_of_a_file_is_not_converted(file: Path, cache_folder: Path, tiny: Table) -> None:
    assert list(formats.read(file, limit=3).words) == list(tiny.words)[:3]
    assert entries(cache_folder) == {}


def test_a_part_of_a_converted_file_is_taken_from_the_cache(file: Path, tiny: Table) -> None:
    formats.read(file)
    part = formats.read(file, limit=3)
    assert is_mapped(part)
    assert list(part.words) == list(tiny.words)[:3]


def test_mmap_false_reads_into_memory(file: Path) -> None:
    formats.read(file)
    assert not is_mapped(formats.read(file, mmap=False))


def test_our_folder_is_not_converted(file: Path, tmp_path: Path, cache_folder: Path) -> None:
    formats.write(formats.read(file), tmp_path / "saved", "folder")
    before = entries(cache_folder)
    assert is_mapped(formats.read(tmp_path / "saved"))
    assert entries(cache_folder) == before


def test_a_converted_pickle_is_still_refused(tmp_path: Path, tiny: Table) -> None:
    formats.write(tiny, tmp_path / "vectors.kv", "gensim")
    assert len(formats.read(tmp_path / "vectors.kv", allow_pickle=True).words) == len(tiny.words)
    with pytest.raises(VectorFormatError, match="allow_pickle=True"):
        formats.read(tmp_path / "vectors.kv")


def test_a_damaged_file_leaves_no_entry(file: Path, cache_folder: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(VectorFormatError):
        formats.read(file)
    assert entries(cache_folder) == {}


# ---- failures ----


def overwrite(file: Path, content: bytes) -> None:
    """Replace a file of the cache, which is read-only."""
    file.unlink()
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["vectors.json", "matrix.npy", "hashes.npy"])
def test_a_damaged_entry_is_made_again(name: str, file: Path, cache_folder: Path) -> None:
    expected = formats.read(file, mmap=False)
    before = entries(cache_folder)
    (entry,) = before
    damaged = cache_folder / "tables-2" / entry / name
    overwrite(damaged, damaged.read_bytes()[:-9])
    assert_same(formats.read(file), expected)
    after = entries(cache_folder)
    assert after.keys() == before.keys()
    assert after != before


@pytest.mark.parametrize("limit", [None, 3])
def test_an_entry_of_a_newer_version_is_not_misread(
    limit: int | None, file: Path, cache_folder: Path, tiny: Table
) -> None:
    formats.read(file)
    (entry,) = entries(cache_folder)
    metadata = cache_folder / "tables-2" / entry / "vectors.json"
    about = {**json.loads(metadata.read_text()), "version": 99}
    overwrite(metadata, json.dumps(about).encode())
    table = formats.read(file, limit=limit)
    assert list(table.words) == list(tiny.words)[:limit]
    np.testing.assert_array_equal(table.matrix[:, :4], tiny.matrix[:limit])


def test_without_space_on_the_disk_there_is_a_warning(
    file: Path, cache_folder: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    with pytest.warns(
        UserWarning, match=r"cannot be kept in .*No space left.*set SKLEARN_TRANSFER_CACHE to"
    ):
        table = formats.read(file)
    np.testing.assert_array_equal(table.matrix[:, :4], tiny.matrix)
    left = [path.name for path in (cache_folder / "tables-2").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_a_cache_that_is_no_folder_is_a_warning(
    file: Path, tmp_path: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "taken"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert list(formats.read(file).words) == list(tiny.words)


def test_a_file_that_changes_while_it_is_converted_is_not_kept(
    file: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, content = np.save, file.read_bytes()

    def save_and_change(*args: object, **kwargs: object) -> None:
        save(*args, **kwargs)  # type: ignore[arg-type]
        file.write_bytes(content.replace(b"cat", b"cow"))

    monkeypatch.setattr(np, "save", save_and_change)
    formats.read(file)
    assert entries(cache_folder) == {}


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_an_entry_that_cannot_be_opened_just_now_stays(
    error: int, file: Path, cache_folder: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats.read(file)
    before = entries(cache_folder)

    def load(*args: object, **kwargs: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(np, "load", load)
    with pytest.warns(UserWarning, match=f"cannot be kept in .*{os.strerror(error)}"):
        assert list(formats.read(file).words) == list(tiny.words)
    assert entries(cache_folder) == before


def test_a_cache_that_is_cleared_during_the_conversion_does_no_harm(
    file: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def rename_and_clear(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        if path.name.endswith(".draft"):
            clear_cache()
        return moved

    monkeypatch.setattr(Path, "rename", rename_and_clear)
    assert list(formats.read(file).words) == list(tiny.words)


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), TimeoutError("too long")])
def test_without_locks_files_are_read_directly(
    error: Exception, file: Path, tiny: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.warns(UserWarning, match="cannot be kept in .*: (no flock|too long)"):
        assert list(formats.read(file).words) == list(tiny.words)


SLOW = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from sklearn_transfer.vectors.formats import formats
    save = np.save
    def slow(*args, **kwargs):
        Path(sys.argv[2], str(time.time_ns())).touch()
        time.sleep(float(sys.argv[3]))
        return save(*args, **kwargs)
    np.save = slow
    print(len(formats.read(Path(sys.argv[1])).words))
"""
Start = Callable[[float], "subprocess.Popen[str]"]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def start(file: Path, calls: Path) -> Start:
    """Start a process that reads the file, and takes its time to write each array."""

    def run(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(SLOW), str(file), str(calls), str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return run


def test_many_processes_at_once_convert_once(start: Start, calls: Path) -> None:
    processes = [start(0.1) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["12"] * 3
    assert len(list(calls.iterdir())) == 5  # the arrays of one folder


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_conversion_leaves_no_entry_and_no_remains(
    start: Start, calls: Path, file: Path, cache_folder: Path, tiny: Table
) -> None:
    process = start(60)
    while not list(calls.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert entries(cache_folder) == {}
    assert list(formats.read(file).words) == list(tiny.words)
    remains = [p.name for p in (cache_folder / "tables-2").iterdir() if p.name.startswith(".")]
    assert remains == []


# ---- cache_info and clear_cache ----


def test_info_counts_tables_and_bytes(file: Path, cache_folder: Path) -> None:
    assert cache_info() == cache.CacheInfo(cache_folder, 0, 0)
    formats.read(file)
    info = cache_info()
    written = [path.stat().st_size for path in cache_folder.rglob("*") if path.is_file()]
    assert (info.folder, info.n_tables, info.n_bytes) == (cache_folder, 1, sum(written))


def test_clearing_leaves_open_tables_usable(file: Path, cache_folder: Path, tiny: Table) -> None:
    table = formats.read(file)
    (cache_folder / "of somebody else").touch()
    clear_cache()
    np.testing.assert_array_equal(table.matrix[:, :4], tiny.matrix)
    assert cache_info().n_tables == 0
    assert [path.name for path in cache_folder.iterdir()] == ["of somebody else"]


def test_without_a_cache_files_are_read_each_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, "")
    assert [is_mapped(formats.read(file)) for _ in range(2)] == [False, False]
    assert cache_info() == cache.CacheInfo(None, 0, 0)
    clear_cache()


def test_the_platform_says_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.VARIABLE)
    folder = cache_info().folder
    assert folder is not None
    assert folder.name == "sklearn_transfer"
