from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_transfer.text.ngrams import count_tokens
from sklearn_transfer.text.tokenization.tokens import find_tokenizer
from sklearn_transfer.text.weights import learn_term_weights, supervised_scale, unseen_share

Array = NDArray[np.float64]

KNOWN = {"the", "cat", "sat", "mat"}
MIXED = ["cat cat sat", "cat mat", "", "the cat sat the zork", "mat mat"]


def counted(texts: Sequence[str]) -> tuple[list[str], csr_array]:
    tokens, token_ids = find_tokenizer(str.split, "", lowercase=False)(list(texts))
    return tokens, count_tokens(token_ids, len(tokens))


# ---- weights of tokens ----


TEXTS = ["a b a", "a c", ""]


def weights(
    weighting: Any, weight: Sequence[float] = (1, 1, 1), texts: Sequence[str] = TEXTS
) -> list[float]:
    """The weights of a, b and c, and that of a token outside the texts."""
    tokens, token_ids = find_tokenizer(str.split, "", lowercase=False)(texts)
    counts = count_tokens(token_ids, len(tokens))
    return learn_term_weights(weighting, token_ids, counts, np.array(weight, dtype=float)).tolist()


def test_no_weighting_is_one_for_every_token() -> None:
    assert weights(None) == [1, 1, 1, 1]


def test_idf_of_a_token_outside_the_texts_is_the_largest() -> None:
    expected = np.log([4 / 3, 4 / 2, 4 / 2, 4 / 1]) + 1
    np.testing.assert_allclose(weights("idf"), expected, rtol=1e-6)


def test_sif_weighs_by_the_share_of_all_tokens() -> None:
    expected = [1e-3 / (1e-3 + share) for share in (0.6, 0.2, 0.2, 0)]
    np.testing.assert_allclose(weights("sif"), expected, rtol=1e-6)


@pytest.mark.parametrize("weighting", ["idf", "sif"])
def test_term_weights_depend_on_sample_weights(weighting: Any) -> None:
    twice = weights(weighting, (1, 1, 1, 1), ["a b a", "a c", "a c", ""])
    np.testing.assert_allclose(weights(weighting, (1, 2, 1)), twice, rtol=1e-6)


# ---- what training has not seen ----


def naive_unseen_share(texts: Sequence[str], weight: Array) -> float:
    """Of the squared tf-idf of a text, on average, in known words of no other text."""
    rows = [Counter(text.split()) for text in texts]
    shares, weights = [], []
    for i, (row, w) in enumerate(zip(rows, weight, strict=True)):
        squares = {}
        alone = 0.0
        for word, times in row.items():
            others = [weight[j] for j, other in enumerate(rows) if j != i and word in other]
            idf = np.log((1 + weight.sum()) / (1 + sum(others) + w)) + 1
            squares[word] = ((1 + np.log(times)) * idf) ** 2
            # A text of weight 2 is two texts.
            if not others and w <= 1 and word in KNOWN:
                alone += squares[word]
        if squares:
            shares.append(alone / sum(squares.values()))
            weights.append(w)
    return float(np.average(shares, weights=weights))


@pytest.mark.parametrize(
    ("texts", "weight"),
    [
        (MIXED, np.ones(5)),
        (MIXED, np.array([1.0, 2.0, 1.0, 0.5, 3.0])),
        (MIXED, np.full(5, 0.2)),
        (["cat sat", "the mat"], np.ones(2)),
        (["cat mat", "cat mat"], np.ones(2)),
    ],
)
def test_unseen_share_equals_a_loop(texts: list[str], weight: Array) -> None:
    tokens, counts = counted(texts)
    known = np.array([token in KNOWN for token in tokens])
    expected = naive_unseen_share(texts, weight)
    assert unseen_share(counts, known, weight) == pytest.approx(expected)


def test_a_text_of_weight_two_is_two_texts_to_each_other() -> None:
    texts, weight = ["cat sat", "cat mat", "the"], np.array([1.0, 2.0, 1.0])
    twice = [*texts, texts[1]]
    shares = []
    for some, w in ((texts, weight), (twice, np.ones(4))):
        tokens, counts = counted(some)
        shares.append(unseen_share(counts, np.ones(len(tokens), dtype=bool), w))
    assert shares[0] == pytest.approx(shares[1])


def test_nothing_is_unseen_in_texts_without_words() -> None:
    tokens, counts = counted(["", ""])
    assert unseen_share(counts, np.zeros(len(tokens), dtype=bool), np.ones(2)) == 0


# ---- what a column tells of the classes ----


def naive_scale(counts: Array, members: Array, weight: Array) -> Array:
    ratios = []
    for inside in members.T == 1:
        share, rest = (
            (weight[rows] @ (counts[rows] > 0) + 1) / (weight[rows].sum() + 2)
            for rows in (inside, ~inside)
        )
        ratios.append(np.abs(np.log(share / rest)))
    ratio = np.max(ratios, axis=0)
    scale: Array = 0.75 + 0.25 * ratio / ratio.mean()
    return scale


@pytest.mark.parametrize("n_columns", [1, 12, 70_000])
@pytest.mark.parametrize("several", [False, True])
def test_supervised_scale_equals_the_formula(n_columns: int, several: bool) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.7, (30, n_columns)).astype(np.float32)
    members = rng.random((30, 4)) < 0.4 if several else np.eye(4)[rng.integers(4, size=30)]
    members, weight = members.astype(float), rng.random(30) + 0.5
    scale = supervised_scale(csr_array(counts), csr_array(members), weight)
    assert scale.dtype == np.float32
    np.testing.assert_allclose(scale, naive_scale(counts, members, weight), rtol=1e-5)


def test_without_columns_there_is_nothing_to_scale() -> None:
    found = supervised_scale(csr_array((3, 0)), csr_array(np.eye(3)), np.ones(3))
    assert found.shape == (0,)
