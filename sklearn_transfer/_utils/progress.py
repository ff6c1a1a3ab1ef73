"""Progress bars of work that takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from tqdm import tqdm

_DELAY = 2.0  # seconds without a bar
_INTERVAL = 0.5  # seconds between two refreshes


def progress_bar(total: int, name: str, *, verbose: int = 0, hidden: bool = False) -> Any:
    """Make a bar on stderr, to be updated in a `with` block and removed at its end.

    Parameters
    ----------
    total, name : int, str
        Number and name of the parts of the work.
    verbose : int, default=0
        0 shows the bar on a terminal only.
    hidden : bool, default=False
        True shows no bar.

    Returns
    -------
    tqdm.tqdm
    """
    disable = True if hidden else False if verbose else None
    return tqdm(total=total, desc=name, delay=_DELAY, leave=False, disable=disable)


@contextmanager
def show_elapsed(name: str, *, delay: float = _DELAY) -> Iterator[None]:
    """Show the seconds of work without parts, on a terminal, once it lasts `delay` seconds."""
    options = {"bar_format": "{desc}: {elapsed}", "mininterval": 0, "leave": False}
    with tqdm(desc=name, delay=delay, disable=None, **options) as bar:
        if bar.disable:
            yield
            return
        finished = Event()
        ticking = Thread(target=_tick, args=(bar, finished, delay), daemon=True)
        ticking.start()
        try:
            yield
        finally:
            finished.set()
            ticking.join()


def _tick(bar: Any, finished: Event, wait: float) -> None:
    while not finished.wait(wait):
        bar.update(0)
        wait = _INTERVAL
