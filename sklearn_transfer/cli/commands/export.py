"""``export``: a model file in the form of another program."""

from __future__ import annotations

from pathlib import Path

import click

from .. import options
from ..console import CommandError, Console, check_output
from ..models import load_model

_HELP = """\
Write a model file in the form of another program.

onnx is one file, from ids of tokens to probabilities or values, for onnxruntime; it needs the extra
onnx. model2vec and sentence-transformers are a folder with the fine-tuned vectors of a model that
was trained in mini-batches.
"""


@click.command(
    "export",
    cls=options.Command,
    help=_HELP,
    short_help="write a model for other programs",
    examples=[
        "export model.zip --output model.onnx",
        "export model.zip --output model.onnx --vectors used",
        "export model.zip --format model2vec --output vectors",
    ],
)
@click.argument("model")
@click.option("--output", required=True, metavar="PATH", help="A file, or a folder.")
@click.option(
    "--format",
    "name",
    type=click.Choice(["onnx", "model2vec", "sentence-transformers"]),
    default="onnx",
    show_default=True,
)
@click.option(
    "--vectors",
    type=click.Choice(["all", "used"]),
    help="Words in an ONNX file: all (the default), or those of the training texts.",
)
@options.force_option
@options.json_option
@click.pass_obj
def command(
    console: Console,
    *,
    model: str,
    output: str,
    name: str,
    vectors: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Export."""
    if vectors is not None and name != "onnx":
        raise click.UsageError("--vectors is for --format onnx.")
    check_output(output, force=force)
    opened = load_model(model, console)
    if not hasattr(opened, "export_onnx"):
        raise CommandError(f"{model}: a {type(opened).__name__} has no exports.")
    with console.working(f"writing {output}"):
        if name == "onnx":
            opened.export_onnx(output, vectors=vectors or "all")
        else:
            opened.export_static(output, format=name)
    place = Path(output)
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    about = {"output": output, "format": name, "n_bytes": sum(f.stat().st_size for f in files)}
    if as_json:
        console.write_json(about)
    else:
        console.write(f"Wrote {about['n_bytes']:,} bytes to {output}.")
