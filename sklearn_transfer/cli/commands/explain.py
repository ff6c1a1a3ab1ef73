"""``explain``: contributions of the words of texts to predictions."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from ..._utils.atomic import write_atomically
from ..._utils.display.suggestions import suggest
from ...explanation.explanation import Explanation
from ...explanation.views.html import render_html
from ...explanation.views.segments import SHOWN_PAIRS
from ...explanation.views.terminal import render_text
from .. import options
from ..console import CommandError, Console, check_output, table_suffix
from ..data import Columns, find_undecoded
from ..models import find_labels, load_model
from ..samples import SampleReader, Samples

_PART = 100  # texts that are explained at a time
_Write = Callable[[Sequence[int], Explanation], None]


_HELP = """\
Show how much each word of the texts of DATA contributes to the predictions of a model.

Contributions and the baseline add up to the output of the model: the logit of a label, or a
value. With --json the explanations are JSON lines.
"""


@click.command(
    "explain",
    cls=options.Command,
    help=_HELP,
    short_help="show the words that a prediction comes from",
    examples=[
        'explain model.zip --string "dull and far too long"',
        "explain model.zip new.csv --output explained.html",
        "explain model.zip new.csv --target pos --json",
    ],
)
@click.argument("model")
@click.argument("data", required=False)
@click.option("--string", metavar="TEXT", help="A text in place of DATA.")
@options.reader_options
@click.option(
    "--target",
    multiple=True,
    metavar="LABEL",
    help="Explained label, or all; several may be given. By default the predicted one.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "exact", "integrated_gradients", "occlusion"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--output",
    metavar="FILE",
    help="An .html page, or a table: .csv, .tsv or .jsonl (and .gz).",
)
@options.force_option
@options.json_option
@click.pass_obj
def command(
    console: Console,
    *,
    model: str,
    data: str | None,
    string: str | None,
    target: Sequence[str],
    method: str,
    output: str | None,
    reader: SampleReader,
    force: bool,
    as_json: bool,
) -> None:
    """Explain predictions."""
    if (data is None) == (string is None):
        raise click.UsageError("Give DATA or --string, one of them.")
    if output is not None and as_json:
        raise click.UsageError("--json is for stdout; give an --output that ends in .jsonl.")
    with _open_output(output, console, force=force, as_json=as_json) as write:
        opened = load_model(model, console)
        if not hasattr(opened, "explain"):
            raise CommandError(f"{model}: a {type(opened).__name__} has no explanations.")
        chosen = _find_targets(target, opened)
        if string is None:
            samples = reader.read(str(data), console)
        elif fault := find_undecoded(string):
            raise CommandError(f"--string: {fault}.")
        else:
            columns = Columns("--string", {reader.text: [string]}, [None])
            samples = reader.choose(columns, console)
        with console.progress(len(samples), "texts", shows_results=output is None) as bar:
            for rows, explanation in _explain(opened, samples, chosen, method):
                write(rows, explanation)
                bar.update(len(rows))


def _explain(
    model: Any, samples: Samples, target: Any, method: str
) -> Iterator[tuple[Sequence[int], Explanation]]:
    for start in range(0, len(samples), _PART):
        part = slice(start, start + _PART)
        yield samples.rows[part], model.explain(samples.texts[part], target, method)


def _find_targets(names: Sequence[str], model: Any) -> Any:
    """The parameter `target` of `explain`."""
    if not names:
        return None
    labels = find_labels(model)
    if labels is None:
        raise CommandError("A regressor has no labels; leave out --target.")
    if list(names) == ["all"] and "all" not in labels:
        return "all"
    for name in names:
        if name not in labels:
            shown = ", ".join(map(repr, labels[:20])) + (" ..." if len(labels) > 20 else "")
            raise CommandError(
                f"The model has no label {name!r}; its labels are {shown}.{suggest(name, labels)}"
            )
    classes = model.classes_.tolist()
    return [classes[labels.index(name)] for name in names]


@contextmanager
def _open_output(
    path: str | None, console: Console, *, force: bool, as_json: bool
) -> Iterator[_Write]:
    """Open a writer of explanations."""
    if path is None and not as_json:
        yield lambda rows, explanation: _write_text(rows, explanation, console)
    elif path is not None and Path(path).suffix.lower() in (".html", ".htm"):
        check_output(path, force=force)
        with write_atomically(Path(path)) as raw:
            file = io.TextIOWrapper(raw, encoding="utf-8")
            file.write(_HEAD)
            yield lambda rows, explanation: _write_html(rows, explanation, file)
            file.write("</body>\n</html>\n")
            file.flush()
            file.detach()
    else:
        is_table = path is not None and table_suffix(path) != ".jsonl"
        list_records = _list_tokens if is_table else _list_texts
        with console.records(path, force=force, as_json=True) as write:
            yield lambda rows, explanation: write(list(list_records(rows, explanation)))


# Browsers show the page in the colours of the system, light or dark.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Explanations</title>
<meta name="viewport" content="width=device-width">
<style>:root{color-scheme:light dark}body{font-family:sans-serif}</style></head>
<body>
"""


def _write_html(rows: Sequence[int], explanation: Explanation, file: TextIO) -> None:
    size = max(SHOWN_PAIRS // explanation.n_targets, 1)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        file.write(render_html(explanation[part], numbers=rows[part]) + "\n")


def _write_text(rows: Sequence[int], explanation: Explanation, console: Console) -> None:
    for row, one in zip(rows, explanation, strict=True):
        console.write(f"{render_text(one, colour=console.has_colour, numbers=[row])}\n")


def _list_texts(rows: Sequence[int], explanation: Explanation) -> Iterator[dict[str, Any]]:
    """A record for each text."""
    for row, one in zip(rows, explanation, strict=True):
        targets = [
            {
                "target": one.targets[0, number],
                "output": one.logits[0, number],
                "baseline": one.baseline[0, number],
                "tokens": list(_list_contributions(one, number)),
            }
            for number in range(one.n_targets)
        ]
        yield {"row": row, "text": one.texts[0], "method": one.method, "targets": targets}


def _list_tokens(rows: Sequence[int], explanation: Explanation) -> Iterator[dict[str, Any]]:
    """A record for each token of a text and target."""
    for row, one in zip(rows, explanation, strict=True):
        for number in range(one.n_targets):
            for token in _list_contributions(one, number):
                yield {"row": row, "target": one.targets[0, number], **token}


def _list_contributions(one: Explanation, number: int) -> Iterator[dict[str, Any]]:
    columns = (one.tokens, one.start, one.end, one.contributions[:, number])
    names = ("token", "start", "end", "contribution")
    for values in zip(*(column.tolist() for column in columns), strict=True):
        yield dict(zip(names, values, strict=True))
