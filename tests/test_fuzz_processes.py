"""Fuzzing processes, tried with a script that judges nothing."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from fuzz_limits import forget_peak, peak_resident
from fuzz_processes import Supervisor

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")

# Mutant 7 of "ends" ends the process; one of "waits" takes a hundredth of a second.
CHILD = """
import json, os, sys, time
position = open(sys.argv[sys.argv.index("--child") + 1], "r+b", buffering=0)
for line in sys.stdin:
    share = json.loads(line)
    name = share["format"]
    for i in range(share["first"], share["stop"]):
        position.seek(0)
        position.write(b"%12d" % i)
        if name == "waits":
            time.sleep(.01)
        if name == "ends" and i == 7:
            os._exit(3)
    n = share["stop"] - share["first"]
    outside = [f"{i}" for i in range(share["first"], share["stop"]) if i % 9 == 0]
    answer = {"format": name, "mutants": n, "refusals": n, "outside": outside, "seconds": n / 10}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "child.py").write_text(CHILD)
    return tmp_path / "child.py"


def run(script: Path, names: list[str], n: int, time_limit: float = 60, **given: float):
    options = {"seconds": 1e9, "seed": 0, "n_jobs": 1} | given
    supervisor = Supervisor(names, n, script=script, **options)
    return list(supervisor.run(time_limit))


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_the_result_does_not_depend_on_the_number_of_processes(script: Path, n_jobs: int) -> None:
    tallies = run(script, ["a", "b"], 901, n_jobs=n_jobs)
    assert [tally.format for tally in tallies] == ["a", "b"]
    for tally in tallies:
        assert tally.mutants == tally.refusals == 901
        assert tally.outside == [str(i) for i in range(0, 901, 9)]
        assert tally.seconds == pytest.approx(90.1)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_process_that_ends_is_an_outcome_and_another_goes_on(script: Path, n_jobs: int) -> None:
    ends, other = run(script, ["ends", "a"], 500, n_jobs=n_jobs)
    assert (ends.mutants, other.mutants) == (500, 500)
    assert "ends, mutant 7: the process ended: 3" in ends.outside
    assert "9" in ends.outside


def test_what_there_is_comes_when_the_time_is_over(script: Path) -> None:
    start = time.monotonic()
    waits, done = run(script, ["waits", "a"], 2000, n_jobs=2, time_limit=1.0)
    assert time.monotonic() - start < 20
    assert done.mutants == 2000
    assert waits.mutants < 2000


def test_the_time_of_a_format_is_that_of_all_its_processes(script: Path) -> None:
    (tally,) = run(script, ["a"], 2000, seconds=30.0)
    assert tally.mutants == 400  # in shares of two hundred, 20 seconds each


def test_a_process_that_cannot_begin_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text("raise SystemExit(4)")
    with pytest.raises(RuntimeError, match="ended before the first mutant: 4"):
        run(tmp_path / "child.py", ["a", "b"], 500, n_jobs=2)


def test_a_peak_of_memory_is_forgotten() -> None:
    block = bytearray(os.urandom(1)) * (256 << 20)
    highest = peak_resident()
    del block
    forget_peak()
    assert highest - peak_resident() > 128 << 20
