"""Outputs of a command: results on stdout, notes on stderr, files as a whole."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np

from .._utils.atomic import temporary_folder, write_atomically
from .._utils.progress import progress_bar, show_elapsed

Record = Mapping[str, Any]
_COMPRESSED = ".gz"


class CommandError(click.ClickException):
    """An error of the data or of the model: one line, exit code 1."""


def one_line(text: str) -> str:
    """Replace line breaks and control characters, which have a meaning for terminals."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


@dataclass(frozen=True)
class Console:
    """Results go to `out`, and everything else to stderr."""

    out: TextIO

    @property
    def has_colour(self) -> bool:
        """True on a terminal, unless NO_COLOR is set."""
        return self.out.isatty() and not os.environ.get("NO_COLOR")

    def write(self, text: str) -> None:
        """Write a result."""
        self.out.write(text + "\n")

    def write_json(self, document: Any) -> None:
        """Write one JSON document in one line."""
        self.write(to_json(document))

    def note(self, text: str) -> None:
        """Tell something that is no result."""
        click.echo(f"Note: {one_line(text)}", err=True)

    def working(self, name: str) -> AbstractContextManager[None]:
        """Show the seconds of a step without parts."""
        return show_elapsed(name)

    def progress(self, total: int, name: str, *, shows_results: bool = False) -> Any:
        """Make a progress bar of a step with parts, unless its results appear on the terminal."""
        hidden = shows_results and self.out.isatty()
        return progress_bar(total, name, hidden=hidden)

    @contextmanager
    def records(self, path: str | None, *, force: bool, as_json: bool) -> Iterator[WriteRecords]:
        """Open a writer of records: to a file as a whole, or to stdout as they come."""
        if path is None:
            yield make_writer(self.out, ".jsonl" if as_json else ".csv")
            return
        suffix = table_suffix(path)
        check_output(path, force=force)
        with write_atomically(Path(path)) as raw:
            file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
            yield make_writer(file, suffix)
            file.flush()
            file.detach()


WriteRecords = Callable[[Sequence[Record]], None]
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def table_suffix(path: str) -> str:
    """The kind of a table by the name of its file; an error for others."""
    suffix = Path(path.removesuffix(_COMPRESSED)).suffix.lower()
    if suffix not in (*_DELIMITERS, ".jsonl"):
        raise click.UsageError(
            f"Expected an output ending in .csv, .tsv or .jsonl (and .gz), got {path!r}."
        )
    return suffix


def make_writer(file: TextIO, suffix: str) -> WriteRecords:
    """Make a function that writes records; a table has the columns of the first one."""
    if suffix not in _DELIMITERS:
        return lambda records: file.writelines(f"{to_json(record)}\n" for record in records)
    writer = csv.writer(file, delimiter=_DELIMITERS[suffix], lineterminator="\n")
    columns: list[str] = []

    def write(records: Sequence[Record]) -> None:
        if records and not columns:
            columns.extend(_flatten(records[0]))
            writer.writerow(columns)
        for record in records:
            flat = _flatten(record)
            writer.writerow([flat[name] for name in columns])

    return write


def _flatten(record: Record) -> dict[str, Any]:
    """Cells of a table: ``probabilities.pos`` of a mapping; lists joined by semicolons."""
    cells: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}.{key}": cell for key, cell in value.items()}
        else:
            cells[name] = ";".join(map(str, value)) if isinstance(value, list) else value
    return cells


def to_json(document: Any) -> str:
    """JSON in one line; numbers that JSON does not have are null."""
    return json.dumps(_plain(document), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_output(path: str, *, force: bool) -> None:
    """Refuse an output that cannot be written, before any work."""
    place = Path(path)
    if place.exists() and not force:
        raise CommandError(f"{path} exists. Give --force to replace it, or another --output.")
    if not place.parent.is_dir():
        raise CommandError(f"Cannot write {path}: there is no folder {place.parent}.")
    try:
        with temporary_folder(place):
            pass
    except OSError as error:
        raise CommandError(
            f"Cannot write {path}: {error.strerror or error}. Give --output in another folder."
        ) from error
