"""`BagFeatures` against the documented formulas, by dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
    Array,
    columns,
    fit,
    membership,
    tokenization,
)

from sklearn_transfer.text.bag.bag_features import BagFeatures
from sklearn_transfer.text.tokenization.tokens import TOKEN_PATTERN, find_tokenizer
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors


def bags(tokens: Sequence[str], ngrams: tuple[int, int], chars: tuple[int, int] | None) -> Any:
    """The counts of every block: words, each length of n-grams, characters."""
    low = [token.lower() for token in tokens]
    blocks: list[Counter[Any]] = [
        Counter(tuple(low[i : i + n]) for i in range(len(low) - n + 1))
        for n in range(ngrams[0], ngrams[1] + 1)
    ]
    if chars:
        spelled = [f" {word} " for word in low]
        blocks.append(
            Counter(
                word[i : i + n]
                for word in spelled
                for n in range(chars[0], chars[1] + 1)
                for i in range(len(word) - n + 1)
            )
        )
    return blocks


def scale(rows: Sequence[Counter[Any]], members: Array, weight: Array) -> Mapping[Any, float]:
    ratio = {}
    for gram in {gram for row in rows for gram in row}:
        has = np.array([gram in row for row in rows])
        logs = []
        for member in members.T == 1:
            here = ((weight * has)[member].sum() + 1) / (weight[member].sum() + 2)
            elsewhere = ((weight * has)[~member].sum() + 1) / (weight[~member].sum() + 2)
            logs.append(abs(np.log(here / elsewhere)))
        ratio[gram] = max(logs)
    mean = np.mean(list(ratio.values())) if ratio else 1
    return {gram: 0.75 + 0.25 * value / (mean or 1) for gram, value in ratio.items()}


class Naive:
    """`BagFeatures` for the token pattern and automatic lower-casing, one text at a time."""

    def __init__(
        self,
        sources: Sequence[PretrainedVectors],
        ngram_range: tuple[int, int],
        chars: tuple[int, int] | None,
        strength: float,
        pull: float,
        weighting: str | None,
    ) -> None:
        self.sources, self.ngram_range, self.chars = sources, ngram_range, chars
        self.strength, self.pull, self.weighting = strength, pull, weighting
        self.cased = any(source.cased for source in sources)

    def tokens(self, texts: Sequence[str]) -> list[list[str]]:
        split = find_tokenizer(None, TOKEN_PATTERN, lowercase=not self.cased)
        found, ids = split(list(texts))
        return [[found[i] for i in ids[np.array([t])].ids] for t in range(len(texts))]

    def fit(self, texts: Sequence[str], members: Array | None, weight: Array) -> Naive:
        tokens = self.tokens(texts)
        self.total = weight.sum()
        counts = [bags(row, self.ngram_range, self.chars) for row in tokens]
        self.columns = []
        for b in range(len(counts[0])):
            rows = [row[b] for row in counts]
            column = {
                gram: self.idf(sum(w for row, w in zip(rows, weight, strict=True) if gram in row))
                for gram in {gram for row in rows for gram in row}
            }
            is_chars = self.chars is not None and b == len(counts[0]) - 1
            if members is not None and not is_chars:
                by_class = scale(rows, members, weight)
                column = {gram: value * by_class[gram] for gram, value in column.items()}
            length = self.ngram_range[0] + b
            self.columns.append((column, 1.0 if length == 1 and not is_chars else 0.7))
        self.order = [sorted(column, key=repr) for column, _ in self.columns]
        self.document_frequency: Counter[str] = Counter()
        self.frequency: Counter[str] = Counter()
        for row, w in zip(tokens, weight, strict=True):
            for token in {token.lower() for token in row}:
                self.document_frequency[token] += w
            for token in row:
                self.frequency[token.lower()] += w
        self.means = [np.average(block, axis=0, weights=weight) for block in self.pooled(tokens)]
        return self

    def idf(self, seen: float) -> float:
        return float(np.log((1 + self.total) / (1 + seen)) + 1)

    def token_weight(self, token: str) -> float:
        if self.weighting == "idf":
            return self.idf(self.document_frequency[token.lower()])
        if self.weighting == "sif":
            share = self.frequency[token.lower()] / sum(self.frequency.values())
            return 1e-3 / (1e-3 + share)
        return 1.0

    def pooled(self, tokens: Sequence[Sequence[str]]) -> list[Array]:
        blocks = []
        for source in self.sources:
            block = np.zeros((len(tokens), source.dim))
            for i, row in enumerate(tokens):
                for token, times in Counter(row).items():
                    entry = token if token in source else token.lower()
                    if entry in source:
                        factor = (1 + np.log(times)) * self.token_weight(token)
                        block[i] += factor * source[entry]
            blocks.append(unit(block))
        return blocks

    def transform(self, texts: Sequence[str]) -> Array:
        tokens = self.tokens(texts)
        parts = []
        counts = [bags(row, self.ngram_range, self.chars) for row in tokens]
        for b, ((column, weight), order) in enumerate(zip(self.columns, self.order, strict=True)):
            block = np.array(
                [
                    [(1 + np.log(row[b][g])) * column[g] if row[b][g] else 0.0 for g in order]
                    for row in counts
                ]
            ).reshape(len(texts), len(order))
            parts.append(unit(block) * weight / np.sqrt(self.pull))
        for block, mean in zip(self.pooled(tokens), self.means, strict=True):
            centred = np.where(block.any(axis=1, keepdims=True), block - mean, 0)
            parts.append(unit(centred) * self.strength / np.sqrt(len(self.sources)))
        return np.concatenate(parts, axis=1)


def unit(rows: Array) -> Array:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


SETTINGS = {
    "words": ([LOWER], (1, 1), None, CODES, "idf"),
    "bigrams": ([LOWER], (1, 2), None, CODES, "idf"),
    "2-3-grams": ([LOWER], (2, 3), None, CODES, None),
    "3-grams": ([LOWER], (3, 3), None, CODES, "idf"),
    "characters": ([LOWER], (1, 2), (2, 4), CODES, "sif"),
    "two classes": ([LOWER], (1, 2), (3, 3), [0, 1, 1, 0, 1, 0, 0], "idf"),
    "no classes": ([LOWER], (1, 2), (2, 3), None, "idf"),
    "cased": ([CASED], (1, 2), (2, 3), CODES, "idf"),
    "cased, sif": ([CASED], (1, 1), None, CODES, "sif"),
    "two sources": ([LOWER, CASED], (1, 2), None, CODES, "idf"),
    "no source": ([], (1, 2), (2, 3), CODES, "idf"),
}


@pytest.mark.parametrize("weight", [np.ones(7), WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize(
    ("sources", "ngrams", "chars", "codes", "weighting"), SETTINGS.values(), ids=SETTINGS
)
def test_features_are_the_documented_formulas(
    sources: list[PretrainedVectors],
    ngrams: tuple[int, int],
    chars: tuple[int, int] | None,
    codes: list[int] | None,
    weighting: Any,
    weight: Array,
) -> None:
    features = BagFeatures(
        sources,
        tokenization(),
        ngram_range=ngrams,
        char_ngram_range=chars,
        pretrained_scale=0.8,
        pull=2.0,
        weighting=weighting,
    )
    learned = fit(features, codes=codes, weight=weight)
    members = None if codes is None else membership(codes).toarray()
    naive = Naive(sources, ngrams, chars, 0.8, 2.0, weighting).fit(TRAIN, members, weight)
    both = np.concatenate([columns(learned), columns(features.transform(NEW))])
    expected = naive.transform([*TRAIN, *NEW])
    assert both.shape == expected.shape
    np.testing.assert_allclose(both @ both.T, expected @ expected.T, atol=1e-5)
