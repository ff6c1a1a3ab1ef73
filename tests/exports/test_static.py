import os

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

pytest.importorskip("tokenizers", reason="the extra static")

from sklearn_transfer import FineTunedClassifier, PretrainedVectors, load

PARAMETERS = {"optimizer": "adam", "max_epochs": 3, "random_state": 0}


@pytest.fixture(params=[None, "idf"])
def fitted(request, vectors: PretrainedVectors, reviews) -> FineTunedClassifier:
    model = FineTunedClassifier(vectors, weighting=request.param, **PARAMETERS)
    return model.fit(*reviews)


def expected_vectors(model: FineTunedClassifier) -> dict[str, np.ndarray]:
    features = model._fitted.representation.features
    rows = model.module_.encoder.rows.detach().numpy() * features.word_weights()[:, None]
    return dict(zip(features.vocabulary, rows, strict=True))


def test_model2vec_opens_it(fitted, tmp_path, reviews):
    model2vec = pytest.importorskip("model2vec", reason="the extra dev")
    fitted.export_static(tmp_path / "static")
    upstream = model2vec.StaticModel.from_pretrained(tmp_path / "static")
    known = expected_vectors(fitted)
    for word, vector in known.items():
        np.testing.assert_allclose(upstream.encode([word])[0], vector, atol=1e-6)
    text = ", ".join(list(known)[:3])
    mean = np.mean(list(known.values())[:3], axis=0)  # a comma is unknown
    np.testing.assert_allclose(upstream.encode([text])[0], mean, atol=1e-6)


def test_marks_are_tokens_as_in_the_model(vectors, reviews, tmp_path):
    model2vec = pytest.importorskip("model2vec", reason="the extra dev")
    texts = [f"{text} !" for text in reviews[0]]
    model = FineTunedClassifier(vectors, **PARAMETERS).fit(texts, reviews[1])
    model.export_static(tmp_path / "static")
    upstream = model2vec.StaticModel.from_pretrained(tmp_path / "static")
    known = expected_vectors(model)
    mean = (known["good"] + 2 * known["!"]) / 3
    np.testing.assert_allclose(upstream.encode(["Good!!"])[0], mean, atol=1e-6)


def test_sentence_transformers_opens_it(fitted, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="the extra contextual")
    fitted.export_static(tmp_path / "static", format="sentence-transformers")
    upstream = library.SentenceTransformer(str(tmp_path / "static"), device="cpu")
    for word, vector in expected_vectors(fitted).items():
        np.testing.assert_allclose(upstream.encode([word])[0], vector, atol=1e-6)


def test_a_model_from_a_file_exports_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    load(tmp_path / "model").export_static(tmp_path / "static")
    vectors = PretrainedVectors.load(tmp_path / "static")
    for word, vector in expected_vectors(fitted).items():
        np.testing.assert_allclose(vectors[word], vector, atol=1e-6)


def test_it_is_a_source_of_ours(fitted, tmp_path):
    fitted.export_static(tmp_path / "static")
    fitted.export_static(tmp_path / "static")  # replaces its own folder
    vectors = PretrainedVectors.load(tmp_path / "static")
    for word, vector in expected_vectors(fitted).items():
        np.testing.assert_allclose(vectors[word], vector, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"optimizer": "auto"}, r"trains its word vectors.*Fit with optimizer='adam'"),
        ({"tokenizer": str.split}, r"no tokenizer and one of.*Fit with one of these"),
        ({"token_pattern": r"\S+"}, r"no tokenizer and one of.*token_pattern='\\\\S\+'"),
    ],
)
def test_models_that_cannot_be_exported(vectors, reviews, tmp_path, parameters, message):
    parameters = {**PARAMETERS, **parameters}
    if parameters["optimizer"] == "auto":
        parameters.pop("max_epochs")
    model = FineTunedClassifier(vectors, **parameters).fit(*reviews)
    with pytest.raises(ValueError, match=message):
        model.export_static(tmp_path / "static")
    assert not list(tmp_path.iterdir())


def test_other_arguments_are_refused(vectors, fitted, tmp_path):
    with pytest.raises(ValueError, match=r"format='model2vec' or 'sentence-transformers', got 'x'"):
        fitted.export_static(tmp_path / "static", format="x")
    with pytest.raises(NotFittedError):
        FineTunedClassifier(vectors).export_static(tmp_path / "static")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text").write_text("mine")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        fitted.export_static(tmp_path / "notes")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fitted.export_static(tmp_path / "nowhere" / "static")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_to(fitted, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        fitted.export_static(tmp_path / "static")
