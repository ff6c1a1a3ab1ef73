"""Importing the package stays cheap, and the lazy names are there."""

import json
import subprocess
import sys

import pytest

import sklearn_transfer

HEAVY = ("torch", "skorch", "gensim", "matplotlib", "transformers", "sentence_transformers")


def modules_after(code: str) -> set[str]:
    """The heavy modules that a fresh interpreter holds after running the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True
    )
    return set(json.loads(shown.stdout.splitlines()[-1])) & set(HEAVY)


def test_import_loads_nothing_heavy():
    assert modules_after("import sklearn_transfer") == set()


def test_embedding_texts_loads_neither_torch_nor_gensim():
    code = (
        "from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors\n"
        "vectors = PretrainedVectors(['a', 'b'], [[1.0], [2.0]])\n"
        "PretrainedEmbeddingTransformer(vectors, weighting='idf').fit_transform(['a b', 'b'])"
    )
    assert modules_after(code) == set()


def test_continuing_vectors_loads_gensim_alone():
    code = (
        "from sklearn_transfer import ContinuedVectors, PretrainedVectors\n"
        "vectors = PretrainedVectors(['a', 'b'], [[1.0], [2.0]])\n"
        "ContinuedVectors(vectors).fit(['a b c', 'b a c'])"
    )
    assert modules_after(code) == {"gensim"}


def test_estimators_are_imported_and_made_without_torch():
    code = (
        "from sklearn_transfer import FineTunedClassifier, FineTunedRegressor\n"
        "print(FineTunedClassifier('glove-wiki-gigaword-50', encoder='cnn'), FineTunedRegressor())"
    )
    assert modules_after(code) == set()


def test_the_first_fit_imports_torch():
    code = (
        "from sklearn_transfer import FineTunedClassifier\n"
        "FineTunedClassifier().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])"
    )
    assert modules_after(code) == {"torch", "skorch"}


def test_displays_and_reports_load_matplotlib_on_use_alone():
    names = "LabelEfficiencyDisplay, TokenMapDisplay, TrainingCurveDisplay, transfer_report"
    assert "matplotlib" not in modules_after(f"from sklearn_transfer import {names}")


@pytest.mark.parametrize("name", sklearn_transfer.__all__)
def test_public_names_are_there_and_listed(name):
    assert getattr(sklearn_transfer, name).__doc__
    assert name in dir(sklearn_transfer)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = sklearn_transfer.Nonsense
