"""Texts and targets of a data file: rows that cannot be used, duplicates, held-out rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..fine_tuning.splits import hold_out
from .console import CommandError, Console
from .data import Columns, Reading, read_columns

_N_NAMED = 10  # reasons that a message names
_MANY = 20  # classes


@dataclass(frozen=True)
class Samples:
    """Texts, their rows in the file (from 1), and their targets.

    Attributes
    ----------
    texts : list of str
    rows : list of int
    targets : list
        Labels, lists of labels, or numbers; empty where none are asked for.
    n_skipped : int
        Number of rows that were left out.
    """

    texts: list[str]
    rows: list[int]
    targets: list[Any]
    n_skipped: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, chosen: NDArray[np.bool_]) -> Samples:
        """Some of the samples."""
        places = np.flatnonzero(chosen).tolist()
        return Samples(
            [self.texts[i] for i in places],
            [self.rows[i] for i in places],
            [self.targets[i] for i in places] if self.targets else [],
        )


@dataclass(frozen=True)
class Target:
    """The column of the targets: numbers, several labels between separators, or one label."""

    column: str
    is_number: bool = False
    separator: str | None = None

    @classmethod
    def of(cls, column: str, separator: str | None, *, is_number: bool) -> Target:
        """The target of a model that is trained; an error if options do not go together."""
        if is_number and separator is not None:
            raise click.UsageError("Give --regression or --separator, not both.")
        return cls(column, is_number, separator)

    def columns(self, text: str) -> list[str]:
        """The columns of texts and targets; an error if they are one."""
        if text == self.column:
            raise click.UsageError(f"--text and --label are the same column, {text!r}.")
        return [text, self.column]

    def parse(self, cell: Any) -> tuple[Any, str]:
        """The target of a cell, and the reason that there is none."""
        if self.separator is not None:
            labels = cell if isinstance(cell, list) else cell.split(self.separator)
            return list(dict.fromkeys(filter(None, map(str.strip, labels)))), ""
        if isinstance(cell, list):
            return None, "several labels; give --separator"
        label = cell.strip()
        if not label:
            return None, "no label"
        return _parse_number(label) if self.is_number else (label, "")


def _parse_number(cell: str) -> tuple[float | None, str]:
    try:
        number = float(cell)
    except ValueError:
        return None, f"no number ({cell[:20]!r})"
    return (number, "") if math.isfinite(number) else (None, "no finite number")


@dataclass(frozen=True)
class SampleReader:
    """The options of reading samples: the column of texts, the format, and rows to leave out."""

    text: str
    reading: Reading
    skip_bad: bool

    def read(self, source: str, console: Console, target: Target | None = None) -> Samples:
        """Read the samples of a data file; without a target, their texts alone."""
        names = [self.text] if target is None else target.columns(self.text)
        with console.working(f"reading {source}"):
            columns = read_columns(source, names, self.reading)
        return self.choose(columns, console, target)

    def choose(self, columns: Columns, console: Console, target: Target | None = None) -> Samples:
        """Choose the rows that can be used."""
        return make_samples(columns, self.text, target, console, skip_bad=self.skip_bad)


def make_samples(
    columns: Columns, text: str, target: Target | None, console: Console, *, skip_bad: bool
) -> Samples:
    """Choose the rows that can be used.

    Parameters
    ----------
    columns : Columns
    text : str
        Column of the texts.
    target : Target or None
        None for prediction, where an empty text is a text.
    console : Console
    skip_bad : bool
        Leave out other rows; otherwise they are an error.

    Returns
    -------
    Samples

    Raises
    ------
    CommandError
        If a row cannot be used; the rows are named.
    """
    faults = dict(columns.faults)
    cells = columns.values[text]
    for position, cell in enumerate(cells):
        if isinstance(cell, list):
            faults.setdefault(position, "a list in place of a text")
        elif target is not None and not cell.strip():
            faults.setdefault(position, "no text")
    targets: list[Any] = []
    if target is not None:
        parsed = [target.parse(cell) for cell in columns.values[target.column]]
        targets = [value for value, _ in parsed]
        for position, (_, fault) in enumerate(parsed):
            if fault:
                faults.setdefault(position, fault)
    if faults:
        _report_faults(columns, faults, console, skip_bad=skip_bad)
    kept = np.array([position not in faults for position in range(len(columns))])
    made = Samples(cells, list(range(1, len(cells) + 1)), targets).take(kept)
    if not len(made):
        raise CommandError(f"{columns.name}: none of the {len(columns):,} rows can be used.")
    empty = [row - 1 for row, cell in zip(made.rows, made.texts, strict=True) if not cell.strip()]
    if empty:
        console.note(f"{columns.name}: no text: {columns.name_rows(empty)}.")
    return Samples(made.texts, made.rows, made.targets, len(faults))


def _report_faults(
    columns: Columns, faults: dict[int, str], console: Console, *, skip_bad: bool
) -> None:
    """Name the rows that cannot be used, by reason: an error, or a note if they are left out."""
    by_reason: dict[str, list[int]] = {}
    for position in sorted(faults):
        by_reason.setdefault(faults[position], []).append(position)
    reasons = "; ".join(
        f"{reason}: {columns.name_rows(positions)}"
        for reason, positions in list(by_reason.items())[:_N_NAMED]
    )
    if len(by_reason) > _N_NAMED:
        reasons += f"; and {len(by_reason) - _N_NAMED:,} other reasons"
    count = f"{len(faults):,} of {len(columns):,} rows"
    if skip_bad:
        console.note(f"{columns.name}: left out {count}. {reasons}.")
        return
    remedy = "Mend them, or leave them out: --skip-bad"
    if "bytes that" in reasons:
        remedy = "Name the encoding (such as --encoding cp1252), or leave them out: --skip-bad"
    raise CommandError(f"{columns.name}: {count} cannot be used. {reasons}. {remedy}")


def note_duplicates(samples: Samples, console: Console) -> int:
    """Tell texts that occur several times; return the number of repetitions."""
    n_repeated = len(samples) - len(set(samples.texts))
    if not n_repeated:
        return 0
    by_text: dict[str, set[str]] = {}
    for text, target in zip(samples.texts, samples.targets, strict=True):
        by_text.setdefault(text, set()).add(str(target))
    n_conflicts = sum(len(targets) > 1 for targets in by_text.values())
    conflicts = f"; texts with several targets: {n_conflicts:,}" if n_conflicts else ""
    console.note(f"rows that repeat an earlier text: {n_repeated:,}{conflicts}.")
    return n_repeated


def note_numbers(samples: Samples, target: Target, console: Console) -> None:
    """Tell labels that look like values."""
    if target.is_number or target.separator is not None:
        return
    labels = set(samples.targets)
    if len(labels) > _MANY and not any(_parse_number(label)[1] for label in labels):
        console.note(
            f"the labels are {len(labels):,} different numbers, and each is a class; to predict "
            f"values, give --regression."
        )


def note_overlap(train: Samples, test: Samples, console: Console) -> None:
    """Tell test texts that are also training texts."""
    n_common = len(set(test.texts).intersection(train.texts))
    if n_common:
        console.note(
            f"test texts that are also training texts: {n_common:,}. The scores are too high."
        )


def split_samples(
    samples: Samples, fraction: float, seed: int, *, stratified: bool
) -> tuple[Samples, Samples]:
    """Training and held-out samples; equal texts are on one side."""
    distinct: dict[str, int] = {}
    number = np.array([distinct.setdefault(text, len(distinct)) for text in samples.texts])
    _, first = np.unique(number, return_index=True)
    groups = np.zeros(len(first), dtype=np.int64)
    if stratified:
        labels = [str(samples.targets[i]) for i in first.tolist()]
        groups = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    try:
        chosen = hold_out(groups, fraction, np.random.default_rng(seed))
    except ValueError as error:
        raise CommandError(
            f"--holdout {fraction:g} of {len(first):,} distinct texts rounds to no text in any "
            f"class. Give more rows, a larger share, or --test."
        ) from error
    mask = chosen[number]
    return samples.take(~mask), samples.take(mask)


def to_array(targets: Sequence[Any], target: Target) -> Any:
    """The targets as y of an estimator."""
    if target.separator is None:
        return np.array(targets)
    labels = sorted({label for labels in targets for label in labels})
    return IndicatorFrame(labels, _indicate(targets, labels))


def _indicate(targets: Sequence[Sequence[str]], labels: Sequence[str]) -> NDArray[np.int64]:
    column = {label: place for place, label in enumerate(labels)}
    matrix = np.zeros((len(targets), len(labels)), dtype=np.int64)
    for row, names in enumerate(targets):
        matrix[row, [column[name] for name in names]] = 1
    return matrix


@dataclass(frozen=True)
class IndicatorFrame:
    """An indicator matrix whose columns have names, as estimators read a frame."""

    columns: list[str]
    matrix: NDArray[np.int64]

    def to_numpy(self) -> NDArray[np.int64]:
        """The matrix."""
        return self.matrix

    def __len__(self) -> int:
        return len(self.matrix)
