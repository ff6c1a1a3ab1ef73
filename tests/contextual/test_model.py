from __future__ import annotations

import copy
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

pytest.importorskip("sentence_transformers", reason="the extra contextual")

import torch
from contextual_toys import DIM, MAX_TOKENS, N_LAYERS, TEXTS, open_library, save_tiny

from sklearn_transfer import (
    ContextualModel,
    MissingDependencyError,
    PretrainedEmbeddingTransformer,
    VectorFormatError,
    cache_info,
    clear_cache,
    load_pretrained,
)
from sklearn_transfer._utils.objects.memo import clear_memos


@pytest.fixture
def model(tiny_model: Path) -> ContextualModel:
    """A model of which nothing is kept from another test."""
    model = ContextualModel(tiny_model)
    model.clear_cache()
    return model


def upstream(folder: Path, texts: list[str]) -> np.ndarray:
    return open_library(folder).encode(texts, show_progress_bar=False)


# ---- what it gives ----


@pytest.mark.parametrize("order", [1, -1])
def test_features_are_those_of_the_library(tiny_model: Path, model: ContextualModel, order: int):
    texts = TEXTS[::order]
    features = model.encode(texts)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, upstream(tiny_model, texts), atol=1e-5)


def test_batches_do_not_change_them(tiny_model: Path, model: ContextualModel):
    texts = [text * (i % 3 + 1) for i, text in enumerate(TEXTS * 4)]
    small = ContextualModel(tiny_model, batch_tokens=3, cache=None)
    np.testing.assert_allclose(small.encode(texts), model.encode(texts), atol=1e-5)


def test_it_says_what_it_is(model: ContextualModel, tiny_model: Path):
    assert (model.dim, model.n_layers, model.max_tokens) == (DIM, N_LAYERS, MAX_TOKENS)
    assert repr(model) == (
        f"<ContextualModel {str(tiny_model)!r}: 3 layers, 16 features, 12 tokens, float32, cpu>"
    )
    assert "not opened" in repr(ContextualModel(tiny_model))


def test_tokens_beyond_the_limit_are_counted_and_cut_off(tiny_model: Path, model: ContextualModel):
    found = model.split(TEXTS)
    assert found.lengths.tolist() == [8, 2, 5, 12, 3, 8]
    assert found.n_tokens.tolist() == [8, 2, 5, 19, 3, 8]
    features = model.encode(TEXTS)
    short = ContextualModel(tiny_model, max_tokens=5)
    assert short.split(TEXTS).lengths.max() == short.max_tokens == 5
    assert not np.allclose(short.encode(TEXTS)[0], features[0])
    np.testing.assert_allclose(short.encode(TEXTS)[2], features[2], atol=1e-5)
    assert ContextualModel(tiny_model, max_tokens=10**6).max_tokens == MAX_TOKENS


def test_very_long_texts_and_lone_surrogates(model: ContextualModel):
    texts = ["the cat " * 10_000, "a \ud800 cat", "\x00"]
    assert model.split(texts).n_tokens[0] == 20_002
    assert np.isfinite(model.encode(texts)).all()


def test_a_prompt_is_put_before_every_text(tiny_model: Path):
    library = open_library(tiny_model)
    expected = library.encode(TEXTS, prompt="the good ", show_progress_bar=False)
    prompted = ContextualModel(tiny_model, prompt="the good ")
    np.testing.assert_allclose(prompted.encode(TEXTS), expected, atol=1e-5)
    library.prompts, library.default_prompt_name = {"query": "a dog "}, "query"
    expected = library.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(ContextualModel(library).encode(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_smaller_precision_is_nearly_the_same(
    tiny_model: Path, model: ContextualModel, precision: str
):
    features = ContextualModel(tiny_model, precision=precision).encode(TEXTS)
    assert features.dtype == np.float32
    assert 0 < np.abs(features - model.encode(TEXTS)).max() < 0.1


# ---- kept ----


def test_each_distinct_text_is_encoded_once(model: ContextualModel, tiny_model: Path):
    before = model.cache_info()
    assert (before.n_texts, before.n_encoded) == (0, 0)
    model.encode(TEXTS)
    ContextualModel(tiny_model).encode(TEXTS[::-1])
    info = model.cache_info()
    assert (info.n_texts, info.n_encoded, info.n_hits) == (5, 5, 7)
    model.clear_cache()
    assert model.cache_info().n_texts == 0


def test_features_are_kept_by_what_decides_them(model: ContextualModel, tiny_model: Path):
    model.encode(TEXTS)
    other = ContextualModel(tiny_model, max_tokens=4)
    other.clear_cache()
    other.encode(TEXTS)
    assert other.cache_info().n_encoded == 5
    assert model.cache_info().n_encoded == 5


def test_on_disk_they_are_there_for_the_next_process(
    tiny_model: Path, tmp_path: Path, cache_folder: Path
):
    for cache, root in (("disk", cache_folder), (tmp_path / "mine", tmp_path / "mine")):
        model = ContextualModel(tiny_model, cache=cache)
        features = model.encode(TEXTS)
        assert model.cache_info().folder.is_relative_to(root)
        clear_memos()
        content = pickle.dumps(model)
        del model
        again = pickle.loads(content)
        np.testing.assert_array_equal(again.encode(TEXTS), features)
        assert again.cache_info().n_encoded == 0
    assert cache_info().n_encoders == 1
    assert cache_info().n_bytes > 0
    clear_cache()
    assert cache_info().n_encoders == 0


def test_features_on_disk_are_kept_by_all_that_changes_them(tiny_model: Path, tmp_path: Path):
    library = open_library(tiny_model)
    expected = ContextualModel(library, cache=tmp_path).encode(TEXTS)
    short = ContextualModel(open_library(tiny_model, truncate_dim=8), cache=tmp_path)
    np.testing.assert_allclose(short.encode(TEXTS), expected[:, :8], atol=1e-6)
    half = ContextualModel(open_library(tiny_model).half(), cache=tmp_path)
    assert 0 < np.abs(half.encode(TEXTS) - expected).max() < 0.1
    # A call of the tokenizer changes its truncation, but not the model.
    library.tokenizer(["the cat"], truncation=True, max_length=3)
    clear_memos()
    same = ContextualModel(library, cache=tmp_path)
    np.testing.assert_array_equal(same.encode(TEXTS), expected)
    assert same.cache_info().n_encoded == 0


def test_another_revision_has_other_features(tmp_path: Path):
    cache = tmp_path / "cache"
    first = ContextualModel(save_tiny(tmp_path / "one"), cache=cache)
    second = ContextualModel(save_tiny(tmp_path / "two", seed=1), cache=cache)
    assert first.fingerprint != second.fingerprint
    assert not np.allclose(first.encode(TEXTS), second.encode(TEXTS))
    assert second.cache_info().n_encoded == 5


# ---- shared ----


def test_copies_and_clones_are_the_same_object(model: ContextualModel):
    assert copy.copy(model) is copy.deepcopy(model) is model
    estimator = PretrainedEmbeddingTransformer(model)
    assert clone(estimator).pretrained is model


def test_models_of_one_folder_share_what_is_opened(tiny_model: Path):
    first, second = ContextualModel(tiny_model), load_pretrained(str(tiny_model))
    assert first.library_model is second.library_model


def test_a_pickle_refers_to_the_folder(model: ContextualModel, tmp_path: Path, tiny_model: Path):
    features = model.encode(TEXTS)
    content = pickle.dumps(model)
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content).encode(TEXTS), features)
    moved = shutil.copytree(tiny_model, tmp_path / "moved")
    other = ContextualModel(moved)
    other.encode(TEXTS)
    content = pickle.dumps(other)
    shutil.rmtree(moved)
    shutil.copytree(save_tiny(tmp_path / "new", seed=3), moved)
    clear_cache()  # forgets that the process has opened the same content elsewhere
    with pytest.raises(ValueError, match="has changed since: expected the fingerprint"):
        pickle.loads(content).encode(TEXTS)
    shutil.rmtree(moved)
    with pytest.raises(FileNotFoundError, match="moved"):
        pickle.loads(content).encode(TEXTS)


def test_a_pickle_may_hold_the_weights(tiny_model: Path, tmp_path: Path, model: ContextualModel):
    copied = shutil.copytree(tiny_model, tmp_path / "copied")
    content = pickle.dumps(ContextualModel(copied, pickle_weights=True))
    shutil.rmtree(copied)
    assert len(content) > 10_000
    np.testing.assert_allclose(pickle.loads(content).encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def test_an_opened_model_is_wrapped_until_it_is_trained(tiny_model: Path):
    library = open_library(tiny_model)
    wrapped = load_pretrained(library)
    before = wrapped.encode(TEXTS)
    assert load_pretrained(library).fingerprint == wrapped.fingerprint
    assert load_pretrained(library).cache_info().n_encoded == 5
    with torch.no_grad():
        next(library.parameters()).mul_(2)
    again = load_pretrained(library)
    assert again.fingerprint != wrapped.fingerprint
    assert not np.allclose(again.encode(TEXTS), before)


# ---- refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision must be one of"),
        ({"hidden_dtype": "bfloat16"}, "hidden_dtype must be one of"),
        ({"max_tokens": 0}, "max_tokens must be a positive number"),
        ({"batch_tokens": 0}, "batch_tokens must be a positive number"),
        ({"cache_bytes": -1}, "cache_bytes must not be negative"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ContextualModel("org/name", **options)


def test_a_source_of_another_kind():
    with pytest.raises(TypeError, match="must be a name, a folder or a SentenceTransformer"):
        ContextualModel(3)


def test_a_name_that_is_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"not a path .*, not in .*HF_HUB_OFFLINE is set"):
        ContextualModel("org/no-such-model").encode(TEXTS)


@pytest.mark.parametrize("damage", ["cut", "json", "no tokenizer"])
def test_a_damaged_folder(tiny_model: Path, tmp_path: Path, damage: str):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    if damage == "cut":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "json":
        (folder / "modules.json").write_text("[{")
    else:
        (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(VectorFormatError, match=str(folder)):
        ContextualModel(folder).encode(TEXTS)


def test_a_folder_of_something_else(tmp_path: Path):
    with pytest.raises(VectorFormatError, match="expected the folder of a contextual model"):
        ContextualModel(tmp_path).encode(TEXTS)


def test_a_device_that_is_not_there(tiny_model: Path):
    with pytest.raises(ValueError, match="device='cuda:99' cannot be used"):
        ContextualModel(tiny_model, device="cuda:99").encode(TEXTS)


def test_the_library_is_asked_for_when_it_is_needed(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    clear_memos()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    model = ContextualModel(tiny_model, precision="bfloat16", trust_remote_code=True)
    with pytest.raises(MissingDependencyError, match=r'pip install -e "\.\[contextual\]"'):
        model.encode(TEXTS)


def test_bad_texts(model: ContextualModel):
    with pytest.raises(ValueError, match="single str"):
        model.encode("a text")
    with pytest.raises(TypeError, match="NoneType at position 1"):
        model.encode(["a text", None])


def test_nan_is_refused(tiny_model: Path):
    library = open_library(tiny_model)
    model = ContextualModel(library)
    assert model.dim == DIM  # its weights are checked on opening
    with torch.no_grad():
        next(library.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN or infinite features for 5 of 5 texts"):
        model.encode(TEXTS)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory."), MemoryError()])
def test_a_batch_too_large_for_memory_is_split_with_one_warning(tiny_model: Path, error: Exception):
    library = open_library(tiny_model)
    expected = library.encode(TEXTS, show_progress_bar=False)
    real = library.forward

    def forward(features: dict[str, Any], **kwargs: Any) -> Any:
        if len(features["input_ids"]) > 2:
            raise error
        return real(features, **kwargs)

    library.forward = forward
    model = ContextualModel(library)
    with pytest.warns(UserWarning, match="does not fit into memory and is split") as told:
        np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)
    assert len(told) == 1
    library.forward = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("another error"))
    model.clear_cache()
    with pytest.raises(RuntimeError, match="another error"):
        model.encode(TEXTS)


def test_an_opened_model_keeps_its_precision(tiny_model: Path):
    library = open_library(tiny_model)
    with pytest.raises(ValueError, match="a SentenceTransformer keeps its own"):
        ContextualModel(library, precision="float16")
    model = ContextualModel(library.half())
    assert model.encode(TEXTS).dtype == np.float32
    assert "float16, cpu" in repr(model)


def test_a_model_that_reads_more_than_tokens_is_refused_whatever_is_set(tiny_model: Path):
    library = open_library(tiny_model)
    real = library.encode
    library.encode = lambda texts, **options: real(texts, **options) + 1
    for options in ({}, {"max_tokens": 4}):
        with pytest.raises(VectorFormatError, match="needs more than the tokens of a text"):
            ContextualModel(library, **options).encode(TEXTS)


def test_threads_that_cut_at_different_lengths(tiny_model: Path):
    models = [ContextualModel(tiny_model, max_tokens=n, cache=None) for n in (4, 10)]
    texts = ["the cat sat on the mat and the dog ran"] * 20
    for model in models:
        model.dim  # noqa: B018 (opened)

    def split(i: int) -> bool:
        model = models[i % 2]
        return set(model.split(texts).lengths.tolist()) == {model.max_tokens}

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(split, range(200)))
    finally:
        sys.setswitchinterval(interval)


def test_counts_of_tokens_are_kept(model: ContextualModel, monkeypatch: pytest.MonkeyPatch):
    texts = ["the cat", "a cat that was not counted before", "the cat"]
    found = model.count_tokens(texts)
    assert found.tolist() == model.split(texts).n_tokens.tolist() == [4, 9, 4]
    monkeypatch.setattr(ContextualModel, "split", None)
    assert model.count_tokens(texts[::-1]).tolist() == [4, 9, 4]


# ---- in a notebook ----


def test_the_notebook_view_opens_nothing_and_is_escaped(tiny_model: Path):
    shown = ContextualModel("<b>no/such")._repr_html_()
    assert "&lt;b&gt;no/such" in shown
    assert ">not opened<" in shown
    model = ContextualModel(tiny_model, max_tokens=7)
    assert str(tiny_model) in model._repr_html_()
    assert ">not opened<" in model._repr_html_()
    model.encode(["a cat"])
    shown = model._repr_html_()
    for text in (f">{N_LAYERS}<", f">{DIM}<", ">7 tokens<", ">float32<", ">cpu<"):
        assert text in shown
