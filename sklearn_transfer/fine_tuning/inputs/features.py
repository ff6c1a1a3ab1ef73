"""Features that are given: numeric X as a design matrix."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ..._utils.texts import looks_like_texts
from ...models.layers import Layer
from ...text.design import Design, dense_design
from ...training.policies import Adaptation, check_policy
from ..parameters import Parameters
from ..protocol import Configuration, FixedFeatures, Kind


class GivenFeatures(Kind):
    """X is a matrix of features, and nothing is pretrained."""

    has_pretrained = False
    source = None

    @classmethod
    def of(cls, pretrained: Any) -> Self | None:
        """The kind of ``pretrained=None``."""
        return cls() if pretrained is None else None

    def check(self, X: Any, estimator: BaseEstimator, *, reset: bool) -> Any:
        """Validate X: float64 of shape (n_samples, n_features), dense or CSR."""
        if looks_like_texts(X):
            raise ValueError(
                f"{type(estimator).__name__}(pretrained=None) reads numeric features, got texts. "
                f"Name the vectors that texts are read with, for instance "
                f"pretrained='glove-wiki-gigaword-50'."
            )
        return validate_data(estimator, X, accept_sparse="csr", dtype=np.float64, reset=reset)

    def check_parameters(self, parameters: Parameters, policy: Adaptation) -> None:
        """Refuse what needs pretrained layers."""
        super().check_parameters(parameters, policy)
        check_policy([Layer("head", ())], policy)
        if parameters.layer_groups is not None:
            raise ValueError(
                "layer_groups names the layers of a torch module or a contextual model given as "
                "pretrained; with pretrained=None it must be None."
            )

    def is_linear(self, parameters: Parameters, policy: Adaptation) -> bool:
        """True: only the head is trained."""
        return True

    def has_fixed_features(self, config: Configuration) -> bool:
        """True: X is features."""
        return True

    def candidates(self, parameters: Parameters, n_samples: int) -> tuple[str, ...]:
        """No pretrained layer: nothing to compare."""
        return ("full",)

    def randomise(self, config: Configuration, seed: int) -> dict[str, Any]:
        """Refuse: nothing is pretrained."""
        raise ValueError("X is features, and nothing is pretrained")

    def represent(self, config: Configuration) -> FixedFeatures:
        """The scaled columns of X."""
        scale = config.pretrained_scale
        return FixedFeatures(ScaledColumns(1.0 if scale == "auto" else float(scale)))


class ScaledColumns:
    """The columns of X, multiplied by one number."""

    coverage = None  # numbers have no tokens

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def fit_transform(
        self, X: Any, membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Design:
        """Remember whether X is sparse, and return its design matrix."""
        self.is_sparse = issparse(X)
        return self.transform(X)

    def transform(self, X: Any) -> Design:
        """Design matrix of X, shape (n_samples, n_features); sparse where the training X was."""
        X = X * self.scale
        if self.is_sparse:
            return Design(csr_array(X), np.zeros((X.shape[0], 0)))
        return dense_design(X.toarray() if hasattr(X, "toarray") else X)
