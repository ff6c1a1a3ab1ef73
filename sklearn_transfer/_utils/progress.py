"""Progress bars of work that takes longer than two seconds."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

_DELAY = 2.0  # seconds without a bar


def progress_bar(total: int, name: str, *, verbose: int = 0) -> Any:
    """Make a bar on stderr, to be updated in a `with` block and removed at its end.

    Parameters
    ----------
    total, name : int, str
        Number and name of the parts of the work.
    verbose : int, default=0
        0 shows the bar on a terminal only.

    Returns
    -------
    tqdm.tqdm
    """
    hidden = False if verbose else None
    return tqdm(total=total, desc=name, delay=_DELAY, leave=False, disable=hidden)
