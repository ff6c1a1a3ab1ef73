"""``vectors``: names, content and conversion of pretrained vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..._utils.display.tables import format_table
from ...sources import load_pretrained
from ...vectors.catalog import list_names
from ...vectors.formats import formats
from ...vectors.pretrained_vectors import PretrainedVectors
from .. import options
from ..console import CommandError, Console, check_output

_SUFFIXES = {".parquet": "parquet", ".bin": "word2vec-binary", ".kv": "gensim"}
_N_FIRST = 10  # words that are shown


@click.group("vectors", short_help="list, inspect and convert pretrained vectors")
def command() -> None:
    """List, inspect and convert pretrained vectors."""


@command.command("list", cls=options.Command, examples=["vectors list"])
@options.json_option
@click.pass_obj
def show_names(console: Console, *, as_json: bool) -> None:
    """List the names of vectors; org/name of the Hugging Face hub and paths are others."""
    names = list_names()
    if as_json:
        console.write_json([{"name": name, "path": path} for name, path in names.items()])
        return
    rows = [["name", "on this machine"]]
    rows += [[name, "-" if path is None else str(path)] for name, path in names.items()]
    width = max(len(name) for name, _ in rows)
    for name, place in rows:
        console.write(f"{name.ljust(width)}  {place}")


pickle_option = click.option(
    "--allow-pickle", is_flag=True, help="Open pickles of gensim, which run code of their author."
)


def _open(source: str, console: Console, *, allow_pickle: bool) -> PretrainedVectors:
    with console.working(f"opening {source}"):
        opened = load_pretrained(source, allow_pickle=allow_pickle)
    if not isinstance(opened, PretrainedVectors):
        raise CommandError(f"{source}: expected a table of vectors, found a sentence encoder.")
    return opened


_HELP = """\
Show size, type and first words of SOURCE: a name or a path.
"""


@command.command(
    "inspect",
    cls=options.Command,
    help=_HELP,
    examples=["vectors inspect glove-wiki-gigaword-50 --word film", "vectors inspect vectors.txt"],
)
@click.argument("source")
@click.option("--word", "words", multiple=True, help="Also the nearest words of a word.")
@pickle_option
@options.json_option
@click.pass_obj
def inspect(
    console: Console, *, source: str, words: Sequence[str], allow_pickle: bool, as_json: bool
) -> None:
    """Describe vectors."""
    vectors = _open(source, console, allow_pickle=allow_pickle)
    about = _describe(vectors)
    neighbours = {word: _find_neighbours(vectors, word) for word in words}
    if as_json:
        console.write_json(about | ({"neighbours": neighbours} if words else {}))
        return
    for name, value in about.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        console.write(f"{name.replace('_', ' '):12}  {shown}")
    for word, near in neighbours.items():
        rows = [[word, "cosine"], *([other, f"{cosine:.3f}"] for other, cosine in near.items())]
        console.write("\n" + format_table(rows))


def _describe(vectors: PretrainedVectors) -> dict[str, Any]:
    path = vectors.path
    return {
        "name": vectors.name,
        "path": path,
        "format": None if path is None else formats.detect_format(path),
        "words": len(vectors),
        "dim": vectors.dim,
        "dtype": str(vectors.matrix.dtype),
        "cased": vectors.cased,
        "tokenizer": vectors.tokenizer is not None,
        "subwords": vectors.subwords is not None,
        "first_words": _first_words(vectors, _N_FIRST),
    }


def _first_words(vectors: PretrainedVectors, n: int) -> list[str]:
    return [vectors.words[i] for i in range(min(n, len(vectors)))]


def _find_neighbours(vectors: PretrainedVectors, word: str) -> dict[str, float]:
    """The words with the largest cosine."""
    if word not in vectors:
        raise CommandError(f"The vectors have no word {word!r}.")
    direction = _normalize(vectors[word][None])[0]
    best: list[tuple[float, int]] = []
    for start in range(0, len(vectors), 50_000):
        places = np.arange(start, min(start + 50_000, len(vectors)))
        cosines = _normalize(vectors.table.vectors(places)) @ direction
        top = np.argsort(-cosines)[: _N_FIRST + 1].tolist()
        best += [(float(cosines[i]), start + i) for i in top]
    best.sort(reverse=True)
    found = {vectors.words[i]: cosine for cosine, i in best[: _N_FIRST + 1]}
    found.pop(word, None)
    return dict(list(found.items())[:_N_FIRST])


def _normalize(rows: Any) -> Any:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


@command.command(
    "convert",
    cls=options.Command,
    examples=[
        "vectors convert vectors.txt vectors --dtype float16",
        "vectors convert glove-wiki-gigaword-50 glove.parquet",
        "vectors convert vectors.bin small.txt.gz --format glove --limit 50000",
    ],
)
@click.argument("source")
@click.argument("output")
@click.option(
    "--format",
    type=click.Choice(list(formats.WRITERS)),
    help="By default by the name of OUTPUT: .parquet, .bin (word2vec), .kv (gensim), or a folder.",
)
@click.option("--dtype", type=click.Choice(["float32", "float16", "int8"]))
@click.option("--dim", type=click.IntRange(1), help="Project on this number of dimensions.")
@click.option("--limit", type=click.IntRange(1), help="Only the first words.")
@pickle_option
@options.force_option
@click.pass_obj
def convert(
    console: Console,
    *,
    source: str,
    output: str,
    format: str | None,
    dtype: str | None,
    dim: int | None,
    limit: int | None,
    allow_pickle: bool,
    force: bool,
) -> None:
    """Write the vectors of SOURCE, a name or a path, to OUTPUT in another format."""
    chosen = format or _guess_format(output)
    check_output(output, force=force)
    vectors = _open(source, console, allow_pickle=allow_pickle)
    with console.working(f"writing {output}"):
        if limit is not None:
            vectors = vectors.subset(
                words=[vectors.words[i] for i in range(min(limit, len(vectors)))]
            )
        if dim is not None:
            vectors = vectors.reduce(dim)
        if dtype is not None:
            vectors = vectors.astype(dtype)
        vectors.write(output, format=chosen)
    console.write(f"{output}: {len(vectors):,} words x {vectors.dim}, format {chosen}")


def _guess_format(output: str) -> str:
    suffix = Path(output.removesuffix(".gz")).suffix.lower()
    if suffix in ("", *_SUFFIXES):
        return _SUFFIXES.get(suffix, "folder")
    raise click.UsageError(
        f"The name {output!r} does not tell the format; give --format {', '.join(formats.WRITERS)}."
    )
