"""The entry point, which also works where the extra ``cli`` is not installed."""

from __future__ import annotations

import sys
from importlib import import_module

from .._utils.errors import MissingDependencyError
from .._utils.optional import import_optional

INTERRUPTED = 130  # as shells report the signal


def main() -> None:
    """Run the command line and exit."""
    try:
        import_optional("click", extra="cli", purpose="The command sklearn-transfer")
        program = import_module("sklearn_transfer.cli.program").program
    except MissingDependencyError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:  # before the program handles it
        print("Error: interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    program(prog_name="sklearn-transfer")
