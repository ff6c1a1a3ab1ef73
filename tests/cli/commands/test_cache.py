"""``cache``: content and removal."""

from __future__ import annotations

import json

from sklearn_transfer.vectors.storage.cache import TABLES, find_entry


def test_the_cache_is_shown_and_cleared(run, vectors, cache_folder):
    entry = find_entry(cache_folder, TABLES, "0" * 32)
    entry.parent.mkdir(parents=True)
    vectors.write(entry, format="folder")
    about = json.loads(run("cache", "info", "--json").stdout)
    assert about["folder"] == str(cache_folder)
    assert about["n_tables"] == 1
    assert run("cache", "info").stdout.splitlines()[2].split() == ["tables", "1"]
    assert run("cache", "clear").stdout.startswith(f"Removed {about['n_bytes']:,} bytes")
    assert json.loads(run("cache", "clear", "--json").stdout)["n_bytes_removed"] == 0


def test_a_cache_that_is_switched_off(run, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE", "")
    assert "the cache is switched off" in run("cache", "info").stdout
    assert run("cache", "clear").stdout == "Nothing to remove: the cache is switched off.\n"
