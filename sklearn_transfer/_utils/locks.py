"""Locks between threads, which a forked process finds open, and between processes."""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import levels_to_caller

_NOTICE = 5.0  # seconds of silence
_PATIENCE = 600.0  # seconds: longer than any conversion takes; then the holder counts as broken


class ThreadLock:
    """A reentrant lock between the threads of a process.

    A fork copies a lock as it is, but not the thread that holds it and would release it. In the
    child, locks of other threads are therefore made anew.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        _thread_locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Make the lock anew, unless this thread holds it."""
        if self._owner != threading.get_ident():
            self._lock = threading.RLock()


_thread_locks: weakref.WeakSet[ThreadLock] = weakref.WeakSet()


def _renew_locks() -> None:
    for lock in tuple(_thread_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)


@contextmanager
def hold_lock(
    file: Path, *, notice: float = _NOTICE, patience: float = _PATIENCE
) -> Iterator[None]:
    """Hold the lock of a file; warn after some seconds who holds it, and give up after minutes.

    Parameters
    ----------
    file : Path
        Another file next to it, with the suffix ``.holder``, names the process that holds the lock.
    notice, patience : float
        Seconds of waiting without a warning, and in all.

    Raises
    ------
    TimeoutError
        If another process still holds the lock after `patience`.

    Warns
    -----
    UserWarning
        If the lock is not free after `notice`, and `patience` is longer.
    """
    lock, holder = FileLock(file), file.with_suffix(".holder")
    try:
        lock.acquire(timeout=min(notice, patience))
    except Timeout:
        if patience <= notice:
            raise
        warnings.warn(
            f"Waiting for {_read(holder)}, which holds the lock {file}, for at most "
            f"{patience:.0f} seconds. If that process hangs, stop it.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )
        lock.acquire(timeout=patience - notice)
    try:
        with suppress(OSError):
            holder.write_text(
                f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%H:%M:%S')}"
            )
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(errors="replace")[:200]
    except OSError:
        return "another process"
