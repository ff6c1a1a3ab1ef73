"""``train``: fine-tune a model on a data file."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import click

from ...persistence.container import check_replaced
from .. import options
from ..console import Console, check_output
from ..metrics import measure, write_scores
from ..models import Recipe, load_model, recipe_options
from ..samples import (
    SampleReader,
    Target,
    note_duplicates,
    note_numbers,
    note_overlap,
    split_samples,
    to_array,
)

_HELP = """\
Fine-tune a model on the labelled texts of DATA (CSV, TSV, JSON lines or Parquet).

Labels are strings, without the spaces around them. With --test or --holdout the model is
measured on rows that it was not trained on; the file holds the model that was measured.
"""


@click.command(
    "train",
    cls=options.Command,
    help=_HELP,
    short_help="fine-tune a model on labelled texts, and measure it",
    examples=[
        "train reviews.csv --output model.zip --holdout 0.2",
        "train train.jsonl --test test.jsonl --text body --label topic --output model.zip",
        "train genres.csv --separator ';' --output genres.zip --set ngram_range=(1,1)",
        "train prices.parquet --label price --regression --output prices.zip",
    ],
)
@click.argument("data")
@click.option("--output", required=True, metavar="MODEL", help="A .zip, or a folder.")
@options.label_option
@options.separator_option
@options.reader_options
@click.option("--test", metavar="DATA", help="Labelled texts on which the model is measured.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Measure the model on this share of the rows, which are not trained on.",
)
@recipe_options
@click.option(
    "--vectors",
    type=click.Choice(["all", "used", "reference"]),
    default="all",
    show_default=True,
    help="Pretrained vectors in the model file: all, those of the training words, or their name.",
)
@options.force_option
@options.json_option
@click.pass_obj
def command(
    console: Console,
    *,
    data: str,
    output: str,
    label: str,
    separator: str | None,
    test: str | None,
    holdout: float | None,
    recipe: Recipe,
    vectors: str,
    reader: SampleReader,
    force: bool,
    as_json: bool,
) -> None:
    """Train a model."""
    if test is not None and holdout is not None:
        raise click.UsageError("Give --test or --holdout, not both.")
    target = Target.of(label, separator, is_number=recipe.is_regression)
    model = recipe.build()
    check_output(output, force=force)
    check_replaced(Path(output))
    train = reader.read(data, console, target)
    n_skipped, n_duplicates = train.n_skipped, note_duplicates(train, console)
    note_numbers(train, target, console)
    held_out = None if test is None else reader.read(test, console, target)
    if held_out is not None:
        note_overlap(train, held_out, console)
    if holdout is not None:
        is_stratified = not recipe.is_regression and separator is None
        train, held_out = split_samples(train, holdout, recipe.seed, stratified=is_stratified)
    started = perf_counter()
    with console.working("training"):
        model.fit(train.texts, to_array(train.targets, target))
    seconds = perf_counter() - started
    with console.working(f"writing {output}"):
        model.save(output, vectors=vectors)
    if vectors == "used":  # without the vectors of other words it predicts otherwise
        model = load_model(output, console)
    scores = None if held_out is None else measure(model, held_out, target, console)
    about = {
        "model": output,
        "n_train": len(train),
        "n_skipped": n_skipped,
        "n_duplicates": n_duplicates,
        "n_skipped_test": 0 if held_out is None else held_out.n_skipped,
        "fit_seconds": round(seconds, 3),
        "scores": scores,
    }
    if as_json:
        console.write_json(about)
    else:
        _write(about, console)


def _write(about: dict[str, Any], console: Console) -> None:
    console.write(
        f"{about['model']}: trained on {about['n_train']:,} texts in {about['fit_seconds']:.1f} s"
    )
    if about["scores"] is None:
        console.note("the model was not measured; give --holdout 0.2 or --test DATA.")
    else:
        console.write("")
        write_scores(about["scores"], console)
