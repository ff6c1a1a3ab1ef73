"""The mechanism alone; what goes through it is in test_conversions.py and test_subword_model.py."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from sklearn_transfer import clear_cache
from sklearn_transfer.vectors.storage import cache
from sklearn_transfer.vectors.table.table import Reading, Table

DIGEST = "0123456789abcdef" * 2

posix = pytest.mark.skipif(os.name != "posix", reason="owners and permissions")


class Maker:
    """Makes a table, counts how often, and what it was warned of."""

    def __init__(self, table: Table) -> None:
        self.table, self.times, self.warnings = table, 0, 0

    def __call__(self) -> Table:
        self.times += 1
        return self.table

    def warn(self, error: Exception) -> None:
        self.warnings += 1


@pytest.fixture
def maker(tiny: Table) -> Maker:
    return Maker(tiny)


@pytest.fixture
def entry(cache_folder: Path) -> Path:
    return cache.find_entry(cache_folder, cache.TABLES, DIGEST)


def test_an_entry_is_made_once(maker: Maker, entry: Path, tiny: Table) -> None:
    for _ in range(3):
        table = cache.open_or_make(entry, Reading(), maker, warn=maker.warn)
        np.testing.assert_array_equal(table.matrix, tiny.matrix)
    assert (maker.times, maker.warnings) == (1, 0)


def test_what_is_no_longer_current_is_used_and_not_kept(maker: Maker, entry: Path) -> None:
    for _ in range(2):
        table = cache.open_or_make(
            entry, Reading(), maker, warn=maker.warn, is_current=lambda: False
        )
        assert table is maker.table
    assert (maker.times, maker.warnings) == (2, 0)
    assert [path.name for path in entry.parent.iterdir()] in ([], [f"{DIGEST}.lock"])


def test_an_entry_that_is_not_mapped_is_the_table_that_was_made(maker: Maker, entry: Path) -> None:
    table = cache.open_or_make(entry, Reading(mmap=False), maker, warn=maker.warn)
    assert table is maker.table
    again = cache.open_or_make(entry, Reading(mmap=False), maker, warn=maker.warn)
    np.testing.assert_array_equal(again.matrix, table.matrix)
    assert maker.times == 1


def test_remains_of_this_entry_are_removed_and_of_no_other(maker: Maker, entry: Path) -> None:
    other = DIGEST[::-1]
    names = [DIGEST, f".{DIGEST}.draft", f".{DIGEST}.draft.1-2", other, f".{other}.draft"]
    for name in names:
        entry.with_name(name).mkdir(0o700, parents=True)
        (entry.with_name(name) / "half").touch()
    entry.parent.chmod(0o700)
    entry.parent.parent.chmod(0o700)
    cache.open_or_make(entry, Reading(), maker, warn=maker.warn)
    assert not (entry / "half").exists()
    left = {path.name for path in entry.parent.iterdir() if path.is_dir()}
    assert left == {DIGEST, other, f".{other}.draft"}
    assert maker.warnings == 0


def test_what_cannot_be_written_is_returned_and_said(
    maker: Maker, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(np, "save", fail)
    assert cache.open_or_make(entry, Reading(), maker, warn=maker.warn) is maker.table
    assert (maker.times, maker.warnings) == (1, 1)
    assert not [path for path in entry.parent.iterdir() if path.is_dir()]


def test_info_counts_entries_by_kind_and_no_drafts(cache_folder: Path) -> None:
    entries = {
        cache.TABLES: ["a", "b", ".b.draft"],
        cache.MODELS: ["c", ".d.draft"],
        cache.ENCODINGS: ["e", "f", "g"],
    }
    for part, names in entries.items():
        for name in names:
            (cache_folder / part / name).mkdir(parents=True)
            (cache_folder / part / name / "vectors.json").write_bytes(bytes(100))
        (cache_folder / part).chmod(0o700)
        (cache_folder / part / "a.lock").touch()
    (cache_folder / "other").write_bytes(bytes(1000))
    assert cache.cache_info() == cache.CacheInfo(cache_folder, 2, 800, n_models=1, n_encoders=3)


def test_clearing_also_removes_what_older_versions_left(cache_folder: Path) -> None:
    for name in (
        "tables-1",
        cache.TABLES,
        cache.MODELS,
        cache.ENCODINGS,
        "fingerprints-1",
        "notes",
    ):
        (cache_folder / name / "folder").mkdir(0o700, parents=True)
        (cache_folder / name).chmod(0o700)
    clear_cache()
    assert [path.name for path in cache_folder.iterdir()] == ["notes"]


def test_an_error_of_the_maker_leaves_no_entry(entry: Path, maker: Maker) -> None:
    def fail() -> Table:
        raise ValueError("no table")

    with pytest.raises(ValueError, match="no table"):
        cache.open_or_make(entry, Reading(), fail, warn=maker.warn)
    assert not entry.exists()


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), TimeoutError("too long")])
def test_without_locks_it_is_made_and_said(
    error: Exception, entry: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    assert cache.open_or_make(entry, Reading(), maker, warn=maker.warn) is maker.table
    assert (maker.times, maker.warnings) == (1, 1)


# ---- attacks ----


@pytest.mark.parametrize(
    "digest", ["", "..", "/", "0" * 31, "A" * 32, f"{DIGEST}/..", f"{DIGEST}*"]
)
def test_an_entry_is_named_by_a_digest_and_nothing_else(cache_folder: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="expected a digest of 32 hexadecimal digits, got"):
        cache.find_entry(cache_folder, cache.TABLES, digest)


@posix
def test_the_cache_is_private_and_its_files_are_read_only(
    maker: Maker, entry: Path, cache_folder: Path
) -> None:
    cache.open_or_make(entry, Reading(), maker, warn=maker.warn)
    for folder in (cache_folder, entry.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in entry.iterdir()} == {0o400}
    clear_cache()
    assert not entry.parent.exists()


@posix
@pytest.mark.parametrize("part", [".", cache.TABLES, cache.ENCODINGS])
@pytest.mark.parametrize("danger", ["group", "everybody", "owner"])
def test_a_cache_that_others_may_change_is_not_used_and_said_once(
    part: str, danger: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache_folder / part
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "kept").touch()
    assert cache.find_root() == cache_folder
    with monkeypatch.context() as patch:
        if danger == "owner":
            status = os.stat_result([*folder.stat()[:4], os.getuid() + 1, *folder.stat()[5:]])
            stat = Path.stat
            patch.setattr(Path, "stat", lambda path: status if path == folder else stat(path))
        else:
            folder.chmod(0o720 if danger == "group" else 0o702)
        with pytest.warns(UserWarning, match=r"is not used: .*Set SKLEARN_TRANSFER_CACHE to"):
            assert cache.find_root() is None
        assert cache.cache_info().folder is None  # no second warning
        with pytest.warns(UserWarning, match="is not used"):  # forgotten with all memos
            clear_cache()
    folder.chmod(0o700)
    assert (folder / "kept").exists()


def test_a_home_folder_that_nobody_has_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(cache.VARIABLE, "~nobody-of-that-name/cache")
        with pytest.warns(UserWarning, match="is not used: nobody has that home folder"):
            assert cache.find_root() is None


def test_a_link_in_place_of_an_entry_is_not_followed(
    maker: Maker, entry: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    entry.parent.mkdir(mode=0o700, parents=True)
    entry.symlink_to(tmp_path / "thesis")
    entry.with_name(f".{DIGEST}.draft").symlink_to(tmp_path / "thesis")
    table = cache.open_or_make(entry, Reading(), maker, warn=maker.warn)
    np.testing.assert_array_equal(table.matrix, maker.table.matrix)
    assert (tmp_path / "thesis" / "chapter").exists()
