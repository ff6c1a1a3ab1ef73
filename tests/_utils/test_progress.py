"""Bars of work that takes long."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from toys import MINIBATCH, body
from tqdm import tqdm

from sklearn_transfer import ContextualModel, FineTunedClassifier, rank_pretrained
from sklearn_transfer._utils import progress
from sklearn_transfer._utils.progress import progress_bar, show_elapsed
from sklearn_transfer.training.policies import Contrastive


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every work takes long: its bar appears at the beginning."""
    monkeypatch.setattr(progress, "tqdm", lambda **options: tqdm(**{**options, "delay": 0}))


def test_a_short_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(3, "parts", verbose=1) as bar:
        bar.update(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("verbose", "is_shown"), [(0, False), (1, True)])
def test_outside_of_a_terminal_verbose_decides(
    verbose: int, is_shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(3, "parts", verbose=verbose) as bar:
        bar.update(3)
    assert ("parts" in capsys.readouterr().err) is is_shown


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["columns of the linear model", "calibration folds"]),
        ({"adaptation": "auto", "calibrate": False}, ["candidates"]),
    ],
    ids=["convex", "policies"],
)
def test_stages_of_a_fit_have_a_bar(vectors, reviews, params, names, capsys) -> None:
    for verbose in (0, 1):
        model = FineTunedClassifier(vectors, verbose=verbose, **params).fit(*reviews)
        shown = capsys.readouterr().err
        assert all((name in shown) == verbose for name in names)
    model.predict(reviews[0])


@pytest.mark.usefixtures("at_once")
def test_a_contrastive_stage_has_a_bar(capsys) -> None:
    X = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    model = FineTunedClassifier(body(), adaptation=Contrastive(n_steps=2), verbose=1)
    model.fit(X, [0, 1] * 10)
    assert "contrastive steps" in capsys.readouterr().err


@pytest.mark.usefixtures("at_once")
def test_outputs_of_a_frozen_module_have_a_bar(capsys) -> None:
    X = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    model = FineTunedClassifier(body(), adaptation="frozen", verbose=1, **MINIBATCH)
    model.fit(X, [0, 1] * 10)
    assert "samples" in capsys.readouterr().err


@pytest.mark.usefixtures("at_once")
def test_layers_that_are_computed_once_have_a_bar(tiny_model, reviews, capsys) -> None:
    encoder = ContextualModel(tiny_model)
    FineTunedClassifier(encoder, adaptation="top-1", max_epochs=1, verbose=1).fit(*reviews)
    assert "texts" in capsys.readouterr().err


@pytest.mark.usefixtures("at_once")
def test_work_without_verbosity_has_a_bar_on_a_terminal(
    vectors, reviews, tiny_model, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    rank_pretrained({"vectors": vectors}, *reviews)
    assert "candidates" in capsys.readouterr().err
    ContextualModel(tiny_model).distill(["good", "bad"], n_components=2)
    assert "texts" in capsys.readouterr().err


@pytest.mark.parametrize("is_terminal", [True, False])
def test_work_without_parts_shows_its_seconds_on_a_terminal(
    is_terminal: bool, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    with show_elapsed("fitting", delay=0.01):
        Event().wait(0.2)
    shown = capsys.readouterr().err
    assert ("fitting: 00:00" in shown) is is_terminal
    assert not shown or shown.endswith("\r")  # it is removed
