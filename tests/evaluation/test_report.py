"""TransferReport: the numbers that it shows."""

import numpy as np
import pandas as pd
import pytest

from sklearn_transfer import MissingDependencyError, TransferReport
from sklearn_transfer.evaluation.intervals import corrected_interval
from sklearn_transfer.evaluation.report import COLUMNS

SCORES = {
    "fine-tuned": np.array([[0.60, 0.66, 0.63], [0.80, 0.84, 0.82]]),
    "random": np.array([[0.50, 0.55, 0.48], [0.70, 0.73, 0.71]]),
    "tf-idf": np.array([[0.55, 0.68, 0.60], [0.79, 0.86, 0.80]]),
}


def make(scores=SCORES, left_out=None, **options):
    n_sizes = next(iter(scores.values())).shape[0]
    settings = {
        "scores": scores,
        "fit_seconds": {model: np.full_like(values, 1.5) for model, values in scores.items()},
        "train_sizes": np.array([100, 1200])[:n_sizes],
        "left_out": left_out or {},
        "score_name": "accuracy",
        "test_ratio": 0.5,
        "confidence": 0.95,
    }
    return TransferReport(**{**settings, **options})


def test_a_report_is_equal_to_itself_alone():
    report = make()
    assert report == report
    assert report != make()


def test_differences_are_paired():
    report = make()
    expected = corrected_interval(SCORES["fine-tuned"] - SCORES["tf-idf"], 0.5, 0.95)
    np.testing.assert_allclose(report.difference_intervals("tf-idf"), expected)
    np.testing.assert_allclose(report.score_intervals("random")[:, 0], [0.51, 0.71333], atol=1e-4)


def test_the_frame_has_a_row_for_each_model_and_size():
    frame = make().to_frame()
    assert list(frame) == list(COLUMNS)
    assert frame["model"].tolist() == [model for model in SCORES for _ in range(2)]
    assert frame["n_labels"].tolist() == [100, 1200] * 3
    assert frame["difference"].isna().tolist() == [True, True, False, False, False, False]
    row = frame.set_index(["model", "n_labels"]).loc[("random", 1200)]
    mean, low, high = make().difference_intervals("random")[1]
    assert row[["difference", "difference_low", "difference_high"]].tolist() == [mean, low, high]
    assert row["score"] == pytest.approx(SCORES["random"][1].mean())
    assert row["fit_seconds"] == 1.5


def test_a_frame_without_pandas_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"TransferReport\.to_frame needs"):
        make().to_frame()
    assert pd


def test_print_shows_the_table_the_curve_and_the_answer():
    title, header, first, random, tfidf, gap, *rest = repr(make()).splitlines()
    assert title == "Transfer report: accuracy, 1,200 labels, 3 splits"
    assert header.split("  ")[0] == "model"
    assert first.split()[:2] == ["fine-tuned", "0.820"]
    assert random.split()[:2] == ["random", "0.713"]
    assert "0.107" in random
    assert tfidf.endswith("1.50")
    assert gap == ""
    assert rest[:3] == [
        "Mean score by number of labels",
        "model         100  1,200",
        "fine-tuned  0.630  0.820",
    ]
    assert rest[-1] == (
        "Transfer helps: fine-tuned minus random is 0.107, 95% interval 0.084 to 0.129."
    )


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([0.95, 0.98, 0.96], "Transfer hurts: fine-tuned minus random is -0.143"),
        ([0.80, 0.85, 0.81], "Transfer has no clear effect: fine-tuned minus random is 0.000"),
    ],
)
def test_the_answer_follows_the_interval(values, answer):
    scores = {"fine-tuned": SCORES["fine-tuned"][1:], "random": np.array([values])}
    assert answer in repr(make(scores))


def test_one_split_gives_no_interval():
    shown = repr(make({model: values[:, :1] for model, values in SCORES.items()}))
    assert "1,200 labels, 1 split\n" in shown
    assert "fine-tuned minus random is 0.100; one split gives no interval." in shown
    assert "none" in shown
    assert "nan" not in shown


def test_models_that_were_left_out_are_named():
    scores = {"frozen": SCORES["random"][:1]}
    shown = repr(make(scores, {"random": "the module has no reset", "tf-idf": "X is not texts"}))
    assert "Left out: random: the module has no reset." in shown
    assert "Left out: tf-idf: X is not texts." in shown
    assert "Transfer h" not in shown


def test_large_scores_keep_four_digits():
    shown = repr(make({model: -1e4 * values for model, values in SCORES.items()}))
    assert "-8200" in shown
    assert "-8200.0" not in shown


@pytest.mark.parametrize("n_sizes", [1, 2])
def test_the_notebook_view_holds_the_same_escaped(n_sizes):
    scores = {model: values[-n_sizes:] for model, values in SCORES.items()}
    shown = make(scores, {"tf-idf": "<script>alert(1)</script>"})._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert ">0.820</td>" in shown
    assert "Transfer helps: fine-tuned minus random is 0.107" in shown
    assert shown.count("<table") == n_sizes


def test_the_picture_shows_means_and_intervals(pyplot):
    figure, ax = pyplot.subplots()
    display = make().plot(ax, interval_style="errorbar")
    assert display.ax_ is ax
    drawn = {line.get_label(): line.get_ydata().tolist() for line in display.lines_}
    assert drawn == {model: values.mean(axis=1).tolist() for model, values in SCORES.items()}
    for bars, model in zip(display.errorbar_, SCORES, strict=True):
        ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
        np.testing.assert_allclose(ends, make().score_intervals(model)[:, 1:])
    assert ax.get_ylabel() == "accuracy"
    assert figure is display.figure_
