from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array

from sklearn_transfer import FineTunedClassifier, PretrainedVectors
from sklearn_transfer.fine_tuning.semi_supervised.unlabelled import (
    check_labelled,
    has_names_only,
    split_labels,
)


@pytest.mark.parametrize(
    ("y", "labels", "mask"),
    [
        ([0, 1, -1], [0, 1], [0, 0, 1]),
        (np.array([0, 1, -1], dtype=np.int8), [0, 1], [0, 0, 1]),
        (np.array([0.0, -1.0, np.nan]), [0.0], [0, 1, 1]),
        (["a", None, "b", float("nan")], ["a", "b"], [0, 1, 0, 1]),
        (["a", -1, np.int64(-1)], ["a"], [0, 1, 1]),
        (np.array(["a", None], dtype=object), ["a"], [0, 1]),
        (np.array([0, None, 1], dtype=object), [0, 1], [0, 1, 0]),
        (pd.Series([0, None, 1]), [0.0, 1.0], [0, 1, 0]),
        (pd.Series([0, None, 1], dtype="Int64"), [0, 1], [0, 1, 0]),
        (pd.Series(["a", None], dtype="category"), ["a"], [0, 1]),
        (pl.Series(["a", None, "b"]), ["a", "b"], [0, 1, 0]),
        (pd.DataFrame({"y": ["a", None]}), [["a"]], [0, 1]),
        ([None, None], [], [1, 1]),
        (np.ma.masked_equal([0, 9, 1], 9), [0, 1], [0, 1, 0]),
        ([True, False], [True, False], [0, 0]),
        (["x", "y"], ["x", "y"], [0, 0]),
        ([["a"], [None]], [["a"]], [0, 1]),
        ([[0], [-1], [1]], [[0], [1]], [0, 1, 0]),
        ([np.array(0), np.array(-1)], [0], [0, 1]),
        ([torch.tensor(0), torch.tensor(-1)], [0], [0, 1]),
        (np.array(["2020-01-01", "NaT"], dtype="M8[s]"), [datetime(2020, 1, 1)], [0, 1]),
    ],
)
def test_marks(y: Any, labels: list[Any], mask: list[int]):
    known, is_unlabelled = split_labels(y)
    assert np.asarray(known).tolist() == labels
    assert is_unlabelled.tolist() == [bool(part) for part in mask]


def test_labels_keep_their_type():
    assert split_labels([0, None, 1])[0].dtype == int
    assert split_labels(["a", None])[0].dtype == object


MATRICES = [np.eye(3, dtype=int), [["a", None], ["b", "a"]]]
MATRICES += [pd.DataFrame({"a": [1, -1], "b": [0, 1]})]


@pytest.mark.parametrize("y", MATRICES)
def test_indicator_matrices_are_refused(y: Any):
    with pytest.raises(ValueError, match=r"one label per sample, got y of shape \(\d, \d\)"):
        split_labels(y)


@pytest.mark.parametrize("y", [iter(["a", "b"]), csr_array(np.eye(2)), {"a": 1}.values()])
def test_labels_that_are_no_sequence_are_refused(y: Any):
    with pytest.raises(ValueError, match=f"one label per sample, got a {type(y).__name__}"):
        split_labels(y)


@pytest.mark.parametrize("mark", [-1, None])
def test_marks_that_numpy_has_made_strings_are_refused(mark: Any):
    with pytest.raises(ValueError, match=f"has the string '{mark}' among its labels.*dtype=object"):
        split_labels(np.array(["a", "b", mark]).astype(str))


@pytest.mark.parametrize("mark", ["", " ", "nan", "NaN", "<NA>", "NaT", "-1.0"])
def test_strings_that_files_have_for_missing_labels_are_refused(mark: str):
    with pytest.raises(ValueError, match=f"has the string '{mark}' among its labels.*by None"):
        split_labels(["a", mark, "b"])


def test_a_binary_coding_loses_no_class_silently():
    with pytest.raises(ValueError, match=r"got one class, 1: .* of 2 samples.*-1 and 1.*=None"):
        check_labelled(np.array([1, 1]), None, 2)
    with pytest.raises(ValueError, match=r"has a name for -1.*set unlabelled=None"):
        check_labelled(np.array([1, 1]), {-1: "bad", 1: "good"}, 2)
    with pytest.raises(ValueError, match=r"got no label: .*class_names"):
        check_labelled(np.array([]), None, 2)
    check_labelled(np.array([]), {"no": "bad", "yes": "good"}, 2)
    check_labelled(np.array([0, 1]), "auto", 2)


def test_names_alone():
    names = {"a": "good", "b": "bad"}
    assert has_names_only(names, [], [])
    assert has_names_only(names, [], None)
    assert not has_names_only(names, [], ["a"])
    assert not has_names_only(names, ["text"], ["a"])
    assert not has_names_only(names, iter([]), [])


def test_validation_leaves_out_samples_without_a_label(vectors: PretrainedVectors, reviews: Any):
    texts, labels = reviews
    y = np.where(np.arange(len(texts)) < 30, labels == "yes", -1)
    model = FineTunedClassifier(
        vectors, hidden_layer_sizes=(4,), max_epochs=2, unlabelled="auto", random_state=0
    )
    predicted = [
        model.fit(texts, y, X_val=texts[rows], y_val=y[rows]).predict_proba(texts)
        for rows in (slice(20, 40), slice(20, 30))
    ]
    np.testing.assert_array_equal(*predicted)
    with pytest.raises(ValueError, match=r"labelled samples in X_val and y_val, got none"):
        model.fit(texts, y, X_val=texts[40:], y_val=y[40:])


@pytest.mark.parametrize("names", ["auto", ["bad", "good"]])
def test_names_alone_are_a_mapping(vectors: PretrainedVectors, names: Any):
    with pytest.raises(ValueError, match=r"class_names=\{label: name, ...\} for a fit without"):
        FineTunedClassifier(vectors, class_names=names).fit([], [])
