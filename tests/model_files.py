"""Model files in tests: estimators on a way through a file, compared bit for bit."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_safetensors

from sklearn_transfer import load

SHORT: dict[str, Any] = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
# Words of the training texts, words with vectors alone, unknown ones, none.
UNSEEN = ["a good film", "poor zork", "", "xyzzy, fine?", "The GREAT plot", "naïve 猫"]


def assert_no_pickle(path: Path) -> None:
    """Every file, also in a zip in a zip, has a format without code, and reads as that format."""
    if path.is_dir():
        members = {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    else:
        members = {path.name: path.read_bytes()}
    for name, content in members.items():
        _assert_format(name, content)


def _assert_format(name: str, content: bytes) -> None:
    suffix = Path(name).suffix
    if suffix in (".zip", ".skops"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                _assert_format(member, archive.read(member))
    elif suffix == ".npy":
        np.load(io.BytesIO(content), allow_pickle=False)
    elif suffix == ".safetensors":
        load_safetensors(content)
    elif suffix == ".json":
        json.loads(content)
    else:
        assert suffix in (".txt", ".md"), name
        content.decode()


def moved(model: Any, tmp_path: Path, suffix: str = "", **options: Any) -> Any:
    """The model after a way through a file that was moved to another folder."""
    model.save(tmp_path / f"written{suffix}", **options)
    assert_no_pickle(tmp_path / f"written{suffix}")
    (tmp_path / "elsewhere").mkdir()
    place = (tmp_path / f"written{suffix}").rename(tmp_path / "elsewhere" / f"moved{suffix}")
    return load(place)


def assert_equal_models(model: Any, loaded: Any, X: Any) -> None:
    assert type(loaded) is type(model)
    names = [
        *("predict", "predict_proba", "decision_function", "transform"),
        "get_feature_names_out",
    ]
    for name in names:
        if not hasattr(model, name):
            continue
        arguments = () if name == "get_feature_names_out" else (X,)
        mine, theirs = getattr(model, name)(*arguments), getattr(loaded, name)(*arguments)
        assert type(mine) is type(theirs)
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype
        np.testing.assert_array_equal(mine, theirs, strict=True)
