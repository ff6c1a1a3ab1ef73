"""Damaged, altered, newer and interrupted model files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sklearn_transfer import FineTunedClassifier, ModelFormatError, load
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer.persistence import container

TEXTS = ["good zork", "", "bad film"]


@pytest.fixture(scope="module")
def model(vectors, reviews):
    return FineTunedClassifier(vectors).fit(*reviews)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder)
    model.save(folder.with_suffix(".zip"))
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to damage."""
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, **entries: Any) -> None:
    """Change entries of the configuration, and sign it."""
    file = folder / "config.json"
    about = {**json.loads(file.read_text()), **entries}
    about.pop("digest")
    about["digest"] = hash_content(json.dumps(about, sort_keys=True))
    file.write_text(json.dumps(about))


def opens(folder: Path) -> list[Any]:
    """The model of a folder, or an empty list after the promised error."""
    with contextlib.suppress(ModelFormatError):
        return [load(folder)]
    return []


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_files_of_a_model(saved):
    assert files(saved)[:2] == ["config.json", "tensors.safetensors"]
    about = json.loads((saved / "config.json").read_text())
    assert (about["format"], about["version"]) == ("sklearn_transfer.model", 1)
    assert {"python", "numpy", "scipy", "sklearn"} <= set(about["versions"])
    assert ["config.json", *about["files"]] == files(saved)
    with zipfile.ZipFile(saved.with_suffix(".zip")) as archive:
        assert sorted(archive.namelist()) == files(saved)


def test_the_same_model_is_the_same_file(saved, model, tmp_path):
    model.save(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == saved.with_suffix(".zip").read_bytes()


def test_each_byte_of_each_file_is_checked(folder, model):
    """Every file is altered at its beginning, in the middle and at its end."""
    expected = model.predict_proba(TEXTS)
    for name in files(folder):
        content = (folder / name).read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            altered = bytearray(content)
            altered[place] ^= 1
            (folder / name).write_bytes(altered)
            if opened := opens(folder):  # white space was altered
                np.testing.assert_array_equal(opened[0].predict_proba(TEXTS), expected)
        (folder / name).write_bytes(content)
    np.testing.assert_array_equal(load(folder).predict_proba(TEXTS), expected)


def test_files_that_are_cut_off_or_missing_are_named(folder):
    for name in files(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-7])
        with pytest.raises(ModelFormatError, match=rf"model.*{Path(name).parent}"):
            load(folder)
        (folder / name).unlink()
        with pytest.raises(ModelFormatError, match="model"):
            load(folder)
        (folder / name).write_bytes(content)


def test_archives_that_are_damaged_or_cut_off_are_named(saved, tmp_path):
    content = saved.with_suffix(".zip").read_bytes()
    file = tmp_path / "m.zip"
    for part in (content[:-9], content[:1000], b"", b"PK\x03\x04", b"text"):
        file.write_bytes(part)
        with pytest.raises(ModelFormatError, match=r"m\.zip.*damaged or cut off"):
            load(file)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No model file at .*expected a folder or a zip"):
        load(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelFormatError, match=r"folder.*config\.json"):
        load(tmp_path / "folder")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"version": 2}, "version 2 of the format.*up to version 1.*Upgrade"),
        ({"version": "1"}, "expected a version number"),
        ({"version": True}, "expected a version number"),
        ({"format": "other"}, "'format'"),
        ({"files": None}, "names of all files"),
        ({"files": {"../config.json": ""}}, "names of all files"),
        ({"sources": []}, "cannot be loaded"),
        ({"sources": [{"kind": "vectors", "folder": "../x"}]}, "name of a folder"),
        ({"models": None}, "cannot be loaded"),
        ({"models": []}, "cannot be loaded"),
        ({"models": [{"estimator": "os.system"}]}, r"trusted=\['os.system'\]"),
        ({"is_composite": 1}, "cannot be loaded"),
    ],
)
def test_signed_nonsense_is_refused(entries, message, folder):
    rewrite(folder, **entries)
    with pytest.raises(ModelFormatError, match=message):
        load(folder)


def test_classes_that_are_trusted_must_be_estimators(folder):
    about = json.loads((folder / "config.json").read_text())
    rewrite(folder, models=[{**about["models"][0], "estimator": "collections.Counter"}])
    with pytest.raises(ModelFormatError, match="expected a class of estimators"):
        load(folder, trusted=["collections.Counter"])


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\b", "-x", ""])
def test_names_that_lead_out_of_an_archive_are_refused(name, saved, tmp_path):
    file = tmp_path / "m.zip"
    shutil.copy(saved.with_suffix(".zip"), file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name or "."), b"evil")
    with pytest.raises(ModelFormatError, match="expected names of files"):
        load(file)


def test_bombs_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (5 << 20))
    with pytest.raises(ModelFormatError, match="expands to more than 20 times"):
        load(tmp_path / "m.zip")


def test_a_full_disk_is_no_damage(saved, tmp_path):
    resource = pytest.importorskip("resource")
    archive = tmp_path / "m.zip"
    load(saved).save(archive)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            load(archive)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename
    load(archive)


def test_a_compressed_archive_is_opened(saved, model, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files(saved):
            archive.write(saved / name, name)
    loaded = load(tmp_path / "m.zip")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_model_files_are_replaced_and_nothing_else(suffix, model, tmp_path):
    path = tmp_path / f"model{suffix}"
    for _ in range(2):
        model.save(path)
    if suffix:
        path.write_bytes(b"a thesis")
    else:
        (path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not written by this package"):
        model.save(path)
    if suffix:
        assert path.read_bytes() == b"a thesis"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_an_interrupted_save_leaves_the_old_model(suffix, model, tmp_path, monkeypatch):
    path = tmp_path / f"model{suffix}"
    model.save(path)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(container, "_write_config", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(load(path).predict(TEXTS), model.predict(TEXTS))


def test_a_missing_parent_is_named(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.save(tmp_path / "missing" / "model")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_models_load_from_a_folder_that_cannot_be_written(folder, model):
    for place in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        place.chmod(0o555)
    try:
        np.testing.assert_array_equal(load(folder).predict(TEXTS), model.predict(TEXTS))
        if os.geteuid():  # the superuser may write anywhere
            with pytest.raises(PermissionError):
                model.save(folder / "other")
    finally:
        for place in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
            place.chmod(0o755)


def test_models_load_by_a_relative_path_and_stay_open(folder, model, monkeypatch, tmp_path):
    monkeypatch.chdir(folder.parent)
    loaded = load("model")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(loaded.predict(TEXTS), model.predict(TEXTS))


def test_no_file_has_a_pickle(saved):
    """No file begins as a pickle does, and none has one's end."""
    for name in files(saved):
        content = (saved / name).read_bytes()
        assert not content.startswith(b"\x80")
        assert not name.endswith((".pkl", ".bin", ".pt"))
        if name.endswith(".npy"):
            np.load(saved / name, allow_pickle=False)
