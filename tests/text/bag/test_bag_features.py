from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_toys import (
    CASED,
    CODES,
    LOWER,
    NEW,
    TRAIN,
    WEIGHT,
    columns,
    fit,
    membership,
    tokenization,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_transfer import ContextualModel
from sklearn_transfer.text.bag.bag_features import BagFeatures
from sklearn_transfer.text.weights import Weighting
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors


@pytest.fixture(params=["lower", "cased", "both"])
def sources(request: pytest.FixtureRequest) -> list[PretrainedVectors]:
    return {"lower": [LOWER], "cased": [CASED], "both": [LOWER, CASED]}[request.param]


def test_training_texts_have_the_same_features_later(sources: list[PretrainedVectors]) -> None:
    features = BagFeatures(sources, tokenization())
    np.testing.assert_allclose(
        columns(fit(features)), columns(features.transform(TRAIN)), atol=1e-6
    )


def test_a_text_has_the_same_features_alone(sources: list[PretrainedVectors]) -> None:
    features = BagFeatures(sources, tokenization())
    fit(features)
    together = columns(features.transform(NEW))
    alone = [columns(features.transform([text]))[0] for text in NEW]
    np.testing.assert_allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("weighting", ["idf", "sif", None])
def test_a_text_of_weight_two_is_a_text_twice(
    sources: list[PretrainedVectors], weighting: Any
) -> None:
    weighted = BagFeatures(sources, tokenization(), weighting=weighting)
    repeated = BagFeatures(sources, tokenization(), weighting=weighting)
    weight = np.array([1, 2, 1, 3, 1, 1, 2])
    fit(weighted, weight=weight.astype(float))
    twice = np.repeat(np.arange(7), weight)
    fit(repeated, [TRAIN[i] for i in twice], [CODES[i] for i in twice])
    np.testing.assert_allclose(
        columns(weighted.transform(NEW)), columns(repeated.transform(NEW)), atol=1e-6
    )


def test_no_texts_have_no_rows(sources: list[PretrainedVectors]) -> None:
    features = BagFeatures(sources, tokenization())
    learned = fit(features)
    design = features.transform([])
    assert design.sparse.shape == (0, learned.sparse.shape[1])
    assert design.dense.shape == (0, learned.dense.shape[1])


def test_many_texts_have_the_features_of_few(sources: list[PretrainedVectors]) -> None:
    features = BagFeatures(sources, tokenization())
    fit(features)
    many = features.transform(NEW * 600)  # more tokens than are counted at a time
    few = features.transform(NEW)
    np.testing.assert_allclose(columns(many), np.tile(columns(few), (600, 1)), atol=1e-6)


def test_features_are_float32(sources: list[PretrainedVectors]) -> None:
    design = fit(BagFeatures(sources, tokenization()), weight=WEIGHT)
    assert (design.sparse.dtype, design.dense.dtype) == (np.float32, np.float32)


def test_float16_vectors_give_float32_features() -> None:
    assert fit(BagFeatures([LOWER.astype("float16")], tokenization())).dense.dtype == np.float32


@pytest.mark.parametrize("text", ["", "?!", "unheard of"])
def test_a_text_of_unknown_words_is_zero(text: str, sources: list[PretrainedVectors]) -> None:
    features = BagFeatures(sources, tokenization(), char_ngram_range=None)
    fit(features)
    assert not columns(features.transform([text])).any()


def test_texts_without_any_token_can_be_fitted() -> None:
    features = BagFeatures([LOWER], tokenization())
    assert not columns(fit(features, ["", "?"], [0, 1])).any()


def test_a_word_unseen_in_training_is_used_with_its_vector() -> None:
    features = BagFeatures([LOWER], tokenization(), char_ngram_range=None)
    fit(features, ["cat sat", "mat"], [0, 1])
    design = features.transform(["naïve"])
    assert (design.sparse.nnz, bool(design.dense.any())) == (0, True)


def test_a_cased_word_is_looked_up_as_it_stands_first() -> None:
    features = BagFeatures([CASED], tokenization(), token_weights=False, pretrained_scale=1.0)
    fit(features)
    upper, lower, folded = features.transform(["Paris", "paris", "PARIS"]).dense
    assert np.abs(upper - lower).max() > 0.1
    np.testing.assert_array_equal(folded, lower)


def test_the_columns_of_words_do_not_tell_case() -> None:
    features = BagFeatures([CASED], tokenization())
    fit(features)
    upper, lower = features.transform(["PARIS Cat", "paris cat"]).sparse.toarray()
    np.testing.assert_array_equal(upper, lower)
    assert upper.any()


def test_the_vocabulary_is_the_tokens_of_the_training_texts() -> None:
    features = BagFeatures([LOWER], tokenization())
    fit(features, ["The cat", "a cat"], [0, 1])
    assert list(features.vocabulary) == ["the", "cat", "a"]


@pytest.mark.parametrize(("lowercase", "words"), [(True, ["paris"]), (False, ["Paris", "paris"])])
def test_lowercase_as_it_is_set_holds_for_cased_vectors(lowercase: bool, words: list[str]) -> None:
    features = BagFeatures([CASED], tokenization(lowercase=lowercase))
    fit(features, ["Paris", "paris"], [0, 1])
    assert list(features.vocabulary) == words


def test_without_token_weights_there_are_only_dense_columns() -> None:
    design = fit(BagFeatures([LOWER], tokenization(), token_weights=False))
    assert (design.sparse.shape, design.dense.shape) == ((7, 0), (7, 4))
    assert design.bounds == (0,)


@pytest.mark.parametrize("weighting", ["idf", "sif", None])
def test_texts_that_only_a_contextual_model_reads_have_no_tokens(
    weighting: Weighting, tiny_model: Path
) -> None:
    model = ContextualModel(tiny_model)
    features = BagFeatures(
        [model], tokenization(), token_weights=False, weighting=weighting, pretrained_scale=1.0
    )
    design = features.fit_transform(TRAIN, membership(CODES), WEIGHT)
    assert list(features.vocabulary) == []
    encoded = model.encode(TRAIN)
    encoded /= np.linalg.norm(encoded, axis=1, keepdims=True)
    encoded -= np.average(encoded, axis=0, weights=WEIGHT)
    encoded /= np.linalg.norm(encoded, axis=1, keepdims=True)
    np.testing.assert_allclose(design.dense, encoded, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        features.transform(NEW[:1]).dense[0], features.transform(NEW).dense[0], atol=1e-5
    )


def test_without_sources_there_are_only_sparse_columns() -> None:
    assert fit(BagFeatures([], tokenization())).dense.shape == (7, 0)


def test_the_pull_divides_the_sparse_columns_by_its_root() -> None:
    usual, pulled = (fit(BagFeatures([LOWER], tokenization(), pull=pull)) for pull in (1.0, 4.0))
    np.testing.assert_allclose(pulled.sparse.toarray(), usual.sparse.toarray() / 2, rtol=1e-6)


def test_the_pull_leaves_the_dense_columns() -> None:
    usual, pulled = (fit(BagFeatures([LOWER], tokenization(), pull=pull)) for pull in (1.0, 4.0))
    np.testing.assert_array_equal(pulled.dense, usual.dense)


def test_pretrained_scale_is_the_norm_of_a_dense_block() -> None:
    dense = fit(BagFeatures([LOWER, CASED], tokenization(), pretrained_scale=0.3)).dense
    length = np.linalg.norm(dense[[0, 5]], axis=1)
    np.testing.assert_allclose(length, 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    ("texts", "scale"),
    [
        (["cat sat", "the mat"], 1.0),  # no text has a word of another
        (["cat mat", "cat mat"], 0.25),
        (["cat zork", "cat blub"], 0.25),  # the vectors do not know these either
        (["", ""], 0.25),
    ],
)
def test_automatic_scale_is_for_words_that_the_vectors_alone_know(
    texts: list[str], scale: float
) -> None:
    features = BagFeatures([LOWER], tokenization())
    fit(features, texts, [0, 1])
    assert features.pretrained_scale == scale


def test_automatic_scale_is_twice_the_unseen_share() -> None:
    features = BagFeatures([LOWER], tokenization(), ngram_range=(1, 1), char_ngram_range=None)
    fit(features, ["cat sat", "cat mat", "cat"], [0, 1, 0])
    common, rare = (1, np.log(2) + 1)  # idf of a word in three and in one of three texts
    share = 2 / 3 * rare**2 / (rare**2 + common**2)
    assert features.pretrained_scale == pytest.approx(min(2 * share, 1))


def test_words_that_are_hashed_do_not_count_as_known() -> None:
    scales = []
    for oov in ("ignore", "hash"):
        features = BagFeatures([LOWER], tokenization(), oov=oov)
        fit(features, ["cat zork", "cat blub", "cat flurp", "cat"], [0, 1, 0, 1])
        scales.append(features.pretrained_scale)
    assert scales == [0.25, 0.25]


def test_coverage_is_that_of_the_training_texts() -> None:
    features = BagFeatures([LOWER, CASED], tokenization())
    fit(features, ["the Cat zork", "paris"], [0, 1])
    assert features.coverage == 0.75


@pytest.mark.parametrize(("length", "has"), [(60, True), (61, False)])
def test_automatic_character_ngrams_are_for_short_texts(length: int, has: bool) -> None:
    features = BagFeatures([LOWER], tokenization(), ngram_range=(1, 1))
    design = fit(features, ["cat " * length, "mat " * length], [0, 1])
    assert (design.sparse.shape[1] > 2) == has


@pytest.mark.parametrize(("more", "n_columns"), [(998, 4), (999, 2)])
def test_in_many_texts_ngrams_must_occur_twice(more: int, n_columns: int) -> None:
    features = BagFeatures([], tokenization(), ngram_range=(2, 2), char_ngram_range=None)
    design = fit(features, ["a b c", "x y z"], [0, 1], np.array([1.0, 1.0 + more]))
    assert design.sparse.shape[1] == n_columns


def test_in_few_texts_a_light_one_keeps_its_ngrams() -> None:
    features = BagFeatures([], tokenization(), ngram_range=(2, 2), char_ngram_range=(3, 3))
    light, usual = (fit(features, ["a b", "c d"], [0, 1], np.full(2, w)) for w in (0.01, 1.0))
    assert light.sparse.shape == usual.sparse.shape


def test_no_ngram_reaches_over_an_unseen_word() -> None:
    features = BagFeatures([], tokenization(), ngram_range=(2, 2), char_ngram_range=None)
    fit(features, ["a b", "c"], [0, 1])
    assert features.transform(["a x b", "x a b"]).sparse.toarray().astype(bool).tolist() == [
        [False],
        [True],
    ]


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
@pytest.mark.parametrize("chars", [None, (2, 3)])
def test_what_follows_max_tokens_is_not_read(chars: tuple[int, int] | None) -> None:
    long = [f"{text} q w e r t y u" for text in ["a b c", "b c d", "c d e"]]
    features = [
        BagFeatures([LOWER], tokenization(max_tokens=3), char_ngram_range=chars) for _ in "12"
    ]
    designs = [fit(features[0], long, [0, 1, 1])]
    designs.append(fit(features[1], [text[:5] for text in long], [0, 1, 1]))
    np.testing.assert_array_equal(columns(designs[0]), columns(designs[1]))
    np.testing.assert_array_equal(
        *(columns(feature.transform(["q a b c d e", "e c"])) for feature in features)
    )


def test_hashed_words_have_a_dense_part() -> None:
    features = BagFeatures([LOWER], tokenization(), oov="hash")
    fit(features)
    assert features.transform(["unheard"]).dense.any()


def test_hashed_words_weigh_as_if_the_table_had_them() -> None:
    tokens = sorted({token for text in TRAIN + NEW for token in text.lower().split()})
    index, vectors = LOWER.look_up(tokens, oov="hash")
    whole = PretrainedVectors(tokens, vectors[index])
    hashing, knowing = (
        BagFeatures([source], tokenization(tokenizer=str.split), oov=oov, pretrained_scale=1.0)
        for source, oov in ((LOWER, "hash"), (whole, "ignore"))
    )
    np.testing.assert_allclose(fit(hashing).dense, fit(knowing).dense, atol=1e-6)
    found, expected = hashing.transform(NEW).dense, knowing.transform(NEW).dense
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Only .* have a pretrained vector")
@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    st.lists(st.text(alphabet="ab Aé."), min_size=2, max_size=5),
    st.lists(st.text(alphabet="ab cA.\n"), min_size=1, max_size=4),
)
def test_features_are_finite_and_rows_are_bounded(train: list[str], new: list[str]) -> None:
    vectors = PretrainedVectors(["a", "A", "b", "ab"], [[1.0, 0], [0, 1], [-1, 2], [0, 0]])
    features = BagFeatures([vectors], tokenization())
    fit(features, train, [i % 2 for i in range(len(train))])
    lengths = np.linalg.norm(columns(features.transform(new)), axis=1)
    # Squares of 1 (words), 0.7 (bigrams), 0.7 (characters) and a pretrained scale of at most 1.
    assert (lengths <= np.sqrt(1 + 0.49 + 0.49 + 1) + 1e-5).all()
