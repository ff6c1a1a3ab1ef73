"""Files of vectors as a process opens them: each once, and again where a pickle refers to one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from ..formats import formats
from ..table.table import Table

_Vectors = TypeVar("_Vectors")


class Origin(NamedTuple):
    """Where a table was opened, and how: what a pickle holds in place of the rows."""

    path: str
    fingerprint: str
    allow_pickle: bool
    mmap: bool
    limit: int | None

    def read(self) -> Table:
        """Read the table."""
        return formats.read(
            Path(self.path), allow_pickle=self.allow_pickle, mmap=self.mmap, limit=self.limit
        )

    def check(self) -> None:
        """Make sure that the file is there and has not changed.

        Raises
        ------
        FileNotFoundError
            If it is gone.
        ValueError
            If it has another fingerprint.
        """
        if not Path(self.path).exists():
            raise FileNotFoundError(
                f"The pickle refers to the pretrained vectors in {self.path}, which is not there. "
                f"Put the file back, or pickle an estimator whose vectors are in memory."
            )
        found = formats.fingerprint(self.path)
        if found != self.fingerprint:
            raise ValueError(
                f"The pickle refers to the pretrained vectors in {self.path}, which have changed "
                f"since: expected the fingerprint {self.fingerprint}, found {found}. Put the old "
                f"file back, or fit again."
            )


class Opened(Generic[_Vectors]):
    """What a process has opened: one object an origin, for as long as anybody holds it.

    Parameters
    ----------
    n_recent : int
        The last few are held for longer, so that a search whose clones come and go does not open
        its file again.
    """

    def __init__(self, n_recent: int) -> None:
        self._n_recent = n_recent
        self._held: WeakValueDictionary[Hashable, _Vectors] = WeakValueDictionary()
        self._recent: OrderedDict[Hashable, _Vectors] = OrderedDict()

    def get(self, origin: Hashable, make: Callable[[], _Vectors]) -> _Vectors:
        """The object of an origin, made where there is none."""
        found = self._held.get(origin)
        if found is None:
            found = self._held[origin] = make()
        self._recent[origin] = found
        self._recent.move_to_end(origin)
        while len(self._recent) > self._n_recent:
            self._recent.popitem(last=False)
        return found

    def let_go(self) -> None:
        """Hold none any longer."""
        self._recent.clear()

    def __contains__(self, path: str) -> bool:
        """Whether something that was opened from a path is held by anybody."""
        return any(getattr(origin, "path", None) == path for origin in self._held)
