from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer.contextual.embedding_cache import EmbeddingCache

DIM = 3
TEXTS = [f"text {i % 40}" for i in range(60)]


class Encoder:
    """Counts what it encodes; the features of a text are its numbers."""

    def __init__(self, log: Path | None = None) -> None:
        self.seen: list[str] = []
        self.log = log

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.seen += texts
        if self.log is not None:
            with self.log.open("a") as file:
                file.writelines(f"{text}\n" for text in texts)
        return expected(texts)


def expected(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([[len(t), sum(map(ord, t)), 1] for t in texts], dtype=np.float32)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.encodings"))


@pytest.mark.parametrize("on_disk", [False, True])
def test_each_distinct_text_is_encoded_once(tmp_path: Path, on_disk: bool):
    encode, kept = Encoder(), EmbeddingCache(DIM, 1 << 20, tmp_path if on_disk else None)
    for texts in (TEXTS, TEXTS[::-1], TEXTS[:3]):
        features = kept.get(texts, encode)
        np.testing.assert_array_equal(features, expected(texts))
        assert features.dtype == np.float32
    assert sorted(encode.seen) == sorted(set(TEXTS))
    info = kept.info()
    assert (info.n_texts, info.n_encoded, info.n_hits) == (40, 40, 20 + 60 + 3)
    assert info.n_bytes == 40 * DIM * 4
    assert info.folder == (tmp_path if on_disk else None)
    assert (info.n_bytes_on_disk > 0) == on_disk


def test_memory_is_bounded_and_what_was_asked_for_last_stays():
    encode, kept = Encoder(), EmbeddingCache(DIM, 10 * DIM * 4)
    kept.get(TEXTS[:20], encode)
    assert kept.info().n_texts == 10
    kept.get(TEXTS[10:20], encode)
    assert len(encode.seen) == 20
    np.testing.assert_array_equal(kept.get(TEXTS[:20], encode), expected(TEXTS[:20]))
    assert kept.info().n_bytes <= 10 * DIM * 4


def test_the_least_recently_used_text_is_removed():
    encode, kept = Encoder(), EmbeddingCache(DIM, 2 * DIM * 4)
    for text in ("a", "b", "a", "c", "a", "b"):
        kept.get([text], encode)
    assert encode.seen == ["a", "b", "c", "b"]


def test_no_memory_keeps_nothing():
    encode, kept = Encoder(), EmbeddingCache(DIM, 0)
    for _ in range(2):
        np.testing.assert_array_equal(kept.get(TEXTS, encode), expected(TEXTS))
    assert len(encode.seen) == 80
    assert kept.info().n_texts == 0


def test_another_process_finds_what_is_on_disk(tmp_path: Path):
    EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, Encoder())
    later, encode = EmbeddingCache(DIM, 1 << 20, tmp_path), Encoder()
    np.testing.assert_array_equal(later.get(TEXTS, encode), expected(TEXTS))
    assert encode.seen == []
    assert later.info().n_hits == len(TEXTS)
    later.get([*TEXTS, "new"], encode)
    assert encode.seen == ["new"]


def test_clearing_removes_memory_and_files(tmp_path: Path):
    kept, encode = EmbeddingCache(DIM, 1 << 20, tmp_path), Encoder()
    kept.get(TEXTS, encode)
    kept.clear()
    assert files(tmp_path) == []
    assert (kept.info().n_texts, kept.info().n_hits, kept.info().n_bytes_on_disk) == (0, 0, 0)
    kept.get(TEXTS, encode)
    assert len(encode.seen) == 80


def test_files_of_a_part_are_merged(tmp_path: Path):
    kept = EmbeddingCache(DIM, 0, tmp_path, n_parts=1, max_files=3)
    for i in range(10):
        kept.get([f"text {i}"], Encoder())
        assert len(files(tmp_path)) <= 3
    encode = Encoder()
    kept.get([f"text {i}" for i in range(10)], encode)
    assert encode.seen == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_removed_and_its_texts_encoded_again(tmp_path: Path, damage: str):
    EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, Encoder())
    for path in files(tmp_path):
        content = path.read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
        path.write_bytes(
            {"cut": content[:-5], "flipped": flipped, "empty": b"", "other": b"x" * 200}[damage]
        )
    encode = Encoder()
    features = EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, encode)
    np.testing.assert_array_equal(features, expected(TEXTS))
    assert sorted(encode.seen) == sorted(set(TEXTS))
    again = Encoder()
    EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, again)
    assert again.seen == []


def test_a_full_disk_is_said_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    kept, encode = EmbeddingCache(DIM, 1 << 20, tmp_path), Encoder()
    with pytest.warns(UserWarning, match="cannot be kept in .*No space left.*memory only") as told:
        features = kept.get(TEXTS, encode)
    assert len(told) == 1
    np.testing.assert_array_equal(features, expected(TEXTS))
    assert len(encode.seen) == 40
    kept.get([*TEXTS, "new"], encode)
    assert len(encode.seen) == 41
    assert list(tmp_path.glob("unfinished-*")) == files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    kept, encode = EmbeddingCache(DIM, 1 << 20, tmp_path / "file" / "folder"), Encoder()
    with pytest.warns(UserWarning, match="cannot be kept in"):
        features = kept.get(TEXTS, encode)
    np.testing.assert_array_equal(features, expected(TEXTS))
    assert len(encode.seen) == 40


def test_an_error_of_the_model_is_raised_and_leaves_no_half_entry(tmp_path: Path):
    def fail(texts: Sequence[str]) -> Any:
        raise ValueError("no such token")

    kept = EmbeddingCache(DIM, 1 << 20, tmp_path)
    with pytest.raises(ValueError, match="no such token"):
        kept.get(TEXTS, fail)
    assert files(tmp_path) == []
    np.testing.assert_array_equal(kept.get(TEXTS, Encoder()), expected(TEXTS))


def test_what_comes_from_disk_is_bounded_too(tmp_path: Path):
    EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, Encoder())
    later = EmbeddingCache(DIM, 3 * DIM * 4, tmp_path)
    later.get(TEXTS[:8], Encoder())
    assert (later.info().n_texts, later.info().n_bytes) == (3, 3 * DIM * 4)


def test_a_file_that_goes_away_is_not_missed(tmp_path: Path):
    kept = EmbeddingCache(DIM, 0, tmp_path)
    kept.get(TEXTS, Encoder())
    EmbeddingCache(DIM, 0, tmp_path).clear()
    encode = Encoder()
    np.testing.assert_array_equal(kept.get(TEXTS, encode), expected(TEXTS))
    assert len(encode.seen) == 40


def test_an_error_that_looks_like_one_of_the_disk_is_the_models_own(tmp_path: Path):
    def fail(texts: Sequence[str]) -> Any:
        raise OSError("the weights are gone")

    with pytest.raises(OSError, match="the weights are gone"):
        EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, fail)


def test_files_are_readable_by_all_who_share_the_folder(tmp_path: Path):
    before = os.umask(0o022)
    try:
        EmbeddingCache(DIM, 1 << 20, tmp_path).get(TEXTS, Encoder())
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in files(tmp_path)} == {0o644}


def test_threads_encode_each_text_once():
    encode, kept = Encoder(), EmbeddingCache(DIM, 1 << 20)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kept.get(TEXTS, encode), range(8)))
    assert sorted(encode.seen) == sorted(set(TEXTS))
    for features in found:
        np.testing.assert_array_equal(features, expected(TEXTS))


def _work(folder: Path, log: Path, texts: list[str]) -> None:
    features = EmbeddingCache(DIM, 1 << 20, folder).get(texts, Encoder(log))
    np.testing.assert_array_equal(features, expected(texts))


def test_processes_share_the_work_and_encode_each_text_once(tmp_path: Path):
    log = tmp_path / "log"
    texts = [f"text {i}" for i in range(500)]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(tmp_path / "kept", log, part))
        for part in (texts, texts[::-1])
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(log.read_text().splitlines()) == sorted(texts)


def write_signed(path: Path, table: np.ndarray) -> None:
    buffer = BytesIO()
    np.save(buffer, table, allow_pickle=True)
    content = buffer.getvalue()
    path.write_bytes(content + bytes.fromhex(hash_content(content)))


CRAFTED = {
    "numbers": np.arange(10.0),
    "other names": np.zeros(3, dtype=[("a", "V16"), ("b", "<f4", (4,))]),
    "short keys": np.zeros(3, dtype=[("key", "V8"), ("row", "<f4", (4,))]),
    "no rows": np.zeros(3, dtype=[("key", "V16"), ("row", "<f4")]),
    "two dimensions": np.zeros((3, 2), dtype=[("key", "V16"), ("row", "<f4", (4,))]),
    "objects": np.array([None]),
    "another dimension": np.zeros(3, dtype=[("key", "V16"), ("row", "<f4", (DIM + 1,))]),
    "a matrix per text": np.zeros(3, dtype=[("key", "V16"), ("row", "<f4", (DIM, 1))]),
    "infinite": np.zeros(3, dtype=[("key", "V16"), ("row", "<f4", (4,))]),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_removed_though_its_digest_agrees(name: str, tmp_path: Path):
    encoder = Encoder()
    path = tmp_path / "0-crafted.encodings"
    table = CRAFTED[name].copy()
    if name == "infinite":
        table["row"] = np.inf
    write_signed(path, table)
    cache = EmbeddingCache(DIM, 0, tmp_path, n_parts=1)
    np.testing.assert_array_equal(cache.get(["a"], encoder), encoder(["a"]))
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="named pipes and permissions")
def test_a_pipe_blocks_nothing_and_a_private_folder_is_private(tmp_path: Path):
    encoder, folder = Encoder(), tmp_path / "a" / "b"
    cache = EmbeddingCache(DIM, 0, folder, private=True, n_parts=1)
    cache.get(["a"], encoder)
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
    os.mkfifo(folder / "0-pipe.encodings")
    np.testing.assert_array_equal(cache.get(["b"], encoder), encoder(["b"]))
