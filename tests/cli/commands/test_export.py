"""``export``: files that other programs open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sklearn_transfer import FineTunedClassifier, PretrainedEmbeddingTransformer, load, save


def test_an_onnx_file_predicts_as_the_model(run, saved_model):
    pytest.importorskip("onnx", reason="the extra onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra dev")
    about = json.loads(run("export", saved_model, "--output", "model.onnx", "--json").stdout)
    assert about["n_bytes"] == Path("model.onnx").stat().st_size
    model, texts = load(saved_model), ["superb acting", "", "how awful"]
    session = onnxruntime.InferenceSession("model.onnx")
    (found,) = session.run(None, model.onnx_inputs(texts))
    np.testing.assert_allclose(found, model.predict_proba(texts), atol=1e-5)
    assert (
        "model.onnx exists" in run("export", saved_model, "--output", "model.onnx", code=1).stderr
    )
    options = ("--output", "model.onnx", "--vectors", "used", "--force")
    assert run("export", saved_model, *options).stdout.startswith("Wrote ")


def test_a_static_folder_is_written(run, vectors):
    pytest.importorskip("tokenizers", reason="the extra static")
    model = FineTunedClassifier(vectors, optimizer="adam", max_epochs=1, random_state=0)
    model.fit(["a good film", "a bad plot"] * 4, ["pos", "neg"] * 4).save("trained.zip")
    run("export", "trained.zip", "--format", "model2vec", "--output", "static")
    assert Path("static/model.safetensors").exists()


def test_what_is_refused(run, saved_model, vectors):
    static = ("--format", "model2vec", "--output", "static")
    found = run("export", saved_model, *static, code=1)
    assert "trains its word vectors in mini-batches" in found.stderr
    found = run("export", saved_model, *static, "--vectors", "used", code=2)
    assert "--vectors is for --format onnx." in found.stderr
    pipeline = make_pipeline(PretrainedEmbeddingTransformer(vectors), LinearSVC())
    pytest.importorskip("skops", reason="the extra skops")
    save(pipeline.fit(["a good film", "a bad plot"], ["pos", "neg"]), "pipeline.zip")
    found = run("export", "pipeline.zip", "--output", "model.onnx", code=1)
    assert "a Pipeline has no exports" in found.stderr
    assert not Path("static").exists()
    assert not Path("model.onnx").exists()
