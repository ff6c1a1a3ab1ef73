"""Processes that fuzz shares of the mutants of each format, for ``fuzzing.py``.

A child reads shares from its standard input and answers each with a tally. The tallies of a format
are added in the order of its mutants, so that they do not depend on the number of processes. A
child that ends, or does not go on, is an outcome of the mutant it was at; another takes the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fuzz_limits import Tally

_SCRIPT = Path(__file__).with_name("fuzzing.py")
_SHARE = 200  # mutants
_PATIENCE = 90.0  # seconds of a child with one mutant; libraries are imported before the first
_NOTE = 15.0  # seconds between notes of progress


@dataclass(frozen=True)
class Share:
    """Mutants of a format, for at most some seconds."""

    format: str
    first: int
    stop: int
    seconds: float


class _Child:
    """A process that judges mutants, one share after the other."""

    def __init__(self, script: Path, names: Sequence[str], seed: int) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),  # the package of this checkout
            "SKLEARN_TRANSFER_CACHE": "",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "0",
            "RUST_BACKTRACE": "0",
        }
        self._position = tempfile.NamedTemporaryFile()  # noqa: SIM115 (closed with the process)
        command = [sys.executable, "-X", "faulthandler", str(script), *names]
        command += ["--child", self._position.name, "--seed", str(seed)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # an interrupt at the keyboard stops the parent alone
        )

    def position(self) -> int | None:
        """The mutant that the process is at."""
        content = Path(self._position.name).read_bytes()
        return int(content) if content else None

    def run(self, share: Share, stopped: threading.Event) -> Tally | None:
        """Judge the mutants of a share; None if the process ends or has to be ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(asdict(share)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        position, since = None, time.monotonic()
        while not select.select([self.process.stdout], [], [], 0.2)[0]:
            if stopped.is_set():
                self.process.terminate()  # it answers with what it has
            now = self.position()
            if now != position:
                position, since = now, time.monotonic()
            if time.monotonic() - since > _PATIENCE:
                self.process.kill()
        line = self.process.stdout.readline()
        if line:
            return Tally(**json.loads(line))
        self.process.wait()
        return None

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self._position.close()


class Supervisor:
    """Shares of formats, handed to processes until all are done or the time is over.

    Parameters
    ----------
    names : sequence of str
        The formats.
    n_mutants : int
        The number of mutants per format.
    seconds : float
        Time per format, of all processes together; the next shares are left out then.
    seed : int
    n_jobs : int
        The number of processes.
    script : Path
        What a process runs.
    """

    def __init__(
        self,
        names: Sequence[str],
        n_mutants: int,
        *,
        seconds: float,
        seed: int,
        n_jobs: int,
        script: Path = _SCRIPT,
    ) -> None:
        self.stopped = threading.Event()
        self._names, self._n_mutants, self._n_jobs = names, n_mutants, n_jobs
        self._seconds, self._seed, self._script = seconds, seed, script
        self._changed, self._failure = threading.Condition(), ""
        size = min(_SHARE, -(-n_mutants // n_jobs))
        # The last formats take longest, so that they begin first.
        self._shares = deque(
            Share(name, first, min(first + size, n_mutants), seconds)
            for name in reversed(names)
            for first in range(0, n_mutants, size)
        )
        self._n_open = dict.fromkeys(names, -(-n_mutants // size))
        self._tallies: dict[str, list[tuple[int, Tally]]] = {name: [] for name in names}
        self._noted = time.monotonic()

    def run(self, time_limit: float | None = None) -> Iterator[Tally]:
        """Yield the tally of each format, in order; what there is of it after `time_limit`."""
        timer = threading.Timer(time_limit or threading.TIMEOUT_MAX, self.stopped.set)
        timer.daemon = True
        timer.start()
        threads = [threading.Thread(target=self._work) for _ in range(self._n_jobs)]
        for thread in threads:
            thread.start()
        try:
            for name in self._names:
                with self._changed:
                    while self._n_open[name] and any(thread.is_alive() for thread in threads):
                        self._changed.wait(0.2)  # so that signals are handled
                yield self._sum(name)
        finally:
            timer.cancel()
            self.stopped.set()
            for thread in threads:
                thread.join()
        if self._failure:
            raise RuntimeError(self._failure)

    def _work(self) -> None:
        child = None
        try:
            while (share := self._next()) is not None:
                if child is None:
                    child = _Child(self._script, self._names, self._seed)
                tally = child.run(share, self.stopped)
                if tally is None:
                    tally = Tally(share.format)
                    if not self.stopped.is_set():  # else it was ended before it could answer
                        tally = self._lost(share, child)
                    child.close()
                    child = None
                self._enter(share, tally)
        finally:
            if child is not None:
                child.close()

    def _next(self) -> Share | None:
        with self._changed:
            while self._shares and not self.stopped.is_set():
                share = self._shares.popleft()
                spent = sum(tally.seconds for _, tally in self._tallies[share.format])
                if spent < self._seconds:
                    return replace(share, seconds=self._seconds - spent)
                self._n_open[share.format] -= 1
            return None

    def _lost(self, share: Share, child: _Child) -> Tally:
        """Enter the mutant at which a process ended; the mutants after it are another share."""
        i, code = child.position(), child.process.wait()
        if i is None:
            self._failure = f"{self._script} ended before the first mutant: {code}"
            self.stopped.set()
            return Tally(share.format)
        if not share.first <= i < share.stop:  # it was making the files of the format
            i = share.first
        with self._changed:
            if i + 1 < share.stop:
                self._shares.appendleft(replace(share, first=i + 1))
                self._n_open[share.format] += 1
        outside = f"{share.format}, mutant {i}: the process ended: {code}"
        return Tally(share.format, i + 1 - share.first, outside=[outside])

    def _enter(self, share: Share, tally: Tally) -> None:
        with self._changed:
            self._tallies[share.format].append((share.first, tally))
            self._n_open[share.format] -= 1
            self._changed.notify_all()
            if time.monotonic() - self._noted > _NOTE:
                self._noted = time.monotonic()
                sums = [self._sum(name) for name in self._names]
                done, n_outside = (sum(t.mutants for t in sums), sum(len(t.outside) for t in sums))
                whole, now = len(sums) * self._n_mutants, f"{share.format}: {tally.mutants}"
                note = f"  {done} of {whole} mutants, {n_outside} outside; {now}"
                print(note, file=sys.stderr, flush=True)

    def _sum(self, name: str) -> Tally:
        total = Tally(name)
        for _, tally in sorted(self._tallies[name], key=lambda entry: entry[0]):
            total.mutants += tally.mutants
            total.tables += tally.tables
            total.refusals += tally.refusals
            total.outside += tally.outside
            total.seconds += tally.seconds
            total.missing = total.missing or tally.missing
        return total


def supervise(
    n_mutants: int,
    names: Sequence[str],
    seconds: float = 300.0,
    seed: int = 0,
    n_jobs: int = 1,
    time_limit: float | None = None,
) -> Iterator[Tally]:
    """Fuzz formats in processes of their own, and yield the tally of each; see `Supervisor`."""
    supervisor = Supervisor(names, n_mutants, seconds=seconds, seed=seed, n_jobs=n_jobs)
    if threading.current_thread() is not threading.main_thread():
        yield from supervisor.run(time_limit)
        return
    signals = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda *_: supervisor.stopped.set()) for number in signals]
    try:
        yield from supervisor.run(time_limit)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
