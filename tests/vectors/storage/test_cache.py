"""The mechanism alone; what goes through it is in test_conversions.py and test_subword_model.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer.vectors.storage import cache
from sklearn_transfer.vectors.table.table import Reading, Table


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
    return cache_folder / cache.TABLES / "digest"


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
    assert [path.name for path in entry.parent.iterdir()] in ([], ["digest.lock"])


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

    monkeypatch.setattr(cache.FileLock, "acquire", acquire)
    assert cache.open_or_make(entry, Reading(), maker, warn=maker.warn) is maker.table
    assert (maker.times, maker.warnings) == (1, 1)
