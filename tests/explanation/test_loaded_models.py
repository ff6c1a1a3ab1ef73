"""Explanations of models from model files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sklearn_transfer
from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedVectors

TEXTS = ["The good film", "", "zork poor plot"]

# torch and its kin cannot be imported.
SCRIPT = """
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "skorch", "gensim"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import sklearn_transfer
model = sklearn_transfer.load(sys.argv[1])
explanation = model.explain(["The good film", "", "zork poor plot"], target="all")
print(explanation.contributions.tolist())
assert explanation._repr_html_() and str(explanation)
assert abs(explanation.sums + explanation.baseline - explanation.logits).max() < 1e-5
"""


def test_a_linear_model_explains_without_torch(
    vectors: PretrainedVectors, reviews: Any, tmp_path: Path
) -> None:
    model = FineTunedClassifier(vectors).fit(*reviews)
    model.save(tmp_path / "model")
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / "model")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == str(model.explain(TEXTS, "all").contributions.tolist())


@pytest.mark.parametrize(
    "settings",
    [{}, {"encoder": "cnn", "max_epochs": 1}, {"hidden_layer_sizes": (3,), "max_epochs": 1}],
    ids=["linear", "cnn", "hidden"],
)
def test_a_loaded_model_explains_as_the_fitted_one(
    vectors: PretrainedVectors, reviews: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = FineTunedClassifier(vectors, random_state=0, **settings).fit(*reviews)
    model.save(tmp_path / "model")
    loaded = sklearn_transfer.load(tmp_path / "model")
    first, second = model.explain(TEXTS), loaded.explain(TEXTS)
    np.testing.assert_array_equal(first.contributions, second.contributions)
    np.testing.assert_array_equal(first.baseline, second.baseline)


@pytest.mark.parametrize("adaptation", ["frozen", "contrastive"])
def test_a_loaded_model_on_a_sentence_encoder(
    tiny_model: Path, reviews: Any, adaptation: str, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    texts, labels = (part[:8] for part in reviews)
    model = FineTunedClassifier(ContextualModel(tiny_model), adaptation=adaptation, random_state=0)
    model.fit(texts, labels).save(tmp_path / "model")
    first, second = model.explain(TEXTS), sklearn_transfer.load(tmp_path / "model").explain(TEXTS)
    np.testing.assert_allclose(first.contributions, second.contributions, atol=1e-5)
    assert first.tokens.tolist() == second.tokens.tolist()
    assert second.gaps.max() < 0.01


def test_loaded_features(numbers: Any, tmp_path: Path) -> None:
    X, y = numbers
    model = FineTunedClassifier().fit(X, y)
    model.save(tmp_path / "model")
    loaded = sklearn_transfer.load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded.explain(X[:3]).contributions, model.explain(X[:3]).contributions
    )
