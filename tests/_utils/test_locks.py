from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from sklearn_transfer._utils.locks import ThreadLock, hold_lock

HOLDER = """
import sys, time
from pathlib import Path
from sklearn_transfer._utils.locks import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "entry.lock"


@contextmanager
def another_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_wait_says_who_holds_the_lock_and_ends(lock: Path) -> None:
    with another_process(lock) as process:
        start = time.perf_counter()
        with (
            pytest.warns(
                UserWarning,
                match=rf"Waiting for process {process.pid} on .* since [0-9:]+, which holds .*lock",
            ),
            pytest.raises(TimeoutError),
            hold_lock(lock, notice=0.05, patience=0.2),
        ):
            pass
        assert 0.15 < time.perf_counter() - start < 5
        start = time.perf_counter()
        with pytest.raises(TimeoutError), hold_lock(lock, patience=0):  # without a warning
            pass
        assert time.perf_counter() - start < 1
    with hold_lock(lock):  # a process that has died holds nothing
        assert lock.with_suffix(".holder").exists()
    assert not lock.with_suffix(".holder").exists()


def test_an_error_releases_the_lock(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FileLock] = []  # a lock that nobody refers to is released in any case

    def make(file: Path) -> FileLock:
        made.append(FileLock(file))
        return made[-1]

    monkeypatch.setattr("sklearn_transfer._utils.locks.FileLock", make)
    with pytest.raises(KeyError), hold_lock(lock):
        raise KeyError
    assert not made[0].is_locked
    with hold_lock(lock, patience=0):
        assert made[1].is_locked


def test_a_wait_after_the_notice_gets_the_lock_when_it_is_free(lock: Path) -> None:
    holder = lock.with_suffix(".holder")
    with another_process(lock) as process:
        holder.write_text("x" * 1000)
        threading.Timer(0.3, process.kill).start()
        with (
            pytest.warns(UserWarning, match=rf"Waiting for x{{200}}, .*{lock}, for at most 60 sec"),
            hold_lock(lock, notice=0.05, patience=60),
        ):
            name = holder.read_text()
        assert process.poll() is not None
    assert name.startswith(f"process {os.getpid()} on ")
    assert not holder.exists()


@pytest.mark.parametrize(
    ("notice", "patience", "waits"), [(2, 5, [2, 3]), (5, 2, [2]), (2, 2, [2])]
)
def test_both_waits_last_as_long_as_the_patience(
    notice: int, patience: int, waits: list[int], lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def acquire(self: FileLock, timeout: float) -> None:
        waited.append(timeout)
        raise Timeout(str(lock))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with (
        warnings.catch_warnings(record=True, action="always") as caught,
        pytest.raises(TimeoutError),
        hold_lock(lock, notice=notice, patience=patience),
    ):
        pass
    assert waited == waits
    assert len(caught) == len(waits) - 1


def test_a_holder_without_a_name_is_another_process(lock: Path) -> None:
    with another_process(lock):
        lock.with_suffix(".holder").unlink()
        with (
            pytest.warns(UserWarning, match="Waiting for another process, which holds") as warned,
            pytest.raises(TimeoutError),
            hold_lock(lock, notice=0.05, patience=0.1),
        ):
            pass
    assert warned[0].filename == __file__


def test_a_lock_is_held_where_its_holder_cannot_be_named(lock: Path) -> None:
    lock.with_suffix(".holder").mkdir()
    with hold_lock(lock, patience=0):
        pass
    assert lock.with_suffix(".holder").is_dir()


# ---- between threads ----


def test_one_thread_at_a_time_holds_a_lock() -> None:
    lock, held, entered = ThreadLock(), threading.Event(), threading.Event()

    def enter() -> None:
        held.set()
        with lock:
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    with lock, lock:
        thread.start()
        held.wait(10)
        assert not entered.wait(0.05)
    assert entered.wait(10)
    thread.join(10)


def test_an_error_releases_a_lock_between_threads() -> None:
    lock = ThreadLock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    thread = threading.Thread(target=lock.__enter__, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("holder", ["another thread", "this thread", "nobody"])
def test_a_forked_process_finds_a_lock_open(holder: str) -> None:
    code = """
import os, sys, threading
from sklearn_transfer._utils.locks import ThreadLock
lock, held, done = ThreadLock(), threading.Event(), threading.Event()

def hold():
    with lock:
        held.set()
        done.wait(60)

def fork():
    child = os.fork()
    if not child:
        with lock, lock:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

if sys.argv[1] == "another thread":
    threading.Thread(target=hold).start()
    held.wait()
    print(fork())
    done.set()
elif sys.argv[1] == "this thread":
    with lock:
        print(fork())
else:
    print(fork())
"""
    command = [sys.executable, "-W", "ignore", "-c", code, holder]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.stdout.strip() == "7", done.stderr
