"""``predict``: labels or values of the texts of a data file."""

from __future__ import annotations

from typing import Any

import click

from .. import options
from ..console import CommandError, Console
from ..models import Predictions, find_labels, load_model, predict_parts
from ..samples import SampleReader

_HELP = """\
Predict the labels or values of the texts of DATA with a model file.

Each prediction has the number of its row in DATA, from 1, without the header. With --json the
predictions are JSON lines.
"""


@click.command(
    "predict",
    cls=options.Command,
    help=_HELP,
    short_help="predict labels or values of texts",
    examples=[
        "predict model.zip new.csv --proba --output predictions.csv",
        "predict model.zip new.jsonl --text body --json | head -3",
        "predict model.zip - --format csv < new.csv",
    ],
)
@click.argument("model")
@click.argument("data")
@options.reader_options
@click.option("--proba", is_flag=True, help="Also the probability of each label.")
@click.option(
    "--output", metavar="FILE", help="A .csv, .tsv or .jsonl (and .gz); by default CSV to stdout."
)
@options.force_option
@options.json_option
@click.pass_obj
def command(
    console: Console,
    *,
    model: str,
    data: str,
    proba: bool,
    output: str | None,
    reader: SampleReader,
    force: bool,
    as_json: bool,
) -> None:
    """Predict."""
    if output is not None and as_json:
        raise click.UsageError("--json is for stdout; give an --output that ends in .jsonl.")
    with console.records(output, force=force, as_json=as_json) as write:
        opened = load_model(model, console)
        labels = find_labels(opened)
        if proba and not hasattr(opened, "predict_proba"):
            raise CommandError(f"{model}: the model has no probabilities; leave out --proba.")
        samples = reader.read(data, console)
        rows = iter(samples.rows)
        parts = predict_parts(
            opened, samples.texts, console, probabilities=proba, shows_results=output is None
        )
        for part in parts:
            write([{"row": next(rows), **record} for record in _make_records(part, labels)])


def _make_records(part: Predictions, labels: list[str] | None) -> list[dict[str, Any]]:
    """Predictions without their rows."""
    if labels is None:
        records = [_value_record(value) for value in part.values.tolist()]
    elif part.values.ndim == 2:
        records = [
            {"labels": [label for label, has in zip(labels, row, strict=True) if has]}
            for row in part.values.tolist()
        ]
    else:
        records = [{"label": str(label)} for label in part.values.tolist()]
    if part.probabilities is not None and labels is not None:
        for record, row in zip(records, part.probabilities.tolist(), strict=True):
            record["probabilities"] = dict(zip(labels, row, strict=True))
    return records


def _value_record(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"values": dict(enumerate(value))}
    return {"value": value}
