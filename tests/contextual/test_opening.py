"""Models are opened once per process, until they change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import DIM, TEXTS, open_library
from transformers.utils import logging

from sklearn_transfer import VectorFormatError
from sklearn_transfer._utils.objects.memo import clear_memos
from sklearn_transfer.contextual.opening import (
    fingerprint_folder,
    open_folder,
    wrap_library_model,
)
from sklearn_transfer.contextual.runtime import Settings

SETTINGS = Settings(
    max_tokens=None,
    prompt=None,
    precision="float32",
    device="auto",
    batch_tokens=None,
    cache=None,
    cache_bytes=0,
    hidden_dtype="float32",
    trust_remote_code=False,
    pickle_weights=False,
)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A folder that a test may change."""
    return shutil.copytree(tiny_model, tmp_path / "model")


# ---- folders ----


def test_a_folder_is_opened_once(tiny_model: Path, folder: Path) -> None:
    opened = open_folder(tiny_model, SETTINGS)
    assert open_folder(tiny_model, replace(SETTINGS, device="cpu", max_tokens=5)) is opened
    other = open_folder(folder, SETTINGS)  # of the same content
    assert other.library is not opened.library
    assert other.fingerprint == opened.fingerprint
    assert (opened.path, other.path, opened.device) == (tiny_model, folder, "cpu")


@pytest.mark.parametrize("change", [{"precision": "float16"}, {"trust_remote_code": True}])
def test_other_settings_are_another_model(tiny_model: Path, change: dict[str, object]) -> None:
    opened = open_folder(tiny_model, SETTINGS)
    other = open_folder(tiny_model, replace(SETTINGS, **change))
    assert other.library is not opened.library
    assert open_folder(tiny_model, SETTINGS) is opened


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_weights_are_opened_in_their_precision_for_prediction(
    tiny_model: Path, precision: str
) -> None:
    library = open_folder(tiny_model, replace(SETTINGS, precision=precision)).library
    assert {p.dtype for p in library.parameters()} == {getattr(torch, precision)}
    assert not any(module.training for module in library.modules())


def test_a_changed_folder_is_opened_again(folder: Path) -> None:
    opened = open_folder(folder, SETTINGS)
    (folder / "modules.json").write_text((folder / "modules.json").read_text() + "\n")
    assert open_folder(folder, SETTINGS) is not opened


def test_a_folder_is_opened_again_after_the_memos_are_cleared(tiny_model: Path) -> None:
    library = open_folder(tiny_model, SETTINGS).library
    assert open_folder(tiny_model, SETTINGS).library is library  # held between two calls
    clear_memos()
    assert open_folder(tiny_model, SETTINGS).library is not library


@pytest.mark.parametrize("enabled", [True, False])
def test_the_progress_bar_of_the_library_is_as_before(tiny_model: Path, enabled: bool) -> None:
    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if enabled else logging.disable_progress_bar)()
    try:
        clear_memos()
        open_folder(tiny_model, SETTINGS)
        assert logging.is_progress_bar_enabled() is enabled
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_opening_shows_no_progress_bar(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_memos()
    open_folder(tiny_model, SETTINGS)
    assert "".join(capsys.readouterr()) == ""


def test_a_folder_that_the_library_cannot_open_is_named(folder: Path) -> None:
    size = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(b"x" * size)
    with pytest.raises(VectorFormatError, match=r"model: sentence-transformers cannot open") as e:
        open_folder(folder, SETTINGS)
    assert str(folder) in str(e.value)
    assert e.value.__cause__ is not None


# ---- fingerprints ----


@pytest.mark.parametrize(
    "name", ["modules.json", "config.json", "model.safetensors", "1_Pooling/config.json"]
)
def test_each_file_is_part_of_the_fingerprint(folder: Path, name: str) -> None:
    before = fingerprint_folder(folder, SETTINGS)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content + b" ")
    assert fingerprint_folder(folder, SETTINGS) != before
    (folder / name).write_bytes(content)
    assert fingerprint_folder(folder, SETTINGS) == before


def test_the_names_of_files_are_part_of_the_fingerprint(folder: Path) -> None:
    (folder / "merges.txt").write_text("a b")
    before = fingerprint_folder(folder, SETTINGS)
    (folder / "merges.txt").rename(folder / "vocab.txt")
    assert fingerprint_folder(folder, SETTINGS) != before


def test_code_is_part_of_the_fingerprint_of_a_trusted_folder(folder: Path) -> None:
    trusted = replace(SETTINGS, trust_remote_code=True)
    before = [fingerprint_folder(folder, settings) for settings in (SETTINGS, trusted)]
    (folder / "own.py").write_text("")
    after = [fingerprint_folder(folder, settings) for settings in (SETTINGS, trusted)]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False]


# ---- opened models ----


def test_an_opened_model_is_wrapped_once_until_it_changes(tiny_model: Path) -> None:
    library = open_library(tiny_model)
    model = wrap_library_model(library, SETTINGS)
    assert wrap_library_model(library, replace(SETTINGS, device="cpu")) is model
    assert (model.device, model.path, model.library) == ("cpu", None, library)
    assert wrap_library_model(open_library(tiny_model), SETTINGS) is not model
    with torch.no_grad():
        next(library.parameters()).mul_(2)
    changed = wrap_library_model(library, SETTINGS)
    assert changed is not model
    assert changed.fingerprint != model.fingerprint


def test_an_opened_model_predicts(tiny_model: Path) -> None:
    library = open_library(tiny_model).train()
    model = wrap_library_model(library, SETTINGS)
    assert not any(module.training for module in library.modules())
    found = model.library.encode(TEXTS, show_progress_bar=False)
    assert found.shape == (len(TEXTS), DIM)
    np.testing.assert_allclose(found, open_library(tiny_model).encode(TEXTS), atol=1e-6)


def test_an_opened_model_stays_on_its_device_unless_another_is_named(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = open_library(tiny_model)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert wrap_library_model(library, SETTINGS).device == "cpu"
    with pytest.raises(ValueError, match="device='abacus' cannot be used"):
        wrap_library_model(library, replace(SETTINGS, device="abacus"))
