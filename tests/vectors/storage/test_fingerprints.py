from __future__ import annotations

import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from sklearn_transfer import clear_cache
from sklearn_transfer.vectors.storage.fingerprints import fingerprint_files

LARGE = 5 << 20  # bytes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(bytes(LARGE))
    return tmp_path / "file"


def test_content_and_number_of_files_count_and_names_do_not(tmp_path: Path) -> None:
    contents = {"a": b"one", "b": b"one", "c": b"two", "d": b"onetwo"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    one, same, two, both = (fingerprint_files([tmp_path / name]) for name in contents)
    assert one == same
    assert len({one, two, both, fingerprint_files([tmp_path / "a", tmp_path / "c"])}) == 4


@pytest.mark.parametrize("size", [100, LARGE])
@pytest.mark.usefixtures("later")
def test_a_changed_byte_in_the_middle_is_seen_though_size_and_time_stay(
    tmp_path: Path, size: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(size))
    status, before = file.stat(), fingerprint_files([file])
    with file.open("r+b") as content:
        content.seek(size // 2 + 7)
        content.write(b"x")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint_files([file]) != before


@pytest.mark.usefixtures("later")
def test_the_content_of_an_unchanged_file_is_read_once(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint_files([file])

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the file was read again")

    with monkeypatch.context() as patch:
        patch.setattr("hashlib.blake2b", refuse)
        assert fingerprint_files([file]) == before


@pytest.mark.usefixtures("later")
def test_another_process_finds_the_fingerprint_of_a_large_file_in_the_cache(
    file: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fingerprint_files([file])
    (note,) = (cache_folder / "fingerprints-1").iterdir()
    content = note.read_text()
    clear_cache()  # this process forgets it
    note.parent.mkdir()
    note.write_text(content.replace(expected, "0" * 32))
    assert fingerprint_files([file]) == "0" * 32


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("name", ["", "..", "0" * 31, "0" * 32 + "/..", "*", "{thesis}", 7, None])
def test_a_note_that_holds_no_digest_is_ignored(
    name: str | int | None, file: Path, cache_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    expected = fingerprint_files([file])
    (note,) = (cache_folder / "fingerprints-1").iterdir()
    content = json.loads(note.read_text())
    clear_cache()
    note.parent.mkdir(mode=0o700)
    if isinstance(name, str):
        name = name.format(thesis=tmp_path / "thesis")
    note.write_text(json.dumps({**content, "fingerprint": name}))
    assert fingerprint_files([file]) == expected
    assert (tmp_path / "thesis" / "chapter").exists()


@pytest.mark.usefixtures("later")
def test_a_note_that_is_a_pipe_or_huge_is_ignored(file: Path, cache_folder: Path) -> None:
    expected = fingerprint_files([file])
    (note,) = (cache_folder / "fingerprints-1").iterdir()
    clear_cache()
    note.parent.mkdir(mode=0o700)
    os.mkfifo(note)
    assert fingerprint_files([file]) == expected
    clear_cache()
    note.parent.mkdir(mode=0o700)
    note.write_bytes(b"[" + b"[]," * (2 << 20) + b"0]")
    tracemalloc.start()
    try:
        assert fingerprint_files([file]) == expected
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"stamps": 1, "fingerprint": 2}', "\0"])
def test_a_damaged_note_is_ignored(content: str, file: Path, cache_folder: Path) -> None:
    expected = fingerprint_files([file])
    (note,) = (cache_folder / "fingerprints-1").iterdir()
    clear_cache()
    note.parent.mkdir()
    note.write_text(content)
    assert fingerprint_files([file]) == expected


def test_a_file_that_may_still_change_is_not_remembered(file: Path, cache_folder: Path) -> None:
    now = time.time()
    fingerprint_files([file])
    assert time.time() - now < 1.5
    assert not (cache_folder / "fingerprints-1").exists()


@pytest.mark.parametrize(("seconds", "is_remembered"), [(1.9, False), (2.1, True)])
def test_a_file_is_settled_after_two_seconds(
    seconds: float,
    is_remembered: bool,
    file: Path,
    cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: file.stat().st_ctime + seconds)
    fingerprint_files([file])
    assert (cache_folder / "fingerprints-1").exists() == is_remembered


@pytest.mark.usefixtures("later")
def test_a_file_from_the_future_is_not_remembered(file: Path, cache_folder: Path) -> None:
    os.utime(file, (time.time() + 1000, time.time() + 1000))
    fingerprint_files([file])
    assert not (cache_folder / "fingerprints-1").exists()


@pytest.mark.usefixtures("later")
def test_without_a_cache_the_process_remembers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE", "")
    assert fingerprint_files([file]) == fingerprint_files([file])
