"""Features of texts that are kept, so that no text is encoded twice: in memory, and in a folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from .._validation import levels_to_caller

# A text's features, float32, and its number of tokens.
Encoding = tuple[NDArray[np.float32], int]
# Gives the features of texts, shape (n_texts, dim), and how many tokens each has.
Encode = Callable[[Sequence[str]], tuple[NDArray[np.float32], NDArray[np.int64]]]

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
    takes the lock of a part, reads what is there, encodes what is not, and adds one file,
    atomically; a part whose lock another process has comes last. So processes that need the same
    texts share the work, and each text is encoded once. A file that is damaged is removed, and its
    texts are encoded again.
    """

    def __init__(self, max_bytes: int, folder: Path | None = None) -> None:
        self._max_bytes, self.folder = max_bytes, folder
        self._lock = threading.RLock()
        self._kept: OrderedDict[bytes, Encoding] = OrderedDict()
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
            self._n_bytes = self._n_hits = self._n_encoded = 0
            for path in self._files():
                path.unlink(missing_ok=True)

    def get(
        self, texts: Sequence[str], encode: Encode
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The features of texts; those that are not kept are made.

        Parameters
        ----------
        texts : sequence of str, length n_texts
            At least one.
        encode : callable
            Called with distinct texts that are not kept.

        Returns
        -------
        features : ndarray of float32, shape (n_texts, dim)
        n_tokens : ndarray of int64, shape (n_texts,)
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
        features = np.stack([found[key][0] for key in keys])
        return features, np.array([found[key][1] for key in keys], dtype=np.int64)

    def _make(self, missing: Mapping[bytes, str], encode: Encode) -> dict[bytes, Encoding]:
        features, n_tokens = encode(list(missing.values()))
        self._n_encoded += len(missing)
        rows = (row.copy() for row in features)  # a view would hold all of them
        return dict(zip(missing, zip(rows, n_tokens.tolist(), strict=True), strict=True))

    def _keep(self, found: Mapping[bytes, Encoding]) -> None:
        for key, encoding in found.items():
            if key not in self._kept:
                self._n_bytes += encoding[0].nbytes
            self._kept[key] = encoding
            self._kept.move_to_end(key)
        while self._n_bytes > self._max_bytes:
            _, (row, _) = self._kept.popitem(last=False)
            self._n_bytes -= row.nbytes

    # ---- on disk ----

    def _files(self) -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _share(
        self, folder: Path, missing: Mapping[bytes, str], encode: Encode
    ) -> dict[bytes, Encoding]:
        """What the folder has, and what it lacks, by parts."""
        found: dict[bytes, Encoding] = {}
        parts: dict[int, dict[bytes, str]] = {}
        for key, text in missing.items():
            parts.setdefault(key[0] % _N_PARTS, {})[key] = text
        try:
            folder.mkdir(parents=True, exist_ok=True)
            waits = False
            while parts:
                before = len(parts)
                for part in list(parts):
                    lock = FileLock(folder / f"{part}.lock", timeout=_PATIENCE if waits else 0)
                    try:
                        with lock:
                            found |= self._complete(folder, part, parts[part], encode)
                    except Timeout:
                        if waits:
                            raise
                        continue
                    del parts[part]
                    waits = False
                waits = len(parts) == before  # other processes are at all that is left
        except (OSError, NotImplementedError) as error:  # a folder of which nothing can be had
            self._warn(folder, error)
            rest = {key: text for texts in parts.values() for key, text in texts.items()}
            if rest:
                found |= self._make(rest, encode)
        return found

    def _complete(
        self, folder: Path, part: int, wanted: Mapping[bytes, str], encode: Encode
    ) -> dict[bytes, Encoding]:
        """The features of one part's texts; what is missing is made and added."""
        paths = sorted(folder.glob(f"{part}-*{_SUFFIX}"))
        stored = [_read(path) for path in paths]
        there = {key: encoding for contents in stored for key, encoding in contents.items()}
        found = {key: there[key] for key in wanted if key in there}
        missing = {key: text for key, text in wanted.items() if key not in found}
        if missing:
            made = self._make(missing, encode)
            found |= made
            together = len(paths) >= _N_FILES
            try:
                _write(folder, part, there | made if together else made)
            except OSError as error:
                self._warn(folder, error)
            else:
                for path in paths if together else ():
                    path.unlink(missing_ok=True)
        return found

    def _warn(self, folder: Path, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The features of texts cannot be kept in {folder}: {error}. They are kept in "
                f"memory only. Make room, or name another folder (cache=).",
                UserWarning,
                stacklevel=levels_to_caller(),
            )


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY).digest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has put files together
        return 0


def _write(folder: Path, part: int, made: Mapping[bytes, Encoding]) -> None:
    """Add a file of features; it is there as a whole or not at all."""
    rows = np.stack([row for row, _ in made.values()])
    row_type = [("key", f"V{_KEY}"), ("n_tokens", "<i8"), ("row", "<f4", (rows.shape[1],))]
    table = np.empty(len(made), dtype=row_type)
    table["key"] = np.frombuffer(b"".join(made), dtype=f"V{_KEY}")
    table["n_tokens"] = [n_tokens for _, n_tokens in made.values()]
    table["row"] = rows
    content = BytesIO()
    np.save(content, table)
    payload = content.getvalue()
    digest = hashlib.blake2b(payload, digest_size=_KEY)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix="unfinished-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(digest.digest() + payload)
        os.replace(name, folder / f"{part}-{digest.hexdigest()}{_SUFFIX}")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[bytes, Encoding]:
    """What a file holds; nothing, and the file is removed, where it is damaged."""
    content = path.read_bytes()
    payload = content[_KEY:]
    if hashlib.blake2b(payload, digest_size=_KEY).digest() != content[:_KEY]:
        path.unlink(missing_ok=True)
        return {}
    table = np.load(BytesIO(payload), allow_pickle=False)
    rows = zip(table["row"], table["n_tokens"].tolist(), strict=True)
    return dict(zip((key.tobytes() for key in table["key"]), rows, strict=True))
