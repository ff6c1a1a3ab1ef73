from __future__ import annotations

import contextlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tokenizers", reason="the extra static")
pytest.importorskip("safetensors", reason="the extra static")

from static_toys import (
    TEXTS,
    numbers,
    save_model,
    save_modules,
    word_level,
)
from tokenizers import Tokenizer, models

from sklearn_transfer import (
    MissingDependencyError,
    PretrainedVectors,
)
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats


def refused(path: Path, match: str) -> None:
    with pytest.raises(VectorFormatError, match=match):
        formats.read(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    save_model(tmp_path, word_level())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(VectorFormatError, match=r"pytorch_model.bin: a pickle, .* is not opened"):
        PretrainedVectors.load(tmp_path, allow_pickle=True)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / "in", word_level())
    (tmp_path / "in" / name).unlink()
    save_modules(tmp_path, ("StaticEmbedding", "in"))
    refused(tmp_path, rf"with model.safetensors and tokenizer.json, found no file in.{name}")


@pytest.mark.parametrize(
    ("kinds", "listed"),
    [
        (["StaticEmbedding", "Dense"], "StaticEmbedding, Dense"),
        (["Transformer", "Pooling"], "Transformer, Pooling"),
        (["StaticEmbedding", "StaticEmbedding"], "StaticEmbedding, StaticEmbedding"),
    ],
)
def test_other_modules_are_refused_by_name(tmp_path: Path, kinds: list[str], listed: str) -> None:
    save_model(tmp_path, word_level(), {"embedding.weight": numbers(8, 3)})
    save_modules(tmp_path, *((kind, "") for kind in kinds))
    refused(tmp_path, rf"modules.json: expected the module StaticEmbedding, .* found {listed}\.")


@pytest.mark.parametrize("path", ["../m", "/m", "a\\..\\m"])
def test_a_module_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    save_modules(tmp_path, ("StaticEmbedding", path))
    refused(tmp_path, "modules.json: the path .* leads out of the folder")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"{}", b"[1]", b'[{"type": "x"}]'])
def test_damaged_modules_are_an_error(tmp_path: Path, content: bytes) -> None:
    save_model(tmp_path, word_level())
    (tmp_path / "modules.json").write_bytes(content)
    refused(tmp_path, "modules.json: expected")


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"bert.weight": numbers(8, 3)}, "'embeddings' or 'embedding.weight', .* 'bert.weight'"),
        ({name: numbers(2) for name in "dabc"}, r"found 'a', 'b', 'c'\."),
        ({"embeddings": numbers(8)}, r"expected a matrix of .* found F32 of shape \(8,\)"),
        ({"embeddings": np.ones((8, 3), dtype=np.int64)}, "expected a matrix of .* found I64"),
        ({"embeddings": np.ones((0, 3), dtype=np.float32)}, "found F32 of shape"),
        ({"embeddings": numbers(7, 3)}, "expected a row for each token .* id is 7, found 7 rows"),
        ({"embeddings": np.full((8, 3), np.nan, dtype=np.float32)}, "row 0 .* holds NaN"),
        ({"embeddings": np.full((8, 3), 1e300)}, "row 0 .* holds NaN or infinity"),
    ],
)
def test_tensors_that_are_no_static_model_are_refused(
    tmp_path: Path, tensors: dict[str, NDArray[Any]], match: str
) -> None:
    save_model(tmp_path, word_level(), tensors)
    refused(tmp_path, f"model.safetensors: .*{match}")


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("weights", np.ones(7, dtype=np.float32), r"each of the ids up to 7 .* shape \(7,\)"),
        ("weights", np.ones((8, 1), dtype=np.float32), r"shape \(8, 1\)"),
        ("weights", np.ones(8, dtype=np.int64), "expected floats .* found I64"),
        ("weights", np.full(8, np.inf), "holds NaN or infinity"),
        ("mapping", np.full(8, 8), r"rows from 0 to 7, found 8 to 8"),
        ("mapping", np.full(8, -1), r"rows from 0 to 7, found -1 to -1"),
        ("mapping", np.full(8, 2**40), "found 1099511627776"),
        ("mapping", np.ones(8), "expected integers .* found F64"),
        ("mapping", np.zeros(3, dtype=np.int32), r"shape \(3,\)"),
    ],
)
def test_weights_and_mapping_must_fit_the_tokens(
    tmp_path: Path, name: str, values: NDArray[Any], match: str
) -> None:
    save_model(tmp_path, word_level(), {"embeddings": numbers(8, 3), name: values})
    refused(tmp_path, match)


@pytest.mark.parametrize(
    "content",
    [b"{}", b"[", b"\xff\xfe", pickle.dumps({"model": 1}), b'{"version": "1.0", "model": {}}'],
)
def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    save_model(tmp_path, word_level())
    (tmp_path / "tokenizer.json").write_bytes(content)
    refused(tmp_path, "tokenizer.json: no tokenizer.json")


def test_a_tokenizer_without_tokens_is_refused(tmp_path: Path) -> None:
    save_model(
        tmp_path, Tokenizer(models.WordLevel({}, unk_token="x")), {"embeddings": numbers(1, 1)}
    )
    refused(tmp_path, "tokenizer.json: expected a tokenizer with tokens, found none")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", "the file of tensors is damaged or cut off"),
        ("tokenizer.json", "no tokenizer.json"),
    ],
)
def test_an_empty_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    save_model(tmp_path, word_level())
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path, f"{name}: {message}")


def test_tokens_that_share_an_id_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, word_level())
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text().replace('"cat": 2', '"cat": 1').replace('"cat":2', '"cat":1'))
    refused(tmp_path, "tokenizer.json: expected an id for each token, found 7 for 8 tokens")


def test_a_path_that_is_too_long_for_one_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, word_level())
    kind = "sentence_transformers.models.StaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": "9" * 999, "type": kind}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    refused(tmp_path, "modules.json: expected the path of a folder, found 999")


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path, word_level())
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"tokenizers.*pip install -e .\.\[static\]"):
        formats.read(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "modules.json"])
@pytest.mark.filterwarnings("ignore:.*repeated word")
def test_damage_is_an_error_or_another_table(tmp_path: Path, survive: Any, name: str) -> None:
    save_model(tmp_path, word_level(), {"embeddings": numbers(8, 3)})
    save_modules(tmp_path, ("StaticEmbedding", "."))
    for table in survive(tmp_path / name, tmp_path):
        assert table.matrix.shape[1] > 0
        # Whatever the tokenizer has become, it splits or says why not.
        with contextlib.suppress(VectorFormatError):
            assert len(list(table.tokenizer.split_all(TEXTS))) == len(TEXTS)
