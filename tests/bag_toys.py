"""Texts, vectors and fits of bags of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_transfer.text.bag.bag_features import BagFeatures
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.text.tokenization.tokens import TOKEN_PATTERN, Tokenization
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors

Array = NDArray[np.float64]

rng = np.random.default_rng(0)
LOWER = PretrainedVectors(["the", "cat", "sat", "mat", "naïve"], rng.normal(size=(5, 4)))
CASED = PretrainedVectors(["the", "The", "cat", "Paris", "paris"], rng.normal(size=(5, 3)))

TRAIN = [
    "The cat sat on the mat, the cat!",
    "the THE The cat",
    "Paris? paris on a mat",
    "",
    "nothing known here at all",
    "a naïve cat sat in Paris",
    "the mat the cat the mat the cat",
]
NEW = ["CAT sat on PARIS", "", "unheard of", "the unheard cat sat", "mat mat mat The", "naïve Cat"]
CODES = [0, 1, 2, 0, 2, 1, 0]
WEIGHT = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.5])


def membership(codes: Sequence[int]) -> csr_array:
    return csr_array(np.eye(max(codes) + 1)[list(codes)])


def tokenization(**settings: Any) -> Tokenization:
    usual = {
        "tokenizer": None,
        "token_pattern": TOKEN_PATTERN,
        "lowercase": "auto",
        "max_tokens": None,
    }
    return Tokenization(**{**usual, **settings})


def fit(
    features: BagFeatures,
    texts: Sequence[str] = TRAIN,
    codes: Sequence[int] | None = CODES,
    weight: NDArray[np.floating] | None = None,
) -> Design:
    members = None if codes is None else membership(codes)
    return features.fit_transform(texts, members, np.ones(len(texts)) if weight is None else weight)


def columns(design: Design) -> Array:
    return np.concatenate([design.sparse.toarray(), design.dense], axis=1).astype(np.float64)


def gram(a: Design, b: Design) -> Array:
    """Inner products: what a linear model learns of features, whatever the order of columns."""
    return columns(a) @ columns(b).T
