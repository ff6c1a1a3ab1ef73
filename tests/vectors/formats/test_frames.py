from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_transfer import load_pretrained

WORDS = ["the", "cat", "sat"]
VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)

FRAMES = {
    "index": lambda: pd.DataFrame(VALUES, index=WORDS),
    "column": lambda: pd.DataFrame(VALUES).assign(word=WORDS),
    "categories": lambda: pd.DataFrame(VALUES).assign(word=pd.Categorical(WORDS)),
    "object": lambda: pd.DataFrame(VALUES).assign(word=np.array(WORDS, dtype=object)),
    "arrays": lambda: pd.DataFrame({"word": WORDS, "vector": list(VALUES)}),
    "lists beside an index": lambda: pd.DataFrame({"vector": VALUES.tolist()}, index=WORDS),
    "nullable": lambda: pd.DataFrame(VALUES, index=WORDS).astype("Float32"),
    "integers": lambda: pd.DataFrame(VALUES.astype(int), index=WORDS),
    "polars": lambda: pl.DataFrame({"a": VALUES[:, 0], "w": WORDS, "b": VALUES[:, 1]}),
    "polars arrays": lambda: pl.DataFrame({"w": WORDS, "v": VALUES}),
    "polars lists": lambda: pl.DataFrame({"w": WORDS, "v": VALUES.tolist()}),
    "polars categories": lambda: pl.DataFrame(
        {"w": pl.Series(WORDS, dtype=pl.Categorical), "v": VALUES}
    ),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_frame_gives_its_words_and_numbers(frame) -> None:
    vectors = load_pretrained(frame())
    assert list(vectors.words) == WORDS
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(vectors.matrix, VALUES)


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (pd.DataFrame(VALUES), TypeError, "strings as index, or one column of strings; got 0: fl"),
        (
            pd.DataFrame(VALUES, index=WORDS).assign(more="x"),
            TypeError,
            r"beside the words only numbers, or one of arrays; got .*'more': .*Select the columns",
        ),
        (
            pd.DataFrame(VALUES.astype(object), index=WORDS),
            TypeError,
            r"beside the words only numbers, or one of arrays; got 0: object, 1: object",
        ),
        (pd.DataFrame(VALUES, index=[0.5, 1, 2]), TypeError, "words must be strings, got float"),
        (pd.DataFrame(VALUES, index=["a", None, "b"]), TypeError, "words must be strings, got"),
        (pd.DataFrame(VALUES, index=["a", "b", "a"]), ValueError, "'a' occurs more than once"),
        (pd.DataFrame(VALUES * np.nan, index=WORDS), ValueError, "holds NaN or infinity"),
        (pd.DataFrame(index=WORDS), ValueError, "words and no numbers; expected columns of num"),
        (
            pd.DataFrame({"w": WORDS, "v": [[1.0], [1.0, 2.0], [3.0]]}),
            ValueError,
            "vectors of one length, at least 1, found the lengths 1, 2",
        ),
        (
            pd.DataFrame({"w": WORDS, "v": [["x"]] * 3}),
            TypeError,
            "vectors of numbers, found <U1",
        ),
        (pl.DataFrame(VALUES), TypeError, "must have one column of strings, and only numbers or"),
        (pl.DataFrame({"w": WORDS, "b": [True] * 3}), TypeError, "got 'w': String, 'b': Boolean"),
        (pl.DataFrame({"w": WORDS}), ValueError, "words and no numbers"),
        (
            pl.DataFrame({"w": WORDS, "v": [[1.0], None, [2.0]]}),
            ValueError,
            "found the lengths 1, None",
        ),
        (pl.DataFrame({"w": WORDS, "v": [["x"]] * 3}), TypeError, "numbers, found object"),
        (pl.DataFrame({"w": WORDS, "a": [1.0, None, 2.0]}), ValueError, "row 1 .* NaN"),
        (pl.DataFrame({"w": ["a", None, "b"], "a": [1.0, 2.0, 3.0]}), TypeError, "got NoneType"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said(frame, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        load_pretrained(frame)
