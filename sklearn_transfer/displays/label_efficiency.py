"""LabelEfficiencyDisplay: score against the number of labels, with and without transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .figures import import_pyplot, show_legend

_STYLES = ("fill_between", "errorbar", None)
_MARKERS = "osD^vP"
_WIDE_RANGE = 5  # ratio of the largest to the smallest size on a logarithmic axis


class LabelEfficiencyDisplay:
    """Score of models against the number of training labels.

    Use :meth:`from_report` to create a display from a :class:`TransferReport`. All parameters are
    stored as attributes.

    Parameters
    ----------
    train_sizes : array-like of int, shape (n_sizes,)
        Numbers of labels, ascending.
    scores : mapping of str to array-like of shape (n_sizes,)
        Scores by the name of the model.
    intervals : mapping of str to array-like of shape (n_sizes, 2), default=None
        Lower and upper bounds of the scores, by the name of the model.
    score_name : str, default="Score"
        Label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each model.
    fill_between_, errorbar_ : list of matplotlib artists, or None
        The intervals.

    See Also
    --------
    transfer_report : Compute the scores.
    sklearn.model_selection.LearningCurveDisplay : The curve of one estimator.
    """

    def __init__(
        self,
        train_sizes: ArrayLike,
        scores: Mapping[str, ArrayLike],
        intervals: Mapping[str, ArrayLike] | None = None,
        *,
        score_name: str = "Score",
    ) -> None:
        self.train_sizes, self.scores, self.intervals = train_sizes, scores, intervals
        self.score_name = score_name

    @classmethod
    def from_report(
        cls, report: Any, *, ax: Any = None, interval_style: str | None = "fill_between"
    ) -> Self:
        """Draw the learning curves of a report.

        Parameters
        ----------
        report : TransferReport
            Result of :func:`transfer_report`.
        ax, interval_style : object
            See :meth:`plot`.

        Returns
        -------
        LabelEfficiencyDisplay
        """
        means, intervals = {}, {}
        for name in report.scores:
            estimates = report.score_intervals(name)
            means[name], intervals[name] = estimates[:, 0], estimates[:, 1:]
        display = cls(report.train_sizes, means, intervals, score_name=report.score_name)
        return display.plot(ax, interval_style=interval_style)

    def plot(self, ax: Any = None, *, interval_style: str | None = "fill_between") -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None creates a figure.
        interval_style : {"fill_between", "errorbar"} or None, default="fill_between"
            A band, bars, or no intervals. A single number of labels has bars instead of a band.

        Returns
        -------
        LabelEfficiencyDisplay

        Raises
        ------
        ValueError
            If scores and `train_sizes` differ in length, or if the style is unknown.
        MissingDependencyError
            If matplotlib is not installed.
        """
        pyplot = import_pyplot(self)
        if interval_style not in _STYLES:
            raise ValueError(f"interval_style must be one of {_STYLES}, got {interval_style!r}.")
        sizes = np.asarray(self.train_sizes)
        for name, scores in self.scores.items():
            if np.shape(scores) != sizes.shape:
                raise ValueError(
                    f"Expected a score for each of the {len(sizes)} train_sizes, got shape "
                    f"{np.shape(scores)} for {name!r}."
                )
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")
        is_single = len(sizes) == 1
        style = "errorbar" if is_single and interval_style else interval_style
        self.lines_: list[Any] = []
        self.fill_between_: list[Any] | None = [] if style == "fill_between" else None
        self.errorbar_: list[Any] | None = [] if style == "errorbar" else None
        for number, name in enumerate(self.scores):
            # The bars of a single size stand next to each other.
            shift = 0.02 * (number - (len(self.scores) - 1) / 2) if is_single else 0.0
            self._draw(ax, name, sizes * (1 + shift))
        if sizes.max() >= _WIDE_RANGE * sizes.min():
            ax.set_xscale("log")
        if is_single:
            ax.margins(x=0.3)
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes.tolist()])
        ax.minorticks_off()
        ax.set_xlabel("Number of labels")
        ax.set_ylabel(self.score_name, parse_math=False)
        show_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw(self, ax: Any, name: str, sizes: NDArray[np.floating]) -> None:
        """Draw the curve of a model and its intervals."""
        scores = np.asarray(self.scores[name], dtype=float)
        marker = _MARKERS[len(self.lines_) % len(_MARKERS)]
        (line,) = ax.plot(sizes, scores, marker=marker, markersize=4, label=name)
        self.lines_.append(line)
        bounds = (self.intervals or {}).get(name)
        if bounds is None:
            return
        low, high = np.asarray(bounds, dtype=float).T
        color = line.get_color()
        if self.fill_between_ is not None:
            band = ax.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0)
            self.fill_between_.append(band)
        if self.errorbar_ is not None:
            bars = np.stack([scores - low, high - scores])
            drawn = ax.errorbar(sizes, scores, bars, color=color, capsize=3, linestyle="none")
            self.errorbar_.append(drawn)
