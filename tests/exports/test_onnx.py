"""ONNX files give the predictions of the model, in onnxruntime."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from sklearn_transfer import (
    ContextualModel,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedVectors,
    load,
)
from sklearn_transfer._utils.errors import MissingDependencyError
from sklearn_transfer.exports.onnx_graph import Graph

pytest.importorskip("onnx", reason="the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra dev")

TRAINED = {"optimizer": "adam", "max_epochs": 2, "random_state": 0}
MODELS = {
    "the default": {},
    "no characters": {"char_ngram_range": None},
    "word n-grams alone": {"ngram_range": (2, 3), "char_ngram_range": None},
    "words alone": {"ngram_range": (1, 1), "char_ngram_range": None},
    "frozen": {"adaptation": "frozen", "weighting": "sif"},
    "truncated": {"max_tokens": 2},
    "hidden layers": {
        **{"adaptation": "frozen", "hidden_layer_sizes": (4, 3), "activation": "gelu"},
        **{"dropout": 0.2, **TRAINED},
    },
    "mean": {"weighting": "idf", "hidden_layer_sizes": (4,), "activation": "tanh", **TRAINED},
    "attention": {"encoder": "attention", **TRAINED},
    "cnn": {"encoder": "cnn", **TRAINED},
    "two channels": {"encoder": "cnn", "encoder_params": {"multichannel": True}, **TRAINED},
    "gru": {"encoder": "rnn", **TRAINED},
    "lstm": {"encoder": "rnn", "encoder_params": {"cell": "lstm", "layers": 2}, **TRAINED},
}
# Batches of other sizes and lengths: known and unknown words, words that only the table has, none.
BATCHES = [
    ["good film"],
    [""],
    ["", "", ""],
    ["bad, bad and BAD plot", "", "goods zebra", "story awful awful film story " * 9],
]


def run(model, file, texts):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(["predictions"], model.onnx_inputs(texts))
    return found


def check(model, file, batches=BATCHES):
    predict = getattr(model, "predict_proba", model.predict)
    model.export_onnx(file)
    for texts in batches:
        expected = predict(texts)
        found = run(model, file, texts)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("parameters", MODELS.values(), ids=list(MODELS))
def test_models_on_words(vectors, reviews, tmp_path, parameters):
    texts, y = reviews
    model = FineTunedClassifier(vectors, **parameters).fit(texts, y)
    check(model, tmp_path / "model.onnx", [*BATCHES, texts])
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("parameters", [{}, {"char_ngram_range": (2, 3)}])
def test_characters_as_tokens(reviews, tmp_path, parameters):
    letters = PretrainedVectors(list("abdefilmort "), np.eye(12, dtype=np.float32))
    model = FineTunedClassifier(letters, tokenizer=list, **parameters).fit(*reviews)
    assert model.token_unit_ == "character"
    check(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("n_classes", [3, 5])
def test_several_classes(vectors, reviews, tmp_path, n_classes):
    texts = reviews[0]
    y = np.array([f"class {i % n_classes}" for i in range(len(texts))])
    check(FineTunedClassifier(vectors).fit(texts, y), tmp_path / "model.onnx")


def test_several_labels(vectors, reviews, tmp_path):
    texts = reviews[0]
    y = np.array([[i % 2, i % 3 == 0, i % 5 == 1] for i in range(len(texts))]).astype(int)
    model = FineTunedClassifier(vectors).fit(texts, y)
    check(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    thresholds = json.loads(session.get_modelmeta().custom_metadata_map["thresholds"])
    (found,) = session.run(None, model.onnx_inputs(texts))
    assert thresholds != [0.5] * 3
    assert (found > thresholds).astype(int).tolist() == model.predict(texts).tolist()


@pytest.mark.parametrize("n_targets", [1, 2])
def test_values(vectors, reviews, tmp_path, n_targets):
    texts = reviews[0]
    y = np.arange(len(texts) * n_targets).reshape(-1, n_targets) / 7 + 1e5
    y = y[:, 0] if n_targets == 1 else y
    check(FineTunedRegressor(vectors).fit(texts, y), tmp_path / "model.onnx")


def test_several_tables(vectors, reviews, tmp_path):
    other = PretrainedVectors(["film", "zebra"], np.eye(2, 3, dtype=np.float32))
    model = FineTunedClassifier([vectors, other]).fit(*reviews)
    check(model, tmp_path / "model.onnx")
    trained = FineTunedClassifier([vectors, other], **TRAINED).fit(*reviews)
    check(trained, tmp_path / "trained.onnx")


def test_a_loaded_model_writes_the_same(vectors, reviews, tmp_path):
    for name, parameters in (("linear", {}), ("trained", TRAINED)):
        model = FineTunedClassifier(vectors, **parameters).fit(*reviews)
        model.save(tmp_path / name)
        model.export_onnx(tmp_path / "first.onnx")
        loaded = load(tmp_path / name)
        loaded.export_onnx(tmp_path / "second.onnx")
        texts = BATCHES[-1]
        first, second = (run(loaded, tmp_path / f"{n}.onnx", texts) for n in ("first", "second"))
        assert first.tolist() == second.tolist()


def test_used_vectors_leave_out_other_words(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, adaptation="frozen").fit(*reviews)
    others = [word for word in vectors.words if not any(word in text for text in reviews[0])]
    text = f"good {others[0]}"
    model.export_onnx(tmp_path / "used.onnx", vectors="used")
    found = run(model, tmp_path / "used.onnx", [text, "good"])
    assert found[0].tolist() == found[1].tolist()
    np.testing.assert_allclose(found[1:], model.predict_proba(["good"]), atol=1e-5)
    model.export_onnx(tmp_path / "all.onnx")
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("used", "all")]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("parameters", [{}, {"char_ngram_range": None}, {"adaptation": "frozen"}])
def test_the_metadata_suffice_without_this_package(
    vectors, reviews, tmp_path, monkeypatch, parameters
):
    texts = [f"{text} हिन्दी café" for text in reviews[0]]
    model = FineTunedClassifier(vectors, **parameters).fit(texts, reviews[1])
    model.export_onnx(tmp_path / "model.onnx")
    texts = ["A good, good film", "zebra", "", "bad हिन्दी plot", "GREAT cafe\u0301 so\u00adft"]
    monkeypatch.chdir(tmp_path)
    found = run_documented("find_ids", texts)
    np.testing.assert_allclose(found["predictions"], model.predict_proba(texts), atol=1e-5)
    assert found["meta"]["classes"] == model.classes_.tolist()
    expected = model.onnx_inputs(texts)
    known = [sorted(i for i in ids if i >= 0) for ids in found["ids"]]
    for i, ids in enumerate(known):
        assert ids == sorted(expected["ids"][slice(*expected["offsets"][i : i + 2])].tolist())


def run_documented(name, texts):
    """Run the example of docs/exports.md that has a name."""
    page = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (block,) = (block for block in blocks if name in block)
    namespace = {"texts": texts}
    exec(compile(block, "docs/exports.md", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("parameters", [{}, {"encoder": "attention", **TRAINED}])
def test_other_ids_have_no_effect(vectors, reviews, tmp_path, parameters):
    model = FineTunedClassifier(vectors, **parameters).fit(*reviews)
    model.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    ids, offsets = model.onnx_inputs(["good", "film"]).values()
    first = int(offsets[1])
    others = {"ids": np.insert(ids, [0, first, first], [-1, 10**9, -7]), "offsets": offsets.copy()}
    others["offsets"][1:] += [2, 3]
    (found,) = session.run(None, others)
    np.testing.assert_allclose(found, model.predict_proba(["good", "film"]), atol=1e-5)


@pytest.mark.parametrize("change", [[0, 0, -1], [1, 0, 0], [0, 99, 0], [0, 0, 1]])
def test_offsets_that_do_not_fit_are_an_error(vectors, reviews, tmp_path, change):
    model = FineTunedClassifier(vectors).fit(*reviews)
    model.export_onnx(tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
    inputs = model.onnx_inputs(["good", "film"])
    inputs["offsets"] = inputs["offsets"] + change
    with pytest.raises(Exception, match="out of"):  # of a type of onnxruntime's own
        session.run(None, inputs)


@pytest.mark.parametrize("encoder", ["cnn", "rnn"])
def test_gaps_in_sequences_close(vectors, reviews, tmp_path, encoder):
    model = FineTunedClassifier(vectors, encoder=encoder, **TRAINED).fit(*reviews)
    model.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    good, bad, film = model.onnx_inputs(["good bad film"])["ids"][0].tolist()
    ids = np.array([[-1, good, 10**9, film, -1, -1], [bad, good, -1, -1, -1, film], [-1] * 6])
    texts = ["good film", "bad good film", ""]
    (found,) = session.run(None, {"ids": ids})
    np.testing.assert_allclose(found, model.predict_proba(texts), atol=1e-5)
    (found,) = session.run(None, {"ids": np.empty((1, 0), dtype=np.int64)})
    np.testing.assert_allclose(found, model.predict_proba([""]), atol=1e-5)


@pytest.mark.parametrize("parameters", [{}, TRAINED, {"encoder": "attention", **TRAINED}])
def test_long_texts(vectors, reviews, tmp_path, parameters):
    model = FineTunedClassifier(vectors, **parameters).fit(*reviews)
    check(model, tmp_path / "model.onnx", [["poor " * 20_000, "good"]])


def test_words_after_partial_fit(vectors, reviews, tmp_path):
    model = FineTunedClassifier(vectors, **TRAINED).fit(*reviews)
    model.onnx_inputs(["good"])
    model.partial_fit(["brand new good", "strange bad"], ["yes", "no"])
    check(model, tmp_path / "model.onnx", [["a strange brand", "new film fine"]])


def test_what_cannot_be_exported(vectors, reviews, numbers, tmp_path):
    texts, y = reviews
    words = ["Good", *{word for text in texts for word in text.split()}]
    cased = PretrainedVectors(words, np.eye(len(words), 3, dtype=np.float32))
    cases = [
        (FineTunedClassifier().fit(*numbers), "word vectors or with one sentence encoder"),
        (FineTunedClassifier(cased).fit(texts, y), "two spellings and one id"),
        (FineTunedClassifier(vectors, oov="hash").fit(texts, y), r"Fit with oov='ignore'"),
        (
            FineTunedClassifier(vectors, encoder=OwnReader(), **TRAINED).fit(texts, y),
            "a module of your own",
        ),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            model.export_onnx(tmp_path / "model.onnx")
    with pytest.raises(NotFittedError):
        FineTunedClassifier(vectors).export_onnx(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"vectors='all' or 'used', got 'some'"):
        FineTunedClassifier(vectors).fit(texts, y).export_onnx(tmp_path / "m", vectors="some")
    assert not list(tmp_path.iterdir())


class OwnReader(torch.nn.Module):
    """The mean of the vectors of a text."""

    def forward(self, vectors, lengths):
        return vectors.sum(1) / lengths.clamp_min(1)[:, None]


def test_a_file_above_two_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr("sklearn_transfer.exports.onnx_graph._MAX_BYTES", 100)
    graph = Graph()
    with pytest.raises(ValueError, match=r"below 2 GiB.*vectors='used'"):
        graph.add("Neg", np.zeros(26, dtype=np.float32))


def test_without_the_library(vectors, reviews, tmp_path, monkeypatch):
    model = FineTunedClassifier(vectors).fit(*reviews)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="pip install onnx"):
        model.export_onnx(tmp_path / "model.onnx")
    assert model.onnx_inputs(["good"])["offsets"].tolist()[0] == 0


@pytest.mark.parametrize("adaptation", ["contrastive", "top-1"])
def test_sentence_encoders(tiny_model, tmp_path, adaptation):
    pytest.importorskip("onnxscript", reason="the extra onnx")
    texts = ["the cat sat on the mat", "a good film", "", "zebra", "a very bad film and awful"] * 4
    y = np.arange(20) % 3
    encoder = ContextualModel(tiny_model, prompt="the ")
    epochs = {"max_epochs": 1} if adaptation == "top-1" else {}
    model = FineTunedClassifier(encoder, adaptation=adaptation, random_state=0, **epochs)
    model.fit(texts, y)
    check(model, tmp_path / "model.onnx", [texts, ["cat"], ["", "the dog " * 30]])


def test_the_tokenizer_of_an_encoder_is_in_the_metadata(tiny_model, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers", reason="the extra static")
    pytest.importorskip("onnxscript", reason="the extra onnx")
    texts = ["the cat sat", "a good film"]
    encoder = ContextualModel(tiny_model)
    model = FineTunedClassifier(encoder, adaptation="frozen").fit(texts, [0, 1])
    check(model, tmp_path / "model.onnx", [["cat"], ["", "the dog " * 30]])
    (tmp_path / "model.onnx").rename(tmp_path / "encoder.onnx")
    monkeypatch.chdir(tmp_path)
    found = run_documented("encoder.onnx", texts)["predictions"]
    np.testing.assert_allclose(found, model.predict_proba(texts), atol=1e-5)


def test_an_encoder_in_half_precision_is_refused(tiny_model, tmp_path):
    encoder = ContextualModel(tiny_model, precision="float16")
    model = FineTunedClassifier(encoder, adaptation="frozen").fit(["a cat", "a film"], [0, 1])
    with pytest.raises(ValueError, match="precision='float32'"):
        model.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
