"""Names of classes without features of their own are said."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

from sklearn_transfer import FineTunedClassifier, PretrainedVectors, clear_cache

TEXTS = ["good film", "great plot", "bad film", "awful plot"] * 3
LABELS = ["praise", "praise", "blame", "blame"] * 3
NAMES = {"praise": "good great", "blame": "bad awful"}
FROZEN = {"adaptation": "frozen"}


def warned_of_names(model: FineTunedClassifier, X: Any, y: Any) -> list[str]:
    clear_cache()  # also forgets the warnings that were shown
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    said = (re.search(r"names of (.*)\. The model may", str(w.message)) for w in caught)
    return [match[1] for match in said if match]


@pytest.mark.parametrize(
    ("names", "settings", "lost"),
    [
        ({"praise": "zzz", "blame": "bad"}, FROZEN, "1 of 2 .*: 'zzz'"),
        ({"praise": "zzz", "blame": "qqq"}, FROZEN, "2 of 2 .*: 'qqq', 'zzz'"),
        ({"praise": ["zzz", "good"], "blame": ["Good", "qqq"]}, FROZEN, "2 of 2 .*: 'Good', 'zzz'"),
        ({"praise": "good zzz", "blame": "good qqq"}, FROZEN, "2 of 2 .*: 'good qqq', 'good zzz'"),
        ({"praise": "Good", "blame": "good"}, {}, "2 of 2 .*: 'good', 'Good'"),
        ({"praise": "good film", "blame": "good plot"}, {"max_tokens": 1}, "2 of 2 .*"),
    ],
)
def test_names_without_a_feature_of_their_own(
    vectors: PretrainedVectors, names: Any, settings: Any, lost: str
):
    made = FineTunedClassifier(vectors, class_names=names, **settings)
    (said,) = warned_of_names(made, TEXTS, LABELS)
    assert re.fullmatch(lost, said)


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (NAMES, {}),
        ({"praise": ["zzz", "good"], "blame": "bad"}, FROZEN),
        ({"praise": "zzz", "blame": "bad"}, {}),  # an unknown word has a weight of its own
        ({"praise": "Good", "blame": "good"}, {"lowercase": False}),
        ({"praise": "good", "blame": "bad"}, {**FROZEN, "pretrained_scale": 1e-5}),
    ],
)
def test_names_with_a_feature_of_their_own(vectors: PretrainedVectors, names: Any, settings: Any):
    made = FineTunedClassifier(vectors, class_names=names, **settings)
    assert warned_of_names(made, TEXTS, LABELS) == []


def test_only_the_policy_that_is_chosen_warns_of_names(vectors: PretrainedVectors):
    made = FineTunedClassifier(
        vectors, class_names={"praise": "zzz", "blame": "bad"}, adaptation="auto"
    )
    texts = [f"{text} {word}" for text in TEXTS for word in ("yes", "no", "maybe")] * 8
    said = warned_of_names(made, texts, [label for label in LABELS for _ in range(3)] * 8)
    assert len(said) == (made.adaptation_.policy == "frozen")
    assert len(made.adaptation_.scores) == 2


def test_names_of_columns_and_of_lists_of_tokens(vectors: PretrainedVectors):
    y = np.tile([[1, 0], [1, 1], [0, 1], [0, 0]], (3, 1))
    made = FineTunedClassifier(vectors, class_names=["zzz", "bad"], tokenizer=list, **FROZEN)
    assert warned_of_names(made, [text.split() for text in TEXTS], y) == [
        "1 of 2 classes are zero, or those of another class too: 'zzz'"
    ]


def test_equal_names_alone(vectors: PretrainedVectors):
    made = FineTunedClassifier(vectors, class_names={"a": "Good", "b": "good"}, **FROZEN)
    (said,) = warned_of_names(made, [], [])
    assert said.startswith("2 of 2")
