from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sklearn_transfer._utils.atomic import (
    make_private_folder,
    remove_remains,
    replace_folder,
    temporary_folder,
    write_atomically,
)


def abandoned(path: Path) -> Path:
    """The temporary folder of a process that was killed."""
    code = (
        "import os, sys; from pathlib import Path;"
        "from sklearn_transfer._utils.atomic import temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True); os._exit(9)"
    )
    command = [sys.executable, "-c", code, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Path(done.stdout.strip())


def test_remains_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    folder = abandoned(tmp_path / "a[1].txt")
    assert folder.parent == tmp_path
    assert folder.is_dir()
    remove_remains(tmp_path / "b")  # of another file
    assert folder.is_dir()
    remove_remains(tmp_path / "a[1].txt")
    assert not folder.exists()


def test_a_folder_in_use_is_kept(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "a") as folder:
        remove_remains(tmp_path / "a")
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())


def as_if_from(folder: Path, host: str) -> Path:
    """Rename a temporary folder as if a process elsewhere had made it."""
    process = folder.name.partition("-")[0]
    return folder.rename(folder.with_name(f"{process}-{host}-{folder.name[-8:]}"))


@pytest.mark.parametrize("used", ["folder", "file"])
def test_remains_of_another_host_are_kept_for_a_week(tmp_path: Path, used: str) -> None:
    # Its process numbers say nothing here: two containers may have one name and one folder.
    folder = as_if_from(abandoned(tmp_path / "a"), "0123abcd")
    (folder / "content").write_text("half")
    remove_remains(tmp_path / "a")
    assert folder.is_dir()
    entries = {"folder": folder, "file": folder / "content"}
    for name, age in (("folder", 8), ("file", 8)):
        then = time.time() - (6 if name == used else age) * 86_400
        os.utime(entries[name], (then, then))
    remove_remains(tmp_path / "a")
    assert folder.is_dir()
    os.utime(entries[used], (then - 8 * 86_400, then - 8 * 86_400))
    remove_remains(tmp_path / "a")
    assert not folder.exists()


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="namespaces are those of Linux")
def test_containers_with_one_name_are_different_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = abandoned(tmp_path / "a"), abandoned(tmp_path / "a")
    monkeypatch.setattr("os.readlink", lambda path: "pid:[1]")
    with temporary_folder(tmp_path / "a") as folder:
        assert folder.name.split("-")[1] != mine.name.split("-")[1]
        remove_remains(tmp_path / "a")  # as in another container
    assert mine.is_dir()
    assert other.is_dir()
    monkeypatch.undo()
    remove_remains(tmp_path / "a")
    assert not mine.exists()


@pytest.mark.parametrize("process", ["", "1", "x", "9" * 30])
def test_names_that_are_not_ours_are_kept(process: str, tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "a") as folder:
        ending = folder.name.partition("-")[2]
    mine = [tmp_path / f".a.{process}-{ending}", tmp_path / ".a.notes", tmp_path / "a.notes"]
    for path in mine:
        path.mkdir()
    remove_remains(tmp_path / "a")
    assert all(path.is_dir() for path in mine)


@pytest.mark.parametrize("process", ["a process that ended", "another machine"])
def test_only_remains_of_this_machine_are_removed(process: str, tmp_path: Path) -> None:
    folder = abandoned(tmp_path / "a")
    if process == "another machine":
        beginning, host, random = folder.name.split("-", 2)
        folder = folder.rename(tmp_path / f"{beginning}-{host[::-1]}0-{random}")
    (tmp_path / "thesis").mkdir()
    link = folder.with_name(f"{folder.name}2")
    link.symlink_to(tmp_path / "thesis")
    remove_remains(tmp_path / "a")
    assert folder.exists() == (process == "another machine")
    assert link.exists()  # not ours, and not followed


# ---- files ----


def write_half(path: Path) -> None:
    with write_atomically(path) as file:
        file.write(b"half")
        raise KeyError


def test_a_file_is_replaced_only_if_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(KeyError):
        write_half(path)
    assert path.read_bytes() == b"old"
    with write_atomically(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_suffix_gz_compresses_and_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz", "gz"):
        with write_atomically(tmp_path / name) as file:
            file.write(b"content " * 1000)
    compressed = (tmp_path / "a.gz").read_bytes()
    assert gzip.decompress(compressed) == (tmp_path / "gz").read_bytes() == b"content " * 1000
    assert (tmp_path / "b.gz").read_bytes() == compressed
    assert compressed[3:8] == bytes(5)  # neither a name nor a time


def test_a_file_where_no_folder_is_names_the_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"Cannot write '.*/no/a': there is no folder .*/no"),
        write_atomically(tmp_path / "no" / "a"),
    ):
        pass


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_a_file_is_on_the_disk_before_it_takes_its_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def fsync(descriptor: int) -> None:
        assert not (tmp_path / name).exists()
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    with write_atomically(tmp_path / name) as file:
        file.write(b"content")
    assert sizes == [(tmp_path / name).stat().st_size]


# ---- replacing folders ----


def test_a_folder_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        assert not (tmp_path / "folder").exists()
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    with replace_folder(tmp_path / "folder", ["a", "b"], lambda _: True) as new:
        (new / "a").touch()
        (new / "b").mkdir()
        (new / "b" / "c").touch()
    files = [tmp_path / "folder" / "a", tmp_path / "folder" / "b" / "c"]
    assert sorted(synced) == sorted(file.stat().st_ino for file in files)


@pytest.mark.parametrize("failure", ["fill", "rename"])
def test_a_folder_that_cannot_be_replaced_stays(
    failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def rename_old(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise KeyError("rename")
        return rename(path, target)

    def fill(path: Path) -> None:
        with replace_folder(path, ["a", "b"], lambda _: True) as new:
            (new / "a").touch()
            if failure == "fill":
                raise KeyError("fill")

    make(tmp_path / "folder", "a", "b")
    monkeypatch.setattr(Path, "rename", rename_old)
    for name in ("folder", "nothing"):
        with pytest.raises(KeyError, match=failure):
            fill(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "folder"]
    assert (tmp_path / "folder" / "a").read_text() == "old"


def write(path: Path) -> None:
    """Replace a folder whose entries are named a and b, and which is ours if it holds a."""
    with replace_folder(path, ["a", "b"], lambda folder: (folder / "a").exists()) as new:
        (new / "a").write_text("new")


def make(path: Path, *names: str) -> None:
    path.mkdir()
    for name in names:
        (path / name).write_text("old")


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b")])
def test_an_empty_folder_and_one_of_ours_are_replaced(names: tuple[str], tmp_path: Path) -> None:
    make(tmp_path / "folder", *names)
    write(tmp_path / "folder")
    assert {path.name: path.read_text() for path in tmp_path.rglob("a")} == {"a": "new"}
    assert len(list(tmp_path.rglob("*"))) == 2


@pytest.mark.parametrize("names", [("thesis.txt",), ("b",), ("a", "thesis.txt")])
def test_a_folder_that_is_not_ours_is_kept(names: tuple[str], tmp_path: Path) -> None:
    make(tmp_path / "folder", *names)
    with pytest.raises(FileExistsError, match="was not written by this package and is not overwri"):
        write(tmp_path / "folder")
    assert {path.name for path in (tmp_path / "folder").iterdir()} == set(names)


@pytest.mark.parametrize("name", ["a", "notes"])
def test_a_file_is_no_folder_of_ours(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match="Choose a new folder, or remove it first"):
        write(tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["n" * 255, "猫" * 85])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    with write_atomically(tmp_path / name) as file:
        file.write(b"content")
    assert (tmp_path / name).read_bytes() == b"content"
    (tmp_path / name).unlink()
    with replace_folder(tmp_path / name, ["file"], lambda _: True) as new:
        (new / "file").touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_private_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private_folder(tmp_path / "a" / "b")
        make_private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")] == [0o700, 0o700]


def test_a_private_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_private_folder(tmp_path / "file" / "folder")
