"""Words and vectors in a pandas or polars frame; neither library is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def from_frame(frame: Any) -> tuple[list[Any], NDArray[Any]]:
    """Take the words and the vectors out of a frame.

    Parameters
    ----------
    frame : pandas or polars DataFrame
        With pandas, the words are the index or, if the index has integers, the only column of
        strings. With polars, they are the only column of strings. The other columns are numbers, or
        a single column of arrays or lists of one length.

    Returns
    -------
    words : list, length n_words
        Whether they are distinct strings is not checked.
    matrix : ndarray of a numeric dtype, shape (n_words, dim)
        Not copied where the frame holds one array of rows; NaN where a number is missing.

    Raises
    ------
    TypeError
        If there are other columns; they are named.
    ValueError
        If there are no numbers, or lists of several lengths.
    """
    words, matrix = _from_pandas(frame) if hasattr(frame, "iloc") else _from_polars(frame)
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise ValueError("The frame has words and no numbers; expected columns of numbers.")
    return words, matrix


def _from_pandas(frame: Any) -> tuple[list[Any], NDArray[Any]]:
    kinds = [dtype.kind for dtype in frame.dtypes]
    others = [i for i, kind in enumerate(kinds) if kind not in "fiu"]
    numbers = [i for i, kind in enumerate(kinds) if kind in "fiu"]
    words, index = frame.index, frame.index
    # A default index is no list of words, so that these are a column.
    if index.inferred_type == "integer":
        strings = [i for i in others if _first(frame.iloc[:, i]) is str]
        if len(strings) != 1:
            raise _unexpected(frame, frame.dtypes, "strings as index, or one column of strings")
        words = frame.iloc[:, strings[0]]
        others.remove(strings[0])
    if len(others) == 1 and not numbers and _first(frame.iloc[:, others[0]]) in (list, np.ndarray):
        rows = frame.iloc[:, others[0]].tolist()
        _check_lengths({len(row) if hasattr(row, "__len__") else None for row in rows})
        return words.tolist(), _as_numbers(np.array(rows))
    if others:
        raise _unexpected(frame, frame.dtypes, "beside the words only numbers, or one of arrays")
    values = frame.iloc[:, numbers] if len(numbers) < len(kinds) else frame
    matrix = values.to_numpy()
    if matrix.dtype == object:  # nullable numbers
        matrix = values.to_numpy(dtype=np.float32, na_value=np.nan)
    return words.tolist(), matrix


def _first(column: Any) -> type:
    """Return the type of the first value that is there."""
    values = column.dropna()
    return type(values.iloc[0]) if len(values) else type(None)


def _from_polars(frame: Any) -> tuple[list[Any], NDArray[Any]]:
    columns = frame.get_columns()
    strings = [c for c in columns if str(c.dtype).startswith(("String", "Categorical", "Enum"))]
    numbers = [c for c in columns if c.dtype.is_numeric()]
    lists = [c for c in columns if str(c.dtype).startswith(("List", "Array"))]
    known = len(strings) + len(numbers) + len(lists) == len(columns)
    if not known or len(strings) != 1 or len(lists) > 1 or (lists and numbers):
        raise _unexpected(
            frame, frame.dtypes, "one column of strings, and only numbers or one of lists beside it"
        )
    words = strings[0].to_list()
    if not lists:
        return words, frame.select([column.name for column in numbers]).to_numpy(order="c")
    column = lists[0]
    column = column.arr.to_list() if str(column.dtype).startswith("Array") else column
    _check_lengths(set(column.list.len().to_list()))
    return words, _as_numbers(column.explode().to_numpy()).reshape(len(column), -1)


def _check_lengths(lengths: set[int | None]) -> None:
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        found = ", ".join(sorted(map(str, lengths))[:5]) or "no rows"
        raise ValueError(
            f"The frame must hold vectors of one length, at least 1, found the lengths {found}."
        )


def _as_numbers(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "fiu":
        raise TypeError(f"The frame must hold vectors of numbers, found {values.dtype}.")
    return values


def _unexpected(frame: Any, dtypes: Any, expected: str) -> TypeError:
    columns = [f"{name!r}: {dtype}" for name, dtype in zip(frame.columns, dtypes, strict=True)]
    more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
    return TypeError(
        f"A frame of pretrained vectors must have {expected}; got {', '.join(columns[:8])}{more}. "
        f"Select the columns first."
    )
