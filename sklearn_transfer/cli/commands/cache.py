"""``cache``: content and removal of the cache."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..._utils.display.tables import format_table
from ...vectors.storage.cache import cache_info, clear_cache
from .. import options
from ..console import Console


@click.group("cache", short_help="show or clear the cache of converted vectors")
def command() -> None:
    """Show or clear the cache of converted vectors and of features of texts.

    The environment variable SKLEARN_TRANSFER_CACHE names its folder; empty, it switches the cache
    off.
    """


@command.command("info", cls=options.Command, examples=["cache info", "cache info --json"])
@options.json_option
@click.pass_obj
def info(console: Console, *, as_json: bool) -> None:
    """Show the folder, the content and the size."""
    about = asdict(cache_info())
    if as_json:
        console.write_json(about)
        return
    about["folder"] = about["folder"] or "none: the cache is switched off"
    names = {"n_tables": "tables", "n_models": "n-gram models", "n_encoders": "encoders"}
    rows = [["folder", str(about["folder"])], ["bytes", f"{about['n_bytes']:,}"]]
    rows += [[title, f"{about[name]:,}"] for name, title in names.items()]
    console.write(format_table(rows))


@command.command("clear", cls=options.Command, examples=["cache clear"])
@options.json_option
@click.pass_obj
def clear(console: Console, *, as_json: bool) -> None:
    """Remove everything from the cache; it is made again when it is needed."""
    before = cache_info()
    clear_cache()
    n_bytes = before.n_bytes - cache_info().n_bytes
    if as_json:
        console.write_json({"folder": before.folder, "n_bytes_removed": n_bytes})
    elif before.folder is None:
        console.write("Nothing to remove: the cache is switched off.")
    else:
        console.write(f"Removed {n_bytes:,} bytes from {before.folder}.")
