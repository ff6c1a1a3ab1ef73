from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_toys import X, Y, interrupted, model

from sklearn_transfer._utils.hashing import hash_content


def signed(payload: bytes) -> bytes:
    return b"sklearn_transfer checkpoint 3\n" + hash_content(payload).encode() + payload


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def deflated(payload: bytes) -> bytes:
    """The same archive, compressed."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(payload)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    return buffer.getvalue()


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The file of a fit that was stopped, and its state."""
    interrupted(tmp_path, 2, X, Y)
    (file,) = tmp_path.glob("*.checkpoint")
    payload = file.read_bytes().partition(b"\n")[2][32:]
    return file, torch.load(io.BytesIO(payload), weights_only=True)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": 7},
        {"settings": {}},
        {"history": 1},
        {"history": "[" * 100_000},
        {"history": "7"},
        {"module": []},
        {"module": {}},
        {"optimizer": {}},
        {"optimizer": {"state": 1, "param_groups": 2}},
        {"callbacks": 5},
        {"more": torch.zeros(1).expand(10**12)},
        {"more": torch.zeros(1).expand(20_000)},  # more bytes than the file, fewer numbers
        {"more": [{"deeper": torch.zeros(1).expand(10**12)}]},
        {"more": bytearray(10)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_crafted_state_is_an_error_though_its_digest_agrees(
    checkpoint: tuple[Path, dict[str, Any]], change: dict[str, Any]
) -> None:
    file, before = checkpoint
    file.write_bytes(signed(saved({**before, **change})))
    with pytest.raises(ValueError, match=r"checkpoint .*Remove it to start anew"):
        model(file.parent).fit(X, Y)


@pytest.mark.parametrize(
    "change",
    [{"settings": [("seed", "0")]}, {"history": 1}, {"module": []}, {"callbacks": 5}, {"rates": 0}],
    ids=lambda change: next(iter(change)),
)
def test_of_other_objects_nothing_is_loaded(
    checkpoint: tuple[Path, dict[str, Any]], change: dict[str, Any]
) -> None:
    file, before = checkpoint
    crafted = {**before, **change}
    if "rates" in change:
        del crafted["rates"]
    file.write_bytes(signed(saved(crafted)))
    with pytest.raises(ValueError, match=r"Expected the state of a fit .*none of them was loaded"):
        model(file.parent).fit(X, Y)


def test_archives_that_would_expand_are_refused(checkpoint: tuple[Path, dict[str, Any]]) -> None:
    file, before = checkpoint
    archives = {
        "compressed": deflated(saved({**before, "more": torch.zeros(10**6)})),
        "no archive": b"\x80\x02}.",
        "other": saved([1]),
        "empty": b"",
    }
    for payload in archives.values():
        file.write_bytes(signed(payload))
        with pytest.raises(ValueError, match=r"checkpoint .*Remove it to start anew"):
            model(file.parent).fit(X, Y)


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_no_file_is_an_error_and_blocks_nothing(
    checkpoint: tuple[Path, dict[str, Any]], kind: str
) -> None:
    file, _ = checkpoint
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"cannot be opened"):
        model(file.parent).fit(X, Y)
