from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sklearn_transfer import FineTunedClassifier, PretrainedVectors
from sklearn_transfer.explanation.moved_words import find_moved_words

WORDS = ["a", "b", "c", "d", "unknown"]
BEFORE = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])


def test_words_that_moved_most_and_their_neighbours() -> None:
    after = BEFORE.copy()
    after[0], after[2], after[4] = [0.0, 2.0], [0.1, 1.0], [5.0, 5.0]
    first, second = find_moved_words(WORDS, BEFORE, after, n=2, n_neighbours=2)
    assert (first.word, first.before, first.after) == ("a", ("b", "c"), ("c", "b"))
    assert first.distance == pytest.approx(5**0.5)
    assert (second.word, second.before, second.after) == ("c", ("b", "a"), ("a", "b"))
    assert len(find_moved_words(WORDS, BEFORE, after, n=99, n_neighbours=99)) == 4


def test_words_of_a_model(vectors: PretrainedVectors, reviews: Any) -> None:
    model = FineTunedClassifier(vectors, encoder="cnn", max_epochs=3, random_state=0).fit(*reviews)
    moved = model.moved_words(n=4, n_neighbours=3)
    assert [word.distance for word in moved] == sorted((w.distance for w in moved), reverse=True)
    assert {word.word for word in moved} <= set(vectors.words)
    before = vectors.matrix[vectors.words.find([moved[0].word])[0]]
    row = model._fitted.representation.features.vocabulary.index(moved[0].word)
    after = model.module_.encoder.rows[row].detach().numpy()
    assert moved[0].distance == pytest.approx(np.linalg.norm(after - before), rel=1e-5)
    assert "zork" not in {word.word for word in model.moved_words(n=99)}  # it had no vector


def test_models_without_trained_vectors(
    vectors: PretrainedVectors, reviews: Any, numbers: Any
) -> None:
    for model in (
        FineTunedClassifier(vectors).fit(*reviews),
        FineTunedClassifier().fit(*numbers),
    ):
        with pytest.raises(ValueError, match=r"moved_words needs word vectors that were trained"):
            model.moved_words()
