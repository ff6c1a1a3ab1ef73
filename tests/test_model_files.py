"""Estimators are equal, bit for bit, after a way through a model file."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError
from static_toys import save_model, word_piece

from sklearn_transfer import (
    ContextualModel,
    ContinuedVectors,
    FineTunedClassifier,
    FineTunedRegressor,
    ModelFormatError,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    load,
    load_pretrained,
    save,
)
from sklearn_transfer.training.policies import Frozen

# Words of the training texts, words with vectors alone, unknown ones, none.
UNSEEN = ["a good film", "poor zork", "", "xyzzy, fine?", "The GREAT plot", "naïve 猫"]


def moved(model: Any, tmp_path: Path, suffix: str = "", **options: Any) -> Any:
    """The model after a way through a file that was moved to another folder."""
    model.save(tmp_path / f"written{suffix}", **options)
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


MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "words alone": {"ngram_range": (1, 1), "char_ngram_range": None},
    "trigrams alone": {"ngram_range": (3, 3), "char_ngram_range": (3, 5)},
    "frozen": {"adaptation": "frozen"},
    "policy": {"adaptation": Frozen(), "weighting": "sif", "max_tokens": 3},
    "chosen policy": {"adaptation": "auto", "random_state": 0},
    "hash": {"oov": "hash", "lowercase": True, "calibrate": False},
    "subword": {"oov": "subword", "weighting": None},
    "probabilities": {"criterion": "cross_entropy", "class_weight": {"yes": 2.0, "no": 1.0}},
}


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("name", MODELS)
def test_classifiers_of_texts(name, suffix, vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, **MODELS[name]).fit(*reviews)
    loaded = moved(model, tmp_path, suffix)
    assert_equal_models(model, loaded, [*reviews[0], *UNSEEN])
    assert loaded.temperature_ == model.temperature_
    assert loaded.coverage_ == model.coverage_
    assert loaded.n_iter_ == model.n_iter_
    assert loaded.adaptation_ == model.adaptation_
    assert list(loaded.pretrained_.words) == list(vectors.words)
    same = set(MODELS["default"]) | set(model.get_params(deep=False)) - {"pretrained"}
    assert {key: loaded.get_params()[key] for key in same} == {
        key: model.get_params()[key] for key in same
    }


@pytest.mark.parametrize(
    "labels",
    [
        [True, False],
        [3, -7],
        np.array([2.0, 1.0], np.float32),
        [np.uint8(9), np.uint8(200)],
        ["ja", "nein"],
        [np.str_("ja"), np.str_("nein")],
        np.array(["ja", "näher"], dtype="<U40"),
        np.array(["ja", "nein"], dtype=object),
        np.array(["\ud800", "\x00"], dtype=object),
    ],
    ids=[
        *("bool", "int", "float32", "uint8", "str", "np.str", "long str"),
        *("object of str", "lone surrogate"),
    ],
)
def test_labels_of_all_types(labels, vectors, tmp_path):
    texts = ["good film", "bad film", "great plot", "awful plot"] * 3
    values = np.asarray(labels)
    model = FineTunedClassifier(vectors).fit(texts, values[[0, 1] * 6])
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert [type(label) for label in loaded.classes_] == [type(label) for label in model.classes_]


@pytest.mark.parametrize("names", [None, ["bad", "good"]])
def test_indicator_matrices(names, vectors, reviews, tmp_path):
    texts, labels = reviews
    y: Any = np.stack([labels == "no", labels == "yes"], axis=1).astype(int)
    y = y if names is None else pd.DataFrame(y, columns=names)
    model = FineTunedClassifier(vectors).fit(texts, y)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    np.testing.assert_array_equal(loaded.classes_, model.classes_)
    np.testing.assert_array_equal(loaded.thresholds_, model.thresholds_)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_regressors(n_targets, vectors, reviews, tmp_path):
    texts, labels = reviews
    y = np.stack([(labels == "yes") * 3.0, np.arange(len(labels)) * 1.0], axis=1)
    model = FineTunedRegressor(vectors).fit(texts, y[:, 0] if n_targets == 1 else y)
    assert_equal_models(model, moved(model, tmp_path), UNSEEN)


@pytest.mark.parametrize("container", [np.asarray, csr_array, pd.DataFrame])
def test_models_of_features(container, numbers, tmp_path):
    X, y = numbers
    X = container(X)
    if isinstance(X, pd.DataFrame):
        X.columns = [f"x{i}" for i in range(8)]
    model = FineTunedClassifier(pretrained_scale=0.5).fit(X, y)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, X)
    assert loaded.n_features_in_ == 8
    assert hasattr(loaded, "feature_names_in_") == hasattr(model, "feature_names_in_")
    with pytest.raises(ValueError, match="feature"):
        loaded.predict(np.zeros((1, 9)) if not isinstance(X, pd.DataFrame) else X[["x0"]])


SHORT: dict[str, Any] = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
NETWORKS: dict[str, dict[str, Any]] = {
    "mean": {"optimizer": "adam", "dropout": 0.1},
    "anchored": {"optimizer": "adam", "l2_sp": 0.1, "weighting": "sif"},
    "attention": {"encoder": "attention", "hidden_layer_sizes": (5,)},
    "cnn": {"encoder": "cnn", "encoder_params": {"filters": 4, "multichannel": True}},
    "rnn": {"encoder": "rnn", "encoder_params": {"units": 3}, "adaptation": "lp-ft"},
    "hidden": {"hidden_layer_sizes": (5, 4), "activation": "gelu", "adaptation": "frozen"},
    "stopped early": {"optimizer": "sgd", "early_stopping": True, "average_last": 0},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_words(name, vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, **SHORT, **NETWORKS[name]).fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, [*reviews[0], *UNSEEN])
    assert loaded.n_iter_ == model.n_iter_
    assert loaded.history_[:, "train_loss"] == model.history_[:, "train_loss"]
    assert loaded.temperature_ == model.temperature_


def test_networks_of_features(numbers, tmp_path):
    X, y = numbers
    model = FineTunedRegressor(hidden_layer_sizes=(4,), **SHORT).fit(X, y)
    assert_equal_models(model, moved(model, tmp_path), X)


def test_networks_trained_in_parts_go_on(vectors, reviews, tmp_path):
    texts, labels = reviews
    model = FineTunedClassifier(vectors, **SHORT).partial_fit(
        texts[:30], labels[:30], ["no", "yes"]
    )
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    loaded.partial_fit(["a zork that is new", "bad"], ["yes", "no"])
    assert loaded.n_iter_ == 2
    assert_equal_models(loaded, pickle.loads(pickle.dumps(loaded)), UNSEEN)
    assert_equal_models(model, load(tmp_path / "elsewhere" / "moved"), UNSEEN)


TRANSFORMERS: dict[str, dict[str, Any]] = {
    "default": {},
    "idf": {"weighting": "idf", "norm": "l2", "lowercase": False},
    "sif": {"weighting": "sif", "remove_components": 1, "dtype": "float64"},
    "poolings": {"pooling": ("max", "mean"), "oov": "hash"},
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name, vectors, reviews, tmp_path):
    model = PretrainedEmbeddingTransformer(vectors, **TRANSFORMERS[name]).fit(reviews[0])
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    for attribute in ("coverage_", "n_features_out_", "components_"):
        np.testing.assert_array_equal(getattr(loaded, attribute), getattr(model, attribute))


def test_several_sources_and_compressed_tables(vectors, reviews, tmp_path):
    small = vectors.reduce(2)
    model = FineTunedClassifier([vectors.astype("int8"), small.astype("float16")]).fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    assert [table.matrix.dtype.name for table in loaded.pretrained_] == ["int8", "float16"]
    assert loaded.pretrained == loaded.pretrained_


def test_tables_with_a_tokenizer(reviews, tmp_path):
    static = PretrainedVectors.load(save_model(tmp_path / "static", word_piece()))
    for estimator in (FineTunedClassifier(static), PretrainedEmbeddingTransformer(static)):
        (tmp_path / type(estimator).__name__).mkdir()
        with warnings.catch_warnings(action="ignore"):  # about the coverage of so few tokens
            model = estimator.fit(*reviews)
        assert_equal_models(model, moved(model, tmp_path / type(estimator).__name__), UNSEEN)


def test_continued_vectors(vectors, reviews, tmp_path):
    model = ContinuedVectors(vectors, random_state=0).fit(reviews[0])
    loaded = moved(model, tmp_path)
    assert list(loaded.vectors_.words) == list(model.vectors_.words)
    np.testing.assert_array_equal(loaded.vectors_.matrix, model.vectors_.matrix)


def test_continued_vectors_as_a_source(vectors, reviews, tmp_path):
    model = FineTunedClassifier(ContinuedVectors(vectors, random_state=0)).fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    assert isinstance(loaded.pretrained, ContinuedVectors)
    assert not hasattr(loaded.pretrained, "vectors_")


def test_output_containers_are_kept(vectors, reviews, tmp_path):
    model = PretrainedEmbeddingTransformer(vectors).set_output(transform="pandas").fit(reviews[0])
    pd.testing.assert_frame_equal(moved(model, tmp_path).transform(UNSEEN), model.transform(UNSEEN))


def test_used_words_alone_make_a_smaller_file(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    loaded = moved(model, tmp_path, vectors="used")
    assert_equal_models(model, loaded, reviews[0])
    assert set(loaded.pretrained_.words) == set(" ".join(reviews[0]).split()) & set(vectors.words)


def test_the_words_that_are_used_do_not_change_the_case(reviews, tmp_path):
    """Of a cased table, the part of the training words may have no upper-case word at all."""
    words = [*("good", "bad", "film", "Paris", "London"), "plot"]
    cased = PretrainedVectors(words, np.random.default_rng(0).random((6, 3)))
    with pytest.warns(UserWarning, match="tokens of the training texts have a"):
        model = FineTunedClassifier(cased).fit(*reviews)
    loaded = moved(model, tmp_path, vectors="used")
    assert cased.cased
    assert loaded.pretrained_.cased
    assert_equal_models(model, loaded, reviews[0])
    reopened = pickle.loads(pickle.dumps(loaded))
    assert_equal_models(model, reopened, reviews[0])


def test_words_that_predict_others_cannot_be_left_out(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, oov="hash").fit(*reviews)
    with pytest.raises(ValueError, match="oov='hash' predicts others"):
        model.save(tmp_path / "m", vectors="used")
    embed = PretrainedEmbeddingTransformer(vectors).fit(reviews[0])
    with pytest.raises(ValueError, match=r"subset\(texts=texts\)"):
        embed.save(tmp_path / "m", vectors="used")
    assert list(tmp_path.iterdir()) == []


def test_vectors_by_reference(vectors, reviews, tmp_path):
    opened = vectors.save(tmp_path / "vectors")
    model = FineTunedClassifier(opened).fit(*reviews)
    loaded = moved(model, tmp_path, vectors="reference")
    assert_equal_models(model, loaded, UNSEEN)
    (tmp_path / "vectors").rename(tmp_path / "gone")
    with pytest.raises(ModelFormatError, match=r"moved.*vectors.*not there"):
        load(tmp_path / "elsewhere" / "moved")
    load_pretrained(tmp_path / "gone")
    assert_equal_models(model, load(tmp_path / "elsewhere" / "moved"), UNSEEN)


def test_vectors_in_memory_have_no_reference(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    with pytest.raises(ValueError, match="needs vectors with a name or path"):
        model.save(tmp_path / "m", vectors="reference")
    assert list(tmp_path.iterdir()) == []


def test_pairs_and_frames_become_vectors(reviews, vectors, tmp_path):
    pair = (list(vectors.words), np.asarray(vectors.matrix))
    model = FineTunedClassifier([pair, vectors]).fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    assert loaded.pretrained == loaded.pretrained_


def test_names_and_paths_stay_names(vectors, reviews, tmp_path):
    path = tmp_path / "vectors"
    vectors.save(path)
    model = FineTunedClassifier(path, checkpoint=tmp_path).set_params(random_state=None)
    with pytest.warns(UserWarning, match="checkpoint"):
        model.fit(*reviews)
    loaded = moved(model, tmp_path)
    assert loaded.pretrained == path
    assert loaded.checkpoint == tmp_path


def test_tokenizers_are_imported_if_they_are_trusted(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, tokenizer=str.split).fit(*reviews)
    model.save(tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"load\(path, trusted=\['builtins.str.split'\]\)"):
        load(tmp_path / "m")
    assert_equal_models(model, load(tmp_path / "m", trusted=["builtins.str.split"]), UNSEEN)


def test_random_states_are_kept(vectors, reviews, tmp_path):
    state = np.random.RandomState(3)
    model = FineTunedClassifier(vectors, random_state=state).fit(*reviews)
    assert moved(model, tmp_path).random_state.randint(1 << 30) == state.randint(1 << 30)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("tokenizer", lambda text: text.split()), ("callbacks", [object()])],
    ids=["lambda", "callbacks"],
)
def test_objects_without_a_name_are_refused(parameter, value, vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    model.set_params(**{parameter: value})
    with pytest.raises(TypeError, match=f"{parameter}.*has no name in a module"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_estimators_that_are_not_fitted_are_refused(vectors, tmp_path):
    for estimator in (FineTunedClassifier(vectors), PretrainedEmbeddingTransformer(vectors)):
        with pytest.raises(NotFittedError):
            estimator.save(tmp_path / "m")
    with pytest.raises(TypeError, match="estimator"):
        save("model", tmp_path / "m")


def test_unknown_options_are_refused(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    with pytest.raises(ValueError, match="vectors must be 'all', 'used' or 'reference'"):
        model.save(tmp_path / "m", vectors="some")


def test_loaded_models_are_fitted_anew(vectors, reviews, tmp_path):
    texts, labels = reviews
    model = FineTunedClassifier(vectors, random_state=0).fit(texts, labels)
    loaded = moved(model, tmp_path)
    with pytest.raises(ValueError, match="Call fit to train anew"):
        loaded.partial_fit(texts, labels)
    assert_equal_models(model, loaded, UNSEEN)
    assert_equal_models(model, loaded.fit(texts, labels), UNSEEN)


def test_models_of_models_are_equal_files(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    model.save(tmp_path / "one.zip")
    load(tmp_path / "one.zip").save(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_the_pickle_of_a_loaded_model(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, pickle.loads(pickle.dumps(loaded)), UNSEEN)


SERVING = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "gensim", "skorch", "tokenizers", "transformers"}:
            raise ModuleNotFoundError(f"no module {name}", name=name)
sys.meta_path.insert(0, Refused())
import numpy as np
from sklearn_transfer import load
texts = ["a good film", "poor zork", "", "The GREAT plot"]
for name, method in (("model", "predict_proba"), ("embed.zip", "transform")):
    found = getattr(load(name), method)(texts)
    assert np.array_equal(found, np.load(f"{name}.npy")), found
"""


def test_serving_needs_neither_torch_nor_gensim(vectors, reviews, tmp_path):
    texts = ["a good film", "poor zork", "", "The GREAT plot"]
    model = FineTunedClassifier(vectors).fit(*reviews)
    embed = PretrainedEmbeddingTransformer(vectors, weighting="idf").fit(reviews[0])
    for estimator, name in ((model, "model"), (embed, "embed.zip")):
        save(estimator, tmp_path / name)
    np.save(tmp_path / "model.npy", model.predict_proba(texts))
    np.save(tmp_path / "embed.zip.npy", embed.transform(texts))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", SERVING], check=True, cwd=tmp_path, env=environment, timeout=60
    )


def body() -> torch.nn.Module:
    """A module from (n, 8) to (n, 5), with the same weights at each call."""
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return module


ADAPTED: dict[str, dict[str, Any]] = {
    "frozen": {"adaptation": "frozen"},
    "top": {"adaptation": "top-1", **SHORT},
    "full": {"adaptation": "full", "l2_sp": 0.1, **SHORT},
    "contrastive": {"adaptation": "contrastive", "random_state": 0, "device": "cpu"},
    "contrastive, hidden": {"adaptation": "contrastive", "hidden_layer_sizes": (3,), **SHORT},
}


@pytest.mark.parametrize("name", ADAPTED)
def test_modules_of_the_user_give_the_architecture(name, numbers, tmp_path):
    X, y = numbers[0].astype(np.float32), numbers[1]
    model = FineTunedClassifier(body(), **ADAPTED[name]).fit(X, y)
    model.save(tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"weights of a Sequential.*pretrained=module"):
        load(tmp_path / "m")
    other = body()
    torch.nn.init.zeros_(other[0].weight)
    assert_equal_models(model, load(tmp_path / "m", pretrained=other), X)
    with pytest.raises(ModelFormatError, match="do not fit"):
        load(tmp_path / "m", pretrained=torch.nn.Linear(8, 5))


class Pooled(torch.nn.Module):
    """A reader of the user."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.linear(vectors).sum(1)


def test_readers_of_the_user_give_the_architecture(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, encoder=Pooled(), **SHORT).fit(*reviews)
    model.save(tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"weights of a Pooled.*encoder=module"):
        load(tmp_path / "m")
    assert_equal_models(model, load(tmp_path / "m", encoder=Pooled()), UNSEEN)


@pytest.mark.parametrize("name", ADAPTED)
def test_sentence_encoders(name, tiny_model, reviews, tmp_path):
    model = FineTunedClassifier(ContextualModel(tiny_model, device="cpu"), **ADAPTED[name])
    model.fit(*reviews)
    loaded = moved(model, tmp_path)
    assert_equal_models(model, loaded, UNSEEN)
    assert loaded.pretrained_.fingerprint == model.pretrained_.fingerprint
    tensors = (tmp_path / "elsewhere" / "moved" / "tensors.safetensors").stat().st_size
    weights = (tiny_model / "model.safetensors").stat().st_size
    assert tensors > weights if name == "full" else name != "frozen" or tensors < weights


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_features_of_sentence_encoders(suffix, tiny_model, vectors, reviews, tmp_path):
    contextual = ContextualModel(tiny_model, max_tokens=4, device="cpu")
    model = PretrainedEmbeddingTransformer([vectors, contextual]).fit(reviews[0])
    loaded = moved(model, tmp_path, suffix)
    assert_equal_models(model, loaded, UNSEEN)
    assert_equal_models(model, pickle.loads(pickle.dumps(loaded)), UNSEEN)


def test_sentence_encoders_by_reference(tiny_model, reviews, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "encoder")
    weights = load_file(copy / "model.safetensors")  # other content than that of other folders
    changed = {name: 1.01 * tensor for name, tensor in weights.items()}
    save_file(changed, copy / "model.safetensors", metadata={"format": "pt"})
    model = FineTunedClassifier(ContextualModel(copy, device="cpu"), adaptation="frozen")
    model.fit(*reviews).save(tmp_path / "m", vectors="reference")
    assert_equal_models(model, load(tmp_path / "m"), UNSEEN)
    assert not list((tmp_path / "m").glob("encoder*"))
    shutil.rmtree(copy)
    with pytest.raises(ModelFormatError, match="not there"):
        load(tmp_path / "m")


def test_opened_sentence_encoders(tiny_model, reviews, tmp_path):
    library = ContextualModel(tiny_model, device="cpu").library_model
    model = FineTunedClassifier(copy.deepcopy(library), adaptation="frozen").fit(*reviews)
    assert_equal_models(model, moved(model, tmp_path), UNSEEN)
