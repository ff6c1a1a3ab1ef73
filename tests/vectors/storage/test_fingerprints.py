from __future__ import annotations

import os
import time
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
    note.write_text(content.replace(expected, "of the note"))
    assert fingerprint_files([file]) == "of the note"


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


@pytest.mark.usefixtures("later")
def test_without_a_cache_the_process_remembers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE", "")
    assert fingerprint_files([file]) == fingerprint_files([file])
