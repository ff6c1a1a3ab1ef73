"""TransferReport: scores of the compared models, as a table and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.display.tables import format_table, html_table
from .._utils.optional import import_optional
from ..displays.label_efficiency import LabelEfficiencyDisplay
from .compared_models import RANDOM
from .intervals import corrected_interval

COLUMNS = (
    *("model", "n_labels", "score", "score_low", "score_high"),
    *("difference", "difference_low", "difference_high", "fit_seconds"),
)

_CURVE_TITLE = "Mean score by number of labels"
_LARGE = 100  # from here on, four digits say more than three decimals


@dataclass(frozen=True, repr=False, eq=False)  # arrays have no single truth value
class TransferReport:
    """Scores of a model and of models without transfer, on the same splits.

    Attributes
    ----------
    scores : dict of str to ndarray of float64, shape (n_sizes, n_splits)
        Scores on the test samples by model: "fine-tuned", "frozen", "random" and "tf-idf". The
        first model is the given estimator.
    fit_seconds : dict of str to ndarray of float64, shape (n_sizes, n_splits)
        Time of each fit. The first fit takes longer, because the tokens of texts and the features
        of frozen sentence encoders are cached between fits.
    train_sizes : ndarray of int64, shape (n_sizes,)
        Numbers of labels, ascending.
    left_out : dict of str to str
        Models that could not be made or fitted, with the reason.
    score_name : str
        Name of the score.
    test_ratio : float
        Number of test samples divided by the number of training samples, averaged over the splits.
    confidence : float
        Level of the intervals.

    See Also
    --------
    transfer_report : Make a report.
    """

    scores: dict[str, NDArray[np.float64]]
    fit_seconds: dict[str, NDArray[np.float64]]
    train_sizes: NDArray[np.int64]
    left_out: dict[str, str]
    score_name: str
    test_ratio: float
    confidence: float

    @property
    def reference(self) -> str:
        """Name of the given estimator in the report."""
        return next(iter(self.scores))

    def score_intervals(self, model: str) -> NDArray[np.float64]:
        """Mean score of a model, lower and upper bound, shape (n_sizes, 3).

        Parameters
        ----------
        model : str
            A key of `scores`.

        Returns
        -------
        ndarray
            See :func:`transfer_report` for the intervals.
        """
        return corrected_interval(self.scores[model], self.test_ratio, self.confidence)

    def difference_intervals(self, model: str) -> NDArray[np.float64]:
        """Mean difference between reference and model, and its bounds, shape (n_sizes, 3).

        Parameters
        ----------
        model : str
            A key of `scores`.

        Returns
        -------
        ndarray
            Score of the reference minus score of the model, paired by split.
        """
        differences = self.scores[self.reference] - self.scores[model]
        return corrected_interval(differences, self.test_ratio, self.confidence)

    def to_frame(self) -> Any:
        """Return a data frame with one row per model and number of labels.

        Returns
        -------
        pandas.DataFrame
            With the columns model, n_labels, score, score_low, score_high, difference,
            difference_low, difference_high and fit_seconds. Differences are NaN for the reference;
            fit_seconds is the mean over the splits.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", extra="bench", purpose="TransferReport.to_frame")
        rows = []
        for model, seconds in self.fit_seconds.items():
            scores, differences = self.score_intervals(model), self.difference_intervals(model)
            if model == self.reference:
                differences = np.full_like(differences, np.nan)
            for i, size in enumerate(self.train_sizes.tolist()):
                rows.append((model, size, *scores[i], *differences[i], seconds[i].mean()))
        return pandas.DataFrame(rows, columns=list(COLUMNS))

    def plot(self, ax: Any = None, **options: Any) -> LabelEfficiencyDisplay:
        """Draw score against number of labels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None creates a figure.
        **options : object
            See :meth:`LabelEfficiencyDisplay.plot`.

        Returns
        -------
        LabelEfficiencyDisplay
        """
        return LabelEfficiencyDisplay.from_report(self, ax=ax, **options)

    def __repr__(self) -> str:
        parts = [self._title, format_table(self._cells())]
        if len(self.train_sizes) > 1:
            parts += ["", _CURVE_TITLE, format_table(self._curve())]
        return "\n".join([*parts, "", *self._notes()])

    def _repr_html_(self) -> str:
        if len(self.train_sizes) == 1:
            return html_table(self._cells(), title=self._title, notes=self._notes())
        curve = html_table(self._curve(), title=_CURVE_TITLE, notes=self._notes())
        return html_table(self._cells(), title=self._title) + curve

    @property
    def _title(self) -> str:
        n_splits = self.scores[self.reference].shape[1]
        return (
            f"Transfer report: {self.score_name}, {self.train_sizes[-1]:,} labels, {n_splits} "
            f"split{'s' if n_splits > 1 else ''}"
        )

    def _cells(self) -> list[list[str]]:
        """The table of the largest number of labels."""
        level = f"{self.confidence:.0%} interval"
        cells = [["model", "score", level, f"{self.reference} minus model", level, "fit seconds"]]
        for model, seconds in self.fit_seconds.items():
            score, *bounds = self.score_intervals(model)[-1]
            row = [model, _number(score), _interval(*bounds)]
            difference, *bounds = self.difference_intervals(model)[-1]
            is_other = model != self.reference
            row += [_number(difference), _interval(*bounds)] if is_other else ["", ""]
            cells.append([*row, _seconds(seconds[-1].mean())])
        return cells

    def _curve(self) -> list[list[str]]:
        """The table of mean scores by number of labels."""
        cells = [["model", *(f"{size:,}" for size in self.train_sizes.tolist())]]
        for model, scores in self.scores.items():
            cells.append([model, *map(_number, scores.mean(axis=1))])
        return cells

    def _notes(self) -> list[str]:
        notes = [f"Left out: {model}: {reason}." for model, reason in self.left_out.items()]
        return [self._verdict(), *notes] if RANDOM in self.scores else notes

    def _verdict(self) -> str:
        """One sentence on the effect of transfer with the largest number of labels."""
        difference, low, high = self.difference_intervals(RANDOM)[-1]
        gain = f"{self.reference} minus {RANDOM} is {_number(difference)}"
        if np.isnan(low):
            return f"{gain}; one split gives no interval."
        answer = "helps" if low > 0 else "hurts" if high < 0 else "has no clear effect"
        return f"Transfer {answer}: {gain}, {self.confidence:.0%} interval {_interval(low, high)}."


def _number(value: float) -> str:
    return f"{value:z.3f}" if abs(value) < _LARGE else f"{value:.4g}"


def _interval(low: float, high: float) -> str:
    return "none" if np.isnan(low) else f"{_number(low)} to {_number(high)}"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
