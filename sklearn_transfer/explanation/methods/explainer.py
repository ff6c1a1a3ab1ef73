"""Explainers: the methods by which the logits of a model are attributed to its inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...text.linear.linear_model import LinearModel
from ...text.tokenization.places import PlacedTokens
from ...text.tokenization.token_ids import TokenIds
from .occlusion import occlude

# Tokens whose columns are held at a time.
_TOGETHER = 1 << 16


@dataclass(frozen=True)
class Attribution:
    """Contributions of tokens to logits.

    Attributes
    ----------
    placed : PlacedTokens, length n_texts
    contributions : ndarray of float64, shape (n_tokens, n_targets)
    baseline : ndarray of float64, shape (n_texts, n_targets)
        The logits that are not attributed to tokens.
    method : {"exact", "integrated_gradients", "occlusion"}
    """

    placed: PlacedTokens
    contributions: NDArray[np.float64]
    baseline: NDArray[np.float64]
    method: str


@dataclass(frozen=True)
class Candidates:
    """Tokens, and for each the logit of a text that consists of it, minus the baseline.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_candidates, n_targets)
    name : callable
        From the number of a candidate to its spelling.
    """

    weights: NDArray[np.float64]
    name: Callable[[int], str]


Method = Callable[[Any, NDArray[np.int64]], Attribution]


class Explainer(ABC):
    """A fitted model whose logits can be attributed to the tokens or features of its inputs."""

    @abstractmethod
    def logits(self, X: Any) -> NDArray[np.floating]:
        """Logits of validated samples, shape (n_samples, n_outputs)."""

    @abstractmethod
    def methods(self) -> dict[str, Method]:
        """The methods by name; the first is that of "auto"."""

    def weigh_tokens(self, outputs: NDArray[np.int64]) -> Candidates:  # noqa: ARG002 (as in others)
        """Weigh the tokens of the training texts for some outputs, shape (n_targets,)."""
        raise ValueError(
            "top_tokens needs texts that are read by word vectors alone. Explain some texts, and "
            "see Explanation.top_tokens; the coefficients of given features are in coef_."
        )

    def attribute(self, X: Any, outputs: NDArray[np.int64], method: str) -> Attribution:
        """Attribute logits to tokens.

        Parameters
        ----------
        X : object
            Validated samples.
        outputs : ndarray of int64, shape (n_samples, n_targets)
            Columns of the logits, for each sample.
        method : str
            "auto", or a name among `methods`.

        Returns
        -------
        Attribution
        """
        known = self.methods()
        if method == "auto":
            return next(iter(known.values()))(X, outputs)
        if method not in known:
            names = ", ".join(map(repr, ["auto", *known]))
            raise ValueError(f"The methods for this model are {names}; got method={method!r}.")
        return known[method](X, outputs)


class Parts(Protocol):
    """A design matrix as a sum over tokens; see `TokenDesign`."""

    @property
    def token_ids(self) -> TokenIds:
        """The tokens of the samples."""

    def contributions(
        self, model: LinearModel, outputs: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Contributions of tokens to outputs of a linear model, shape (n_tokens, n_targets)."""

    def baseline(self, model: LinearModel, outputs: NDArray[np.integer]) -> NDArray[np.float64]:
        """Outputs without the contributions of tokens, shape (n_texts, n_targets)."""


class LinearExplainer(Explainer):
    """A linear model on features that are sums over tokens, or given: contributions are exact.

    Parameters
    ----------
    features : BagFeatures or ScaledColumns
    model : LinearModel
    """

    def __init__(self, features: Any, model: LinearModel) -> None:
        self.features, self.model = features, model

    def logits(self, X: Any) -> NDArray[np.floating]:
        """Logits of validated samples, shape (n_samples, n_outputs)."""
        return self.model.logits(self.features.transform(X))

    def methods(self) -> dict[str, Method]:
        """Exact contributions, to which integrated gradients are equal; of tokens, occlusion."""
        exact = self._attribute_exactly
        methods: dict[str, Method] = {"exact": exact, "integrated_gradients": exact}
        return {**methods, "occlusion": self._occlude} if self.features.has_tokens else methods

    def weigh_tokens(self, outputs: NDArray[np.int64]) -> Candidates:
        """Weigh words and word n-grams; an n-gram without its words."""
        if not self.features.has_tokens:
            return super().weigh_tokens(outputs)
        words = PlacedTokens.alone(list(self.features.vocabulary))
        parts = [
            self.features.decompose(part).contributions(
                self.model, np.tile(outputs, (len(part), 1))
            )
            for part in words.split(_TOGETHER)
        ]
        columns, values = self.features.ngram_columns()
        ngrams = self.model.token_weights[columns][:, outputs] * values[:, None]

        def name(number: int) -> str:
            if number < len(words):
                return words.tokens[number]
            spelled: str = self.features.spell(columns.start + number - len(words))
            return spelled

        return Candidates(np.concatenate([*parts, ngrams]), name)

    def _attribute_exactly(self, X: Any, outputs: NDArray[np.int64]) -> Attribution:
        placed, all_parts = self.features.decompose_all(X, _TOGETHER)
        contributions, baselines, start = [], [], 0
        parts: Parts
        for parts in all_parts:
            chosen = outputs[start : start + len(parts.token_ids)]
            contributions.append(parts.contributions(self.model, chosen))
            baselines.append(parts.baseline(self.model, chosen))
            start += len(chosen)
        joined = np.concatenate(contributions), np.concatenate(baselines)
        return Attribution(placed, *joined, "exact")

    def _occlude(self, X: Any, outputs: NDArray[np.int64]) -> Attribution:
        def logits(texts: list[str], tokens: list[str], token_ids: TokenIds) -> Any:
            return self.model.logits(self.features.transform_tokens(texts, tokens, token_ids))

        placed = self.features.place(X)
        return Attribution(placed, *occlude(placed, logits, outputs), "occlusion")
