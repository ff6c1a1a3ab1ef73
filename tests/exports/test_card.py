import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, MissingDependencyError

library = pytest.importorskip("huggingface_hub", reason="the extra static")


def test_a_card_names_data_metrics_vectors_and_licences(vectors, reviews, tmp_path):
    source = vectors.save(tmp_path / "film-vectors")
    model = FineTunedClassifier(source, l2_sp=2.0).fit(*reviews)
    model.model_card(
        tmp_path / "README.md",
        description="Finds good films.",
        data="Reviews of films.",
        metrics={"accuracy": np.float32(0.75)},
        license="bsd-3-clause",
        vectors_license="pddl",
    )
    card = library.ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "bsd-3-clause"
    assert card.data.library_name == "sklearn_transfer"
    for part in (
        *("Finds good films.", "Reviews of films.", "| accuracy | 0.75 |"),
        *("FineTunedClassifier(l2_sp=2.0)", "classes: no, yes", "'film-vectors', 4 dimensions"),
        "pretrained model: pddl",
    ):
        assert part in card.text
    assert str(tmp_path) not in card.text


def test_a_card_of_numbers(tmp_path):
    model = FineTunedRegressor().fit(np.eye(8), np.arange(8.0))
    model.model_card(tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    assert "None: X is features." in text
    assert text.count("Not given.") == 4


def test_bad_arguments(vectors, reviews, tmp_path, monkeypatch):
    model = FineTunedClassifier(vectors)
    with pytest.raises(NotFittedError):
        model.model_card(tmp_path / "README.md")
    model.fit(*reviews)
    with pytest.raises(TypeError, match=r"a number for the metric 'accuracy', got '0\.8'"):
        model.model_card(tmp_path / "README.md", metrics={"accuracy": "0.8"})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.model_card(tmp_path / "nowhere" / "README.md")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"A model card needs .*\[static\]"):
        model.model_card(tmp_path / "README.md")
    assert not list(tmp_path.iterdir())
