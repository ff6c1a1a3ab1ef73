from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tokenizers", reason="the extra static")
pytest.importorskip("safetensors", reason="the extra static")

from static_toys import TEXTS, means, numbers, save_model, word_piece
from tokenizers import Tokenizer

from sklearn_transfer import (
    MissingDependencyError,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
)
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.storage.tensors import read_tensors
from sklearn_transfer.vectors.table.table import Table

FORMATS = ["model2vec", "sentence-transformers"]
WORDS = ["the", "cat", "sat", "mat", "don", "t", "\u00bd", "snake_case", "\u732b"]
MORE = [*TEXTS, "DON'T sit: the Cat, \u00bd-mat!", "snake_case snake case", "e\u0301 \u732b"]


def embed(source: Any, texts: list[str] = MORE, **settings: Any) -> NDArray[np.float32]:
    return PretrainedEmbeddingTransformer(source, **settings).fit(texts).transform(texts)


@pytest.fixture
def words() -> PretrainedVectors:
    return PretrainedVectors(WORDS, numbers(len(WORDS), 3))


@pytest.fixture
def pieces(tmp_path: Path) -> PretrainedVectors:
    """A table with shared rows, factors, int8 values and a tokenizer."""
    tensors = {
        "embeddings": numbers(4, 3, dtype=np.int8),
        "weights": np.linspace(0.1, 2, 10, dtype=np.float32),
        "mapping": np.arange(10) * 3 % 4,
    }
    return PretrainedVectors.load(save_model(tmp_path / "pieces", word_piece(), tensors))


# ---- what comes back ----


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("format", FORMATS)
def test_words_come_back_with_a_zero_row_for_the_unknown(
    tmp_path: Path, words: PretrainedVectors, format: str, dtype: str
) -> None:
    words = words.astype(dtype)
    words.write(tmp_path / "t", format=format)
    back = PretrainedVectors.load(tmp_path / "t")
    assert formats.detect_format(tmp_path / "t") == "static"
    assert list(back.words) == [*WORDS, "[UNK]"]
    assert back.matrix.dtype == (dtype if format == "model2vec" else "float32")
    np.testing.assert_array_equal(back[WORDS], words[WORDS])
    assert not back["[UNK]"].any()


def test_model2vec_gives_the_features_of_the_table(
    tmp_path: Path, words: PretrainedVectors, pieces: PretrainedVectors
) -> None:
    model2vec = pytest.importorskip("model2vec", reason="the extra bench")
    tables = {"words": words, "int8": words.astype("int8"), "pieces": pieces}
    for name, vectors in tables.items():
        vectors.write(tmp_path / f"new {name}", format="model2vec")
        upstream = model2vec.StaticModel.from_pretrained(tmp_path / f"new {name}")
        assert upstream.max_length is None
        expected = embed(vectors)
        np.testing.assert_allclose(upstream.encode(MORE), expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(embed(tmp_path / f"new {name}"), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_static_embedding_gives_the_directions_of_the_table(
    tmp_path: Path, words: PretrainedVectors, pieces: PretrainedVectors, name: str
) -> None:
    vectors = {"words": words, "pieces": pieces}[name]
    vectors.write(tmp_path / "t", format="sentence-transformers")
    inner = tmp_path / "t" / "0_StaticEmbedding"
    matrix = read_tensors(inner / "model.safetensors")["embedding.weight"].to_numpy()
    # What its `forward` computes: the mean of the rows of all ids.
    found = means(Tokenizer.from_file(str(inner / "tokenizer.json")), matrix, MORE)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    expected = embed(vectors, norm="l2")
    np.testing.assert_allclose(found / np.where(lengths, lengths, 1), expected, atol=1e-6)
    np.testing.assert_allclose(embed(tmp_path / "t", norm="l2"), expected, atol=1e-6)
    np.testing.assert_allclose(embed(tmp_path / "t"), found, atol=1e-6)


def test_shared_rows_and_factors_stay_what_they_are_in_model2vec(
    tmp_path: Path, pieces: PretrainedVectors
) -> None:
    pieces.write(tmp_path / "t", format="model2vec")
    back = PretrainedVectors.load(tmp_path / "t")
    for name in ("matrix", "rows", "scales"):
        np.testing.assert_array_equal(getattr(back, name), getattr(pieces, name))
    assert back.tokenizer == pieces.tokenizer
    assert list(back.words) == list(pieces.words)


@pytest.mark.parametrize("format", FORMATS)
def test_tokens_that_a_subset_lacks_are_zeros(
    tmp_path: Path, pieces: PretrainedVectors, format: str
) -> None:
    subset = pieces.subset(["cat", "##s"])
    subset.write(tmp_path / "t", format=format)
    back = PretrainedVectors.load(tmp_path / "t")
    assert len(back) == len(pieces)
    np.testing.assert_array_equal(back[["cat", "##s"]], pieces[["cat", "##s"]])
    assert not back[["the", "sat"]].any()


@pytest.mark.parametrize("cased", [False, True])
def test_the_case_of_words_is_heeded_where_the_table_does(tmp_path: Path, cased: bool) -> None:
    vectors = PretrainedVectors(["Cat" if cased else "cat"], [[1.0, 2.0]])
    vectors.write(tmp_path / "t", format="model2vec")
    found = embed(tmp_path / "t", ["Cat", "cat", "CAT"])
    assert found.any(axis=1).tolist() == [True, not cased, not cased]


def test_words_are_split_as_by_the_default_pattern(
    tmp_path: Path, words: PretrainedVectors
) -> None:
    words.write(tmp_path / "t", format="model2vec")
    tokenizer = Tokenizer.from_file(str(tmp_path / "t" / "tokenizer.json"))
    # All of the first plane but surrogates: letters, marks, digits, fractions, punctuation.
    text = " x".join(chr(i) for i in range(0x10000) if not 0xD800 <= i < 0xE000)
    split = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    found, expected = {word for word, _ in split}, set(re.findall(r"(?u)\b\w+\b", text))
    # Python and the library know the characters of two versions of Unicode.
    assert len(found ^ expected) < 0.01 * len(expected)
    ascii_and_latin = {word for word in expected if word.strip("x") < "\u0250"}
    assert {word for word in found if word.strip("x") < "\u0250"} == ascii_and_latin


def test_a_word_that_is_the_name_of_the_unknown_stays_a_word(tmp_path: Path) -> None:
    vectors = PretrainedVectors(["[UNK]", "cat"], [[1.0], [2.0]])
    vectors.write(tmp_path / "t", format="model2vec")
    back = PretrainedVectors.load(tmp_path / "t")
    assert list(back.words) == ["[UNK]", "cat", "[[UNK]]"]
    assert back.tokenizer.skipped == {"[[UNK]]"}


# ---- whole or not at all ----


@pytest.mark.parametrize("format", FORMATS)
def test_an_earlier_model_of_ours_is_replaced_and_nothing_else_is_left(
    tmp_path: Path, tiny: Table, words: PretrainedVectors, format: str
) -> None:
    (tmp_path / "t").mkdir()
    formats.write(tiny, tmp_path / "t", format)
    words.write(tmp_path / "t", format=format)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert list(PretrainedVectors.load(tmp_path / "t").words)[:-1] == WORDS


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["config.json", "README.md", "vectors.json"])
def test_a_folder_of_somebody_else_is_not_overwritten(
    tmp_path: Path, words: PretrainedVectors, format: str, name: str
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / name).write_text(json.dumps({"normalize": True}))
    with pytest.raises(FileExistsError, match="t was not written by this package"):
        words.write(tmp_path / "t", format=format)
    assert [path.name for path in (tmp_path / "t").iterdir()] == [name]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_beside_a_model_of_ours_keeps_it(
    tmp_path: Path, words: PretrainedVectors, format: str
) -> None:
    words.write(tmp_path / "t", format=format)
    (tmp_path / "t" / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        words.write(tmp_path / "t", format=format)


@pytest.mark.parametrize("format", FORMATS)
def test_a_crash_leaves_the_old_model_and_no_rubbish(
    tmp_path: Path, words: PretrainedVectors, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words.write(tmp_path / "t", format=format)
    before = formats.fingerprint(tmp_path / "t")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        words.reduce(1).write(tmp_path / "t", format=format)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert formats.fingerprint(tmp_path / "t") == before


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_table_gives_the_same_bytes(
    tmp_path: Path, words: PretrainedVectors, format: str
) -> None:
    contents = []
    for name in ("a", "b"):
        words.write(tmp_path / name, format=format)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("format", FORMATS)
def test_a_word_that_cannot_be_written_is_named(tmp_path: Path, format: str) -> None:
    vectors = PretrainedVectors(["cat", "\ud800"], [[1.0], [2.0]])
    with pytest.raises(ValueError, match=r"static model format cannot hold the word '\\ud800'"):
        vectors.write(tmp_path / "t", format=format)
    assert not list(tmp_path.iterdir())


def test_a_missing_library_names_the_extra(
    tmp_path: Path, words: PretrainedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"^Writing .*pip install -e .\.\[static\]"):
        words.write(tmp_path / "t", format="model2vec")
    assert not list(tmp_path.iterdir())


def test_a_pipe_in_a_folder_blocks_nothing(tmp_path: Path, words: PretrainedVectors) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    os.mkfifo(folder / "config.json")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        words.write(folder, format="model2vec")
