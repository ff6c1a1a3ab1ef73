"""``report``: a model next to models without pretrained vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..._utils.atomic import write_atomically
from ...evaluation.report import TransferReport
from ...evaluation.transfer import transfer_report
from .. import options
from ..console import Console, check_output
from ..models import Recipe, recipe_options
from ..samples import SampleReader, Target, note_duplicates, to_array

_PICTURES = (".png", ".svg", ".pdf")


def _parse_sizes(
    context: click.Context, parameter: click.Parameter, value: str
) -> list[float | int]:
    try:
        return [float(part) if "." in part else int(part) for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            "expected shares or numbers with commas between them, such as 0.1,0.3,1.0 or 50,500.",
            context,
            parameter,
        ) from error


_HELP = """\
Compare a model on DATA with one that is frozen, one with random weights, and TF-IDF.

All are fitted on the same splits and on growing numbers of labels.
"""


def _check_picture(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and Path(value).suffix.lower() not in _PICTURES:
        raise click.BadParameter(
            f"expected a name ending in .png, .svg or .pdf, got {value!r}.", context, parameter
        )
    return value


@click.command(
    "report",
    cls=options.Command,
    help=_HELP,
    short_help="compare a model with others that do not use pretrained vectors",
    examples=[
        "report reviews.csv",
        "report reviews.csv --cv 10 --train-sizes 20,100,500 --plot report.png",
        "report reviews.csv --pretrained wordllama --scoring f1_macro --json",
    ],
)
@click.argument("data")
@options.label_option
@options.separator_option
@options.reader_options
@recipe_options
@click.option("--cv", type=click.IntRange(2), default=5, show_default=True, help="Folds.")
@click.option(
    "--train-sizes",
    default="0.1,0.3,1.0",
    show_default=True,
    callback=_parse_sizes,
    help="Numbers of labels, or shares.",
)
@click.option("--scoring", metavar="NAME", help="A score of scikit-learn, such as f1_macro.")
@click.option("--n-jobs", type=int, help="Fits at a time, in processes.")
@click.option(
    "--plot",
    metavar="FILE",
    callback=_check_picture,
    help="Picture: .png, .svg or .pdf (extra plot).",
)
@options.force_option
@options.json_option
@click.pass_obj
def command(
    console: Console,
    *,
    data: str,
    label: str,
    separator: str | None,
    recipe: Recipe,
    cv: int,
    train_sizes: Sequence[float | int],
    scoring: str | None,
    n_jobs: int | None,
    plot: str | None,
    reader: SampleReader,
    force: bool,
    as_json: bool,
) -> None:
    """Compare models."""
    target = Target.of(label, separator, is_number=recipe.is_regression)
    model = recipe.build()
    if plot is not None:
        check_output(plot, force=force)
    samples = reader.read(data, console, target)
    note_duplicates(samples, console)
    made = transfer_report(
        model,
        samples.texts,
        to_array(samples.targets, target),
        cv=cv,
        train_sizes=train_sizes,
        scoring=scoring,
        n_jobs=n_jobs,
        random_state=recipe.seed,
    )
    if plot is not None:
        _draw(made, plot)
    if as_json:
        console.write_json(_to_document(made))
    else:
        console.write(str(made))


def _to_document(made: TransferReport) -> dict[str, Any]:
    models = {}
    for name, seconds in made.fit_seconds.items():
        entry: dict[str, Any] = {"score": made.score_intervals(name)}
        if name != made.reference:
            entry["difference"] = made.difference_intervals(name)
        models[name] = entry | {"fit_seconds": seconds.mean(axis=1)}
    return {
        "scoring": made.score_name,
        "confidence": made.confidence,
        "n_labels": made.train_sizes,
        "columns": ["mean", "low", "high"],
        "models": models,
        "left_out": made.left_out,
    }


def _draw(made: TransferReport, path: str) -> None:
    with write_atomically(Path(path)) as file:
        made.plot().figure_.savefig(file, format=Path(path).suffix[1:].lower(), bbox_inches="tight")
