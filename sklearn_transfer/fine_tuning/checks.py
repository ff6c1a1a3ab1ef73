"""Validation of X, by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from .._utils.texts import check_texts, looks_like_texts


def _check_words(X: Any, estimator: BaseEstimator, *, reset: bool) -> list[str]:  # noqa: ARG001
    """A list of texts; with a tokenizer, also lists of tokens."""
    has_tokenizer = getattr(estimator, "tokenizer", None) is not None
    return _check_raw_texts(X, estimator, accept_tokens=has_tokenizer)


def _check_sentences(X: Any, estimator: BaseEstimator, *, reset: bool) -> list[str]:  # noqa: ARG001
    """A list of texts."""
    return _check_raw_texts(X, estimator, accept_tokens=False)


def _check_raw_texts(X: Any, estimator: BaseEstimator, *, accept_tokens: bool) -> list[str]:
    """Validate X as texts, and refuse a matrix by a message that names the way out."""
    name = type(estimator).__name__
    if getattr(X, "ndim", 0) == 2 and not looks_like_texts(X) and X.shape[1] != 1:
        raise ValueError(
            f"{name}(pretrained=...) reads texts, got a matrix of shape {X.shape}. For numeric "
            f"features leave pretrained=None."
        )
    return check_texts(X, estimator=name, accept_tokens=accept_tokens)


def _check_features(X: Any, estimator: BaseEstimator, *, reset: bool) -> Any:
    """Numbers of shape (n_samples, n_features), float64, dense or CSR."""
    if looks_like_texts(X):
        raise ValueError(
            f"{type(estimator).__name__}(pretrained=None) reads numeric features, got texts. "
            f"Name the vectors that texts are read with, for instance "
            f"pretrained='glove-wiki-gigaword-50'."
        )
    return validate_data(estimator, X, accept_sparse="csr", dtype=np.float64, reset=reset)


def _check_arrays(X: Any, estimator: BaseEstimator, *, reset: bool) -> NDArray[Any]:
    """Numbers of shape (n_samples, ...)."""
    if looks_like_texts(X):
        raise ValueError(
            f"{type(estimator).__name__}(pretrained=module) reads an array of numbers, got "
            f"texts. For texts, name word vectors, for instance "
            f"pretrained='glove-wiki-gigaword-50', or a sentence encoder."
        )
    array: NDArray[Any] = validate_data(
        estimator, X, dtype="numeric", ensure_2d=False, allow_nd=True, reset=reset
    )
    if array.ndim < 2:
        raise ValueError(
            f"{type(estimator).__name__}(pretrained=module) expected an array of shape "
            f"(n_samples, ...), got shape {array.shape}. Reshape your data: X[None] is a "
            f"single sample."
        )
    if reset:
        estimator.n_features_in_ = array.shape[1]
    return array


_CHECKS: dict[str, Callable[..., Any]] = {
    "words": _check_words,
    "sentences": _check_sentences,
    "features": _check_features,
    "arrays": _check_arrays,
}

INPUT_KINDS = tuple(_CHECKS)


def check_input(kind: str, X: Any, estimator: BaseEstimator, *, reset: bool) -> Any:
    """Validate X; `reset` lets the estimator remember its features.

    Parameters
    ----------
    kind : {"words", "sentences", "features", "arrays"}
        See `Kind.input_kind`.
    X : object
    estimator : BaseEstimator
    reset : bool

    Returns
    -------
    list of str, ndarray or csr_array
    """
    return _CHECKS[kind](X, estimator, reset=reset)
