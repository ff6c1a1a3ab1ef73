"""The origin of content that a pickle refers to: where it was opened, and how it is found again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .._utils.objects.memo import register_memo
from .._utils.objects.state import State
from .catalog import locate
from .formats import formats
from .table.table import Reading, Table

# The last place where this process opened a content, by its fingerprint.
_places: dict[str, str] = {}
register_memo(_places.clear)

# What can be done where the content of a pickle is not found.
REMEDY = (
    "Put it back; or open it where it is now, load_pretrained(path), before the pickle; or give it "
    "to the fitted estimator, set_params(pretrained=path); or fit again. A pickle that holds the "
    "weights needs no file: fit with load_pretrained(..., pickle_weights=True)."
)


class Origin(NamedTuple):
    """A file or folder of vectors, and the options for opening it. A pickle holds it, not the rows.

    The fingerprint is the hash of the whole content, and the name that by which the vectors were
    looked up, None for a path. Options: see :meth:`PretrainedVectors.load`.
    """

    path: str
    fingerprint: str
    options: Reading = Reading()
    name: str | None = None
    pickle_weights: bool = False

    def to_state(self) -> dict[str, Any]:
        """Return the entries of a model file."""
        return {**self._asdict(), "options": dict(vars(self.options))}

    @classmethod
    def from_state(cls, state: State) -> Origin:
        """Make an origin from these entries; pickles are not opened."""
        options = State("options", state.of("options", dict))
        return cls(
            state.of("path", str),
            state.of("fingerprint", str),
            Reading(
                mmap=options.of("mmap", bool),
                limit=options.optional("limit", int),
                encoding=options.of("encoding", str),
                errors=options.of("errors", str),
            ),
            state.optional("name", str),
            state.of("pickle_weights", bool),
        )

    def read(self) -> Table:
        """Read the table."""
        return formats.read(self.path, **vars(self.options))

    def find(self) -> Origin:
        """Return the origin with a path at which the content is; an error if there is none."""
        # The path, then the place where this process has opened the same content, then the name.
        names = [] if self.name is None else [self.name]
        path = find_content(self.fingerprint, [self.path], names, fingerprint=formats.fingerprint)
        return self._replace(path=str(path))


class MappedFiles:
    """The files that an open table is mapped to. A change in place changes its rows, too."""

    def __init__(self, origin: Origin, table: Table) -> None:
        self._origin = origin
        files = formats.list_mapped(origin.path, table) if origin.options.mmap else []
        self._files = list(map(os.fspath, files))  # each use of the table looks at them
        self._stamps = self._find_stamps()

    def _find_stamps(self) -> dict[int, tuple[int, int, int]]:
        """Return size and times of change by inode, of the files that are still there."""
        stamps = {}
        for file in self._files:
            with suppress(OSError):
                status = os.stat(file)
                stamps[status.st_ino] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        return stamps

    def check(self) -> None:
        """Raise an error if the content has been changed in place; replaced files do no harm."""
        stamps = self._find_stamps()
        if stamps == self._stamps:
            return
        in_place = [i for i, stamp in stamps.items() if self._stamps.get(i, stamp) != stamp]
        path, expected = self._origin.path, self._origin.fingerprint
        if in_place and (found := formats.fingerprint(path)) != expected:
            raise ValueError(
                f"{path} has been changed in place, and with it the open vectors, which are mapped "
                f"to it: expected the fingerprint {expected}, found {found}. Put the old content "
                f"back, or open it again and fit again; replace files instead of writing into them."
            )
        self._stamps = stamps


def remember_place(fingerprint: str, path: Path | str) -> None:
    """Remember where this process has opened a content."""
    _places[fingerprint] = str(path)


def find_content(
    expected: str,
    paths: list[str],
    names: list[str],
    *,
    fingerprint: Callable[[Path], str],
    kind: str = "pretrained vectors",
) -> Path:
    """Find the content that a pickle refers to.

    Parameters
    ----------
    expected : str
        Its fingerprint.
    paths, names : list of str
        A place where this process has opened the content is tried between them.
    fingerprint : callable
        Returns the fingerprint of the content at a path.
    kind : str, default="pretrained vectors"
        For the message.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If nothing is at the paths, and the names cannot be opened.
    ValueError
        If the content of one of them is another one.
    """
    reasons, has_changed = [], False
    for source in _order(expected, paths, names):
        try:
            path = locate(source)
            found = fingerprint(path)
        except (OSError, ValueError, ImportError) as error:
            is_missing = source in paths and not isinstance(error, ValueError)
            reasons.append(f"{source}, which is not there" if is_missing else f"{source}: {error}")
            continue
        if found == expected:
            return path
        has_changed = True
        reasons.append(
            f"{source}, whose content has changed since: expected the fingerprint {expected}, "
            f"found {found}"
        )
    kind_of_error = ValueError if has_changed else FileNotFoundError
    raise kind_of_error(f"The pickle refers to the {kind} in {'; and '.join(reasons)}. {REMEDY}")


def _order(expected: str, paths: list[str], names: list[str]) -> Iterator[str]:
    """Yield the sources in which a content may be, each once."""
    known = [_places[expected]] if expected in _places else []
    yield from dict.fromkeys([*paths, *known, *names])
