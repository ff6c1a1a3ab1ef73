from __future__ import annotations

import os
from pathlib import Path

import pytest

from sklearn_transfer._utils.atomic import make_private_folder, replace_folder, write_atomically


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
