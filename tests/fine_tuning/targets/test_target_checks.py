from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.preprocessing import MultiLabelBinarizer

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, PretrainedVectors
from sklearn_transfer.fine_tuning.targets.target_checks import check_labels, check_values

X = ["good film", "bad film", "good plot", "bad plot"]
NAN = float("nan")
DATES = pd.to_datetime(["2020-01-01", None, "2020-01-01", "2021-01-01"])


@pytest.mark.parametrize("check", [check_labels, check_values])
@pytest.mark.parametrize(
    ("y", "value"),
    [
        ([1, None, 0, 1], "None"),
        ([1.0, NAN, 0.0, 1.0], "nan"),
        (np.array([1.0, NAN, 0.0]), "nan"),
        (np.array([1, np.float32("nan"), 0], dtype=object), "nan"),
        (pd.Series([1, None, 0], dtype="Int64", index=[7, 8, 9]), "<NA>|nan"),
        (pd.Series([True, None, False], dtype="boolean"), "<NA>"),
        (pl.Series([1, None, 0]), "nan"),
        (DATES, "NaT"),
        (list(DATES), "NaT"),
        (np.array([[1, 0], [1, NAN]]), "nan"),
        (np.ma.masked_equal([1, 9, 0], 9), "None"),
        ([[1, 0], [None, 1]], "None"),
        (pd.DataFrame({"a": [1, 0], "b": [1, None]}), "nan"),
    ],
    ids=str,
)
def test_the_first_missing_target_is_named(check: Any, y: Any, value: str) -> None:
    with pytest.raises(
        ValueError, match=rf"Input y contains NaN: sample 1 has no target, got ({value})\. Leave"
    ):
        check(y)


@pytest.mark.parametrize(
    "y",
    [
        ["a", None, "b"],
        ["a", NAN, "b"],
        ("a", NAN, "b"),
        pd.Series(["a", None, "b"]),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"),
        pl.Series(["a", None, "b"]),
        np.array(["a", None, "b"], dtype=object),
    ],
    ids=lambda y: f"{type(y).__name__}-{getattr(y, 'dtype', '')}",
)
def test_a_missing_label_among_strings_is_named(y: Any, vectors: PretrainedVectors) -> None:
    with pytest.raises(ValueError, match=r"contains NaN: sample 1 has no target, got .* Leave"):
        FineTunedClassifier(vectors).fit(X[:3], y)


@pytest.mark.parametrize(
    "y",
    [
        [["a", "b"], ["c"], ["a"], []],
        [["a", "b"]] * 4,
        [("a", "b"), ("a",), ("b",), ("a",)],
        [{"a"}, {"b"}, {"a"}, {"b"}],
        [[0, 1], [1], [0], []],
        np.array([["a", "b"]] * 4),
        pd.Series([["a", "b"], ["c"], ["a"], ["b"]]),
        pl.Series([["a", "b"], ["c"], ["a"], ["b"]]),
    ],
    ids=lambda y: f"{type(y).__name__}-{str(y)[:12]}",
)
def test_lists_of_labels_are_refused_with_the_class_that_converts_them(
    y: Any, vectors: PretrainedVectors
) -> None:
    with pytest.raises(ValueError, match=r"labels of sample 0: .*\.MultiLabelBinarizer\(\)"):
        FineTunedClassifier(vectors).fit(X, y)
    check_labels(MultiLabelBinarizer().fit_transform(y))


@pytest.mark.parametrize(
    "y",
    [
        ["a", "b"],
        [1, 0],
        [[1, 0], [0, 1]],
        [(1, 0), (0, 1)],
        [np.array([1, 0]), np.array([0, 1])],
        [["a"], ["b"]],
        np.array(["a", "nan"]),
        pd.Series(["a", "b"], dtype="category"),
        pd.DataFrame({"a": [1, 0], "b": [0, 1]}),
        csr_array(np.eye(2)),
    ],
    ids=lambda y: f"{type(y).__name__}-{str(y)[:12]}",
)
def test_one_label_each_and_indicator_matrices_are_accepted(y: Any) -> None:
    check_labels(y)


@pytest.mark.parametrize("y", [[[1.0, 2.0], [1.0]], [[1.0], 2.0], pd.Series([[1.0], [1.0, 2.0]])])
def test_rows_of_different_lengths_are_refused(y: Any, vectors: PretrainedVectors) -> None:
    with pytest.raises(ValueError, match="a row of numbers of the same length, got rows of differ"):
        FineTunedRegressor(vectors).fit(X[:2], y)


def test_a_long_label_is_cut_in_the_message() -> None:
    with pytest.raises(ValueError, match="several labels of sample 1") as caught:
        check_labels(["a", ["x" * 10**6, "b"]])
    assert len(str(caught.value)) < 500


class Sentiment(str, Enum):  # noqa: UP042 (not a StrEnum, whose members NumPy reads)
    positive = "positive"
    negative = "negative"


class Written(StrEnum):
    positive = "positive"
    negative = "negative"


def test_strings_that_numpy_cuts_are_refused(vectors: PretrainedVectors) -> None:
    y = [Sentiment.positive, Sentiment.negative] * 2
    texts = ["good", "bad"] * 2
    with pytest.raises(ValueError, match=r"plain strings, got .*NumPy writes as 'Sentiment.posit"):
        FineTunedClassifier(vectors).fit(texts, y)
    for accepted in (np.array(y, dtype=object), [Written(label) for label in y]):
        model = FineTunedClassifier(vectors).fit(texts, accepted)
        assert model.predict(["good", "bad"]).tolist() == ["positive", "negative"]
    with pytest.raises(ValueError, match="plain strings"):  # its accuracy would be 0
        model.score(texts, y)
    assert model.score(texts, np.array(y, dtype=object)) == 1
