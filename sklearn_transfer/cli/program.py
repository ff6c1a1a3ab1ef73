"""The program: its commands, and errors as one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from .. import __version__
from .console import Console, one_line
from .entry import INTERRUPTED

_COMMANDS = {
    "train": "fine-tune a model on labelled texts, and measure it",
    "predict": "predict labels or values of texts",
    "evaluate": "measure a model on labelled texts",
    "explain": "show the words that a prediction comes from",
    "export": "write a model for other programs",
    "report": "compare a model with others that do not use pretrained vectors",
    "vectors": "list, inspect and convert pretrained vectors",
    "cache": "show or clear the cache of converted vectors",
}
_COMPLETION = "_SKLEARN_TRANSFER_COMPLETE"  # set by the shell that completes a command
_CLOSED_PIPE = 141  # as shells report the signal

_EPILOG = """\b
Examples:
  sklearn-transfer train reviews.csv --output model.zip --holdout 0.2
  sklearn-transfer predict model.zip new.csv --proba --output predictions.csv
  sklearn-transfer explain model.zip --string "dull and far too long"

\b
Exit codes: 0 success, 1 an error of the data or the model, 2 an error of the
command line, 130 interrupted, 141 the reader of the output closed the pipe."""


class Program(click.Group):
    """The commands by name; a command is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (a protocol)
        """The names, in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"sklearn_transfer.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 (a protocol)
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *others: Any,
        **options: Any,
    ) -> Any:
        """Run a command and exit with its code."""
        if os.environ.get(_COMPLETION):
            return super().main(args, prog_name, *others, **options)
        given = sys.argv[1:] if args is None else list(args)

        def call() -> None:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")  # as JSON is
            with self.make_context(prog_name or "sklearn-transfer", list(given)) as context:
                context.obj = Console(sys.stdout)
                self.invoke(context)
            sys.stdout.flush()

        with _one_line_warnings():
            sys.exit(_run(call, shows_traceback="--traceback" in given))


def _run(call: Callable[[], None], *, shows_traceback: bool) -> int:
    """Call, and turn every error into one line and an exit code."""
    try:
        call()
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "sklearn-transfer"
        _show_error(f"{one_line(error.format_message())} See: {path} --help")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _show_error("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return _CLOSED_PIPE
    except Exception as error:
        if shows_traceback:
            traceback.print_exc(file=sys.stderr)
        _show_error(_describe(error))
        try:
            sys.stdout.flush()
        except (OSError, ValueError):  # a full disk: the interpreter would report it once more
            _close_stdout()
        return 1
    return 0


def _describe(error: Exception) -> str:
    """An error and its notes in one line; the type of one that we did not write."""
    parts = [_message(error), *getattr(error, "__notes__", [])]
    if not isinstance(error, click.ClickException | OSError | ValueError | TypeError | ImportError):
        parts = [f"{type(error).__name__}:", *parts, "(--traceback shows where)"]
    return one_line(" ".join(part for part in parts if part))


def _message(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {os.fspath(error.filename)}"
    return str(error) or ("not enough memory" if isinstance(error, MemoryError) else "")


def _show_error(message: str) -> None:
    with suppress(OSError):  # the terminal is gone, too
        click.echo(f"Error: {message}", err=True)


def _close_stdout() -> None:
    """Let the interpreter flush into nothing at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"Warning: {one_line(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        click.echo(f"sklearn-transfer {__version__}")
        context.exit()


program = Program(
    "sklearn-transfer",
    help="Transfer learning for texts: train, predict and explain from files.",
    epilog=_EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            help="Show the version and exit.",
            callback=_show_version,
        )
    ],
)
