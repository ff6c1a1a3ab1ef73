"""Targets as users give them: missing values, and lists of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.missing import is_missing

_SEQUENCES = (list, tuple, set, frozenset, np.ndarray)


def check_labels(y: Any) -> None:
    """Refuse missing labels, and several labels of a sample outside an indicator matrix."""
    elements = _elements(y)
    sequences = [label for label in elements if isinstance(label, _SEQUENCES)]
    if sequences and not (_is_regular(elements) and not _holds_several_names(sequences)):
        position = next(i for i, label in enumerate(elements) if isinstance(label, _SEQUENCES))
        raise ValueError(
            f"Expected one label per sample or an indicator matrix, got several labels of sample "
            f"{position}: {elements[position]!r:.60}. Convert y by "
            f"sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
        )
    check_strings(y)
    check_complete(y)


def check_strings(y: Any) -> None:
    """Refuse strings that NumPy would write otherwise, and cut at the length of their value."""
    for label in y if isinstance(y, list | tuple) else ():
        if type(label) is not str and isinstance(label, str) and str(label) != plain_label(label):
            raise ValueError(
                f"Expected labels that are plain strings, got {label!r}, which NumPy writes as "
                f"{str(label)!r} and cuts. Convert y by [label.value for label in y]."
            )


def plain_label(label: Any) -> Any:
    """The string or number of a NumPy scalar, or of a member of an enum that is one."""
    if isinstance(label, np.generic):
        return label.item()
    if isinstance(label, str):
        return str.__str__(label)
    is_number = isinstance(label, int | float) and not isinstance(label, bool)
    return (int(label) if isinstance(label, int) else float(label)) if is_number else label


def check_values(y: Any) -> None:
    """Refuse missing values, and rows of different lengths."""
    elements = _elements(y)
    if any(isinstance(value, _SEQUENCES) for value in elements) and not _is_regular(elements):
        raise ValueError(
            "Expected a number per sample, or a row of numbers of the same length, got rows of "
            "different lengths."
        )
    check_complete(y)


def check_complete(y: Any) -> None:
    """Refuse targets with missing values; the message names the first."""
    values = np.array(y.tolist(), dtype=object) if np.ma.is_masked(y) else np.asarray(y)
    if values.dtype.kind in "US" and isinstance(y, list | tuple):
        values = np.array(y, dtype=object)  # NumPy makes strings of numbers among strings
    missing = _find_missing(values)
    if missing.any():
        place = np.unravel_index(int(missing.argmax()), values.shape)
        raise ValueError(
            f"Input y contains NaN: sample {place[0]} has no target, got {values[place]}. Leave "
            f"samples without a target out, of X and of y."
        )


def _elements(y: Any) -> list[Any]:
    """The targets of the samples, where they may be sequences."""
    if isinstance(y, list | tuple):
        return list(y)
    if hasattr(y, "to_list"):  # a Series of pandas or polars
        return list(y.to_list())
    return y.tolist() if isinstance(y, np.ndarray) and y.dtype.kind in "OUS" else []


def _is_regular(elements: list[Any]) -> bool:
    """Return True for rows of the same length."""
    is_row = all(isinstance(row, list | tuple | np.ndarray) for row in elements)
    return is_row and len({len(row) for row in elements}) == 1


def _holds_several_names(rows: list[Any]) -> bool:
    return any(len(row) > 1 and any(isinstance(name, str) for name in row) for row in rows)


def _find_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    missing = np.zeros(values.shape, dtype=bool)
    if values.dtype.kind in "fc":
        missing = np.isnan(values)
    elif values.dtype.kind in "mM":
        missing = np.isnat(values)
    elif values.dtype.kind == "O":
        missing.ravel()[:] = [is_missing(value) for value in values.ravel()]
    return missing


def frame_as_array(y: Any) -> Any:
    """The numbers of a frame of several columns, whose types may differ; anything else as given."""
    if not hasattr(y, "columns") or len(y.columns) < 2:
        return y
    try:
        return np.asarray(y.to_numpy(), dtype=np.float64)
    except (TypeError, ValueError):  # not numbers: refused with the types of scikit-learn
        return y
