"""Features of texts that are kept, so that no text is encoded twice: in memory, and in a folder."""

from __future__ import annotations

import hashlib
import shutil
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from .._utils.atomic import write_atomically
from .._utils.errors import levels_to_caller

# A text's features, float32, shape (dim,).
Row = NDArray[np.float32]
# Gives the features of texts, float32, shape (n_texts, dim).
Encode = Callable[[Sequence[str]], NDArray[np.float32]]

# In a folder, texts lie in so many parts by their digest; a process that makes one has its lock.
_N_PARTS = 8
# So many files of a part are made one.
_N_FILES = 16
_KEY = 16  # bytes
# Longer than any process takes for its share of a part: then a lock is taken for broken.
_PATIENCE = 3600.0  # seconds
_SUFFIX = ".encodings"


@dataclass(frozen=True)
class EncodingsInfo:
    """What is kept of the texts that a contextual model has read in this process.

    Attributes
    ----------
    n_texts : int
        Distinct texts whose features are in memory.
    n_bytes : int
        Of these features.
    n_hits : int
        Texts that were asked for and needed no encoding.
    n_encoded : int
        Texts that the model has encoded.
    folder : Path or None
        Where features are kept on disk, if they are.
    n_bytes_on_disk : int
    """

    n_texts: int
    n_bytes: int
    n_hits: int
    n_encoded: int
    folder: Path | None
    n_bytes_on_disk: int


class Encodings:
    """Features of texts by their content.

    Parameters
    ----------
    max_bytes : int
        Of the features in memory; those that were not asked for longest are let go.
    folder : Path or None, default=None
        Where they are kept as well, for other processes and later ones.

    Notes
    -----
    In the folder a text belongs to one of 8 parts by its digest. A process that finds texts missing
    takes the lock of a part, looks at what is there, encodes what is not, and adds one file,
    atomically; a part whose lock another process has comes last. So processes that need the same
    texts share the work, and each text is encoded once. A file is checked when it is first seen,
    and mapped; one that is damaged is removed, and its texts are encoded again.
    """

    def __init__(self, max_bytes: int, folder: Path | None = None) -> None:
        self._max_bytes, self.folder = max_bytes, folder
        self._lock = threading.RLock()
        self._kept: OrderedDict[bytes, Row] = OrderedDict()
        self._stored: dict[Path, _File] = {}
        self._n_bytes = self._n_hits = self._n_encoded = 0
        self._warned = False

    def info(self) -> EncodingsInfo:
        """What is kept, and how often it was of use."""
        with self._lock:
            on_disk = sum(_size(path) for path in self._files())
            return EncodingsInfo(
                len(self._kept),
                self._n_bytes,
                self._n_hits,
                self._n_encoded,
                self.folder,
                on_disk,
            )

    def clear(self) -> None:
        """Let go of all features, in memory and in the folder; counts begin anew."""
        with self._lock:
            self._kept.clear()
            self._stored.clear()
            self._n_bytes = self._n_hits = self._n_encoded = 0
            for path in self._files():
                path.unlink(missing_ok=True)
            for remains in self._files(f".*{_SUFFIX}.*"):  # of a process that was killed
                shutil.rmtree(remains, ignore_errors=True)

    def get(self, texts: Sequence[str], encode: Encode) -> NDArray[np.float32]:
        """The features of texts; those that are not kept are made.

        Parameters
        ----------
        texts : sequence of str, length n_texts
            At least one.
        encode : callable
            Called with distinct texts that are not kept.

        Returns
        -------
        ndarray of float32, shape (n_texts, dim)
        """
        keys = [_key(text) for text in texts]
        with self._lock:  # threads take turns: a model uses all processors
            before = self._n_encoded
            wanted = dict(zip(keys, texts, strict=True))
            found = {key: self._kept[key] for key in wanted if key in self._kept}
            missing = {key: text for key, text in wanted.items() if key not in found}
            if missing and self.folder is not None:
                found |= self._share(self.folder, missing, encode)
            elif missing:
                found |= self._make(missing, encode)
            self._n_hits += len(texts) - (self._n_encoded - before)
            self._keep(found)
        return np.stack([found[key] for key in keys])

    def _make(self, missing: Mapping[bytes, str], encode: Encode) -> dict[bytes, Row]:
        features = encode(list(missing.values()))
        self._n_encoded += len(missing)
        # Copies: a view would hold all of them.
        return {key: row.copy() for key, row in zip(missing, features, strict=True)}

    def _keep(self, found: Mapping[bytes, Row]) -> None:
        for key, row in found.items():
            if key not in self._kept:
                self._n_bytes += row.nbytes
            self._kept[key] = row
            self._kept.move_to_end(key)
        while self._n_bytes > self._max_bytes:
            self._n_bytes -= self._kept.popitem(last=False)[1].nbytes

    # ---- on disk ----

    def _files(self, pattern: str = f"*{_SUFFIX}") -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(pattern))

    def _share(
        self, folder: Path, missing: Mapping[bytes, str], encode: Encode
    ) -> dict[bytes, Row]:
        """What the folder has, and what it lacks, by parts."""
        found: dict[bytes, Row] = {}
        parts: dict[int, dict[bytes, str]] = {}
        for key, text in missing.items():
            parts.setdefault(key[0] % _N_PARTS, {})[key] = text
        waits = False
        while parts:
            before = len(parts)
            for part in list(parts):
                try:
                    with self._locked(folder, part, waits):
                        found |= self._complete(folder, part, parts[part], encode)
                except Timeout:
                    if waits:
                        raise
                    continue
                del parts[part]
                waits = False
            waits = len(parts) == before  # other processes are at all that is left
        return found

    @contextmanager
    def _locked(self, folder: Path, part: int, waits: bool) -> Iterator[None]:
        """The lock of a part, where the folder can have one."""
        lock: Any = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{part}.lock", timeout=_PATIENCE if waits else 0)
            lock.acquire()
        except Timeout:
            raise
        except (OSError, NotImplementedError) as error:
            self._warn(folder, error)
            lock = None
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def _complete(
        self, folder: Path, part: int, wanted: Mapping[bytes, str], encode: Encode
    ) -> dict[bytes, Row]:
        """The features of one part's texts; what is missing is made and added."""
        files = self._look(folder, part)
        found: dict[bytes, Row] = {}
        for file in files:
            found |= {key: file.row(key) for key in wanted if key in file.places}
        missing = {key: text for key, text in wanted.items() if key not in found}
        if not missing:
            return found
        made = self._make(missing, encode)
        together = len(files) >= _N_FILES
        everything = {key: file.row(key) for file in files for key in file.places if together}
        try:
            _write(folder, part, everything | made)
        except OSError as error:
            self._warn(folder, error)
        else:
            for file in files if together else ():
                file.path.unlink(missing_ok=True)
        return found | made

    def _look(self, folder: Path, part: int) -> list[_File]:
        """The files of a part; those that are new are checked."""
        paths = sorted(folder.glob(f"{part}-*{_SUFFIX}"))
        for path in paths:
            if path not in self._stored:
                try:
                    opened = _open(path)
                except FileNotFoundError:  # another process has cleared the folder
                    continue
                except OSError as error:
                    self._warn(folder, error)
                    continue
                if opened is not None:
                    self._stored[path] = opened
        gone = [path for path in self._stored if path.name.startswith(f"{part}-")]
        for path in set(gone) - set(paths):
            del self._stored[path]
        return [self._stored[path] for path in paths if path in self._stored]

    def _warn(self, folder: Path, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The features of texts cannot be kept in {folder}: {error}. They are kept in "
                f"memory only. Make room, or name another folder (cache=).",
                UserWarning,
                stacklevel=levels_to_caller(),
            )


@dataclass(frozen=True)
class _File:
    """A file of features, mapped, and where in it each text is."""

    path: Path
    table: NDArray[Any]
    places: dict[bytes, int]

    def row(self, key: bytes) -> Row:
        """A copy: a view would hold the mapping."""
        found: Row = self.table["row"][self.places[key]].copy()
        return found


def _key(text: str) -> bytes:
    return _digest(text.encode("utf-8", "surrogatepass"))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_KEY).digest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has put files together
        return 0


def _write(folder: Path, part: int, made: Mapping[bytes, Row]) -> None:
    """Add a file of features, and their digest at its end; it is there as a whole or not at all."""
    rows = np.stack(list(made.values()))
    table = np.empty(len(made), dtype=[("key", f"V{_KEY}"), ("row", "<f4", (rows.shape[1],))])
    table["key"] = np.frombuffer(b"".join(made), dtype=f"V{_KEY}")
    table["row"] = rows
    buffer = BytesIO()
    np.save(buffer, table)
    content = buffer.getvalue()
    digest = _digest(content)
    with write_atomically(folder / f"{part}-{digest.hex()}{_SUFFIX}") as file:
        file.write(content + digest)


def _open(path: Path) -> _File | None:
    """A file of features; None, and the file is removed, where it is damaged."""
    content = path.read_bytes()
    if _digest(content[:-_KEY]) != content[-_KEY:]:
        path.unlink(missing_ok=True)
        return None
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    keys = (key.tobytes() for key in table["key"])
    return _File(path, table, {key: place for place, key in enumerate(keys)})
