"""How long until a table is open, for the first time and again, next to gensim?

A made table, 400,000 x 300, as word2vec text and binary, GloVe text and gensim's own `.kv`; and the
400,000 x 50 of the GloVe wheel. Each opening is in a process of its own, with the source in the
system's page cache. The first opening of ours converts the source into an empty cache, the digests
and the syncing to disk included. Memory is what the opening adds to the resident set
(`/proc/self/statm` before and after, the imports done, so pages of the mapped matrix count as far
as they are touched). gensim opens by `load_word2vec_format` and by `KeyedVectors.load` with
`mmap="r"`, which is its fastest for a `.kv`.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from sklearn_transfer import PretrainedVectors

from .made_tables import make_matrix, make_words, write_text
from .measure import in_fresh_process, markdown_table, medians, progress

N_WORDS, N_WORDS_QUICK, DIM = 400_000, 20_000, 300
GLOVE = "glove-wiki-gigaword-50"
PACKAGES = ("gensim",)
_VARIABLE = "SKLEARN_TRANSFER_CACHE"

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "word2vec text": ("vectors.txt", {}),
    "word2vec binary": ("vectors.bin", {"binary": True}),
    "GloVe text": ("glove.txt", {"no_header": True}),
    "gensim .kv": ("vectors.kv", {}),
}
TARGETS = {
    "word2vec text": "10 times as fast",
    "word2vec binary": "as fast",
    "GloVe text": "as fast",
}


def ours(source: str, cache: str) -> dict[str, float]:
    os.environ[_VARIABLE] = cache
    # The imports of the readers are not what is measured.
    for module in ("tqdm", *(["gensim.models"] if source.endswith(".kv") else [])):
        importlib.import_module(module)
    return _opening(lambda: PretrainedVectors.load(source, allow_pickle=True))


def gensim_text_or_binary(source: str, options: dict[str, Any]) -> dict[str, float]:
    from gensim.models import KeyedVectors

    return _opening(lambda: KeyedVectors.load_word2vec_format(source, **options))


def gensim_own(source: str) -> dict[str, float]:
    from gensim.models import KeyedVectors

    return _opening(lambda: KeyedVectors.load(source, mmap="r"))


def _opening(call: Callable[[], Any]) -> dict[str, float]:
    before, start = _resident(), perf_counter()
    opened = call()
    seconds, after = perf_counter() - start, _resident()
    assert len(opened) > 0
    return {"s": seconds, "MB": (after - before) / 1e6}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def write_files(folder: Path, n_words: int) -> None:
    words = make_words(n_words)
    write_text(folder / "vectors.txt", words, DIM, header=True)
    write_text(folder / "glove.txt", words, DIM, header=False)
    vectors = PretrainedVectors(words, make_matrix(n_words, DIM))
    vectors.write(folder / "vectors.bin", format="word2vec-binary")
    vectors.to_gensim().save(str(folder / "vectors.kv"))


def main(*, quick: bool = False, repeats: int = 3) -> str:
    n_words = N_WORDS_QUICK if quick else N_WORDS
    rows = []
    with tempfile.TemporaryDirectory(prefix="sklearn_transfer_opening_") as name:
        folder = Path(name)
        progress(f"writing {n_words:,} x {DIM}")
        in_fresh_process(write_files, folder, n_words)
        for format, (file, options) in FORMATS.items():
            source = str(folder / file)
            if format == "gensim .kv":
                rival = partial(gensim_own, source)
            else:
                rival = partial(gensim_text_or_binary, source, options)
            rows.append(_compare(format, source, rival, folder / "cache", repeats))
        rows.append(_compare(f"{GLOVE}, its wheel", GLOVE, None, folder / "cache", repeats))
    header = [
        "",
        "first: ours",
        "gensim",
        "ratio",
        "again: ours",
        "added",
        "gensim added",
        "wanted",
    ]
    about = (
        f"{n_words:,} x {DIM}. Medians of {repeats} rounds, in each of which all openings of a "
        f"file follow one another. ratio: gensim's seconds by ours, first opening; for .kv "
        f"nothing is converted, and both map. Wanted of every second opening: < 50 ms, < 20 MB."
    )
    return f"{about}\n\n{markdown_table(header, rows)}"


def _compare(
    format: str,
    source: str,
    rival: Callable[[], dict[str, float]] | None,
    cache: Path,
    repeats: int,
) -> list[str]:
    runs = []
    for repeat in range(repeats):
        progress(f"{format}, {repeat + 1} of {repeats}")
        shutil.rmtree(cache, ignore_errors=True)
        figures = {}
        for which in ("first", "again"):
            found = in_fresh_process(ours, source, str(cache))[0]
            figures |= {f"{which} {unit}": value for unit, value in found.items()}
        if rival is not None:
            found = in_fresh_process(rival)[0]
            figures |= {f"gensim {unit}": value for unit, value in found.items()}
        runs.append(figures)
    row = medians(runs)
    theirs = ["", "", ""]
    if rival is not None:
        ratio = row["gensim s"] / row["first s"]
        theirs = [f"{row['gensim s']:.2f} s", f"{ratio:.1f}", f"{row['gensim MB']:.0f} MB"]
    again = [f"{1000 * row['again s']:.1f} ms", f"{row['again MB']:.1f} MB"]
    wanted = TARGETS.get(format, "")
    return [format, f"{row['first s']:.2f} s", *theirs[:2], *again, theirs[2], wanted]
