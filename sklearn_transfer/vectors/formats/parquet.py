"""Vectors in a Parquet file: a column of words, and one column of lists or many of numbers.

The lists have one length; columns of numbers are the dimensions in order. Float16 stays float16,
all other numbers become float32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.atomic import temporary_folder
from ..._utils.errors import VectorFormatError
from ..._utils.optional import import_optional
from ..storage.files import check_expansion, check_not_compressed
from ..table.table import Matrix, Reading, Table
from ..table.vocabulary import Vocabulary
from .text_files import check_words

MAGIC = b"PAR1"

_ROWS = 1 << 14  # per batch and per row group
_BUFFER = 1 << 20  # bytes of a column that are read at once
_BYTES, _WIDTHS = "BYTE_ARRAY", {"INT64": 8, "DOUBLE": 8}  # bytes of a value; 4 of the others
# Columns that pandas makes of an index.
_INDEX = re.compile(r"__index_level_\d+__")


def read(path: Path, options: Reading) -> Table:
    """Read a table, one batch of rows at a time."""
    check_not_compressed(path, "Parquet file, which is read from its end")
    with open_parquet(path, _import(path.name)) as file:
        return _read_batches(path, file, options.limit)


@contextmanager
def open_parquet(path: Path, arrow: Any) -> Iterator[Any]:
    """Open a file whose columns expand to no more than vectors do; strings stay dictionaries."""
    # Lists and strings in the metadata cannot be longer than the file.
    limit = min(path.stat().st_size, 2**31 - 1)
    options: dict[str, Any] = {
        "thrift_string_size_limit": limit,
        "thrift_container_size_limit": limit,
    }
    try:
        with arrow.parquet.ParquetFile(path, **options) as file:
            metadata = file.metadata
            columns = [metadata.schema.column(i) for i in range(metadata.num_columns)]
            _read_first_rows(path, file)
            n_bytes = sum(_count_bytes(metadata, i) for i in range(len(columns)))
        # A file of some bytes may repeat one long word a million times.
        texts = [column.path for column in columns if column.physical_type == _BYTES]
        options |= {"metadata": metadata, "read_dictionary": texts, "buffer_size": _BUFFER}
        file = arrow.parquet.ParquetFile(path, **options)
    except VectorFormatError:
        raise
    except Exception as error:  # Arrow's errors share no base class but Exception
        raise VectorFormatError(f"{path}: cannot be read: {error}") from error
    with file:
        check_expansion(path, n_bytes)
        yield file


def _read_first_rows(path: Path, file: Any) -> None:
    """Read one row of each group, which checks the types of its columns.

    The metadata of a column of another type than the schema has would end the process.
    """
    for group in range(file.metadata.num_row_groups):
        check_expansion(path, file.metadata.row_group(group).total_byte_size)
        rows = file.iter_batches(batch_size=1, row_groups=[group], use_threads=False)
        next(iter(rows), None)


def _count_bytes(metadata: Any, column: int) -> int:
    """Return the size of a column in memory, according to the metadata."""
    n_bytes, width = 0, _WIDTHS.get(metadata.schema.column(column).physical_type, 4)
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(column)
        n_bytes += max(chunk.num_values * width, chunk.total_uncompressed_size)
    return n_bytes


def _import(name: str) -> Any:
    purpose = f"The Parquet format of {name}"
    arrow = import_optional("pyarrow", extra="parquet", purpose=purpose)
    # Afterwards there is arrow.parquet.
    import_optional("pyarrow.parquet", extra="parquet", purpose=purpose)
    return arrow


def _read_batches(path: Path, file: Any, limit: int | None) -> Table:
    try:
        schema, announced = file.schema_arrow, int(file.metadata.num_rows)
    except Exception as error:
        raise VectorFormatError(f"{path}: cannot be read: {error}") from error
    words, numbers = _choose_columns(path, schema)
    wanted = announced if limit is None else min(limit, announced)
    matrix: Matrix | None = None
    texts: list[bytes] = []
    lengths: list[NDArray[np.int64]] = []
    stop = n_bytes = 0
    for batch in _batches(path, file):
        if stop >= wanted:
            break
        batch = batch.slice(0, wanted - stop)
        vectors = _vectors(path, batch, numbers)
        text, offsets = packed_strings(path, batch.column(words))
        if matrix is None:
            matrix = np.empty_like(vectors)
        if vectors.shape[1] != matrix.shape[1]:
            raise VectorFormatError(
                f"{path}: expected vectors of {matrix.shape[1]} dimensions as in the first rows, "
                f"found {vectors.shape[1]} from row {stop} (counted from 0)."
            )
        start, stop = stop, stop + len(vectors)
        if stop > len(matrix):
            # The announced number may be damaged, so the matrix grows with the rows.
            size = max(stop, min(wanted, 2 * len(matrix)))
            matrix.resize((size, matrix.shape[1]), refcheck=False)
        matrix[start:stop] = vectors
        n_bytes += len(text)
        check_expansion(path, n_bytes)
        texts.append(text.tobytes())
        lengths.append(np.diff(offsets))
    if matrix is None or stop != wanted or not stop:
        raise VectorFormatError(f"{path}: expected {wanted} rows, found {stop}.")
    vocabulary = Vocabulary.from_encoded(texts, np.concatenate(lengths).tolist())
    return Table.from_rows(vocabulary, matrix[:stop], path)


def _batches(path: Path, file: Any) -> Iterator[Any]:
    try:
        yield from file.iter_batches(batch_size=_ROWS, use_threads=False)
    except Exception as error:
        raise VectorFormatError(f"{path}: cannot be read: {error}") from error


def _choose_columns(path: Path, schema: Any) -> tuple[int, list[int]]:
    """Return the index of the column of words, and those of the lists (one) or numbers."""
    types = _import(path.name).types
    columns = list(enumerate(zip(schema.names, schema.types, strict=True)))

    def plain(kind: Any) -> Any:
        return kind.value_type if types.is_dictionary(kind) else kind

    def of_strings(kind: Any) -> bool:
        kind = plain(kind)
        return any(
            getattr(types, f"is_{name}", lambda _: False)(kind)
            for name in ("string", "large_string", "string_view")
        )

    def of_numbers(kind: Any) -> bool:
        return bool(types.is_floating(kind) or types.is_integer(kind))

    def of_lists(kind: Any) -> bool:
        listed = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return bool(listed and of_numbers(kind.value_type))

    words = [i for i, (_, kind) in columns if of_strings(kind)]
    kept = [
        (i, kind)
        for i, (name, kind) in columns
        if i not in words and not (_INDEX.fullmatch(str(name)) and of_numbers(kind))
    ]
    in_one = len(kept) == 1 and of_lists(kept[0][1])
    if len(words) != 1 or not kept or not (in_one or all(of_numbers(kind) for _, kind in kept)):
        found = ", ".join(f"{name}: {plain(kind)}" for _, (name, kind) in columns[:8])
        more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
        raise VectorFormatError(
            f"{path}: expected one column of strings, the words, and next to it either one of "
            f"lists of numbers or only columns of numbers, found {found or 'no columns'}{more}. "
            f"Leave out the others."
        )
    return words[0], [i for i, _ in kept]


def _vectors(path: Path, batch: Any, numbers: list[int]) -> Matrix:
    """Return the vectors of a batch, shape (n_rows, dim)."""
    columns = [batch.column(i) for i in numbers]
    if hasattr(columns[0].type, "value_type"):
        return _from_lists(path, columns[0])
    values: list[NDArray[Any]] = [_values(path, column) for column in columns]
    return np.ascontiguousarray(np.stack(values, axis=1))  # float32 unless all are float16


def _from_lists(path: Path, column: Any) -> Matrix:
    arrow = _import(path.name)
    if column.null_count:
        raise VectorFormatError(f"{path}: expected a vector in each row, found nulls.")
    if arrow.types.is_fixed_size_list(column.type):
        dim = int(column.type.list_size)
    else:
        lengths = np.diff(column.offsets.to_numpy())
        dim = int(lengths[0]) if len(lengths) else 0
        if (lengths != dim).any():
            raise VectorFormatError(
                f"{path}: expected lists of one length, found some of {dim} numbers and some of "
                f"{lengths[lengths != dim][0]}."
            )
    values = _values(path, column.flatten())
    if dim < 1 or len(values) != len(column) * dim:
        raise VectorFormatError(
            f"{path}: expected {len(column)} lists of {dim} numbers, at least 1, found "
            f"{len(values)} numbers."
        )
    vectors: Matrix = values.reshape(len(column), dim)
    return vectors


def _values(path: Path, column: Any) -> NDArray[np.float32] | NDArray[np.float16]:
    if column.null_count:
        raise VectorFormatError(f"{path}: expected numbers, found nulls among them.")
    values = column.to_numpy(zero_copy_only=True)
    with np.errstate(over="ignore"):  # from_rows finds what is not finite
        numbers: NDArray[Any] = values.astype(
            np.float16 if values.dtype == np.float16 else np.float32, copy=False
        )
    return numbers


def packed_strings(path: Path, column: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return strings in the form of :func:`pack`, on their Arrow buffers; nulls raise an error."""
    if column.null_count:
        raise VectorFormatError(f"{path}: expected a word for each row, found nulls.")
    try:
        if hasattr(column, "indices"):
            check_expansion(path, _count_text(column))
        column = column.cast("large_string")
        column.validate(full=True)
    except VectorFormatError:
        raise
    except Exception as error:
        raise VectorFormatError(f"{path}: cannot be read: {error}") from error
    _, bounds, text = column.buffers()
    first, stop = column.offset, column.offset + len(column) + 1
    offsets: NDArray[np.int64] = np.frombuffer(bounds, dtype=np.int64)[first:stop]
    content = np.frombuffer(text if text is not None else b"", dtype=np.uint8)
    return content[offsets[0] : offsets[-1]], np.asarray(offsets - offsets[0])


def _count_text(column: Any) -> int:
    """Return the size of strings that a dictionary holds once."""
    column.validate(full=True)
    offsets = column.dictionary.cast("large_string").buffers()[1]
    lengths = np.diff(np.frombuffer(offsets, dtype=np.int64))
    return int(lengths[column.indices.to_numpy()].sum())


def write(table: Table, path: Path) -> None:
    """Write the columns ``word`` and ``vector``, a list of float32 or float16, with zstd."""
    arrow = _import(path.name)
    check_words(table.words, b"", "Parquet")
    half = table.matrix.dtype == np.float16 and table.scales is None
    number, dtype = (arrow.float16(), np.float16) if half else (arrow.float32(), np.float32)
    schema = arrow.schema(
        [
            arrow.field("word", arrow.string(), nullable=False),
            arrow.field("vector", arrow.list_(number, table.dim), nullable=False),
        ]
    )
    with temporary_folder(path) as folder:
        # Numbers do not repeat, so that a dictionary of them does not help.
        with arrow.parquet.ParquetWriter(
            folder / "content", schema, compression="zstd", use_dictionary=False
        ) as file:
            for start in range(0, len(table.words), _ROWS):
                block = slice(start, start + _ROWS)
                values = np.ascontiguousarray(table.vectors(block).astype(dtype, copy=False))
                vectors = arrow.FixedSizeListArray.from_arrays(
                    arrow.array(values.ravel()), table.dim
                )
                columns = [arrow.array(table.words[block], arrow.string()), vectors]
                file.write_batch(arrow.record_batch(columns, schema=schema))
        (folder / "content").replace(path)
