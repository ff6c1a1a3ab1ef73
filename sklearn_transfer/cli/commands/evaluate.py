"""``evaluate``: scores of a model on a data file."""

from __future__ import annotations

from typing import Any

import click

from .. import options
from ..console import CommandError, Console
from ..metrics import measure, write_scores
from ..models import find_labels, load_model
from ..samples import SampleReader, Target


@click.command(
    "evaluate",
    cls=options.Command,
    short_help="measure a model on labelled texts",
    examples=["evaluate model.zip test.csv", "evaluate model.zip test.jsonl --label topic --json"],
)
@click.argument("model")
@click.argument("data")
@options.label_option
@options.separator_option
@options.reader_options
@options.json_option
@click.pass_obj
def command(
    console: Console,
    *,
    model: str,
    data: str,
    label: str,
    separator: str | None,
    reader: SampleReader,
    as_json: bool,
) -> None:
    """Measure a model file on the labelled texts of DATA."""
    opened = load_model(model, console)
    target = _make_target(opened, label, separator)
    samples = reader.read(data, console, target)
    scores = measure(opened, samples, target, console)
    if as_json:
        console.write_json({"model": model, "n_skipped": samples.n_skipped, "scores": scores})
    else:
        write_scores(scores, console)


def _make_target(model: Any, label: str, separator: str | None) -> Target:
    """The kind of targets that the model has learned."""
    is_number, has_columns = find_labels(model) is None, model.predict([""]).ndim == 2
    if is_number and has_columns:
        raise CommandError("The model predicts several values per text, and --label has one.")
    if has_columns and separator is None:
        raise CommandError("The model predicts several labels per text; give their --separator.")
    if separator is not None and not has_columns:
        raise CommandError("The model predicts one label per text; leave out --separator.")
    return Target(label, is_number, separator)
