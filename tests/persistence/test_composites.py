"""Pipelines and other estimators of scikit-learn in model files."""

from __future__ import annotations

import ast
import copy

import numpy as np
import pandas as pd
import pytest
from model_files import assert_no_pickle
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_transfer import (
    FineTunedClassifier,
    ModelFormatError,
    PretrainedEmbeddingTransformer,
    load,
    save,
)
from sklearn_transfer._utils.errors import MissingDependencyError
from sklearn_transfer.persistence.composites import attach, detach
from sklearn_transfer.persistence.model_files import SavesModel

TEXTS = ["good zork", "", "bad film"]


@pytest.fixture
def pipeline(vectors, reviews):
    embed = PretrainedEmbeddingTransformer(vectors, weighting="idf")
    return make_pipeline(embed, StandardScaler(), LogisticRegression()).fit(*reviews)


def test_marks_are_replaced_in_copies(pipeline, vectors):
    steps = list(pipeline.steps)
    composite, models = detach(pipeline, SavesModel)
    assert models == [steps[0][1]]
    assert pipeline.steps == steps
    assert isinstance(composite.steps[0][1], str)
    assert composite.steps[1:] == steps[1:]
    assert attach(composite, models).steps == steps
    assert detach(models[0], SavesModel)[1] == models
    scaler = StandardScaler()
    assert detach(scaler, SavesModel) == (scaler, [])


def test_models_that_occur_twice_stay_one(vectors):
    model = FineTunedClassifier(vectors)
    composite, models = detach(Pipeline([("a", model), ("b", model)]), SavesModel)
    assert models == [model]
    again = attach(composite, [copy.copy(model)])
    assert again.steps[0][1] is again.steps[1][1]


def test_a_pipeline_needs_skops(pipeline, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "skops.io", None)
    with pytest.raises(MissingDependencyError, match=r"pip install skops"):
        save(pipeline, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_estimators_without_a_model_of_ours_are_refused(tmp_path):
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(TypeError, match=r"got a LogisticRegression.*skops\.io\.dump"):
        save(model, tmp_path / "m")


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("vectors_mode", ["all", "used"])
def test_pipelines(pipeline, suffix, vectors_mode, tmp_path):
    pytest.importorskip("skops")
    save(pipeline, tmp_path / f"m{suffix}", vectors=vectors_mode)
    loaded = load(tmp_path / f"m{suffix}")
    assert [type(step) for _, step in loaded.steps] == [type(step) for _, step in pipeline.steps]
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), pipeline.predict_proba(TEXTS))


def test_columns_unions_and_searches(vectors, reviews, tmp_path):
    pytest.importorskip("skops")
    frame = pd.DataFrame({"text": reviews[0], "n": np.arange(60.0)})
    embed = PretrainedEmbeddingTransformer(vectors)
    columns = make_column_transformer((embed, "text"), (StandardScaler(), ["n"]))
    model = make_pipeline(columns, FineTunedClassifier()).fit(frame, reviews[1])
    save(model, tmp_path / "columns")
    loaded = load(tmp_path / "columns")
    np.testing.assert_array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    union = make_union(embed, FineTunedClassifier(vectors)).fit(*reviews)
    save(union, tmp_path / "union.zip")
    np.testing.assert_array_equal(
        load(tmp_path / "union.zip").transform(TEXTS), union.transform(TEXTS)
    )
    loaded.fit(frame, reviews[1])


def double(X):
    return 2 * X


def test_types_that_are_not_known_are_named(vectors, reviews, tmp_path):
    pytest.importorskip("skops")
    embed = PretrainedEmbeddingTransformer(vectors)
    model = make_pipeline(embed, FunctionTransformer(double), LogisticRegression()).fit(*reviews)
    save(model, tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"m: .*double.*load\(path, trusted=\[") as caught:
        load(tmp_path / "m")
    name = str(caught.value).partition("trusted=['")[2].partition("'")[0]
    loaded = load(tmp_path / "m", trusted=[name])
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_a_damaged_pipeline_is_named(pipeline, tmp_path):
    pytest.importorskip("skops")
    save(pipeline, tmp_path / "m")
    content = bytearray((tmp_path / "m" / "estimator.skops").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "m" / "estimator.skops").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"estimator\.skops"):
        load(tmp_path / "m")


def load_trusting(path):
    """Load a model with the types that it names; types of scikit-learn alone."""
    with pytest.raises(ModelFormatError, match="trusted=") as caught:
        load(path)
    names = ast.literal_eval(str(caught.value).partition("trusted=")[2].removesuffix(")."))
    assert all(name.startswith("sklearn.") for name in names)
    return load(path, trusted=names)


COMPOSITES = {
    "search": lambda model: GridSearchCV(model, {"lowercase": [True, False]}, cv=2),
    "search with a scorer": lambda model: GridSearchCV(
        model, {"lowercase": [True, False]}, cv=2, scoring="accuracy"
    ),
    "calibration": lambda model: CalibratedClassifierCV(model, cv=2),
    "vote": lambda model: VotingClassifier([("a", model), ("b", clone(model))], voting="soft"),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_estimators_inside_other_objects(name, vectors, reviews, tmp_path):
    pytest.importorskip("skops")
    model = COMPOSITES[name](FineTunedClassifier(vectors)).fit(*reviews)
    save(model, tmp_path / "m.zip")
    assert_no_pickle(tmp_path / "m.zip")
    loaded = load_trusting(tmp_path / "m.zip")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_vectors_outside_estimators_are_refused(vectors, reviews, tmp_path):
    pytest.importorskip("skops")
    model = GridSearchCV(FineTunedClassifier(), {"pretrained": [vectors]}, cv=2).fit(*reviews)
    with pytest.raises(TypeError) as caught:
        save(model, tmp_path / "m")
    assert "Of a search, save best_estimator_." in caught.value.__notes__[-1]
    assert not (tmp_path / "m").exists()
    save(model.best_estimator_, tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").predict(TEXTS), model.predict(TEXTS))
