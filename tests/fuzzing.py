"""Every format, and what else is opened, damaged: ``python tests/fuzzing.py --mutants 20000``.

Two outcomes are allowed. A refusal is a ``VectorFormatError`` that names the file
(``FileNotFoundError`` where the path itself is gone). A right table is well formed, and holds word
by word and bit by bit what a second, naive reader (``naive.py``) finds in the same bytes; a word
whose bytes in the original file all occur in the damaged one, and no oftener, keeps its vector; a
folder of ours, read into memory, equals the original. All else is outside: other exceptions and
warnings, another table, more than two seconds, memory beyond ``MEMORY``, a process that ends. An
error for want of memory is outside, too, where a reader has turned it into a refusal.

`fuzz_rooms.py` has bombs, model folders, checkpoints and the cache, `fuzz_models.py` model files.

Mutant ``i`` of a format depends on nothing but the format's name, ``i`` and ``--seed``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import naive
import numpy as np
from fuzz_limits import (
    MEMORY,
    Tally,
    TooLong,
    Wrong,
    check_no_lack_of_memory,
    forget_peak,
    limit_addresses,
    peak_resident,
    time_limit,
)
from fuzz_models import ROOMS
from fuzz_processes import Share, supervise
from mutants import Odd, mutate_tree
from tiny_files import (
    FORMATS,
    check_well_formed,
    fresh,
    load_tree,
    other_contents,
    save_tree,
)

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.table.table import Table

# The documented ones: of any format, and of spaCy's keys.
WARNINGS = ("repeated word", "without a string")


def _records(path: Path, table: Table) -> dict[str, bytes]:
    """What a word and its vector are in a file of lines or of binary rows."""
    kind, content = formats.detect_format(path), naive.content_of(path) if path.is_file() else b""
    records: dict[str, bytes] = {}
    if kind in ("word2vec-text", "glove"):
        for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")[kind != "glove" :]:
            if line:
                records[line.rsplit(None, table.dim)[0].decode()] = b"\n%b\n" % line
    elif kind == "word2vec-binary":
        for word, row in zip(table.words, table.matrix, strict=True):
            records[word] = b"%b %b" % (word.encode(), row.tobytes())
    return records


class Fuzzer:
    """The mutants of one format, each read and judged."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.seed, self.folder = name, seed, folder
        path = fresh(folder / "good")
        self.target = FORMATS[name](path).relative_to(path)
        self.tree = load_tree(path)
        self.others = other_contents(folder / "others")
        self.original: Table | None = None
        self.records: dict[str, bytes] = {}
        self.content = b""
        with contextlib.suppress(VectorFormatError):  # a pickle
            self.original = formats.read(path / self.target, mmap=False)
            self.records = _records(path / self.target, self.original)
            self.content = naive.content_of(path / self.target) if self.records else b""

    def mutant(self, i: int) -> tuple[dict[str, bytes | Odd], list[str]]:
        """Mutant `i`, and what was done."""
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), i])
        return mutate_tree(self.tree, rng, self.others)

    def judge(self, i: int, tally: Tally) -> None:
        """Read mutant `i` and enter into the tally what came of it."""
        tree, done = self.mutant(i)
        work = fresh(self.folder / "work")
        save_tree(tree, work)
        path, mmap = work / self.target, bool(i % 2)
        tally.mutants += 1
        try:
            table, repeated = self._read(path, mmap, traced=_rewrites_numbers(done))
            if table is None:
                tally.refusals += 1
            else:
                self._check(table, path, mmap=mmap, repeated=repeated)
                tally.tables += 1
        except (Exception, TooLong) as error:
            where = "".join(traceback.format_exception(error)[-3:])
            tally.outside.append(f"{self.name}, mutant {i} ({', '.join(done)}): {where}")

    def _read(self, path: Path, mmap: bool, *, traced: bool) -> tuple[Table | None, bool]:
        """The table or None, and whether words were repeated; all other outcomes are raised."""
        forget_peak()
        resident = peak_resident()
        if traced:
            tracemalloc.start()
        try:
            with time_limit(), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                table = None
                try:
                    table = formats.read(path, mmap=mmap)
                    formats.fingerprint(path)
                except FileNotFoundError:
                    if os.path.lexists(path):
                        raise
                except VectorFormatError as error:
                    _check_refusal(error, path)
            peak = tracemalloc.get_traced_memory()[1] if traced else 0
        finally:
            tracemalloc.stop()
        peak = max(peak, peak_resident() - resident)
        if peak > MEMORY:
            raise Wrong(f"{peak} bytes of memory")
        texts = [str(warning.message) for warning in caught]
        other = [text for text in texts if not any(known in text for known in WARNINGS)]
        if other:
            raise Wrong(f"a warning: {other[0]}")
        return table, any(WARNINGS[0] in text for text in texts)

    def _check(self, table: Table, path: Path, *, mmap: bool, repeated: bool) -> None:
        kind = formats.detect_format(path)
        mapped = kind == "folder" and mmap  # its matrix is checked where it is read
        if not mapped:
            check_well_formed(table)
        found = dict(zip(table.words, table.vectors(slice(None)), strict=True))
        expected = naive.read(path, kind, table.dim)
        if expected is not None:
            _compare(found, expected, exactly=kind != "fasttext")
        original = self.original
        if original is None:
            return
        before = dict(zip(original.words, original.vectors(slice(None)), strict=True))
        if kind == "folder" and not mmap and self.name.startswith("folder"):
            _compare(found, before, exactly=True)
        if self.records and not repeated:
            content = b"\n%b\n" % naive.content_of(path).replace(b"\r\n", b"\n")
            for word in before.keys() & found.keys():
                same = found[word].tobytes() == before[word].tobytes()
                key = word.encode() + b" "
                again = content.count(key) > self.content.count(key)
                if not same and not again and self.records[word] in content:
                    raise Wrong(f"another vector of {word!r}, whose bytes have stayed")


def _rewrites_numbers(done: Sequence[str]) -> bool:
    return "integer" in done or "digits" in done


def _check_refusal(error: VectorFormatError, path: Path) -> None:
    if str(path) not in str(error):
        raise Wrong(f"a message without the file: {error}")
    check_no_lack_of_memory(error)


def _compare(found: dict[str, Any], expected: dict[str, Any], *, exactly: bool) -> None:
    if list(found) != list(expected):
        raise Wrong(f"words {list(found)[:20]}, expected {list(expected)[:20]}")
    for word, row in expected.items():
        ours = found[word]
        same = ours.tobytes() == np.ascontiguousarray(row, np.float32).tobytes()
        if not same and (exactly or not np.allclose(ours, row, rtol=1e-4, atol=1e-6)):
            raise Wrong(f"{word!r} is {ours}, expected {row}")


def serve(names: Sequence[str], seed: int, position: Path) -> None:
    """Answer each share of mutants on the standard input with a tally on the standard output."""
    with contextlib.suppress(ImportError):
        import pyarrow.parquet  # noqa: F401  # what it maps is no fault of the readers
    with contextlib.suppress(ImportError):
        if any(name in ROOMS for name in names):
            import sentence_transformers  # noqa: F401

    # A library in Rust writes to the standard output, too.
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit_addresses()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    # In memory, where there is such a place: thousands of folders come and go.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=place) as folder,
        position.open("r+b", buffering=0) as noted,
    ):

        def goes_on(i: int) -> bool:
            noted.seek(0)
            noted.write(b"%12d" % i)
            return not stopped.is_set()

        fuzzers: dict[str, Any] = {}
        for line in sys.stdin:
            tally = judge(Share(**json.loads(line)), fuzzers, Path(folder), seed, goes_on)
            print(json.dumps(asdict(tally)), file=report, flush=True)


def judge(
    share: Share,
    fuzzers: dict[str, Any],
    folder: Path,
    seed: int,
    goes_on: Callable[[int], bool],
) -> Tally:
    """Judge the mutants of a share, while `goes_on`; a library that is missing is entered."""
    name, tally, start = share.format, Tally(share.format), time.perf_counter()
    try:
        if name not in fuzzers:
            fuzzers[name] = ROOMS.get(name, Fuzzer)(name, folder / str(len(fuzzers)), seed)
    except ImportError as error:
        tally.missing = str(error)
        return tally
    for i in range(share.first, share.stop):
        if time.perf_counter() - start > share.seconds or not goes_on(i):
            break
        fuzzers[name].judge(i, tally)
    tally.seconds = time.perf_counter() - start
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="FORMAT")
    parser.add_argument("--mutants", type=int, default=500, help="a format")
    parser.add_argument("--seconds", type=float, default=300.0, help="a format, at most")
    parser.add_argument("--minutes", type=float, help="all formats, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes; 0: one per processor")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.names or [*FORMATS, *ROOMS]
    if unknown := set(names) - {*FORMATS, *ROOMS}:
        parser.error(f"no format called {', '.join(unknown)}: {', '.join((*FORMATS, *ROOMS))}")
    if given.child:
        serve(names, given.seed, given.child)
        return
    n_jobs = given.jobs or len(os.sched_getaffinity(0))
    limit = given.minutes and 60 * given.minutes
    for tally in supervise(given.mutants, names, given.seconds, given.seed, n_jobs, limit):
        print(json.dumps(asdict(tally)), flush=True)


if __name__ == "__main__":
    main()
