"""Estimators are equal, bit for bit, after a way through a model file."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_files import UNSEEN, assert_equal_models, moved
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from static_toys import save_model, word_piece

from sklearn_transfer import (
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
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer.training.policies import Frozen

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


def test_requests_of_metadata_are_kept(vectors, reviews, tmp_path):
    with config_context(enable_metadata_routing=True):
        model = FineTunedClassifier(vectors).set_fit_request(sample_weight=True, X_val="other")
        model.fit(*reviews)
        loaded = moved(model, tmp_path)
        assert repr(loaded.get_metadata_routing()) == repr(model.get_metadata_routing())


def test_damaged_requests_of_metadata_are_refused(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors).fit(*reviews)
    for request in (
        {"fit": 1},
        {"fit": {"none": True}},
        {"__class__": {}},
        3,
        {"fit": {"y_val": []}},
    ):
        model.save(tmp_path / "m")
        file = tmp_path / "m" / "config.json"
        about = json.loads(file.read_bytes())
        about["models"][0]["requests"] = request
        del about["digest"]
        about["digest"] = hash_content(json.dumps(about, sort_keys=True))
        file.write_text(json.dumps(about))
        with pytest.raises(ModelFormatError):
            load(tmp_path / "m")
        shutil.rmtree(tmp_path / "m")
