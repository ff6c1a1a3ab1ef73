from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from contextual_toys import MAX_TOKENS, make_library, open_library
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace

from sklearn_transfer import (
    ContextualModel,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    VectorFormatError,
)
from sklearn_transfer import load as load_model

SHORT = ["the cat sat on the mat", "", "a good film"]
WORDS = [
    "the",
    "plot",
    "was",
    "very",
    "bad",
    "and",
    "awful",
    "and",
    "not",
    "good",
    "and",
    "it",
    "was",
    "a",
    "bad",
    "film",
]
LONG = " ".join(WORDS)
TEXTS = [*SHORT, LONG]


def windowed(folder: Path, windows: int | tuple[int, int] = 6, **options) -> ContextualModel:
    return ContextualModel(folder, windows=windows, **{"cache": None, **options})


def cut(n_words: int, step: int) -> list[str]:
    """The windows of the long text."""
    n_windows = 1 + -(-(len(WORDS) - n_words) // step)
    return [" ".join(WORDS[i * step : i * step + n_words]) for i in range(n_windows)]


def average(model: ContextualModel, windows: list[str]) -> np.ndarray:
    features = model.encode(windows)
    mean = np.average(features, axis=0, weights=[len(text.split()) for text in windows])
    return mean / np.linalg.norm(mean) * np.linalg.norm(features, axis=1).mean()


@pytest.mark.parametrize(
    ("windows", "n_words", "step"), [(6, 4, 3), ((8, 6), 6, 6), ((7, 1), 5, 1)]
)
def test_features_are_the_mean_of_windows_by_their_tokens(tiny_model, windows, n_words, step):
    features = windowed(tiny_model, windows).encode([LONG])[0]
    expected = average(ContextualModel(tiny_model), cut(n_words, step))
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert np.linalg.norm(features) == pytest.approx(1, abs=1e-5)


def test_short_texts_have_equal_features_without_windows(tiny_model: Path):
    whole = ContextualModel(tiny_model, cache=None).encode(SHORT)
    np.testing.assert_array_equal(windowed(tiny_model, MAX_TOKENS).encode(SHORT), whole)


def test_windows_begin_with_the_prompt(tiny_model: Path):
    model = windowed(tiny_model, 8, prompt="not good ")
    expected = average(ContextualModel(tiny_model, prompt="not good "), cut(4, 3))
    np.testing.assert_allclose(model.encode([LONG])[0], expected, atol=1e-5)


def test_a_space_after_the_prompt_belongs_to_the_text(tmp_path: Path):
    library = make_library(tmp_path, "bert", intermediate_size=32)
    backend = library[0].processor.backend_tokenizer
    words = {f"▁{word}": i for word, i in backend.get_vocab().items() if word[0] != "["}
    special = {word: i for word, i in backend.get_vocab().items() if word[0] == "["}
    backend.model = WordLevel({**words, **special}, unk_token="[UNK]")
    backend.pre_tokenizer = Metaspace()  # as SentencePiece: a space begins the next word
    model = ContextualModel(library, windows=8, prompt="not good ", cache=None)
    expected = average(ContextualModel(library, prompt="not good ", cache=None), cut(4, 3))
    np.testing.assert_allclose(model.encode([LONG])[0], expected, atol=1e-5)


def test_features_that_are_not_normalised_keep_their_scale(tmp_path: Path):
    library = make_library(tmp_path, "bert", intermediate_size=32)
    features = ContextualModel(library, windows=6, cache=None).encode([LONG])[0]
    single = ContextualModel(library, cache=None).encode(cut(4, 3))
    norms = np.linalg.norm(single, axis=1)
    assert norms.min() <= np.linalg.norm(features) <= norms.max()
    assert norms.max() > 1.1


def test_a_tokenizer_without_special_tokens(tmp_path: Path):
    library = make_library(tmp_path, "bert", intermediate_size=32, special=False)
    features = ContextualModel(library, windows=(4, 3), cache=None).encode([LONG, ""])
    single = ContextualModel(library, cache=None).encode(cut(4, 3))
    mean = np.average(single, axis=0, weights=[4, 4, 4, 4, 4, 1][: len(single)])
    cosine = features[0] @ mean / np.linalg.norm(features[0]) / np.linalg.norm(mean)
    assert cosine == pytest.approx(1, abs=1e-5)
    assert not features[1].any()


def test_very_long_texts_are_read_in_parts(tiny_model: Path):
    text = "good film " * 12_000  # more windows than are held at a time
    features = windowed(tiny_model, (6, 4), batch_tokens=4096).encode([text, LONG])
    np.testing.assert_allclose(
        features[0], ContextualModel(tiny_model).encode(["good film good film"])[0], atol=1e-4
    )
    np.testing.assert_allclose(
        features[1], windowed(tiny_model, (6, 4)).encode([LONG])[0], atol=1e-5
    )


def test_max_tokens_is_the_length_of_the_text(tiny_model: Path):
    model = windowed(tiny_model, 6, max_tokens=10)
    first = " ".join(WORDS[:8])
    np.testing.assert_allclose(
        model.encode([LONG]), windowed(tiny_model, 6).encode([first]), atol=1e-6
    )
    np.testing.assert_array_equal(
        windowed(tiny_model, 6).cut(10).encode([LONG]), model.encode([LONG])
    )


def test_each_text_is_encoded_once_and_windows_are_part_of_the_key(tiny_model, tmp_path: Path):
    first = windowed(tiny_model, 6, cache=tmp_path)
    features = first.encode(TEXTS)
    again = windowed(tiny_model, 6, cache=tmp_path)
    np.testing.assert_array_equal(again.encode(TEXTS), features)
    assert again.cache_info().n_encoded == len(TEXTS)
    for other in (
        windowed(tiny_model, 8, cache=tmp_path),
        ContextualModel(tiny_model, cache=tmp_path),
    ):
        assert not np.allclose(other.encode([LONG]), features[-1:])
        assert other.cache_info().folder != first.cache_info().folder


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (MAX_TOKENS + 1, f"at most {MAX_TOKENS} tokens.*Set windows={MAX_TOKENS}"),
        (2, "more than 2 tokens"),
        ((6, 5), "step of at most 4"),
    ],
)
def test_windows_that_do_not_suit_the_model_are_refused(tiny_model, windows, message: str):
    with pytest.raises(ValueError, match=rf"^Expected.*{message}") as caught:
        windowed(tiny_model, windows).encode(SHORT)
    assert not isinstance(caught.value, VectorFormatError)  # the model is fine


@pytest.mark.parametrize("windows", [0, -1, True, 2.5, "long", (6, 0), (6, 7), (6, 3, 1), ()])
def test_what_is_no_window_is_refused_at_once(tiny_model: Path, windows):
    with pytest.raises(ValueError, match="windows must be None, a positive number"):
        windowed(tiny_model, windows)


def test_pickles_and_the_representation_have_them(tiny_model: Path):
    model = windowed(tiny_model, (6, 4))
    features = model.encode(TEXTS)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.encode(TEXTS), features)
    assert "windows of 6 tokens" in repr(model)
    assert "windows of 6 tokens" in model._repr_html_()


def test_transformers_use_them(tiny_model: Path):
    features = PretrainedEmbeddingTransformer(windowed(tiny_model)).fit_transform(TEXTS)
    assert features.shape == (4, 16)
    assert not np.allclose(
        features, PretrainedEmbeddingTransformer(ContextualModel(tiny_model)).fit_transform(TEXTS)
    )


# ---- classifiers ----

LABELS = ["a", "b", "a", "b"]


@pytest.fixture
def fitted(tiny_model: Path) -> FineTunedClassifier:
    model = windowed(tiny_model, 6)
    return FineTunedClassifier(model, adaptation="frozen", random_state=0).fit(TEXTS, LABELS)


def test_whole_texts_are_covered(fitted: FineTunedClassifier):
    assert fitted.coverage_ == 1.0


@pytest.mark.parametrize("vectors", ["all", "reference"])
def test_model_files_have_them(fitted, tmp_path: Path, vectors: str):
    fitted.save(tmp_path / "model", vectors=vectors)
    again = load_model(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS), atol=1e-6)
    assert again.pretrained_.settings.windows == 6


@pytest.mark.parametrize("adaptation", ["full", "top-1", "contrastive"])
def test_training_is_refused(tiny_model: Path, adaptation: str):
    model = FineTunedClassifier(windowed(tiny_model), adaptation=adaptation)
    with pytest.raises(ValueError, match=r"reads long texts in windows.*adaptation='frozen'"):
        model.fit(TEXTS, LABELS)


def test_auto_keeps_the_features_frozen(tiny_model: Path):
    model = FineTunedClassifier(windowed(tiny_model), adaptation="auto").fit(TEXTS, LABELS)
    assert model.adaptation_.policy == "frozen"


def test_occlusion_explains_all_words_and_gradients_are_refused(fitted):
    explanation = fitted.explain([LONG], method="occlusion")
    assert explanation.tokens.tolist() == WORDS
    with pytest.raises(ValueError, match="Use method='occlusion'"):
        fitted.explain([LONG])


def test_opened_models_have_windows(tiny_model: Path):
    model = ContextualModel(open_library(tiny_model), windows=6, cache=None)
    np.testing.assert_allclose(model.encode([LONG]), windowed(tiny_model).encode([LONG]), atol=1e-6)


def test_graphs_are_refused(fitted: FineTunedClassifier, tmp_path: Path):
    with pytest.raises(ValueError, match="windows are not part of a graph"):
        fitted.export_onnx(tmp_path / "model.onnx")
