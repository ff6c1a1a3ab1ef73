"""Does any damaged file give anything but an error that names it, or what it holds?

A tiny file of every format, damaged at random in 20,000 ways: cut off, bits flipped, bytes
inserted, deleted, repeated and exchanged, numbers made huge or negative, NaN, NUL, CR and odd
spaces inserted, parts of other formats' files put in; of a folder, one file damaged, taken away,
exchanged with another, or replaced by a folder, a named pipe, a socket or a link to itself.
`tests/fuzzing.py` says what is a right table and what is outside.

The same for bombs (compressed text, Parquet, JSON, chains of normalizers), the folder of a sentence
encoder, checkpoints, and the cache: half of these mutants have digests that agree with their
content. `tests/fuzz_rooms.py` and `fuzz_models.py` say what is right.

Mutants are drawn with seed 0; each has two seconds, a bomb ten, and a bound on memory. A process
that ends counts as outside. There is a process per processor (`--jobs`); their number changes
nothing but the time. The seconds in the table are those of all processes together.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from .measure import markdown_table, progress

PACKAGES = ["pyarrow", "gensim", "sentence-transformers", "tokenizers"]
SCRIPT = Path(__file__).parents[1] / "tests" / "fuzzing.py"
MUTANTS, QUICK = 20_000, 500
MINUTES = 240.0  # all formats, at most


def main(*, quick: bool = False, jobs: int = 0, minutes: float = MINUTES) -> str:
    rows, outside, notes = [], [], []
    n_mutants = QUICK if quick else MUTANTS
    command = [sys.executable, str(SCRIPT), "--mutants", str(n_mutants), "--jobs", str(jobs)]
    command += ["--seconds", str(60 * minutes), "--minutes", str(minutes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None

        def stop(*_: object) -> None:
            process.terminate()  # it writes what it has

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        for line in process.stdout:
            tally = json.loads(line)
            progress(f"{tally['format']}: {tally['mutants']} mutants")
            outside += tally["outside"]
            counts = [tally[name] for name in ("mutants", "tables", "refusals")]
            row = [tally["format"], *counts, len(tally["outside"]), round(tally["seconds"])]
            rows.append(row)
            if tally["missing"]:
                notes.append(f"Left out: {tally['format']}. {tally['missing']}")
            elif tally["mutants"] < n_mutants:
                notes.append(f"Stopped: {tally['format']}, after {tally['mutants']} mutants.")
    if process.returncode:
        raise RuntimeError(f"{SCRIPT} failed with exit code {process.returncode}.")
    header = ["format", "mutants", "right results", "refusals", "outside", "seconds"]
    table = markdown_table(header, rows)
    found = [f"```\n{text.strip()}\n```" for text in outside[:20]]
    return "\n\n".join([table, *notes, *found])
