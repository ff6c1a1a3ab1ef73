"""Bombs, and damaged model folders, checkpoints and caches, for ``fuzzing.py``.

Half of the mutants are signed: their digests agree with their content, as an attacker would have
it. A signed mutant may give another result than the original, but no other error than promised.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import os
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_limits import (
    MEMORY,
    SECONDS,
    Tally,
    TooLong,
    Wrong,
    check_no_lack_of_memory,
    forget_peak,
    peak_resident,
    time_limit,
)
from mutants import Odd, mutate, mutate_tree
from tiny_files import fresh, load_tree, other_contents, save_tree

from sklearn_transfer._utils.errors import VectorFormatError
from sklearn_transfer._utils.hashing import hash_content
from sklearn_transfer._utils.objects.memo import clear_memos
from sklearn_transfer.contextual.embedding_cache import EmbeddingCache
from sklearn_transfer.vectors.formats import formats
from sklearn_transfer.vectors.storage import folder as our_folder
from sklearn_transfer.vectors.table.table import Table
from sklearn_transfer.vectors.table.tokenizer import TableTokenizer

Files = dict[str, bytes | Odd]

TEXTS = ["the cat sat", "a good film"]


class Room:
    """Mutants of some files, each opened and judged.

    Subclasses say how the files are made, signed and opened. `open` returns False for a promised
    error that is caught inside, and raises `Wrong` for a wrong result.
    """

    refusals: tuple[type[Exception], ...] = (VectorFormatError,)
    expansion = 1  # bytes in memory that a byte of a file justifies
    seconds = SECONDS

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.seed, self.folder = name, seed, folder
        self.others = other_contents(folder / "others")
        good = fresh(folder / "good")
        self.make(good)
        self.tree = load_tree(good)

    def make(self, folder: Path) -> None:
        """Write the good files."""

    def sign(self, tree: Files) -> Files:
        """Return the files with digests that agree with their content."""
        return tree

    def open(self, work: Path, *, signed: bool) -> bool:
        """Open the files; check the result."""
        raise NotImplementedError

    def mutant(self, i: int) -> tuple[Files, list[str], bool]:
        """Mutant `i`, what was done, and whether it is signed."""
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), i])
        tree, done = mutate_tree(self.tree, rng, self.others)
        signed = bool(i % 2)
        return (self.sign(tree) if signed else tree), done, signed

    def judge(self, i: int, tally: Tally) -> None:
        """Open mutant `i` and enter into the tally what came of it."""
        tree, done, signed = self.mutant(i)
        work = fresh(self.folder / "work")
        save_tree(tree, work)
        size = sum(len(content) for content in tree.values() if isinstance(content, bytes))
        forget_peak()
        resident = peak_resident()
        tally.mutants += 1
        try:
            with time_limit(self.seconds), warnings.catch_warnings(action="ignore"):
                try:
                    is_open = self.open(work, signed=signed)
                except self.refusals as error:
                    check_no_lack_of_memory(error)
                    if not isinstance(error, FileNotFoundError) and str(work) not in str(error):
                        raise Wrong(f"a message without the file: {error!r}") from error
                    is_open = False
            if (grown := peak_resident() - resident) > MEMORY + 2 * self.expansion * size:
                raise Wrong(f"{grown} bytes of memory for {size} bytes")
        except (Exception, TooLong) as error:
            where = "".join(traceback.format_exception(error)[-4:])
            text = f"{self.name}, mutant {i} ({', '.join(done)}, signed: {signed}): {where}"
            tally.outside.append(text[-3000:])
        else:
            tally.tables += is_open
            tally.refusals += not is_open


class Bombs(Room):
    """Small files that expand: compressed text, Parquet, JSON, normalizers; some are damaged."""

    expansion = 200  # as a compressed table may
    seconds = 10.0  # of these megabytes

    def make(self, folder: Path) -> None:
        """Import the libraries that the mutants are made with."""
        import pyarrow  # noqa: F401
        import tokenizers  # noqa: F401

    def mutant(self, i: int) -> tuple[Files, list[str], bool]:
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), i])
        name = list(BOMBS)[int(rng.integers(len(BOMBS)))]
        content, done = BOMBS[name](rng), [name]
        if rng.random() < 0.3:
            content, more = mutate(content, rng, [b"\n", b"cat 1 2\n"])
            done += more
        file = "tokenizer.json" if name == "normalizers" else "t"
        return {f"t/{'vectors.json'}" if name == "json" else file: content}, done, False

    def open(self, work: Path, *, signed: bool) -> bool:
        tokenizer = work / "tokenizer.json"
        if tokenizer.exists():
            parsed = TableTokenizer(tokenizer.read_text(errors="replace"))
            parsed.check(tokenizer)
            with contextlib.suppress(VectorFormatError):  # names no file
                list(parsed.split_all(["a" * 100, "cat é"]))
            return True
        table = formats.read(work / "t")
        if not np.isfinite(table.vectors(slice(None))).all():
            raise Wrong("values that are not finite")
        return True


_LINES = (b"9", b"\n", b" ", b"1 ", b"cat 1 2\n", b"a", b"cat 1 2 3\n", b"\0")
_STARTS = (b"", b"2 2\n", b"1 1000\n", b"9999999 3\n", b"cat 1 2\n", b"2 2\ncat 1 2\ndog ")


@cache
def _block(how: str, unit: bytes) -> bytes:
    compress: Callable[[bytes], bytes] = {"gzip": gzip.compress, "bzip2": bz2.compress}[how]
    return compress(unit * ((1 << 20) // len(unit)))


def _compressed(rng: np.random.Generator) -> bytes:
    """A start and up to a gigabyte of one unit, in streams of a megabyte."""
    how = ["gzip", "bzip2", "zip"][int(rng.integers(3))]
    start, unit = (part[int(rng.integers(len(part)))] for part in (_STARTS, _LINES))
    n = int(2 ** rng.uniform(0, 10))
    if how == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("t.txt", start + unit * (min(n, 3) * (1 << 20) // len(unit)))
        return buffer.getvalue()
    compress = gzip.compress if how == "gzip" else bz2.compress
    return compress(start) + _block(how, unit) * n


def _parquet(rng: np.random.Generator) -> bytes:
    """Few distinct values, many times."""
    import pyarrow as pa
    from pyarrow import parquet

    n, length = int(2 ** rng.uniform(0, 18)), int(2 ** rng.uniform(0, 14))
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), ["a" * length])
    columns: dict[str, Any] = {"word": words}
    if rng.random() < 0.5:
        columns |= {f"x{i}": np.zeros(n, np.float32) for i in range(int(rng.integers(1, 8)))}
    else:
        dim = int(2 ** rng.uniform(0, max(0.1, 20 - np.log2(n))))
        flat = pa.array(np.zeros(n * dim, np.float32))
        columns["v"] = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * dim, flat)
    buffer = io.BytesIO()
    codec = ["zstd", "gzip", "snappy", "none"][int(rng.integers(4))]
    parquet.write_table(pa.table(columns), buffer, compression=codec)
    return buffer.getvalue()


def _json(rng: np.random.Generator) -> bytes:
    unit = [b"[],", b"{},", b'"",', b"[[]],", b"1,"][int(rng.integers(5))]
    return b"[" + unit * int(2 ** rng.uniform(0, 21)) + b"0]"


def _normalizers(rng: np.random.Generator) -> bytes:
    """Chains of replacements, nested."""
    kinds: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * int(rng.integers(1, 9))},
        {"type": "Replace", "pattern": {"Regex": "a*"}, "content": "aa"},
        {"type": "Prepend", "prepend": "a" * int(rng.integers(1, 99))},
        {"type": "ByteLevel"},
        {"type": "NFKC"},
        {"type": "Lowercase"},
    ]
    parts = [kinds[int(k)] for k in rng.integers(len(kinds), size=int(2 ** rng.uniform(0, 6)))]
    for _ in range(int(rng.integers(3))):
        parts = [{"type": "Sequence", "normalizers": parts}]
    model = {"type": "WordLevel", "vocab": {"a": 0, "?": 1}, "unk_token": "?"}
    content = {
        **{"version": "1.0", "truncation": None, "padding": None, "added_tokens": []},
        "normalizer": {"type": "Sequence", "normalizers": parts},
        **{"pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model},
    }
    return json.dumps(content).encode()


BOMBS = {
    "compressed": _compressed,
    "parquet": _parquet,
    "json": _json,
    "normalizers": _normalizers,
}


class ModelFolders(Room):
    """The folder of a sentence encoder."""

    def make(self, folder: Path) -> None:
        from contextual_toys import save_tiny

        saved = save_tiny(folder)
        for path in (*folder.glob("pieces/*"), folder / "pieces"):
            path.unlink() if path.is_file() else path.rmdir()
        self.target = saved.relative_to(folder)

    def open(self, work: Path, *, signed: bool) -> bool:
        from sklearn_transfer import ContextualModel

        clear_memos()
        try:
            features = ContextualModel(work / self.target, device="cpu", cache=None).encode(TEXTS)
        except ValueError as error:
            if "NaN or infinite features" in str(error):  # weights that are numbers all the same
                return False
            raise
        if features.ndim != 2 or len(features) != len(TEXTS) or not np.isfinite(features).all():
            raise Wrong(f"features of shape {features.shape}")
        return True


class Checkpoints(Room):
    """The checkpoint of a fit in mini-batches."""

    refusals = (ValueError,)
    magic = b"sklearn_transfer checkpoint 3\n"

    def make(self, folder: Path) -> None:
        from toys import body

        from sklearn_transfer import FineTunedClassifier

        X = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
        self.data = X, (X[:, 0] > 0).astype(int)
        self.model = FineTunedClassifier(
            body(), max_epochs=2, random_state=0, device="cpu", checkpoint=str(folder)
        )
        self.expected = self.model.fit(*self.data).predict_proba(X)

    def sign(self, tree: Files) -> Files:
        signed = dict(tree)
        for name, content in tree.items():
            if isinstance(content, bytes):
                payload = content[len(self.magic) + 32 :]
                signed[name] = self.magic + hash_content(payload).encode() + payload
        return signed

    def open(self, work: Path, *, signed: bool) -> bool:
        self.model.set_params(checkpoint=str(work))
        found = self.model.fit(*self.data).predict_proba(self.data[0])
        if not signed and not np.array_equal(found, self.expected):
            raise Wrong("another model")
        return True


class CacheNotes(Room):
    """A converted table and the note of its fingerprint, in the cache; and a folder outside."""

    def make(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        words = [f"word{i}" for i in range(400)]
        self.table = Table(our_folder.Vocabulary(words), rng.random((400, 4), dtype=np.float32))
        self.file = folder.parent / "vectors.bin"
        formats.write(self.table, self.file, "word2vec-binary")
        (folder / "cache").mkdir()
        with self._cache(folder / "cache"):
            self._read()

    @contextlib.contextmanager
    def _cache(self, folder: Path) -> Any:
        """Convert and remember small files, too; their names decide nothing here."""
        from sklearn_transfer.vectors.storage import converted_tables, fingerprints

        before = converted_tables._MIN_CONVERTED, fingerprints._MIN_REMEMBERED
        os.environ["SKLEARN_TRANSFER_CACHE"] = str(folder)
        settled = os.stat(self.file).st_mtime - 100
        os.utime(self.file, (settled, settled))
        fingerprints._SETTLED = -10.0
        converted_tables._MIN_CONVERTED = fingerprints._MIN_REMEMBERED = 1
        try:
            clear_memos()
            yield
        finally:
            os.environ["SKLEARN_TRANSFER_CACHE"] = ""
            converted_tables._MIN_CONVERTED, fingerprints._MIN_REMEMBERED = before

    def _read(self) -> Table:
        return formats.read(self.file)

    def sign(self, tree: Files) -> Files:
        """Sign the metadata of the entry, whatever its arrays hold."""
        signed = dict(tree)
        for name, content in tree.items():
            if not name.endswith("vectors.json") or not isinstance(content, bytes):
                continue
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of NumPy, about damaged headers
                about = json.loads(content)
                for part in about["digests"]:
                    array = signed.get(str(Path(name).with_name(f"{part}.npy")))
                    if isinstance(array, bytes):
                        about["digests"][part] = hash_content(np.load(io.BytesIO(array)))
                about.pop("digest")
                about["digest"] = hash_content(json.dumps(about, sort_keys=True))
                signed[name] = json.dumps(about).encode()
        return signed

    def mutant(self, i: int) -> tuple[Files, list[str], bool]:
        tree, done, signed = super().mutant(i)
        if i % 8 == 0:  # a note that leads out
            # The note may have been taken away or damaged.
            name = next((name for name in tree if "fingerprints" in name), "")
            outside = str(self.folder / "work" / "thesis")
            content = tree.get(name)
            if isinstance(content, bytes):
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    note = json.dumps({**json.loads(content), "fingerprint": outside})
                    tree, done = {**tree, name: note.encode()}, [*done, "leads out"]
        return {**tree, "thesis/chapter": b"years of work"}, done, signed

    def open(self, work: Path, *, signed: bool) -> bool:
        with self._cache(work / "cache"):
            (work / "cache").chmod(0o700)
            table = self._read()
        if (work / "thesis" / "chapter").read_bytes() != b"years of work":
            raise Wrong("a file outside the cache is gone")
        position = table.words.find(list(table.words))  # whatever it holds, it is well formed
        vectors = table.vectors(np.arange(len(table.words)))
        if not signed and (
            list(table.words) != list(self.table.words)
            or (position != np.arange(len(position))).any()
        ):
            raise Wrong("another table")
        return bool(len(vectors))


class Features(Room):
    """The features of texts, in a folder."""

    expected = np.arange(8, dtype=np.float32).reshape(2, 4)

    def _encode(self, texts: Any) -> Any:
        return np.stack([self.expected[TEXTS.index(text)] for text in texts])

    def make(self, folder: Path) -> None:
        EmbeddingCache(4, 0, folder, n_parts=1).get(TEXTS[:1], self._encode)
        EmbeddingCache(4, 0, folder, n_parts=1).get(TEXTS, self._encode)

    def sign(self, tree: Files) -> Files:
        return {
            name: content[:-16] + bytes.fromhex(hash_content(content[:-16]))
            if name.endswith(".encodings") and isinstance(content, bytes)
            else content
            for name, content in tree.items()
        }

    def open(self, work: Path, *, signed: bool) -> bool:
        found = EmbeddingCache(4, 0, work, n_parts=1).get(TEXTS, self._encode)
        if not signed and not np.array_equal(found, self.expected):
            raise Wrong("other features")
        return True


ROOMS: dict[str, Callable[[str, Path, int], Room]] = {
    "bombs": Bombs,
    "model folders": ModelFolders,
    "checkpoints": Checkpoints,
    "cache notes": CacheNotes,
    "cached features": Features,
}
