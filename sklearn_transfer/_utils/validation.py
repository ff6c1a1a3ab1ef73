"""What raw text is, optional imports, and scikit-learn's private helpers, in one place."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from numbers import Integral
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils._missing import is_pandas_na, is_scalar_nan


class VectorFormatError(ValueError):
    """A file of pretrained vectors is damaged, or not of the format that it claims to be.

    The message names the file, the line or byte, what was expected and what was found.
    """


class MissingDependencyError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Parameters
    ----------
    module : str
        Name of the module, dots included.
    extra : str
        The extra of this package that installs it.
    purpose : str
        What it is needed for; the subject of the error's sentence.

    Returns
    -------
    module

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is not installed: "
            f'pip install "sklearn-transfer[{extra}]".'
        ) from error


def check_texts(X: Any, *, estimator: str = "The estimator") -> list[str]:
    """Validate raw texts.

    Parameters
    ----------
    X : iterable of str
        A list, a 1-D array, a pandas or polars Series, a one-column frame or array.
    estimator : str, default="The estimator"
        Who asks, for the messages.

    Returns
    -------
    list of str, length n_texts

    Raises
    ------
    ValueError
        If X is a bare string, is empty, or has more than one column.
    TypeError
        If X is not iterable, or something in it is not a string; the first position is named.

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
    if hasattr(X, "iloc") or hasattr(X, "get_columns"):  # pandas, polars: by their own methods
        X = X.to_numpy()
    shape = getattr(X, "shape", None)
    if shape is not None:
        if len(shape) == 2 and shape[1] == 1 and hasattr(X, "ravel"):
            X = X.ravel()
        elif len(shape) != 1:
            raise ValueError(
                f"{estimator} expected a sequence of texts or one column of them, got an array of "
                f"shape {tuple(shape)}. Choose the column of texts, for instance with a "
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
                    f"{type(text).__name__} at position {position}: {_shorten(text)}. "
                    f"{_cure(text)}"
                )
    return texts


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _cure(value: Any) -> str:
    if isinstance(value, bytes):
        return "Decode it first, for instance with .decode('utf-8')."
    if value is None or is_scalar_nan(value) or is_pandas_na(value):
        return "Replace missing texts, for instance by the empty string."
    return "Convert it with str(), or pass numbers to an estimator of numeric features."


def looks_like_texts(X: Any) -> bool:
    """Whether X holds strings rather than numbers, judged by its type and first element."""
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


class CloneSharesPretrained(BaseEstimator):
    """An estimator whose clones share the object given as ``pretrained``.

    :func:`sklearn.base.clone` deep-copies parameters that are not estimators. For a gensim object
    that is a copy of the whole matrix, once a candidate and once a fold of every search. An
    estimator among the sources is cloned.
    """

    _shared: ClassVar[tuple[str, ...]] = ()  # other parameters that clones share

    def __sklearn_clone__(self) -> Any:
        params = self.get_params(deep=False)
        shared = {name: params.pop(name) for name in self._shared}
        pretrained = _share(params.pop("pretrained"))
        copy = type(self)(
            pretrained=pretrained,
            **shared,
            **{name: clone(value, safe=False) for name, value in params.items()},
        )
        # What scikit-learn's own clone carries over beside the parameters.
        for attribute in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, attribute):
                setattr(
                    copy,
                    attribute,
                    dict(getattr(self, attribute))
                    if isinstance(getattr(self, attribute), dict)
                    else getattr(self, attribute),
                )
        return copy


class VectorsEstimator(CloneSharesPretrained):
    """An estimator that other estimators take as ``pretrained``.

    They clone it, call ``fit(texts)`` with the texts that they are fitted on, and use the
    `PretrainedVectors` that it then has as ``vectors_``.
    """


def _share(pretrained: Any) -> Any:
    """The same source, or sources, except that estimators are cloned."""
    if isinstance(pretrained, VectorsEstimator):
        return clone(pretrained)
    if isinstance(pretrained, list | tuple) and not is_pair(pretrained):
        return type(pretrained)(map(_share, pretrained))
    return pretrained


def is_frame(source: Any) -> bool:
    """Whether this is a pandas or polars frame."""
    return hasattr(source, "columns") and (
        hasattr(source, "iloc") or hasattr(source, "get_columns")
    )


def is_pair(source: Any) -> bool:
    """Whether this is one source, words and their matrix, and not a tuple of two sources."""
    if not isinstance(source, tuple) or len(source) != 2 or is_frame(source[1]):
        return False
    return hasattr(source[1], "__array__") and getattr(source[1], "ndim", None) == 2


def draw_seed(random_state: Any) -> int:
    """A seed below 2**32, drawn from no global generator."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(np.iinfo(np.int32).max))


def levels_to_caller() -> int:
    """The `stacklevel` that blames the first line outside this package."""
    frame, level = sys._getframe(1), 1
    package = __name__.partition(".")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
