from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tokenizers", reason="the extra static")
pytest.importorskip("safetensors", reason="the extra static")

from static_toys import (
    TEXTS,
    TOKENIZERS,
    bpe,
    means,
    numbers,
    save_model,
    save_modules,
    unigram,
    word_level,
    word_piece,
)
from tokenizers import AddedToken, Tokenizer, models
from vector_caches import is_mapped

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    cache_info,
    load_pretrained,
)
from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats

UNKNOWN = {"WordLevel": 0, "WordPiece": 1, "BPE": 0, "Unigram": 1}


def embed(source: Any, texts: list[str] = TEXTS, **settings: Any) -> NDArray[np.float32]:
    return PretrainedEmbeddingTransformer(source, **settings).fit(texts).transform(texts)


def tensors_of(n: int, case: str) -> dict[str, NDArray[Any]]:
    """Tensors of Model2Vec for `n` tokens."""
    dtype = next((d for d in ("float16", "float64", "int8") if d in case), "float32")
    tensors = {"embeddings": numbers(n, 3, dtype=np.dtype(dtype))}
    if "weights" in case:
        tensors["weights"] = np.linspace(0.1, 2, n, dtype=np.float64 if "64" in case else None)
        tensors["weights"] = tensors["weights"].astype(np.float32 if "64" not in case else float)
    if "mapping" in case:
        tensors["embeddings"] = tensors["embeddings"][:4]
        tensors["mapping"] = np.arange(n) * 3 % 4
    return tensors


CASES = [
    "float32",
    "float16",
    "float64",
    "int8",
    "weights",
    "mapping",
    "weights mapping int8",
    "weights mapping float16",
    "weights float64",
]


# ---- the features of upstream ----


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_features_are_those_of_model2vec(tmp_path: Path, name: str, case: str) -> None:
    model2vec = pytest.importorskip("model2vec", reason="the extra bench")
    tokenizer = TOKENIZERS[name]()
    tensors = tensors_of(tokenizer.get_vocab_size(), case)
    save_model(tmp_path, tokenizer, tensors, config={"normalize": False})
    upstream = model2vec.StaticModel.from_pretrained(tmp_path)
    # It takes the mean of float16 in float16.
    tolerance = 2e-3 if "float16" in case else 1e-6
    for norm, normalize in ((None, False), ("l2", True)):
        expected = upstream.encode(TEXTS, max_length=None, normalize=normalize)
        found = embed(tmp_path, norm=norm)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_unknown_is_left_out_of_model2vec_and_counts_in_sentence_transformers(
    tmp_path: Path, name: str
) -> None:
    tokenizer = TOKENIZERS[name]()
    matrix = numbers(tokenizer.get_vocab_size(), 3)
    save_model(tmp_path / "a", tokenizer, {"embeddings": matrix})
    save_model(tmp_path / "b", tokenizer, {"embedding.weight": matrix})
    for folder, dropped in (("a", UNKNOWN[name]), ("b", None)):
        expected = means(TOKENIZERS[name](), matrix, TEXTS, dropped)
        np.testing.assert_allclose(embed(tmp_path / folder), expected, atol=1e-6)
    assert not np.allclose(embed(tmp_path / "a"), embed(tmp_path / "b"))


def test_weights_and_mapping_stay_as_they_are_in_the_file(tmp_path: Path) -> None:
    tensors = tensors_of(8, "weights mapping int8")
    vectors = PretrainedVectors.load(save_model(tmp_path, word_level(), tensors))
    assert vectors.matrix.dtype == np.int8
    np.testing.assert_array_equal(vectors.matrix, tensors["embeddings"])
    np.testing.assert_array_equal(vectors.rows, tensors["mapping"])
    np.testing.assert_array_equal(vectors.scales, tensors["weights"])
    expected = tensors["weights"][2] * tensors["embeddings"][tensors["mapping"][2]]
    np.testing.assert_allclose(vectors[list(vectors.words)][2], expected, rtol=1e-6)


def test_bfloat16_is_read(tmp_path: Path) -> None:
    tokenizer = word_level()
    values = numbers(8, 3)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    save_model(tmp_path, tokenizer, {"embeddings": bits})
    file = tmp_path / "model.safetensors"
    size = struct.unpack("<Q", file.read_bytes()[:8])[0]
    heading = file.read_bytes()[8 : 8 + size].replace(b'"U16"', b'"BF16"').rstrip(b" ")
    file.write_bytes(struct.pack("<Q", len(heading)) + heading + bits.tobytes())
    matrix = PretrainedVectors.load(tmp_path).matrix
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, values, rtol=2**-7)
    assert (matrix.view(np.uint32) & 0xFFFF == 0).all()


def test_a_text_is_neither_cut_nor_padded_whatever_the_tokenizer_says(tmp_path: Path) -> None:
    vectors = PretrainedVectors.load(save_model(tmp_path, word_piece()))
    (tokens,) = vectors.tokenizer.split_all(["the unbelievable cats"])
    assert tokens == ["the", "un", "##believ", "##able", "cat", "##s"]


def test_rows_behind_the_last_token_are_left_out(tmp_path: Path) -> None:
    matrix = numbers(16, 3)
    vectors = PretrainedVectors.load(
        save_model(tmp_path, word_level(), {"embedding.weight": matrix})
    )
    assert len(vectors) == len(vectors.matrix) == 8
    np.testing.assert_array_equal(vectors.matrix, matrix[:8])


def test_ids_may_have_gaps(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 2, "sat": 5}, unk_token="[UNK]"))
    matrix = numbers(6, 3)
    vectors = PretrainedVectors.load(save_model(tmp_path, tokenizer, {"embeddings": matrix}))
    assert list(vectors.words) == ["[UNK]", "cat", "sat"]
    np.testing.assert_array_equal(vectors[["sat", "cat"]], matrix[[5, 2]])


def test_a_token_is_known_by_its_id_and_not_by_the_text_that_it_stands_for(tmp_path: Path) -> None:
    tokenizer = bpe()
    tokenizer.add_tokens([AddedToken("<x>", lstrip=True, rstrip=True)])
    matrix = numbers(12, 3)
    save_model(tmp_path, tokenizer, {"embeddings": matrix})
    np.testing.assert_allclose(embed(tmp_path, [" <x> "])[0], matrix[11], atol=1e-6)


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("mmap", [True, False])
def test_limit_and_mmap_are_heeded(tmp_path: Path, limit: int | None, mmap: bool) -> None:
    save_model(tmp_path, word_level(), tensors_of(8, "float32"))
    vectors = PretrainedVectors.load(tmp_path, limit=limit, mmap=mmap)
    assert list(vectors.words)[:3] == ["[UNK]", "the", "cat"]
    assert len(vectors) == (limit or 8)
    assert not vectors.matrix.flags.writeable


# ---- layouts ----


@pytest.mark.parametrize("path", ["", ".", "0_StaticEmbedding", "deep/er"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_model_of_sentence_transformers_is_found_by_its_modules(
    tmp_path: Path, path: str, normalize: bool
) -> None:
    matrix = numbers(8, 3)
    save_model(tmp_path / path, word_level(), {"embedding.weight": matrix})
    more = [("Normalize", "1_Normalize")] if normalize else []
    save_modules(tmp_path, ("StaticEmbedding", path), *more)
    assert formats.detect_format(tmp_path) == "static"
    np.testing.assert_array_equal(PretrainedVectors.load(tmp_path).matrix, matrix)


def test_the_subfolder_is_found_without_modules(tmp_path: Path) -> None:
    save_model(tmp_path / "0_StaticEmbedding", word_level(), {"embedding.weight": numbers(8, 3)})
    assert formats.detect_format(tmp_path) == "static"
    assert len(PretrainedVectors.load(tmp_path)) == 8


def test_a_model2vec_folder_is_one_with_the_modules_that_it_is_saved_with(tmp_path: Path) -> None:
    save_model(tmp_path, word_level(), config={"normalize": True})
    save_modules(tmp_path, ("StaticEmbedding", "."), ("Normalize", "1_Normalize"))
    assert formats.detect_format(tmp_path) == "static"
    assert PretrainedVectors.load(tmp_path).tokenizer.skipped == {"[UNK]"}


@pytest.mark.parametrize("root", ["", "wordllama"])
def test_wordllama_is_read_from_its_package_and_from_an_unpacked_wheel(
    tmp_path: Path, root: str
) -> None:
    _wordllama(tmp_path / root)
    assert formats.detect_format(tmp_path) == "static"
    assert PretrainedVectors.load(tmp_path).tokenizer.skipped == frozenset()


def _wordllama(package: Path) -> Path:
    made = save_model(package / "made", bpe(), {"embedding.weight": numbers(11, 4)})
    for folder, name in (("weights", "model.safetensors"), ("tokenizers", "tokenizer.json")):
        (package / folder).mkdir()
        shutil.move(made / name, package / folder / f"l2_{name}")
    shutil.rmtree(made)
    return package


@pytest.mark.parametrize("name", ["weights/l2_model.safetensors", "tokenizers/l2_tokenizer.json"])
def test_two_weights_or_tokenizers_of_wordllama_are_a_choice_of_the_user(
    tmp_path: Path, name: str
) -> None:
    file = _wordllama(tmp_path) / name
    other = shutil.copy(file, file.with_stem("l3"))
    with pytest.raises(VectorFormatError, match=r"expected one file of weights and one tokenizer"):
        PretrainedVectors.load(tmp_path)
    other.unlink()
    assert PretrainedVectors.load(tmp_path).dim == 4


# ---- as a source of both estimators ----


def test_texts_are_split_by_the_tokenizer_and_all_tokens_are_known(tmp_path: Path) -> None:
    save_model(tmp_path, unigram(), {"embeddings": numbers(9, 3)})
    model = PretrainedEmbeddingTransformer(tmp_path).fit(["cat sat", "the cat"])
    assert model.coverage_ == 1.0


def test_a_classifier_takes_the_mean_of_the_pieces_of_a_word(tmp_path: Path) -> None:
    matrix = numbers(10, 3)
    save_model(tmp_path, word_piece(), {"embeddings": matrix})
    vectors = PretrainedVectors.load(tmp_path)
    index, found = vectors.look_up(["unbelievable", "zebra", "cats"])
    assert index.tolist() == [0, -1, 1]
    expected = [matrix[[6, 7, 8]].mean(axis=0), matrix[[4, 9]].mean(axis=0)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    texts = ["the cat sat", "unbelievable cats", "the cat", "unbelievable"] * 5
    labels = ["cat", "un", "cat", "un"] * 5
    classifier = FineTunedClassifier(tmp_path).fit(texts, labels)
    assert classifier.score(texts, labels) == 1.0
    assert FineTunedClassifier(str(tmp_path)).fit(texts, labels).predict(["cats"]).tolist()


def test_a_pickle_holds_the_path_and_notices_a_change(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", word_level())
    vectors = PretrainedVectors.load(folder)
    stored = pickle.dumps(vectors)
    assert pickle.loads(stored) is vectors
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copytree(folder, tmp_path / "kept", dirs_exist_ok=True)
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content.replace(b"cat", b"cap") + b" ")
        if name == "model.safetensors":
            save_model(folder, word_level(), {"embeddings": numbers(8, 4)})
        with pytest.warns(UserWarning, match="has changed since"):
            pickle.loads(stored)
        shutil.copytree(tmp_path / "kept", folder, dirs_exist_ok=True)
    assert pickle.loads(stored) is vectors


@pytest.mark.parametrize("case", ["float16", "weights mapping int8"])
def test_our_folder_keeps_all_of_it(tmp_path: Path, case: str) -> None:
    vectors = PretrainedVectors.load(save_model(tmp_path / "m", word_piece(), tensors_of(10, case)))
    saved = vectors.save(tmp_path / "ours")
    assert saved.matrix.tobytes() == vectors.matrix.tobytes()
    assert saved.tokenizer == vectors.tokenizer
    np.testing.assert_array_equal(embed(saved), embed(vectors))


def test_a_large_model_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = tensors_of(10, "weights mapping int8")
    tensors["embeddings"] = np.tile(tensors["embeddings"], (1, 400_000))
    save_model(tmp_path, word_piece(), tensors)
    first, second = formats.read(tmp_path), formats.read(tmp_path)
    assert cache_info().n_tables == 1
    assert is_mapped(second)
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE", "")
    direct = formats.read(tmp_path)
    for table in (first, second):
        assert table.matrix.dtype == np.int8
        assert table.tokenizer == direct.tokenizer
        np.testing.assert_array_equal(table.matrix, direct.matrix)
        np.testing.assert_array_equal(table.scales, direct.scales)


# ---- prompts and truncated vectors of sentence-transformers ----


def save_static(folder: Path, settings: dict[str, Any]) -> Path:
    matrix = {"embedding.weight": numbers(word_level().get_vocab_size(), 6)}
    save_model(folder / "0_StaticEmbedding", word_level(), matrix)
    save_modules(folder, ("StaticEmbedding", "0_StaticEmbedding"))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


SETTINGS = {
    "truncate_dim": {"truncate_dim": 4},
    "prompt": {"prompts": {"query": "the mat sat "}, "default_prompt_name": "query"},
    "prompt that is not the default": {"prompts": {"query": "the mat "}},
}
SETTINGS["both"] = SETTINGS["prompt"] | SETTINGS["truncate_dim"]


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_of_a_static_model_are_those_of_its_library(tmp_path: Path, case: str) -> None:
    library = pytest.importorskip("sentence_transformers").SentenceTransformer
    folder = save_static(tmp_path / "model", SETTINGS[case])
    opened = library(str(folder), device="cpu", local_files_only=True)
    texts = [text for text in TEXTS if text]
    expected = opened.encode(texts, show_progress_bar=False)
    vectors = PretrainedVectors.load(folder)
    np.testing.assert_allclose(embed(vectors, texts), expected, atol=1e-6)
    np.testing.assert_allclose(embed(opened, texts), expected, atol=1e-6)
    # Clones of an estimator share the table of an opened model, until it changes.
    table = load_pretrained(opened)
    assert load_pretrained(opened) is table
    opened.truncate_dim = 2
    assert load_pretrained(opened).dim == 2
    # Kept by our folder, by pickles, and by the format itself.
    vectors.write(tmp_path / "ours", format="folder")
    vectors.write(tmp_path / "theirs", format="sentence-transformers")
    for again in (
        PretrainedVectors.load(tmp_path / "ours"),
        PretrainedVectors.load(tmp_path / "theirs"),
        pickle.loads(pickle.dumps(table)),
    ):
        np.testing.assert_allclose(embed(again, texts), expected, atol=1e-6)


def test_a_static_model_that_is_opened_trains_as_a_table(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers").SentenceTransformer
    opened = library(str(save_static(tmp_path, {})), device="cpu", local_files_only=True)
    texts, labels = ["the cat sat", "on the mat"] * 4, [0, 1] * 4
    fitted = FineTunedClassifier(opened, random_state=0).fit(texts, labels)
    assert fitted.score(texts, labels) == 1
    assert isinstance(fitted.pretrained_, PretrainedVectors)
    opened.append(pytest.importorskip("torch").nn.Tanh())
    with pytest.raises(VectorFormatError, match="followed only by Normalize, found Tanh"):
        load_pretrained(opened)


@pytest.mark.parametrize("dim", [0, -1, "8", 1.5])
def test_a_number_of_dimensions_that_cannot_be(tmp_path: Path, dim: Any) -> None:
    with pytest.raises(VectorFormatError, match="positive number as truncate_dim, got"):
        PretrainedVectors.load(save_static(tmp_path, {"truncate_dim": dim}))


def test_model2vec_has_no_prompts(tmp_path: Path) -> None:
    vectors = PretrainedVectors.load(save_static(tmp_path / "model", SETTINGS["prompt"]))
    with pytest.raises(ValueError, match=r"has no prompts.*format='sentence-transformers'"):
        vectors.write(tmp_path / "other", format="model2vec")
