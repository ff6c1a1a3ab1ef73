from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sklearn_transfer.text.bag.bag_features import BagFeatures
from sklearn_transfer.text.linear.linear_model import LinearModel
from sklearn_transfer.text.tokenization.tokens import Tokenization
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors

TRAIN = ["The cat sat on the mat, the cat!", "Paris? paris on a mat", "", "nothing known here"]
TEXTS = [*TRAIN, "CAT sat unheard PARIS paris", "mat mat mat The", "zzz"]
rng = np.random.default_rng(0)
LOWER = PretrainedVectors(["the", "cat", "sat", "mat", "on", ",", "known"], rng.normal(size=(7, 4)))
CASED = PretrainedVectors(
    ["the", "The", "cat", "Paris", "paris", "on", "sat", "mat"], rng.normal(size=(8, 3))
)


def fit(tables: list[PretrainedVectors], **settings: object) -> BagFeatures:
    tokenization = Tokenization(None, r"\w+|[^\w\s]", "auto")
    features = BagFeatures(tables, tokenization, **settings)  # type: ignore[arg-type]
    features.fit_transform(TRAIN, None, np.ones(len(TRAIN)))
    return features


def random_model(features: BagFeatures, n_outputs: int = 2) -> LinearModel:
    design = features.transform(TEXTS)
    shapes = design.sparse.shape[1], design.dense.shape[1]
    weights = (rng.normal(size=(n, n_outputs)).astype(np.float32) for n in shapes)
    return LinearModel(*weights, rng.normal(size=n_outputs).astype(np.float32))


def totals(values: NDArray[np.float64], text: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.zeros((len(TEXTS), values.shape[1]))
    np.add.at(result, text, values)
    return result


@pytest.mark.parametrize("chars", [None, (2, 4)], ids=["words", "characters"])
@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2), (2, 3)], ids=str)
@pytest.mark.parametrize("tables", [[LOWER], [CASED], [LOWER, CASED], []], ids=len)
def test_parts_of_tokens_and_the_constant_add_up_to_the_design(
    tables: list[PretrainedVectors], ngrams: tuple[int, int], chars: tuple[int, int] | None
) -> None:
    features = fit(tables, ngram_range=ngrams, char_ngram_range=chars)
    design, parts = features.transform(TEXTS), features.decompose(features.place(TEXTS))
    text = parts.token_ids.text_index
    sparse = totals(parts.sparse.toarray(), text)
    np.testing.assert_allclose(sparse, design.sparse.toarray(), atol=1e-6)
    for part in parts.vectors:
        dense = part.rows[parts.token_ids.ids] * part.factors[:, None]
        np.testing.assert_allclose(
            totals(dense, text) + part.constant, design.dense[:, part.columns], atol=1e-6
        )
    model, outputs = random_model(features), np.tile([1, 0], (len(TEXTS), 1))
    logits = totals(parts.contributions(model, outputs), text) + parts.baseline(model, outputs)
    np.testing.assert_allclose(logits, model.logits(design)[:, ::-1], atol=1e-5)


def test_contributions_are_those_of_a_loop_at_the_norms_of_the_text() -> None:
    features = fit([LOWER], ngram_range=(1, 2))
    text = "the cat sat on the cat"
    design, parts = features.transform([text]), features.decompose(features.place([text]))
    model = random_model(features, 1)
    found = parts.contributions(model, np.zeros((1, 1), dtype=int))[:, 0]
    words = text.split()
    # Norms cancel in the ratio of a value and that of the same text without its scaling: what is
    # left is (1 + ln tf) idf, shared by the occurrences, and for bigrams by both words.
    expected = np.zeros(len(words))
    for column in design.sparse.indices:
        value = design.sparse[[0], :].toarray()[0, column] * model.token_weights[column, 0]
        places = [
            range(i, i + n)
            for n in (1, 2)
            for i in range(len(words) - n + 1)
            if column in features.transform([" ".join(words[i : i + n])]).sparse.indices
            and not (n == 2 and is_word(features, words[i : i + 2], column))
        ]
        for place in places:
            expected[list(place)] += value / len(places) / len(place)
    tokens = LOWER.words.find(words)
    frequency = {w: sum(w in t.lower().split() for t in TRAIN) for w in set(words)}
    idf = {w: np.log((1 + len(TRAIN)) / (1 + f)) + 1 for w, f in frequency.items()}
    rows = np.array([LOWER.matrix[i] if i >= 0 else np.zeros(4) for i in tokens])
    weight = np.array([(1 + np.log(words.count(w))) / words.count(w) * idf[w] for w in words])
    parts_of_words = rows * weight[:, None]
    # The dense row is `factor * sum - constant`; the factor is that of the whole text.
    (vectors,) = parts.vectors
    total = parts_of_words.sum(axis=0)
    factor = np.linalg.lstsq(total[:, None], design.dense[0] - vectors.constant[0], rcond=None)[0]
    expected += factor * (parts_of_words @ model.head[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def is_word(features: BagFeatures, pair: list[str], column: int) -> bool:
    """Whether a column of two words is that of one of them."""
    return any(column in features.transform([word]).sparse.indices for word in pair)


@pytest.mark.parametrize("tables", [[LOWER], [LOWER, CASED]], ids=len)
def test_coefficients_of_each_text(tables: list[PretrainedVectors]) -> None:
    features = fit(tables, token_weights=False)
    parts, model = features.decompose(features.place(TEXTS)), random_model(features)
    gradients = [np.tile(model.head[:, k], (len(TEXTS), 1)) for k in (0, 1)]
    outputs = np.tile([0, 1], (len(TEXTS), 1))
    np.testing.assert_allclose(
        parts.project(gradients), parts.contributions(model, outputs), atol=1e-9
    )


def test_a_large_collection_in_one_matrix() -> None:
    features = fit([LOWER])
    texts = TEXTS * 100
    placed = features.place(texts)
    model, outputs = random_model(features, 1), np.zeros((len(texts), 1), dtype=int)
    whole = features.decompose(placed).contributions(model, outputs)
    once = features.decompose(features.place(TEXTS)).contributions(model, outputs[: len(TEXTS)])
    np.testing.assert_allclose(whole, np.tile(once, (100, 1)))
