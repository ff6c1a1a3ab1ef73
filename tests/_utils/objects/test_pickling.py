"""Dumps by skops, which is refused; its protocol is played where it is not installed."""

import copy
import io
import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedEmbeddingTransformer,
)

TEXTS, LABELS = ["good film", "bad film"] * 5, [0, 1] * 5


def make_fitted(kind: str, vectors):
    if kind == "vectors":
        return vectors
    estimator = {
        "classifier": lambda: FineTunedClassifier(vectors),
        "mini-batches": lambda: FineTunedClassifier(vectors, encoder="cnn", max_epochs=1),
        "regressor": lambda: FineTunedRegressor(vectors),
        "transformer": lambda: PretrainedEmbeddingTransformer(vectors),
        "continued": lambda: ContinuedVectors(vectors, min_count=1),
    }[kind]()
    return estimator.fit(TEXTS, LABELS)


KINDS = ["classifier", "mini-batches", "regressor", "transformer", "continued", "vectors"]
COMMANDS = {"vectors": r"vectors\.save\(folder\)"}


@pytest.mark.parametrize("kind", KINDS)
def test_skops_is_refused_where_it_begins(kind: str, vectors):
    command = COMMANDS.get(kind, r"sklearn_transfer\.save\(estimator, path\)")
    with pytest.raises(TypeError, match=rf"skops can open again, got a \w+: .*{command}"):
        make_fitted(kind, vectors).__reduce__()


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_and_copy_are_not(kind: str, vectors):
    fitted = make_fitted(kind, vectors)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted), copy.copy(fitted)):
        assert type(again) is type(fitted)
        if hasattr(fitted, "transform"):
            np.testing.assert_array_equal(again.transform(TEXTS), fitted.transform(TEXTS))


def test_an_estimator_that_is_not_fitted_is_not_refused():
    constructor = FineTunedClassifier("glove-wiki-gigaword-50").__reduce__()[1]
    assert constructor == (FineTunedClassifier,)


@pytest.mark.parametrize("kind", ["classifier", "transformer", "vectors"])
def test_nothing_is_written_by_skops(kind: str, vectors):
    skops = pytest.importorskip("skops.io", reason="the extra skops")
    fitted = make_fitted(kind, vectors)
    if kind == "transformer":
        fitted = make_pipeline(fitted, LogisticRegression()).fit(TEXTS, LABELS)
    buffer = io.BytesIO()
    with pytest.raises(TypeError, match="skops can open again"):
        skops.dump(fitted, buffer)
    assert not buffer.getvalue()
