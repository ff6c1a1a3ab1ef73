"""ExplanationDisplay: the largest contributions of a text as a picture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..._utils.display.characters import make_line
from ..._utils.display.fonts import find_families
from ..._utils.optional import import_optional
from ..explanation import Explanation

_POSITIVE, _NEGATIVE = "#2684ff", "#ff7a00"
_LONGEST = 30


class ExplanationDisplay:
    """Bar chart of the largest contributions of the tokens of one text.

    Use :meth:`from_estimator` or :meth:`from_explanation` to create a display.

    Parameters
    ----------
    explanation : Explanation
        Explanation of one text.
    target : int, default=0
        Column of the targets.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer

    See Also
    --------
    FineTunedClassifier.explain : Contributions as numbers, and as coloured text.

    Examples
    --------
    >>> from sklearn_transfer import ExplanationDisplay, FineTunedClassifier, PretrainedVectors
    >>> vectors = PretrainedVectors(["good", "bad", "film"], [[1.0, 0.1], [-1.0, 0.1], [0.1, 1.0]])
    >>> model = FineTunedClassifier(vectors).fit(["good film", "bad film"], ["yes", "no"])
    >>> display = ExplanationDisplay.from_estimator(model, "a good film")  # doctest: +SKIP
    """

    def __init__(self, explanation: Explanation, *, target: int = 0) -> None:
        self.explanation, self.target = explanation, target

    @classmethod
    def from_estimator(  # noqa: PLR0913 (as in scikit-learn)
        cls,
        estimator: Any,
        X: Any,
        *,
        target: Any = None,
        method: str = "auto",
        n_tokens: int = 20,
        ax: Any = None,
    ) -> Self:
        """Explain a text and plot its largest contributions.

        Parameters
        ----------
        estimator : FineTunedClassifier or FineTunedRegressor
            The fitted estimator.
        X : str, or samples
            A text, or samples; the first sample is plotted.
        target : object, default=None
            One target; see `FineTunedClassifier.explain`.
        method : str, default="auto"
            See `FineTunedClassifier.explain`.
        n_tokens : int, default=20
            The number of bars.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        ExplanationDisplay
        """
        if not hasattr(estimator, "explain"):
            raise TypeError(
                f"{cls.__name__} expected a fitted FineTunedClassifier or FineTunedRegressor, got "
                f"{type(estimator).__name__}. Of a pipeline, give its last step, pipeline[-1], and "
                f"the samples that this step reads, pipeline[:-1].transform(X)."
            )
        samples = [X] if isinstance(X, str) else X[:1]
        explanation = estimator.explain(samples, target=target, method=method)
        return cls(explanation).plot(n_tokens=n_tokens, ax=ax)

    @classmethod
    def from_explanation(
        cls, explanation: Explanation, *, n_tokens: int = 20, ax: Any = None
    ) -> Self:
        """Plot the largest contributions of the first text of an explanation.

        Parameters
        ----------
        explanation : Explanation
        n_tokens : int, default=20
            The number of bars.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        ExplanationDisplay
        """
        return cls(explanation[0]).plot(n_tokens=n_tokens, ax=ax)

    def plot(self, *, n_tokens: int = 20, ax: Any = None) -> Self:
        """Plot one bar per token, the largest contribution at the top.

        The contributions of all occurrences of a token are added up. The last bar is the sum of all
        other tokens.

        Parameters
        ----------
        n_tokens : int, default=20
            The number of bars.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        ExplanationDisplay

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        pyplot = import_optional(
            "matplotlib.pyplot", extra="plot", purpose="A picture of contributions"
        )
        names, values = self._find_bars(n_tokens)
        if ax is None:
            _, ax = pyplot.subplots(figsize=(6.4, 1.2 + 0.28 * max(len(names), 2)))
        colours = [_POSITIVE if value > 0 else _NEGATIVE for value in values]
        place = np.arange(len(values))
        self.bars_ = ax.barh(place, values, color=colours)
        # Texts may hold dollar signs, which matplotlib reads as formulas.
        as_is: dict[str, Any] = {"parse_math": False, "fontfamily": find_families()}
        ax.set_yticks(place, names, **as_is)
        ax.invert_yaxis()
        ax.axvline(0, color="0.5", linewidth=0.8)
        label = make_line(str(self.explanation.targets[0, self.target]), _LONGEST)
        ax.set_xlabel(f"Contribution to {label}", **as_is)
        if not names:
            ax.text(0.5, 0.5, "no tokens with a contribution", ha="center", transform=ax.transAxes)
        output = self.explanation.logits[0, self.target]
        baseline = self.explanation.baseline[0, self.target]
        ax.set_title(f"output {output:.3f}, baseline {baseline:.3f}")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _find_bars(self, n_tokens: int) -> tuple[list[str], list[float]]:
        tokens = self.explanation.tokens.astype(str)
        distinct, number = np.unique(tokens, return_inverse=True)
        totals = np.bincount(number, self.explanation.contributions[:, self.target], len(distinct))
        order = np.argsort(-np.abs(totals), kind="stable")
        order = order[totals[order] != 0]
        names = [make_line(str(distinct[i]), _LONGEST) for i in order[:n_tokens]]
        values = totals[order[:n_tokens]].tolist()
        if len(order) > n_tokens:
            names.append(f"({len(order) - n_tokens} others)")
            values.append(float(totals[order[n_tokens:]].sum()))
        return names, values
