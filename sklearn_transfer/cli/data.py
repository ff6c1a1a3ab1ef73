"""Data files to columns: CSV, JSON lines and Parquet, as they are."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

import click

from .._utils.display.suggestions import suggest
from .._utils.optional import import_optional
from ..vectors.formats.parquet import open_parquet
from ..vectors.storage.files import check_not_compressed, exists, expand_user, open_decompressed
from .console import CommandError

FORMATS = ("csv", "tsv", "jsonl", "parquet")
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SUFFIXES |= {".parquet": "parquet", ".pq": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".zip")

# The limit of the module is 131,072 characters of a cell. It is a C long.
_MAX_CELL = min(sys.maxsize, 2**31 - 1)
_N_NAMED = 10  # columns, or rows, that a message names


@dataclass(frozen=True)
class Reading:
    """Options of reading; a format of None is found by the name of the file."""

    format: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    has_quotes: bool = True
    has_header: bool = True


class Row(NamedTuple):
    """Values of the wanted columns, and the first line of the row in the file."""

    line: int | None
    values: list[Any]
    fault: str = ""


@dataclass(frozen=True)
class Columns:
    """The wanted columns of a file; a row has a number from 1, without the header.

    Attributes
    ----------
    name : str
        Of the file.
    values : dict of str to list of str
    lines : list of int or None
        First line of each row.
    faults : dict of int to str
        Reasons that rows cannot be read, by their positions.
    """

    name: str
    values: dict[str, list[Any]]
    lines: list[int | None] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def name_rows(self, positions: Sequence[int]) -> str:
        """Name the first of some rows, with their lines."""
        shown = positions[:_N_NAMED]
        rows = list_rows([position + 1 for position in shown], "row")
        lines = [line for position in shown if (line := self.lines[position]) is not None]
        more = f" and {len(positions) - _N_NAMED:,} more" if len(positions) > _N_NAMED else ""
        return rows + (f" ({list_rows(lines, 'line')})" if lines else "") + more


def list_rows(numbers: Sequence[int], name: str) -> str:
    """Write numbers after their name: ``rows 3, 5``."""
    return f"{name}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def read_columns(source: str, names: Sequence[str], reading: Reading) -> Columns:
    """Read columns of a data file.

    Parameters
    ----------
    source : str
        A path, or ``"-"`` for the standard input.
    names : sequence of str
    reading : Reading

    Returns
    -------
    Columns

    Raises
    ------
    CommandError
        If there is no such file, format or column, or no row.
    """
    format = reading.format or _detect_format(source)
    _check_used(reading, format)
    reading, names = replace(reading, format=format), list(dict.fromkeys(names))
    name = "standard input" if source == "-" else source
    columns = Columns(name, {wanted: [] for wanted in names})
    for row in _READERS[format](source, name, names, reading):
        if row.fault:
            columns.faults[len(columns)] = row.fault
        for wanted, value in zip(names, row.values, strict=True):
            columns.values[wanted].append(value)
        columns.lines.append(row.line)
    if not len(columns):
        raise CommandError(f"{name}: expected rows of data, found none.")
    return columns


def _check_used(reading: Reading, format: str) -> None:
    """Refuse options that the format does not use."""
    is_default = reading == replace(Reading(), format=reading.format, encoding=reading.encoding)
    if format not in ("csv", "tsv") and not is_default:
        raise click.UsageError(
            f"--delimiter, --no-quotes and --no-header are for CSV and TSV; the data are {format}."
        )


def _detect_format(source: str) -> str:
    path = Path(source)
    while path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise CommandError(
            f"{source}: expected a name that ends in {', '.join(_SUFFIXES)}, perhaps with "
            f"{', '.join(_COMPRESSED)}. Name the format: --format csv, tsv, jsonl or parquet."
        )
    return format


def _find_file(source: str) -> Path:
    path = expand_user(source)
    if exists(path):
        return path
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise CommandError(
        f"No file at {source!r} (looked from {Path.cwd()}).{suggest(path.name, siblings)}"
    )


@contextmanager
def _open(source: str, name: str, encoding: str) -> Iterator[TextIO]:
    if source == "-":
        content = io.BufferedReader(io.BytesIO(sys.stdin.buffer.read()))
        with _decode(content, name, encoding) as text:
            yield text
        return
    with open_decompressed(_find_file(source)) as file, _decode(file, name, encoding) as text:
        yield text


def _decode(file: Any, name: str, encoding: str) -> TextIO:
    """Decode after the byte-order mark; other bytes become surrogates, which are found later."""
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    if is_utf8 and file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CommandError(f"{name}: expected UTF-8, found UTF-16. Give --encoding utf-16.")
    if file.peek(3)[:3] == codecs.BOM_UTF8:
        file.read(3)
    return io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")


def _read_table(source: str, name: str, names: Sequence[str], reading: Reading) -> Iterator[Row]:
    delimiter = reading.delimiter or ("\t" if reading.format == "tsv" else ",")
    with _large_cells(), _open(source, name, reading.encoding) as text:
        rows = _split_rows(text, name, delimiter, has_quotes=reading.has_quotes)
        first = next(rows, None)
        if first is None:
            raise CommandError(f"{name}: expected a header, found an empty file.")
        header = first[1]
        if not reading.has_header:
            header = [str(number + 1) for number in range(len(header))]
        places = [_find_column(wanted, header, name, delimiter) for wanted in names]
        if not reading.has_header:
            yield _make_row(first, header, places)
        for row in rows:
            yield _make_row(row, header, places)


def _split_rows(
    text: TextIO, name: str, delimiter: str, *, has_quotes: bool
) -> Iterator[tuple[int, list[str]]]:
    """First line and cells of the rows that are not blank."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
    reader = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # What follows a wrong quote may be parts of a cell: no row can be left out.
            raise CommandError(
                f"{name}, line {line}: the quotes of the row that begins here are not as in CSV "
                f"({error}). Write a quote in a quoted cell twice, or give --no-quotes if quotes "
                f"are part of the texts."
            ) from error
        if cells:
            yield line, cells


def _make_row(row: tuple[int, list[str]], header: list[str], places: list[int]) -> Row:
    line, cells = row
    if len(cells) != len(header):
        return Row(line, [""] * len(places), f"expected {len(header)} cells, found {len(cells)}")
    values = [cells[place] for place in places]
    return Row(line, values, next(filter(None, map(find_undecoded, values)), ""))


def find_undecoded(value: str) -> str:
    """The reason that a text is not Unicode; "" if it is."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start]) - 0xDC00
        if 0x80 <= code <= 0xFF:
            return f"bytes that are not in the encoding (first 0x{code:02x})"
        return "half of a surrogate pair"
    return ""


def _find_column(wanted: str, header: Sequence[str], name: str, delimiter: str = "") -> int:
    places = [place for place, column in enumerate(header) if column == wanted]
    if len(places) == 1:
        return places[0]
    if places:
        raise CommandError(f"{name}: expected one column {wanted!r}, found {len(places)}.")
    shown = ", ".join(repr(column) for column in header[:_N_NAMED])
    more = f" and {len(header) - _N_NAMED} more" if len(header) > _N_NAMED else ""
    hint = suggest(wanted, header) or _suggest_delimiter(header, delimiter)
    raise CommandError(f"{name}: no column {wanted!r}; the columns are {shown}{more}.{hint}")


def _suggest_delimiter(header: Sequence[str], delimiter: str) -> str:
    if len(header) == 1 and delimiter:
        for other, spelled in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
            if other in header[0] and other != delimiter:
                return f" Perhaps the cells are separated otherwise: --delimiter {spelled}"
    return ""


@contextmanager
def _large_cells() -> Iterator[None]:
    limit = csv.field_size_limit(_MAX_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _read_json_lines(
    source: str, name: str, names: Sequence[str], reading: Reading
) -> Iterator[Row]:
    with _open(source, name, reading.encoding) as text:
        yield from _read_records(text, name, names)


def _read_records(text: TextIO, name: str, names: Sequence[str]) -> Iterator[Row]:
    missing = set(names)
    seen: dict[str, None] = {}
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        record, fault = _parse_record(line)
        missing -= record.keys()
        if missing:
            seen |= dict.fromkeys(record)
        values = [_to_text(record.get(wanted)) for wanted in names]
        faults = [fault, *(reason for _, reason in values)]
        yield Row(number, [text for text, _ in values], next(filter(None, faults), ""))
    if missing and seen:
        _find_column(sorted(missing)[0], list(seen), name)


def _parse_record(line: str) -> tuple[dict[str, Any], str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, f"no JSON ({error})"
    if not isinstance(record, dict):
        return {}, f"expected a JSON object, found {type(record).__name__}"
    return record, ""


def _to_text(value: Any) -> tuple[Any, str]:
    """A value as a cell, or a list of cells, and the reason that it cannot be one."""
    if isinstance(value, list):
        cells = [_to_text(entry) for entry in value]
        return [text for text, _ in cells], next((fault for _, fault in cells if fault), "")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "", ""
    if isinstance(value, str):
        return value, find_undecoded(value)
    if isinstance(value, bool | int | float):
        return str(value), ""
    return "", f"expected a text, found {type(value).__name__}"


def _read_parquet(
    source: str,
    name: str,
    names: Sequence[str],
    reading: Reading,  # noqa: ARG001 (as the other readers)
) -> Iterator[Row]:
    if source == "-":
        raise CommandError("Parquet is read from its end, not from the standard input: give a path")
    path = _find_file(source)
    check_not_compressed(path, "Parquet file")
    arrow, _ = (
        import_optional(module, extra="parquet", purpose="Reading Parquet files")
        for module in ("pyarrow", "pyarrow.parquet")
    )
    with open_parquet(path, arrow) as opened:
        for wanted in names:
            _find_column(wanted, opened.schema_arrow.names, name)
        for batch in opened.iter_batches(columns=list(dict.fromkeys(names))):
            columns = [batch.column(wanted).to_pylist() for wanted in names]
            for values in zip(*columns, strict=True):
                cells = [_to_text(value) for value in values]
                yield Row(None, [cell for cell, _ in cells], next((f for _, f in cells if f), ""))


_READERS: dict[str, Callable[..., Iterator[Row]]] = {
    "csv": _read_table,
    "tsv": _read_table,
    "jsonl": _read_json_lines,
    "parquet": _read_parquet,
}
