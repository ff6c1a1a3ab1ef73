"""Pickles of classifiers over a contextual model."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra contextual")

from contextual_toys import CONTRASTIVE, fit, label_texts

from sklearn_transfer import ContextualModel, FineTunedClassifier, clear_cache, load_pretrained

LABELLED = label_texts()


def test_a_fitted_classifier_survives_the_move_of_its_folder(tiny_model: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    whole = ContextualModel(folder, pickle_weights=True)
    classifier = fit(whole, LABELLED, adaptation="top-1")
    expected = classifier.predict_proba(LABELLED[0])
    content = pickle.dumps(classifier)
    shutil.rmtree(folder)
    np.testing.assert_allclose(
        pickle.loads(content).predict_proba(LABELLED[0]), expected, atol=1e-6
    )


@pytest.mark.parametrize("adaptation", ["top-1", CONTRASTIVE])
def test_a_pickle_holds_only_the_trained_layers(tiny_model: Path, adaptation: Any):
    model = ContextualModel(tiny_model)
    classifier = fit(model, LABELLED, adaptation=adaptation)
    content = pickle.dumps(classifier)
    embeddings = model.library_model[0].auto_model.get_input_embeddings().weight
    assert embeddings.detach().numpy().tobytes() not in content
    again = pickle.loads(content)
    np.testing.assert_array_equal(
        again.predict_proba(LABELLED[0]), classifier.predict_proba(LABELLED[0])
    )
    assert len(pickle.dumps(again)) < 1.1 * len(content)


@pytest.mark.parametrize("adaptation", ["top-1", CONTRASTIVE])
@pytest.mark.parametrize("way", ["back", "load", "set_params"])
def test_the_folder_of_a_trained_encoder_is_found_later(
    tiny_model: Path, tmp_path: Path, adaptation: Any, way: str
):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    classifier = fit(ContextualModel(folder), LABELLED, adaptation=adaptation)
    expected, content = classifier.predict_proba(LABELLED[0]), pickle.dumps(classifier)
    moved = folder.rename(tmp_path / "moved")
    clear_cache()  # forgets other copies of the folder
    with pytest.warns(UserWarning, match=r"not there\. Put it back; .*pickle_weights=True"):
        again = pickle.loads(content)
    assert again.pretrained_.is_missing
    with pytest.raises(FileNotFoundError, match=r"not there\. Put it back"):
        again.predict_proba(LABELLED[0])
    with pytest.warns(UserWarning, match=r"not there\. Put it back"):
        again = pickle.loads(pickle.dumps(again))
    if way == "back":
        moved.rename(folder)
    elif way == "load":
        load_pretrained(moved)
    else:
        again.set_params(pretrained=str(moved))
    np.testing.assert_array_equal(again.predict_proba(LABELLED[0]), expected)


@pytest.mark.parametrize("adaptation", ["top-1", CONTRASTIVE])
def test_a_pickle_with_weights_needs_no_folder(tiny_model: Path, tmp_path: Path, adaptation: Any):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    classifier = fit(ContextualModel(folder, pickle_weights=True), LABELLED, adaptation=adaptation)
    expected, content = classifier.predict_proba(LABELLED[0]), pickle.dumps(classifier)
    shutil.rmtree(folder)
    clear_cache()
    np.testing.assert_array_equal(pickle.loads(content).predict_proba(LABELLED[0]), expected)


def test_l2_sp_goes_on_after_a_pickle(tiny_model: Path):
    parameters = {"adaptation": "top-1", "l2_sp": 0.1, "dropout": 0.1}
    one = FineTunedClassifier(ContextualModel(tiny_model), random_state=0, **parameters)
    one.partial_fit(*LABELLED, classes=np.unique(LABELLED[1]))
    other = pickle.loads(pickle.dumps(one))
    for classifier in (one, other):
        classifier.partial_fit(*LABELLED)
    expected = one.predict_proba(LABELLED[0])
    np.testing.assert_array_equal(other.predict_proba(LABELLED[0]), expected)


@pytest.mark.parametrize("way", ["load", "set_params"])
def test_a_folder_is_given_anew_to_a_fitted_classifier(tiny_model: Path, tmp_path: Path, way: str):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    classifier = fit(ContextualModel(folder), LABELLED, adaptation="frozen")
    expected, content = classifier.predict_proba(LABELLED[0]), pickle.dumps(classifier)
    folder.rename(tmp_path / "moved")
    clear_cache()  # forgets other copies of the folder
    again = pickle.loads(content)
    with pytest.raises(FileNotFoundError, match=r"not there\. Put it back; .*set_params"):
        again.predict_proba(LABELLED[0])
    if way == "load":
        load_pretrained(tmp_path / "moved")
    else:
        again.set_params(pretrained=str(tmp_path / "moved"))
    np.testing.assert_allclose(again.predict_proba(LABELLED[0]), expected, atol=1e-6)
