"""The recipe of docs/prediction_sets.md with MAPIE."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_transfer import FineTunedClassifier, PretrainedVectors


def test_prediction_sets_of_texts_have_the_coverage(vectors: PretrainedVectors):
    mapie = pytest.importorskip("mapie.classification")
    rng = np.random.default_rng(0)
    words = np.array(["good", "great", "bad", "awful", "film", "plot", "the"], dtype=object)
    drawn = rng.choice(words, size=(300, 4))
    texts = np.array([" ".join(row) for row in drawn], dtype=object)
    praise = np.isin(drawn, ["good", "great"]).sum(axis=1)
    blame = np.isin(drawn, ["bad", "awful"]).sum(axis=1)
    y = np.where(praise - blame + rng.normal(scale=0.5, size=300) > 0, "yes", "no")
    model = FineTunedClassifier(vectors).fit(texts[:100], y[:100])
    conformal = mapie.SplitConformalClassifier(model, confidence_level=0.9, prefit=True)
    conformal.conformalize(texts[100:200], y[100:200])
    labels, sets = conformal.predict_set(texts[200:])
    assert (labels == model.predict(texts[200:])).all()
    right = sets[np.arange(100), np.searchsorted(model.classes_, y[200:]), 0]
    assert right.mean() > 0.83
