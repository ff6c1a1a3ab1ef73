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
        With pandas the words are the index, or beside the default index the only column of
        strings; with polars, the only column of strings. The other columns are numbers, or one
        holds arrays or lists of one length.

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
    if type(index).__name__ == "RangeIndex" or index.inferred_type == "integer":
        strings = [i for i in others if _first(frame.iloc[:, i]) is str]
        if len(strings) != 1:
            raise _unexpected(frame, frame.dtypes, "strings as index, or one column of strings")
        words = frame.iloc[:, strings[0]]
        others.remove(strings[0])
    if len(others) == 1 and not numbers and _first(frame.iloc[:, others[0]]) in (list, np.ndarray):
        return words.tolist(), _stack(frame.iloc[:, others[0]].tolist())
    if others:
        raise _unexpected(frame, frame.dtypes, "beside the words only numbers, or one of arrays")
    values = frame.iloc[:, numbers] if len(numbers) < len(kinds) else frame
    matrix = values.to_numpy()
    if matrix.dtype == object:  # nullable numbers
        matrix = values.to_numpy(dtype=np.float32, na_value=np.nan)
    return words.tolist(), matrix


def _first(column: Any) -> type:
    """The type of the first value that is there."""
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
    if lists:
        return words, _stack(lists[0].to_list())
    return words, frame.select([column.name for column in numbers]).to_numpy(order="c")


def _stack(rows: list[Any]) -> NDArray[Any]:
    lengths = {None if row is None else len(row) for row in rows}
    if len(lengths) > 1 or None in lengths:
        found = ", ".join(sorted(map(str, lengths))[:5])
        raise ValueError(f"The frame must hold a vector of one length in each row, found {found}.")
    try:
        return np.array(rows, dtype=np.float32).reshape(len(rows), -1)
    except (TypeError, ValueError) as error:
        raise TypeError(f"The frame must hold vectors of numbers: {error}") from error


def _unexpected(frame: Any, dtypes: Any, expected: str) -> TypeError:
    columns = [f"{name!r}: {dtype}" for name, dtype in zip(frame.columns, dtypes, strict=True)]
    more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
    return TypeError(
        f"A frame of pretrained vectors must have {expected}; got {', '.join(columns[:8])}{more}. "
        f"Select the columns first."
    )
