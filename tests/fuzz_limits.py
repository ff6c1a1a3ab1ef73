"""Limits of time and memory for reading a damaged file, and what is outside of them."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 2.0  # of the processor, a mutant; a good file takes some milliseconds
PATIENCE = 20.0  # seconds on the clock: who waits needs no processor
MEMORY = 32 << 20  # bytes: blocks and buffers; the files have some hundred
# Bytes of addresses beyond those of the libraries. Arrow asks for up to 2 GiB when the head of a
# page says so, and then does not touch them: addresses, but no memory.
ADDRESSES = 6 << 30


@dataclass
class Tally:
    """What came of the mutants of a format."""

    format: str
    mutants: int = 0
    tables: int = 0
    refusals: int = 0
    outside: list[str] = field(default_factory=list)
    seconds: float = 0.0
    missing: str = ""  # the error of a library that is not installed


class TooLong(BaseException):
    """Not to be caught by a reader that catches every Exception."""


class Wrong(Exception):
    """An outcome outside the two allowed."""


@contextlib.contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise `TooLong` after `seconds` of work or `PATIENCE` of waiting."""

    def stop(*_: object) -> None:
        raise TooLong(f"longer than {seconds} seconds of work, or {PATIENCE} of waiting")

    signal.signal(signal.SIGVTALRM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def forget_peak() -> None:
    """Let the peak of memory begin anew, where Linux can: an earlier one would hide it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_resident() -> int:
    """Bytes of memory that this process has used at most so far, or since `forget_peak`."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def limit_addresses() -> None:
    """Limit the addresses of this process to those in use and `ADDRESSES` more."""
    status = Path("/proc/self/status")
    if status.exists():
        used = next(int(line.split()[1]) for line in status.open() if line.startswith("VmSize:"))
        limit = (used << 10) + ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def check_no_lack_of_memory(error: BaseException) -> None:
    """Raise `Wrong` if a reader has turned a lack of memory into a refusal."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise Wrong(f"{cause!r} behind a refusal")
        cause = cause.__cause__ or cause.__context__
