from __future__ import annotations

import numpy as np
import pytest

from sklearn_transfer import Explanation


def make(texts: list[str] | None = None) -> Explanation:
    return Explanation(
        texts=["a b a", "", "c"] if texts is None else texts,
        tokens=np.array(["a", "b", "a", "c"], dtype=object),
        offsets=np.array([0, 3, 3, 4]),
        start=np.array([0, 2, 4, 0]),
        end=np.array([1, 3, 5, 1]),
        contributions=np.array([[1.0, -1.0], [2.0, 0.0], [3.0, 0.5], [-4.0, 4.0]]),
        targets=np.array([["yes", "no"]] * 3),
        logits=np.array([[6.5, -0.5], [0.5, 0.0], [-3.0, 4.0]]),
        baseline=np.array([[0.5, 0.0], [0.5, 0.0], [0.5, 0.0]]),
        method="exact",
    )


def test_sums_and_gaps() -> None:
    explanation = make()
    assert explanation.sums.tolist() == [[6.0, -0.5], [0.0, 0.0], [-4.0, 4.0]]
    # The last but one: 4 instead of 3.5.
    np.testing.assert_allclose(explanation.gaps, [[0, 0], [0, 0], [0.5 / 3.5, 0]])


def test_the_frame_has_a_row_per_text_target_and_token() -> None:
    pytest.importorskip("pandas")
    frame = make().to_frame()
    assert list(frame.columns) == ["text", "target", "token", "start", "end", "contribution"]
    assert frame.to_numpy().tolist() == [
        [0, "yes", "a", 0, 1, 1.0],
        [0, "yes", "b", 2, 3, 2.0],
        [0, "yes", "a", 4, 5, 3.0],
        [0, "no", "a", 0, 1, -1.0],
        [0, "no", "b", 2, 3, 0.0],
        [0, "no", "a", 4, 5, 0.5],
        [2, "yes", "c", 0, 1, -4.0],
        [2, "no", "c", 0, 1, 4.0],
    ]


def test_some_texts() -> None:
    explanation = make()
    assert len(explanation) == 3
    last = explanation[-1]
    assert (last.texts, last.tokens.tolist(), last.offsets.tolist()) == (["c"], ["c"], [0, 1])
    assert last.logits.tolist() == [[-3.0, 4.0]]
    reverse = explanation[::-1]
    assert reverse.texts == ["c", "", "a b a"]
    assert reverse.offsets.tolist() == [0, 1, 1, 4]
    assert reverse.contributions[:, 0].tolist() == [-4.0, 1.0, 2.0, 3.0]
    assert [one.texts[0] for one in explanation] == explanation.texts
    with pytest.raises(IndexError):
        explanation[3]


def test_top_tokens_add_up_occurrences() -> None:
    explanation = make()
    assert explanation.top_tokens("yes", n=2) == [("a", 4.0), ("c", -4.0)]
    assert explanation.top_tokens() == [("a", 3.5), ("b", 2.0), ("c", 0.0)]
    with pytest.raises(ValueError, match=r"explained targets, \['no', 'yes'\]; got 'x'"):
        explanation.top_tokens("x")


def test_the_representation_is_one_line() -> None:
    assert repr(make()) == "<Explanation of 3 texts, 4 tokens, method 'exact'>"
