"""Validation of raw texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.utils._missing import is_pandas_na, is_scalar_nan


def check_texts(X: Any, *, estimator: str = "The estimator") -> list[str]:
    """Validate raw texts.

    Parameters
    ----------
    X : iterable of str
        A list, a 1-D array, a pandas or polars Series, a one-column frame or array.
    estimator : str, default="The estimator"
        Name of the caller, for the error messages.

    Returns
    -------
    list of str, length n_texts

    Raises
    ------
    ValueError
        If X is a bare string, is empty, or has more than one column.
    TypeError
        If X is not iterable, or an element is not a string; names the first such position.

    Examples
    --------
    >>> check_texts(("one text", "another"))
    ['one text', 'another']
    """
    if isinstance(X, str | bytes):
        raise ValueError(
            f"{estimator} expected a sequence of texts, got a single {type(X).__name__}, which "
            f"would be read character by character. Wrap it in a list: [text]."
        )
    if hasattr(X, "iloc") or hasattr(X, "get_columns"):  # pandas, polars
        X = X.to_numpy()
    shape = getattr(X, "shape", None)
    if shape is not None:
        if len(shape) == 2 and shape[1] == 1 and hasattr(X, "ravel"):
            X = X.ravel()
        elif len(shape) != 1:
            raise ValueError(
                f"{estimator} expected a sequence of texts or one column of them, got an array of "
                f"shape {tuple(shape)}. Select the column of texts, for example with a "
                f"ColumnTransformer."
            )
    if not isinstance(X, Iterable) or isinstance(X, Mapping | set | frozenset):
        raise TypeError(
            f"{estimator} expected a sequence of texts (list, array, Series), "
            f"got {type(X).__name__}."
        )
    texts = X.tolist() if isinstance(X, np.ndarray) else list(X)
    if not texts:
        raise ValueError(
            f"{estimator} expected at least one text: found array with 0 sample(s) while a minimum "
            f"of 1 is required."
        )
    if not set(map(type, texts)) <= {str, np.str_}:
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"{estimator} expected every element of X to be a str, got "
                    f"{type(text).__name__} at position {position}: {_truncate(text)}. "
                    f"{_suggest(text)}"
                )
    return texts


def _truncate(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggest(value: Any) -> str:
    if isinstance(value, bytes):
        return "Decode it first, for example with .decode('utf-8')."
    if value is None or is_scalar_nan(value) or is_pandas_na(value):
        return "Replace missing texts, for example by the empty string."
    return "Convert it with str(), or pass numbers to an estimator of numeric features."


def looks_like_texts(X: Any) -> bool:
    """Return True if X holds strings, judged by its type and first element."""
    if isinstance(X, str | bytes):
        return True
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "US":
        return True
    if hasattr(X, "to_numpy"):  # pandas, polars
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        X = X.ravel() if X.dtype.kind in "OUST" else []
    first = next(iter(X), None) if isinstance(X, list | tuple | np.ndarray) else None
    return isinstance(first, str | bytes)
