"""Validation of raw texts, and words in parts of bounded size."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from .missing import is_missing

# Of a longer word, only the first characters have n-grams.
LONGEST_WORD = 10_000


class TokenizedText(str):
    """A text that is a list of tokens already; as a string, their JSON."""

    __slots__ = ()

    @classmethod
    def of(cls, tokens: Iterable[str]) -> Self:
        """Make a text of tokens."""
        return cls(json.dumps(list(tokens)))

    @property
    def tokens(self) -> list[str]:
        """The tokens."""
        tokens: list[str] = json.loads(self)
        return tokens


def check_texts(
    X: Any, *, estimator: str = "The estimator", accept_tokens: bool = False
) -> list[str]:
    """Validate raw texts.

    Parameters
    ----------
    X : iterable of str
        A list, a 1-D array, a pandas or polars Series, a one-column frame or array.
    estimator : str, default="The estimator"
        Name of the caller, for the error messages.
    accept_tokens : bool, default=False
        Accept lists, tuples and arrays of tokens as elements of X, which become `TokenizedText`.

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
    elif hasattr(X, "to_list"):  # a polars Series, whose elements may be lists
        X = X.to_list()
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
    if set(map(type, texts)) <= {str, np.str_}:
        return texts
    return _check_elements(texts, estimator, accept_tokens=accept_tokens)


def _check_elements(texts: list[Any], estimator: str, *, accept_tokens: bool) -> list[str]:
    if accept_tokens:
        texts = [TokenizedText.of(text) if _is_tokenized(text) else text for text in texts]
    for position, text in enumerate(texts):
        if not isinstance(text, str) or (isinstance(text, TokenizedText) and not accept_tokens):
            raise TypeError(
                f"{estimator} expected every element of X to be a str, got "
                f"{type(text).__name__} at position {position}: {_truncate(text)}. "
                f"{_suggest(text)}"
            )
    return texts


def _is_tokenized(value: Any) -> bool:
    """Return True for a list, tuple or 1-D array of strings."""
    return isinstance(value, list | tuple | np.ndarray) and all(
        isinstance(token, str) for token in value
    )


def _truncate(value: Any) -> str:
    """The representation of a value, at most 60 characters; of a long one, only that much."""
    text = repr(value[:60]) if isinstance(value, str | bytes) else reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggest(value: Any) -> str:
    if isinstance(value, TokenizedText) or _is_tokenized(value):
        return (
            "For lists of tokens, give word vectors and a tokenizer that returns them as they are, "
            "tokenizer=lambda tokens: tokens (to pickle the estimator, a function with a name); or "
            "join them: ' '.join(tokens)."
        )
    if isinstance(value, list | tuple) and any(isinstance(token, str) for token in value):
        return "Every token of a text must be a str."
    if isinstance(value, bytes):
        return "Decode it first, for example with .decode('utf-8')."
    if is_missing(value):
        return "Replace missing texts, for example by the empty string."
    return "Convert it with str(), or pass numbers to an estimator of numeric features."


def looks_like_texts(X: Any) -> bool:
    """Return True if X holds strings or lists of them, judged by its type and first element."""
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
    if isinstance(first, list | tuple):
        first = next(iter(first), None)
    return isinstance(first, str | bytes)


def in_parts(words: Sequence[str], n_characters: int) -> Iterator[Sequence[str]]:
    """Consecutive words of about `n_characters` characters with n-grams; at least one part."""
    start = size = 0
    for i, word in enumerate(words):
        size += min(len(word), LONGEST_WORD)
        if size >= n_characters:
            yield words[start : i + 1]
            start, size = i + 1, 0
    if start < len(words) or not words:
        yield words[start:]
