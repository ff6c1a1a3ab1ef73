"""The origin of a table: the file and the options that a pickle refers to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from .formats import formats
from .storage.files import exists
from .table.table import Table


class Origin(NamedTuple):
    """A file or folder of vectors, and the options for opening it. A pickle holds it, not the rows.

    The fingerprint is the hash of the whole content. Options: see :meth:`PretrainedVectors.load`.
    """

    path: str
    fingerprint: str
    allow_pickle: bool
    mmap: bool
    limit: int | None

    def read(self) -> Table:
        """Read the table."""
        return formats.read(
            self.path, allow_pickle=self.allow_pickle, mmap=self.mmap, limit=self.limit
        )

    def check(self) -> None:
        """Raise an error unless the file exists and has the same content."""
        if not exists(Path(self.path)):
            raise FileNotFoundError(
                f"The pickle refers to the pretrained vectors in {self.path}, which is not there. "
                f"Put the file back, or pickle an estimator whose vectors are in memory."
            )
        fingerprint = formats.fingerprint(self.path)
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"The pickle refers to the pretrained vectors in {self.path}, which have changed "
                f"since: expected the fingerprint {self.fingerprint}, found {fingerprint}. Put the "
                f"old file back, or fit again."
            )
