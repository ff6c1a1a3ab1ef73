"""A cache of the features of texts, in memory and optionally in a folder."""

from __future__ import annotations

import shutil
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray

from .._utils.atomic import make_private_folder, write_atomically
from .._utils.errors import VectorFormatError, levels_to_caller
from .._utils.hashing import hash_content
from .._utils.locks import ThreadLock, hold_lock
from ..vectors.storage.files import open_regular

Row = NDArray[np.float32]  # the features of a text, shape (dim,)
# Computes the features of distinct texts, float32, shape (n_texts, dim).
Encode = Callable[[Sequence[str]], NDArray[np.float32]]

_KEY = 16  # bytes
# Processes that share work wait for one another: this long without a warning. A lock that is held
# longer than any process takes for its share of a part is broken.
_NOTICE, _PATIENCE = 60.0, 3600.0  # seconds
_SUFFIX = ".encodings"


@dataclass(frozen=True)
class EmbeddingCacheInfo:
    """The features that a cache keeps, and their use in this process.

    Attributes
    ----------
    n_texts, n_bytes : int
        The number of distinct texts whose features are in memory, and the size of these features.
    n_hits, n_encoded : int
        The number of requested texts that needed no encoding, and of those that the model encoded.
    folder : Path or None
        The folder that keeps features as well.
    n_bytes_on_disk : int
        The size of the files in `folder`.
    """

    n_texts: int
    n_bytes: int
    n_hits: int
    n_encoded: int
    folder: Path | None
    n_bytes_on_disk: int


class EmbeddingCache:
    """Features of texts by content.

    Parameters
    ----------
    dim : int
        The number of features.
    max_bytes : int
        Maximum size of the features in memory; the least recently used ones are removed.
    folder : Path or None, default=None
        Keeps the features as well, for other processes and later ones.
    private : bool, default=False
        Create the folder for its owner alone. False: as the umask says, for users who share it.
    n_parts, max_files : int, default=8 and 16
        The number of parts of the folder, and the maximum number of files per part.

    Notes
    -----
    In the folder a text belongs to a part by its hash. A process that lacks texts takes the lock of
    a part, reads its files, encodes the missing texts, and adds one file, atomically; parts that
    another process has locked come last. Processes thereby share the work, and each text is
    encoded once. A file is checked when it is first seen, then memory-mapped; a damaged file is
    removed, and its texts are encoded again.
    """

    def __init__(  # noqa: PLR0913 (a constructor)
        self,
        dim: int,
        max_bytes: int,
        folder: Path | None = None,
        *,
        private: bool = False,
        n_parts: int = 8,
        max_files: int = 16,
    ) -> None:
        self._dim, self._private = dim, private
        self._max_bytes, self.folder = max_bytes, folder
        self._n_parts, self._max_files = n_parts, max_files
        self._lock = ThreadLock()
        self._rows: OrderedDict[bytes, Row] = OrderedDict()
        self._files: dict[Path, _File] = {}
        self._n_bytes = self._n_hits = self._n_encoded = 0
        self._warned = False

    def info(self) -> EmbeddingCacheInfo:
        """Describe the features that are kept, and their use."""
        with self._lock:
            on_disk = 0
            for path in self._paths():
                with suppress(FileNotFoundError):  # another process has merged files
                    on_disk += path.stat().st_size
            counts = (len(self._rows), self._n_bytes, self._n_hits, self._n_encoded)
            return EmbeddingCacheInfo(*counts, self.folder, on_disk)

    def clear(self) -> None:
        """Remove all features, in memory and in the folder, and reset the counts."""
        with self._lock:
            self._rows.clear()
            self._files.clear()
            self._n_bytes = self._n_hits = self._n_encoded = 0
            for path in self._paths():
                path.unlink(missing_ok=True)
            for remains in self._paths(f".*{_SUFFIX}.*"):  # of a process that was killed
                shutil.rmtree(remains, ignore_errors=True)

    def get(self, texts: Sequence[str], encode: Encode) -> NDArray[np.float32]:
        """The features of one or more texts, shape (n_texts, dim); missing ones are computed."""
        keys = [_hash(text) for text in texts]
        with self._lock:  # threads take turns: a model uses all processors
            before = self._n_encoded
            requested = dict(zip(keys, texts, strict=True))
            rows = {key: self._rows[key] for key in requested if key in self._rows}
            missing = {key: text for key, text in requested.items() if key not in rows}
            if missing and self.folder is not None:
                rows |= self._fill(self.folder, missing, encode)
            elif missing:
                rows |= self._encode(missing, encode)
            self._n_hits += len(texts) - (self._n_encoded - before)
            self._keep(rows)
        return np.stack([rows[key] for key in keys])

    def _encode(self, missing: Mapping[bytes, str], encode: Encode) -> dict[bytes, Row]:
        features = encode(list(missing.values()))
        self._n_encoded += len(missing)
        # Copies: a view would hold all of them.
        return {key: row.copy() for key, row in zip(missing, features, strict=True)}

    def _keep(self, rows: Mapping[bytes, Row]) -> None:
        for key, row in rows.items():
            if key not in self._rows:
                self._n_bytes += row.nbytes
            self._rows[key] = row
            self._rows.move_to_end(key)
        while self._n_bytes > self._max_bytes:
            self._n_bytes -= self._rows.popitem(last=False)[1].nbytes

    def _paths(self, pattern: str = f"*{_SUFFIX}") -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(pattern))

    def _fill(self, folder: Path, missing: Mapping[bytes, str], encode: Encode) -> dict[bytes, Row]:
        """Read rows from the folder, and encode and add those that it lacks, part by part."""
        rows: dict[bytes, Row] = {}
        parts: dict[int, dict[bytes, str]] = {}
        for key, text in missing.items():
            parts.setdefault(key[0] % self._n_parts, {})[key] = text
        timeout = 0.0
        while parts:
            waiting = len(parts)
            for part in list(parts):
                with self._locked(folder, part, timeout) as acquired:
                    if acquired:
                        rows |= self._fill_part(folder, part, parts.pop(part), encode)
                        timeout = 0
            if len(parts) == waiting:  # other processes work on all parts that remain
                timeout = _PATIENCE
        return rows

    @contextmanager
    def _locked(self, folder: Path, part: int, timeout: float) -> Iterator[bool]:
        """Take the lock of a part; False if another process has it and `timeout` is 0."""
        acquired = True
        with ExitStack() as stack:
            try:
                if self._private:
                    make_private_folder(folder)
                folder.mkdir(parents=True, exist_ok=True)
                lock = hold_lock(folder / f"{part}.lock", notice=_NOTICE, patience=timeout)
                stack.enter_context(lock)
            except Timeout:
                if timeout:
                    raise
                acquired = False
            except (OSError, NotImplementedError) as error:  # a folder without locks
                self._warn(folder, error)
            yield acquired

    def _fill_part(
        self, folder: Path, part: int, requested: Mapping[bytes, str], encode: Encode
    ) -> dict[bytes, Row]:
        files = self._open_files(folder, part)
        rows = {key: file.row(key) for file in files for key in requested if key in file.index}
        missing = {key: text for key, text in requested.items() if key not in rows}
        if not missing:
            return rows
        encoded = self._encode(missing, encode)
        merged = files if len(files) >= self._max_files else []
        try:
            _write(folder, part, {k: file.row(k) for file in merged for k in file.index} | encoded)
        except OSError as error:
            self._warn(folder, error)
        else:
            for file in merged:
                file.path.unlink(missing_ok=True)
        return rows | encoded

    def _open_files(self, folder: Path, part: int) -> list[_File]:
        """Open the files of a part; new ones are checked."""
        files = {}
        for path in sorted(folder.glob(f"{part}-*{_SUFFIX}")):
            try:
                file = self._files.get(path) or _open(path, self._dim)
            except VectorFormatError:  # another process has cleared the folder, or it is no file
                continue
            except OSError as error:
                self._warn(folder, error)
                continue
            if file is not None:
                files[path] = file
        others = {p: file for p, file in self._files.items() if not p.name.startswith(f"{part}-")}
        self._files = others | files
        return list(files.values())

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
    """A memory-mapped file of features, and the row of each text."""

    path: Path
    table: NDArray[Any]
    index: dict[bytes, int]

    def row(self, key: bytes) -> Row:
        """A copy: a view would hold the mapping."""
        row: Row = self.table["row"][self.index[key]].copy()
        return row


def _hash(content: str | bytes) -> bytes:
    return bytes.fromhex(hash_content(content))


def _write(folder: Path, part: int, rows: Mapping[bytes, Row]) -> None:
    """Add a file of features that ends in its hash, atomically."""
    matrix = np.stack(list(rows.values()))
    table = np.empty(len(rows), dtype=[("key", f"V{_KEY}"), ("row", "<f4", (matrix.shape[1],))])
    table["key"] = np.frombuffer(b"".join(rows), dtype=f"V{_KEY}")
    table["row"] = matrix
    buffer = BytesIO()
    np.save(buffer, table)
    content = buffer.getvalue()
    digest = _hash(content)
    with write_atomically(folder / f"{part}-{digest.hex()}{_SUFFIX}") as file:
        file.write(content + digest)


def _open(path: Path, dim: int) -> _File | None:
    """Open a file of `dim` features per text; a damaged one is removed, and None returned."""
    with open_regular(path) as file:
        content = file.read()
    if _hash(content[:-_KEY]) == content[-_KEY:]:
        with suppress(VectorFormatError):
            return _map(path, dim)
    path.unlink(missing_ok=True)
    return None


def _map(path: Path, dim: int) -> _File:
    """Map the table of a file, whose digest agrees; it need not be ours all the same."""
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
        keys, rows = table["key"], table["row"]
        is_ours = keys.dtype == f"V{_KEY}" and keys.ndim == 1
        is_ours = is_ours and rows.dtype == np.float32 and rows.shape[1:] == (dim,)
    except OSError:
        raise
    except Exception as error:  # NumPy parses the header as Python
        raise VectorFormatError(f"{path}: no file of features: {error!r}") from error
    if not is_ours or not np.isfinite(rows).all():
        raise VectorFormatError(f"{path}: no file of features.")
    return _File(path, table, {key.tobytes(): row for row, key in enumerate(keys)})
