"""Measuring: processes of their own, peak memory, medians, intervals, Markdown tables."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from . import THREADS

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def in_fresh_process(function: Callable[..., _Result], *args: Any) -> tuple[_Result, float]:
    """Call a function of a module in a new process: nothing is warm, nothing remembered.

    Returns
    -------
    result
    peak : float
        Peak memory of the process, in MB.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_with_peak, function, args).result()


def _with_peak(function: Callable[..., _Result], args: tuple[Any, ...]) -> tuple[_Result, float]:
    return function(*args), peak_memory()


def in_processes(
    function: Callable[[_Job], _Result], jobs: Sequence[_Job], *, n_jobs: int, minutes: float
) -> Iterator[_Result]:
    """Call a function of a module with each job, in `n_jobs` processes; results as they come.

    Jobs begin in their order, and none after `minutes`. With `n_jobs=1`, they run in this process,
    and the first error is raised. Several processes have one thread each; a job that fails is told
    on stderr, and without any result, the first error is raised.
    """
    deadline = time.time() + 60 * minutes
    if n_jobs == 1:
        for job in jobs:
            if time.time() < deadline:
                yield function(job)
        return
    os.environ |= dict.fromkeys(THREADS, "1")
    errors: list[BaseException] = []
    n_done = 0
    pool = ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn"))
    try:
        waiting = {pool.submit(_in_time, function, job, deadline): job for job in jobs}
        for future in as_completed(waiting):
            error = future.exception()
            if error is None:
                yield from future.result()
                n_done += len(future.result())
            else:
                progress(f"{waiting[future]} failed: {error!r}")
                errors.append(error)
            if isinstance(error, BrokenProcessPool):  # so have all others
                break
    finally:
        pool.shutdown(cancel_futures=True)
    if errors and not n_done:
        raise errors[0]


def _in_time(function: Callable[[_Job], _Result], job: _Job, deadline: float) -> list[_Result]:
    return [function(job)] if time.time() < deadline else []


def peak_memory() -> float:
    """Peak memory of this process so far, in MB."""
    # Linux hands ru_maxrss of the parent down to a new process, so VmHWM is asked first.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def medians(runs: Iterable[dict[str, float]]) -> dict[str, float]:
    """The median of every figure over the runs."""
    rows = list(runs)
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def margin(gains: NDArray[np.float64], digits: int = 2) -> str:
    """The mean of paired differences, with a 95 % interval of Student's t where there are two."""
    mean, n = f"{gains.mean():+.{digits}f}", len(gains)
    if n < 2:
        return mean
    half = student.ppf(0.975, n - 1) * gains.std(ddof=1) / np.sqrt(n)
    return f"{mean} ± {half:.{digits}f}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table, aligned for reading as it stands; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(2, *map(len, column)) for column in zip(header, *cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join([first, *others])} |"

    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join(map(line, [header, rule, *cells]))


def describe_machine(packages: Sequence[str] = ()) -> str:
    """One sentence: processor, threads, versions."""
    names = ["numpy", "scipy", "scikit-learn", "torch", *packages]
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    cuda, n_threads = cuda_name(), os.environ[THREADS[0]]  # in a process, as `in_processes` set it
    threads = "1 thread" if n_threads == "1" else f"{n_threads} threads"
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {threads} used; "
        f"{f'{cuda}; ' if cuda else ''}"
        f"Python {platform.python_version()}, {versions}."
    )


def cuda_name() -> str | None:
    """The accelerator, if there is one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def progress(message: str) -> None:
    """Tell on stderr what is being measured, so that stdout stays Markdown."""
    print(f"  {message} ...", file=sys.stderr, flush=True)
