from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from sklearn_transfer import ContextualModel, FineTunedClassifier
from sklearn_transfer.fine_tuning.inputs import find_kind
from sklearn_transfer.fine_tuning.parameters import Parameters
from sklearn_transfer.fine_tuning.targets.targets import Labels
from sklearn_transfer.fine_tuning.targets.values import Values


@pytest.mark.parametrize(
    ("windows", "n", "expected"),
    [
        (None, 999, ("frozen", "contrastive")),
        (None, 1000, ("frozen", "contrastive", "top-2")),
        (8, 1000, ("frozen",)),
    ],
)
def test_candidates_of_auto(
    tiny_model: Path, windows: int | None, n: int, expected: tuple[str, ...]
):
    model = ContextualModel(tiny_model, windows=windows)
    classifier = FineTunedClassifier(model, adaptation="auto")
    assert find_kind(model).candidates(Parameters.of(classifier), n) == expected


def test_the_stage_is_usual_where_each_sample_has_one_label(tiny_model: Path):
    kind = find_kind(ContextualModel(tiny_model))
    assert kind.usual_policy(Labels(np.array(["no", "yes"]))) == "contrastive"
    assert kind.usual_policy(Labels(np.eye(3, dtype=int))) is None
    values = Values(np.zeros(1), np.ones(1), one_dimensional=True)
    assert kind.usual_policy(values) is None
