"""LabelEfficiencyDisplay: curves and intervals."""

import sys

import numpy as np
import pytest

from sklearn_transfer import LabelEfficiencyDisplay, MissingDependencyError

SIZES = np.array([10, 100, 1000])
SCORES = {"fine-tuned": [0.6, 0.7, 0.8], "tf-idf $": [0.4, 0.6, 0.8]}
INTERVALS = {
    name: np.array(scores)[:, None] + np.array([-0.1, 0.2]) for name, scores in SCORES.items()
}


def make(sizes=SIZES, scores=SCORES, intervals=INTERVALS):
    return LabelEfficiencyDisplay(sizes, scores, intervals, score_name="accuracy")


def test_a_curve_for_each_model(pyplot):
    display = make()
    assert display.plot() is display
    drawn = {line.get_label(): line.get_ydata().tolist() for line in display.lines_}
    assert drawn == SCORES
    assert all(line.get_xdata().tolist() == SIZES.tolist() for line in display.lines_)
    ax = display.ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Number of labels", "accuracy")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(SCORES)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "100", "1,000"]
    assert ax.get_xscale() == "log"
    assert display.figure_ is ax.figure
    display.figure_.canvas.draw()


def test_bands_reach_from_bound_to_bound(pyplot):
    display = make().plot()
    assert display.errorbar_ is None
    for band, (name, color) in zip(
        display.fill_between_,
        [(line.get_label(), line.get_color()) for line in display.lines_],
        strict=True,
    ):
        low, high = band.get_paths()[0].get_extents().intervaly
        assert low == pytest.approx(INTERVALS[name].min())
        assert high == pytest.approx(INTERVALS[name].max())
        assert pyplot.matplotlib.colors.same_color(band.get_facecolor()[0][:3], color)


def test_bars_reach_from_bound_to_bound(pyplot):
    display = make().plot(interval_style="errorbar")
    assert display.fill_between_ is None
    for bars, bounds in zip(display.errorbar_, INTERVALS.values(), strict=True):
        ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
        np.testing.assert_allclose(ends, bounds)


@pytest.mark.parametrize(
    "display", [make(intervals=None), make()], ids=["none given", "none drawn"]
)
def test_intervals_may_be_left_out(pyplot, display):
    display.plot(interval_style=None)
    assert display.fill_between_ is None
    assert display.errorbar_ is None
    assert len(display.ax_.collections) == 0


def test_a_single_size_has_bars_next_to_each_other(pyplot):
    scores = {name: values[:1] for name, values in SCORES.items()}
    display = make(SIZES[:1], scores, {name: rows[:1] for name, rows in INTERVALS.items()}).plot()
    assert len(display.errorbar_) == 2
    assert len({float(line.get_xdata()[0]) for line in display.lines_}) == 2
    assert display.ax_.get_xscale() == "linear"
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["10"]


def test_unknown_intervals_are_not_drawn(pyplot):
    nothing = {name: np.full((3, 2), np.nan) for name in SCORES}
    make(intervals=nothing).plot().figure_.canvas.draw()
    make(intervals=nothing).plot(interval_style="errorbar").figure_.canvas.draw()


def test_the_axes_of_the_user_are_used(pyplot):
    figure, axes = pyplot.subplots(2)
    before, other = dict(pyplot.rcParams), pyplot.figure()
    display = make().plot(axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].has_data()
    assert pyplot.gcf() is other
    assert dict(pyplot.rcParams) == before


def test_what_does_not_fit_is_refused(pyplot):
    with pytest.raises(
        ValueError, match=r"score for each of the 3 train_sizes, got shape \(2,\) f"
    ):
        make(scores={"a": [1, 2]}).plot()
    with pytest.raises(ValueError, match=r"interval_style must be one of .*got 'bars'"):
        make().plot(interval_style="bars")
    assert pyplot.get_fignums() == []


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"LabelEfficiencyDisplay\.plot .*\[plot\]"):
        make().plot()
