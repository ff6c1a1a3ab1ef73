"""TrainingCurveDisplay: what is drawn, and on which axes."""

import sys

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import EpochScoring
from torch import nn

from sklearn_transfer import (
    FineTunedClassifier,
    MissingDependencyError,
    TrainingCurveDisplay,
    load,
)

LOSSES = {"training": [0.9, 0.5, 0.3], "validation": [0.8, 0.6, 0.7]}
RATES = {"vectors": [0.0, 0.1, 0.1], "encoder": [0.0, 0.1, 0.1], "head": [0.2, 0.2, 0.1]}


def values(line):
    return line.get_xdata().tolist(), line.get_ydata().tolist()


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def display():
    return TrainingCurveDisplay(LOSSES, {"accuracy": [0.5, 0.6, np.nan]}, RATES)


def test_each_panel_has_its_axes(pyplot, display):
    assert display.plot() is display
    assert [ax.get_ylabel() for ax in display.axes_] == [
        *("Loss", "Score", "Learning rate", "Trainable layers"),
    ]
    assert display.ax_ is display.axes_[0]
    assert display.figure_.axes == list(display.axes_)
    assert [ax.get_xlabel() for ax in display.axes_] == ["", "", "", "Epoch"]
    display.figure_.canvas.draw()


def test_losses_and_scores_are_lines_over_the_epochs(pyplot, display):
    display.plot()
    drawn = {line.get_label(): values(line) for line in display.lines_["loss"]}
    assert drawn == {name: ([1, 2, 3], loss) for name, loss in LOSSES.items()}
    assert legend_of(display.axes_[0]) == ["training", "validation"]
    (score,) = display.lines_["score"]
    assert score.get_ydata()[:2].tolist() == [0.5, 0.6]


def test_rates_are_grouped_and_frozen_layers_have_none(pyplot, display):
    display.plot(panels="learning_rate")
    below, head = display.lines_["learning_rate"]
    assert below.get_label() == "vectors to encoder"
    np.testing.assert_array_equal(below.get_ydata(), [np.nan, 0.1, 0.1])
    assert head.get_ydata().tolist() == [0.2, 0.2, 0.1]
    assert display.ax_.get_yscale() == "log"
    assert legend_of(display.ax_) == ["vectors to encoder", "head"]


def test_layers_that_are_never_trained_have_no_line(pyplot):
    display = TrainingCurveDisplay({}, rates={"vectors": [0.0, 0.0], "head": [0.2, 0.1]}).plot()
    assert [line.get_label() for line in display.lines_["learning_rate"]] == ["head"]
    assert display.ax_.get_legend() is None  # the bars carry the names, in the same colours
    names = [text.get_text() for text in display.axes_[1].get_yticklabels()]
    assert names == ["vectors", "head"]
    head = display.lines_["trainable_layers"][1].get_facecolor()[0]
    assert pyplot.matplotlib.colors.same_color(display.lines_["learning_rate"][0].get_color(), head)


def test_bars_show_the_epochs_in_which_a_layer_is_trained(pyplot, display):
    display.plot(panels=["trainable_layers"])
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == list(RATES)
    spans = [
        sorted(path.get_extents().intervalx.tolist() for path in bars.get_paths())
        for bars in display.lines_["trainable_layers"]
    ]
    assert spans[0] == spans[1] == [[1.5, 2.5], [2.5, 3.5]]
    assert spans[2] == [[0.5, 1.5], [1.5, 2.5], [2.5, 3.5]]


def test_a_single_axes_shows_the_loss(pyplot, display):
    figure, axes = pyplot.subplots(2)
    other = pyplot.figure()
    display.plot(axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert list(display.lines_) == ["loss"]
    assert not axes[0].has_data()
    assert pyplot.gcf() is other


def test_several_axes_have_a_panel_each(pyplot, display):
    _, axes = pyplot.subplots(2)
    display.plot(axes, panels=["score", "loss"])
    assert [ax.get_ylabel() for ax in axes] == ["Score", "Loss"]
    with pytest.raises(ValueError, match=r"Expected 4 axes, one for each .* got 2. Name as many"):
        display.plot(axes)


def test_nothing_but_the_current_figure_changes(pyplot, display):
    before = dict(pyplot.rcParams), np.random.get_state()[1].copy()  # noqa: NPY002
    display.plot()
    assert dict(pyplot.rcParams) == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert pyplot.get_fignums() == [display.figure_.number]


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ("rate", "panels must be among loss, score, .*got 'rate'"),
        ("score", r"no values for the panel 'score'. Record scores by callbacks=\["),
        (["loss", "learning_rate"], "no values for the panel 'learning_rate'"),
        ([], "must name at least one of loss"),
    ],
)
def test_panels_that_there_are_not_are_refused(pyplot, panels, message):
    with pytest.raises(ValueError, match=message):
        TrainingCurveDisplay(LOSSES).plot(panels=panels)
    assert pyplot.get_fignums() == []


def test_names_are_shown_as_they_are(pyplot):
    display = TrainingCurveDisplay({"$x^2$": [1.0]}, rates={"_hidden": [0.1], "$y": [0.2]})
    display.plot(panels=["loss", "learning_rate"])
    display.figure_.canvas.draw()
    assert legend_of(display.axes_[0]) == ["$x^2$"]
    assert legend_of(display.axes_[1]) == ["'_hidden'", "$y"]
    assert not any(text.get_parse_math() for text in display.axes_[1].get_legend().get_texts())


# ---- from an estimator ----


def test_the_history_of_a_fit_is_drawn(pyplot, numbers):
    scoring = EpochScoring("accuracy", name="valid_accuracy", lower_is_better=False)
    body = nn.Sequential(nn.Sequential(nn.Linear(8, 6), nn.Tanh()), nn.Linear(6, 4))
    model = FineTunedClassifier(
        body, adaptation="gradual", max_epochs=4, callbacks=[scoring], random_state=0
    )
    X, y = numbers
    model.fit(X.astype("float32"), y, X_val=X[:20].astype("float32"), y_val=y[:20])
    display = TrainingCurveDisplay.from_estimator(model)
    history = model.history_
    train, valid = display.lines_["loss"]
    assert values(train) == ([1, 2, 3, 4], history[:, "train_loss"])
    assert values(valid) == ([1, 2, 3, 4], history[:, "valid_loss"])
    (score,) = display.lines_["score"]
    assert score.get_label() == "valid_accuracy"
    assert values(score)[1] == history[:, "valid_accuracy"]
    assert {layer: list(rates) for layer, rates in display.rates.items()} == {
        layer: [row[layer] for row in history[:, "rates"]] for layer in history[-1, "rates"]
    }
    assert display.rates["head"][0] > 0
    assert [rates[0] for name, rates in display.rates.items() if name != "head"] == [0, 0]
    pipeline = make_pipeline(StandardScaler(), FineTunedClassifier(body, max_epochs=1)).fit(X, y)
    assert len(TrainingCurveDisplay.from_estimator(pipeline).losses["training"]) == 1


def test_models_from_files_have_their_history(pyplot, vectors, reviews, tmp_path):
    network = FineTunedClassifier(vectors, encoder="cnn", max_epochs=3, random_state=0)
    network.fit(*reviews).save(tmp_path / "network")
    loaded = load(tmp_path / "network")
    drawn, expected = (TrainingCurveDisplay.from_estimator(m) for m in (loaded, network))
    np.testing.assert_array_equal(drawn.losses["training"], expected.losses["training"])
    assert list(drawn.rates) == list(expected.rates)
    FineTunedClassifier(vectors).fit(*reviews).save(tmp_path / "linear")
    with pytest.raises(ValueError, match=r"convex solver has fitted"):
        TrainingCurveDisplay.from_estimator(load(tmp_path / "linear"))


def test_scores_may_be_missing_in_some_epochs(pyplot, numbers):
    model = FineTunedClassifier(hidden_layer_sizes=(4,), max_epochs=3).fit(*numbers)
    model.history_[1]["valid_accuracy"] = 0.5
    (score,) = TrainingCurveDisplay.from_estimator(model).lines_["score"]
    np.testing.assert_array_equal(score.get_ydata(), [np.nan, 0.5, np.nan])


def test_early_stopping_keeps_the_last_score(pyplot, numbers):
    scoring = EpochScoring("accuracy", name="valid_accuracy", lower_is_better=False)
    model = FineTunedClassifier(
        hidden_layer_sizes=(4,),
        early_stopping=True,
        n_iter_no_change=2,
        lr=0.5,
        callbacks=[scoring],
        random_state=0,
    ).fit(*numbers)
    assert model.n_iter_ < 20
    display = TrainingCurveDisplay.from_estimator(model)
    assert list(display.scores) == ["valid_accuracy"]
    assert display.scores["valid_accuracy"].tolist() == model.history_[:, "valid_accuracy"]
    assert len(display.scores["valid_accuracy"]) == model.n_iter_


def test_a_convex_fit_is_refused(pyplot, vectors, reviews):
    model = FineTunedClassifier(vectors).fit(*reviews)
    with pytest.raises(ValueError, match=r"convex solver has fitted in one step.*optimizer='adam'"):
        TrainingCurveDisplay.from_estimator(model)


def test_other_estimators_are_refused(numbers):
    search = GridSearchCV(FineTunedClassifier(), {"l2_sp": [1.0]})
    for other in (search, StandardScaler(), make_pipeline(FunctionTransformer())):
        with pytest.raises(
            TypeError, match=r"expected a fitted FineTunedClassifier .*best_estimat"
        ):
            TrainingCurveDisplay.from_estimator(other)


def test_missing_matplotlib_names_the_extra(monkeypatch, display):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"TrainingCurveDisplay\.plot needs.*\[plot\]"):
        display.plot()
