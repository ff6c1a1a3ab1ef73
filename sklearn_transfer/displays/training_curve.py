"""TrainingCurveDisplay: losses, scores and learning rates over the epochs of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .figures import find_fine_tuned, import_pyplot, show_legend

PANELS = ("loss", "score", "learning_rate", "trainable_layers")
_LOSSES = {"train_loss": "training", "valid_loss": "validation"}
# Columns of a history that are neither losses nor scores, and endings of others.
_NO_SCORES, _NO_SCORE_ENDINGS = ("epoch", "dur"), ("_best", "_batch_count")


class TrainingCurveDisplay:
    """Curves of mini-batch training: losses, scores, learning rates, trainable layers per epoch.

    Use :meth:`from_estimator` to create a display from a fitted estimator. All parameters are
    stored as attributes.

    Parameters
    ----------
    losses : mapping of str to array-like of shape (n_epochs,)
        Losses on the samples with this name: "training", "validation".
    scores : mapping of str to array-like of shape (n_epochs,), default=None
        Scores by name.
    rates : mapping of str to array-like of shape (n_epochs,), default=None
        Learning rates by layer, lowest first; 0 in epochs in which the layer is frozen.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first panel.
    axes_ : ndarray of matplotlib Axes
        All panels.
    figure_ : matplotlib Figure
    lines_ : dict of str to list of matplotlib artists
        The lines of each panel; for "trainable_layers", the bars of each layer.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Score against the number of samples.
    LabelEfficiencyDisplay : Score against the number of labels, with and without transfer.

    Examples
    --------
    >>> from sklearn_transfer import FineTunedClassifier, TrainingCurveDisplay
    >>> X, y = [[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.8, 0.1]], [0, 1, 0, 1]
    >>> model = FineTunedClassifier(hidden_layer_sizes=(4,), max_epochs=3).fit(X, y)
    >>> display = TrainingCurveDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(
        self,
        losses: Mapping[str, ArrayLike],
        scores: Mapping[str, ArrayLike] | None = None,
        rates: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.losses, self.scores, self.rates = losses, scores, rates

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, panels: Any = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : FineTunedClassifier, FineTunedRegressor or Pipeline
            Fitted in mini-batches. The display has scores if a callback of the estimator records
            them, for instance ``skorch.callbacks.EpochScoring("accuracy", name="valid_accuracy",
            lower_is_better=False)``.
        ax, panels : object, default=None
            See :meth:`plot`.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ValueError
            If the estimator was fitted by a convex solver, which has no epochs.
        """
        # A linear model from a file has no history.
        history = getattr(find_fine_tuned(estimator, cls), "history_", ())
        rows = [row for row in history if "rates" in row]
        if not rows:
            raise ValueError(
                f"{cls.__name__} needs the epochs of mini-batch training, got a model that a "
                f"convex solver has fitted in one step. Its iterations are n_iter_; for epochs, "
                f"fit with optimizer='adam' or hidden_layer_sizes=(50,)."
            )
        # A callback may record a score in some epochs only.
        values = {name: value for row in reversed(rows) for name, value in row.items()}
        losses = {label: _column(rows, name) for name, label in _LOSSES.items() if name in values}
        scores = {name: _column(rows, name) for name in values if _is_score(name, values[name])}
        rates = {
            layer: np.array([row["rates"].get(layer, 0.0) for row in rows])
            for layer in rows[-1]["rates"]
        }
        return cls(losses, scores, rates).plot(ax, panels=panels)

    def plot(self, ax: Any = None, *, panels: Any = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, or sequence of Axes, default=None
            One for each panel. None creates a figure.
        panels : str or sequence of str, default=None
            Any of "loss", "score", "learning_rate" and "trainable_layers". None is the loss alone
            if `ax` is a single Axes, and otherwise all panels with values.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ValueError
            If a panel is unknown or has no values, or if the numbers of panels and axes differ.
        MissingDependencyError
            If matplotlib is not installed.
        """
        pyplot = import_pyplot(self)
        chosen = self._choose_panels(panels, is_single=ax is not None and not np.iterable(ax))
        if ax is None:
            size = (6.4, 1.0 + 2.2 * len(chosen))
            _, ax = pyplot.subplots(
                len(chosen), sharex=True, squeeze=False, figsize=size, layout="constrained"
            )
        axes = np.ravel(np.asarray(ax, dtype=object))
        if len(axes) != len(chosen):
            raise ValueError(
                f"Expected {len(chosen)} axes, one for each of the panels {', '.join(chosen)}, got "
                f"{len(axes)}. Name as many panels: panels=[...]."
            )
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        self.lines_ = {}
        colors = pyplot.get_cmap("viridis")(np.linspace(0, 0.9, max(len(self.rates or ()), 1)))
        for name, panel in zip(chosen, axes, strict=True):
            self.lines_[name] = getattr(self, f"_draw_{name}")(panel, colors)
            panel.xaxis.get_major_locator().set_params(integer=True)
        if self.lines_.get("learning_rate") and "trainable_layers" not in chosen:
            # Elsewhere the bars, of the same colours, carry the names.
            show_legend(axes[chosen.index("learning_rate")], fontsize="small")
        axes[-1].set_xlabel("Epoch")
        return self

    def _choose_panels(self, panels: Any, *, is_single: bool) -> list[str]:
        values = dict(zip(PANELS, (self.losses, self.scores, self.rates, self.rates), strict=True))
        present = [name for name, value in values.items() if value]
        if panels is None:
            return present[:1] if is_single else present
        chosen = [panels] if isinstance(panels, str) else list(panels)
        for name in chosen:
            if name not in PANELS:
                raise ValueError(f"panels must be among {', '.join(PANELS)}, got {name!r}.")
            if name not in present:
                hint = " Record scores by callbacks=[EpochScoring(...)]." if name == "score" else ""
                raise ValueError(f"There are no values for the panel {name!r}.{hint}")
        if not chosen:
            raise ValueError(f"panels must name at least one of {', '.join(PANELS)}, got none.")
        return chosen

    def _draw_loss(self, ax: Any, colors: Any) -> list[Any]:  # noqa: ARG002 (as the others)
        ax.set_ylabel("Loss")
        return _draw_lines(ax, self.losses)

    def _draw_score(self, ax: Any, colors: Any) -> list[Any]:  # noqa: ARG002
        ax.set_ylabel("Score")
        return _draw_lines(ax, self.scores or {})

    def _draw_learning_rate(self, ax: Any, colors: Any) -> list[Any]:
        """Draw one line for neighbouring layers with the same rates."""
        lines = []
        layers = [(name, np.asarray(rates, dtype=float)) for name, rates in self._layers()]
        numbered = enumerate(layers)
        for _, group in groupby(numbered, key=lambda pair: tuple(pair[1][1])):
            members = list(group)
            first, last = members[0][1][0], members[-1][1][0]
            label = first if len(members) == 1 else f"{first} to {last}"
            number, (_, rates) = members[-1]
            if not rates.any():
                continue
            shown = np.where(rates > 0, rates, np.nan)  # a frozen layer has no rate
            epochs = np.arange(1, len(rates) + 1)
            lines += ax.plot(epochs, shown, ".-", color=colors[number], label=_visible(label))
        ax.set_yscale("log")
        ax.set_ylabel("Learning rate")
        return lines

    def _draw_trainable_layers(self, ax: Any, colors: Any) -> list[Any]:
        """Draw a bar for each layer, over the epochs in which it is trained."""
        bars = []
        for number, (_, rates) in enumerate(self._layers()):
            trained = np.asarray(rates, dtype=float) > 0
            spans = [(epoch + 0.5, 1) for epoch in np.flatnonzero(trained)]
            bars.append(ax.broken_barh(spans, (number - 0.4, 0.8), color=colors[number]))
        names = [name for name, _ in self._layers()]
        ax.set_yticks(range(len(names)), names, fontsize="small")
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_ylabel("Trainable layers")
        return bars

    def _layers(self) -> list[tuple[str, ArrayLike]]:
        return list((self.rates or {}).items())


def _draw_lines(ax: Any, curves: Mapping[str, ArrayLike]) -> list[Any]:
    lines = []
    for name, values in curves.items():
        values = np.asarray(values, dtype=float)
        lines += ax.plot(np.arange(1, len(values) + 1), values, ".-", label=_visible(name))
    show_legend(ax)
    return lines


def _visible(label: str) -> str:
    """Quote a label that matplotlib would leave out of a legend."""
    return repr(label) if label.startswith("_") else label


def _is_score(name: str, value: Any) -> bool:
    if name in (*_LOSSES, *_NO_SCORES) or name.endswith(_NO_SCORE_ENDINGS):
        return False
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return is_number and not name.startswith("event_")


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """One value for each epoch; NaN where a history has none."""
    return np.array([float(row.get(name, np.nan)) for row in rows])
