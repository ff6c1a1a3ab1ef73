"""Texts in scripts without spaces between words, by the default model and its relatives."""

import pickle

import numpy as np
import pytest
from toys import MINIBATCH

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    load,
)

# Sentences of a topic and an opinion, written without spaces. The opinion is the class.
LANGUAGES = {
    "Japanese": (
        ["この店は", "映画が", "ラーメンは", "サービスが"],
        ["おいしい", "すばらしい", "最高です"],
        ["まずい", "ひどい", "最悪です"],
        "。",
    ),
    "Thai": (
        ["ร้านนี้", "หนังเรื่องนี้", "อาหาร", "บริการ"],
        ["ดีมาก", "อร่อย", "สุดยอด"],
        ["แย่มาก", "ห่วย", "ผิดหวัง"],
        " ",
    ),
}


def write(language, *, unseen=False):
    topics, good, bad, mark = LANGUAGES[language]
    topics = topics[-1:] if unseen else topics[:-1]
    texts = [f"{t}{o}{mark}{t}{o}" for t in topics for o in good + bad]
    return texts, ["good", "good", "good", "bad", "bad", "bad"] * len(topics)


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture
def characters(language):
    """Random vectors of its characters."""
    found = sorted({c for part in LANGUAGES[language][:3] for word in part for c in word})
    rows = np.random.default_rng(0).standard_normal((len(found), 8))
    return PretrainedVectors(found, rows)


@pytest.mark.parametrize("params", [{}, {"tokenizer": list}])
def test_the_default_model_reads_characters(language, characters, params, tmp_path):
    model = FineTunedClassifier(characters, **params).fit(*write(language))
    assert model.token_unit_ == "character"
    assert model.coverage_ > 0.7
    texts, labels = write(language, unseen=True)
    assert model.score(texts, labels) == 1
    model.save(tmp_path / "model")
    for other in (
        pickle.loads(pickle.dumps(model)),
        load(tmp_path / "model", trusted=["builtins.list"]),
    ):
        assert other.token_unit_ == "character"
        np.testing.assert_array_equal(other.predict_proba(texts), model.predict_proba(texts))


def test_an_explanation_has_the_places_of_characters(language, characters):
    model = FineTunedClassifier(characters).fit(*write(language))
    texts, _ = write(language, unseen=True)
    explanation = model.explain(texts[:1])
    assert "".join(explanation.tokens) == texts[0].replace(" ", "")
    assert [texts[0][i] for i in explanation.start] == list(explanation.tokens)
    assert explanation.method == "exact"
    total = explanation.contributions.sum(axis=0) + explanation.baseline[0]
    np.testing.assert_allclose(total, explanation.logits[0], rtol=1e-4)


def test_parameters_override_what_suits_characters(language, characters):
    texts, labels = write(language)
    ngrams = {}
    for ngram_range in ("auto", (1, 4), (1, 2)):
        model = FineTunedClassifier(characters, ngram_range=ngram_range).fit(texts, labels)
        ngrams[ngram_range] = len(model.module_.token_weights)
    assert ngrams["auto"] == ngrams[1, 4] > ngrams[1, 2]
    words = FineTunedClassifier(characters, tokenizer=str.split)
    with pytest.warns(UserWarning, match="tokenizer=list splits texts into characters"):
        words.fit(texts, labels)
    assert words.token_unit_ == "word"


def test_networks_and_pooled_vectors_read_characters(language, characters):
    texts, labels = write(language)
    network = FineTunedClassifier(characters, **MINIBATCH).fit(texts, labels)
    embed = PretrainedEmbeddingTransformer(characters).fit(texts)
    for model in (network, embed):
        assert model.token_unit_ == "character"
        assert model.coverage_ > 0.7
    continued = ContinuedVectors(characters, epochs=1, min_count=1, random_state=0).fit(texts)
    assert {len(word) for word in continued.vectors_.words} == {1}


def test_characters_are_read_next_to_words_of_another_script(vectors):
    end = "。 the film a plot the film a plot"
    texts = [f"{text}{end}" for text in ["演员好看", "剧情好看", "演员难看", "剧情难看"] * 3]
    model = FineTunedClassifier(vectors).fit(texts, [1, 1, 0, 0] * 3)
    assert model.token_unit_ == "word"
    assert model.predict([f"音乐好听{end}", f"音乐难听{end}"]).tolist() == [1, 0]


def test_texts_in_words_have_words_as_tokens(vectors, reviews):
    model = FineTunedClassifier(vectors).fit(*reviews)
    assert model.token_unit_ == "word"
    assert PretrainedEmbeddingTransformer(vectors).fit(reviews[0]).token_unit_ == "word"


def test_numbers_have_no_tokens():
    model = FineTunedClassifier().fit(np.eye(4), [0, 1, 0, 1])
    assert model.token_unit_ is None


def test_parts_may_bring_a_script_without_spaces_late(language, characters):
    texts, labels = write(language)
    rows = np.vstack([characters.matrix, np.eye(3, 8)])
    vectors = PretrainedVectors([*characters.words, "plot", "good", "bad"], rows)
    model = FineTunedClassifier(vectors, lr=0.05, random_state=0)
    model.partial_fit(["good plot", "bad plot"], ["good", "bad"], classes=["good", "bad"])
    for _ in range(30):
        model.partial_fit(texts, labels)
    assert model.score(*write(language, unseen=True)) > 0.8


def test_parts_of_separated_words_stay_words():
    words = ["映画", "店", "最高", "最悪"]
    vectors = PretrainedVectors([*words, "good", "bad"], np.eye(6))
    model = FineTunedClassifier(vectors, lr=0.05, random_state=0)
    separated = ["映画 最高", "店 最高", "映画 最悪", "店 最悪"]
    model.partial_fit(separated, ["good", "good", "bad", "bad"], classes=["good", "bad"])
    for _ in range(30):
        model.partial_fit(separated, ["good", "good", "bad", "bad"])
    before = model.decision_function(separated)
    # Words without a vector alone, as a small part may have them.
    model.partial_fit(["ラーメン屋 おいしい"], ["good"])
    assert np.abs(model.decision_function(separated) - before).max() < 1
    assert model.predict(separated).tolist() == ["good", "good", "bad", "bad"]
