"""Explanation: contributions of tokens to the outputs of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.optional import import_optional
from ..vectors.table.vocabulary import ragged_arange, to_offsets
from .completeness import measure_gaps, sum_by_text
from .views.html import render_html
from .views.terminal import render_text


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Contributions of the tokens of texts, or of numeric features, to the outputs of a model.

    A notebook and ``print`` show the texts with the contributions as colours.

    Attributes
    ----------
    texts : list of str
        The original texts. Lists of tokens are joined by spaces. For numeric features, empty
        strings.
    tokens : ndarray of str, shape (n_tokens,)
        The tokens of all texts, concatenated, in the spelling of the model; or the names of
        features.
    offsets : ndarray of int64, shape (n_texts + 1,)
        Text ``i`` has the tokens from ``offsets[i]`` to ``offsets[i + 1]``.
    start, end : ndarray of int64, shape (n_tokens,)
        Positions in the original text, in characters: ``text[start:end]``. -1 if a token is not
        part of the text.
    contributions : ndarray of float64, shape (n_tokens, n_targets)
        Contributions to the targets of the text. Positive contributions raise the output.
    targets : ndarray, shape (n_texts, n_targets)
        The explained classes of each text; for a regressor, numbers of the columns of y.
    logits : ndarray of float64, shape (n_texts, n_targets)
        Outputs of the model: logits, or values in the units of y. With two classes, the logit of
        the first class is minus that of the second.
    baseline : ndarray of float64, shape (n_texts, n_targets)
        The part of the outputs that is not attributed to tokens.
    method : {"exact", "integrated_gradients", "occlusion"}
        Method of attribution.

    See Also
    --------
    FineTunedClassifier.explain : Make an explanation; describes the methods.
    ExplanationDisplay : Draw an explanation.
    """

    texts: list[str]
    tokens: NDArray[np.object_]
    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    contributions: NDArray[np.float64]
    targets: NDArray[Any]
    logits: NDArray[np.float64]
    baseline: NDArray[np.float64]
    method: str

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int | slice | NDArray[Any]) -> Explanation:
        """The explanation of one text, or of some texts."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        lengths = np.diff(self.offsets)[rows]
        tokens = ragged_arange(self.offsets[:-1][rows], lengths)
        return Explanation(
            [self.texts[i] for i in rows.tolist()],
            self.tokens[tokens],
            to_offsets(lengths),
            self.start[tokens],
            self.end[tokens],
            self.contributions[tokens],
            self.targets[rows],
            self.logits[rows],
            self.baseline[rows],
            self.method,
        )

    def __iter__(self) -> Iterator[Explanation]:
        return (self[i] for i in range(len(self)))

    @property
    def n_targets(self) -> int:
        """The number of targets of each text."""
        return int(self.targets.shape[1])

    @property
    def sums(self) -> NDArray[np.float64]:
        """Sum of the contributions of each text, shape (n_texts, n_targets)."""
        return sum_by_text(self.contributions, self.offsets)

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Relative gaps between ``logits - baseline`` and the sums of the contributions.

        If contributions cancel each other, gaps are relative to a tenth of the sum of the absolute
        contributions.

        Returns
        -------
        ndarray of float64, shape (n_texts, n_targets)
        """
        return measure_gaps(self.logits, self.baseline, self.contributions, self.offsets)

    def to_frame(self) -> Any:
        """Return a data frame with one row per text, target and token, in this order.

        Returns
        -------
        pandas.DataFrame
            With the columns ``text`` (position in X), ``target``, ``token``, ``start``, ``end`` and
            ``contribution``.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", extra="explain", purpose="Explanation.to_frame")
        lengths = np.diff(self.offsets)
        rows = ragged_arange(
            self.offsets[:-1].repeat(self.n_targets), lengths.repeat(self.n_targets)
        )
        number = np.tile(np.arange(self.n_targets), len(self)).repeat(
            lengths.repeat(self.n_targets)
        )
        text = np.arange(len(self)).repeat(lengths * self.n_targets)
        return pandas.DataFrame(
            {
                "text": text,
                "target": self.targets[text, number],
                "token": self.tokens[rows],
                "start": self.start[rows],
                "end": self.end[rows],
                "contribution": self.contributions[rows, number],
            }
        )

    def top_tokens(self, target: Any = None, n: int = 10) -> list[tuple[str, float]]:
        """Rank the tokens of these texts by their total contributions.

        Parameters
        ----------
        target : object, default=None
            Target of the contributions. None adds the contributions to all explained targets.
        n : int, default=10
            Maximum number of tokens.

        Returns
        -------
        list of tuple (token, total contribution)
            By decreasing absolute value.
        """
        weights = self.contributions
        if target is not None:
            text = np.arange(len(self)).repeat(np.diff(self.offsets))
            is_target = self.targets == target
            if not np.any(is_target):
                raise ValueError(
                    f"target must be one of the explained targets, "
                    f"{np.unique(self.targets).tolist()}; got {target!r}."
                )
            weights = weights * is_target[text]
        distinct, number = np.unique(self.tokens.astype(str), return_inverse=True)
        totals = np.bincount(number, weights.sum(axis=1), len(distinct))
        order = np.argsort(-np.abs(totals), kind="stable")[:n]
        return [(str(distinct[i]), float(totals[i])) for i in order]

    def __repr__(self) -> str:
        kind = f"{len(self)} text{'s' if len(self) != 1 else ''}"
        return f"<Explanation of {kind}, {len(self.tokens)} tokens, method {self.method!r}>"

    def __str__(self) -> str:
        return render_text(self)

    def _repr_html_(self) -> str:
        return render_html(self)
