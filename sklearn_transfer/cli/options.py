"""Options that commands share, and the class of commands."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import wraps
from typing import Any

import click

from .data import FORMATS, Reading
from .samples import SampleReader

Function = Callable[..., Any]


class Command(click.Command):
    """A command with `examples`, one per line, at the end of its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples
        self.params.append(
            click.Option(
                ["--traceback"],
                is_flag=True,
                expose_value=False,
                help="Show the place of an error.",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; libraries that print do so on stderr."""
        with redirect_stdout(sys.stderr):
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  sklearn-transfer {line}\n" for line in self.examples))


def _check_encoding(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        codecs.lookup(value)
    except LookupError as error:
        raise click.BadParameter(f"{error}.", context, parameter) from error
    return value


def _check_delimiter(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    value = {"tab": "\t", "\\t": "\t"}.get(value or "", value)
    if value is not None and len(value) != 1:
        raise click.BadParameter("expected one character, or tab.", context, parameter)
    return value


def reader_options(function: Function) -> Function:
    """Add the options of reading texts from a data file, as the argument `reader`."""

    @click.option(
        "--text", default="text", show_default=True, metavar="COL", help="Column of the texts."
    )
    @click.option(
        "--skip-bad", is_flag=True, help="Leave out rows that cannot be used, and count them."
    )
    @click.option(
        "--format", type=click.Choice(FORMATS), help="Format, if the name does not tell it."
    )
    @click.option(
        "--delimiter",
        callback=_check_delimiter,
        help="Between cells; by default a comma, in .tsv a tab.",
    )
    @click.option("--encoding", default="utf-8", show_default=True, callback=_check_encoding)
    @click.option("--no-quotes", is_flag=True, help="Quotes in CSV are part of the text.")
    @click.option(
        "--no-header", is_flag=True, help="The first row is data; columns are numbered from 1."
    )
    @wraps(function)
    def call(  # noqa: PLR0913 (the options)
        *args: Any,
        text: str,
        skip_bad: bool,
        format: str | None,
        delimiter: str | None,
        encoding: str,
        no_quotes: bool,
        no_header: bool,
        **options: Any,
    ) -> Any:
        reading = Reading(
            format, delimiter, encoding, has_quotes=not no_quotes, has_header=not no_header
        )
        return function(*args, reader=SampleReader(text, reading, skip_bad), **options)

    return call


label_option = click.option(
    "--label",
    default="label",
    show_default=True,
    metavar="COL",
    help="Column of the labels, or of the values.",
)
separator_option = click.option(
    "--separator",
    metavar="SEP",
    help="Texts have several labels, with this between them. An empty cell is no label.",
)
force_option = click.option("--force", is_flag=True, help="Replace an existing output.")
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
