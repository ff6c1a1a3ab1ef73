"""How much memory do four workers of a search add for one large table?

GridSearchCV with four loky processes over a pipeline of embeddings and LogisticRegression, on texts
of 20 Newsgroups whose words are all in the table. The table is made here: 3,000,000 x 300 float32,
3.6 GB, in our folder; tables in memory are smaller (the row says how large), as each would be held
by this process. What is measured is the proportional set size (Pss in
`/proc/PID/smaps_rollup`: a page that n processes map counts 1/n in each), summed over the workers
when the search has ended, and at its highest, as seen five times a second, less that of the same
search with a table of the texts' words alone. The pages that the texts touch are distinct 4 kB
pages of the rows of their words; they are in the page cache once. "the file": the Pss of the
mappings of the matrix alone (`/proc/PID/smaps`) in the end.
The peer is what users write today: gensim's KeyedVectors in a transformer of their own.
"""

from __future__ import annotations

import gc
import pickle
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np
from joblib.externals.loky import reusable_executor
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedEmbeddingTransformer, PretrainedVectors

from .data import load_20newsgroups
from .made_tables import make_words
from .measure import in_fresh_process, markdown_table, progress

N_WORDS, N_WORDS_IN_MEMORY, N_WORDS_QUICK, DIM = 3_000_000, 300_000, 30_000, 300
N_WORKERS, N_TEXTS, N_TEXTS_QUICK = 4, 1_000, 200
PACKAGES = ("gensim", "joblib")
_TOKEN = re.compile(r"(?u)\b\w+\b")
_PAGE = 4096


class MeanOfKeyedVectors(TransformerMixin, BaseEstimator):
    """The mean of gensim's vectors, as it is written in many tutorials."""

    def __init__(self, keyed: Any) -> None:
        self.keyed = keyed

    def fit(self, texts: list[str], y: Any = None) -> MeanOfKeyedVectors:
        return self

    def transform(self, texts: list[str]) -> np.ndarray[Any, Any]:
        rows = np.zeros((len(texts), self.keyed.vector_size), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            known = [token for token in _TOKEN.findall(text.lower()) if token in self.keyed]
            if known:
                row[:] = self.keyed.get_mean_vector(known, pre_normalize=False)
        return rows


def words_of(texts: list[str]) -> list[str]:
    return sorted({token for text in texts for token in _TOKEN.findall(text.lower())})


def make_folder(folder: str, words: list[str], n_words: int) -> int:
    """Write a table whose words include the texts', spread evenly; its matrix is never in memory.

    Returns
    -------
    int
        Bytes of the distinct pages that the rows of the texts' words lie on.
    """
    others = set(words)
    rest = [word for word in make_words(n_words) if word not in others][: n_words - len(words)]
    places = np.linspace(0, n_words - 1, len(words)).astype(np.int64)
    everything, fill = np.empty(n_words, dtype=object), np.ones(n_words, dtype=bool)
    everything[places], fill[places] = words, False
    everything[fill] = rest
    scratch = Path(folder).with_suffix(".scratch")
    matrix = np.lib.format.open_memmap(scratch, "w+", np.float32, (n_words, DIM))
    rng = np.random.default_rng(0)
    for start in range(0, n_words, 50_000):
        block = matrix[start : start + 50_000]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    PretrainedVectors(everything.tolist(), matrix).save(folder)
    scratch.unlink()
    return len(pages_of_rows(places)) * _PAGE


def pages_of_rows(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Numbers of the pages of a .npy file, whose header has 128 bytes, that rows lie on."""
    first = 128 + rows * DIM * 4
    return np.unique(np.concatenate([first // _PAGE, (first + DIM * 4 - 1) // _PAGE]))


def from_folder(folder: str) -> Any:
    return PretrainedEmbeddingTransformer(folder)


def opened_folder(folder: str) -> Any:
    return PretrainedEmbeddingTransformer(PretrainedVectors.load(folder))


def in_memory(folder: str) -> Any:
    vectors = PretrainedVectors.load(folder, mmap=False)
    return PretrainedEmbeddingTransformer(PretrainedVectors(vectors.words, vectors.matrix))


def keyed_vectors(folder: str) -> Any:
    return PretrainedEmbeddingTransformer(_keyed(folder))


def peer(folder: str) -> Any:
    return MeanOfKeyedVectors(_keyed(folder))


def _keyed(folder: str) -> Any:
    return PretrainedVectors.load(folder, mmap=False).to_gensim()


def search(make: Callable[[str], Any], folder: str, texts: list[str], y: list[str]) -> Any:
    """Clone, pickle and search; figures in ms, kB, bytes and seconds."""
    estimator = make(folder)
    seconds = []
    for _ in range(3):
        start = perf_counter()
        clone(estimator)
        seconds.append(perf_counter() - start)
    pickled = len(pickle.dumps(estimator))
    gc.collect()
    pipeline = make_pipeline(estimator, LogisticRegression(max_iter=30, tol=1.0))
    grid = GridSearchCV(
        pipeline, {"logisticregression__C": [0.1, 1.0, 10.0, 100.0]}, cv=2, n_jobs=N_WORKERS
    )
    start = perf_counter()
    with _watching() as totals:
        grid.fit(texts, y)
    took = perf_counter() - start
    executor: Any = reusable_executor._executor  # asking for it may start another
    workers = list(executor._processes)
    figures = {
        "clone ms": 1000 * statistics.median(seconds),
        "pickle kB": pickled / 1e3,
        "s": took,
        "workers": len(workers),
        "peak": max(totals, default=0),
        "pss": sum(map(_pss, workers)),
        "matrix": sum(map(_pss_of_large_files, workers)),
    }
    executor.shutdown()  # or this process waits five minutes for idle workers
    return figures


@contextmanager
def _watching() -> Iterator[list[int]]:
    """Sum up the workers' Pss five times a second."""
    totals: list[int] = []
    stop = Event()

    def watch() -> None:
        while not stop.wait(0.2):
            executor: Any = reusable_executor._executor
            with suppress(OSError, AttributeError, RuntimeError, TypeError):  # they come and go
                totals.append(sum(map(_pss, list(executor._processes))))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield totals
    finally:
        stop.set()
        thread.join()


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])  # type: ignore[index]


def _pss_of_large_files(pid: int) -> int:
    """Of mapped .npy files and of what joblib dumps for its workers."""
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = "matrix.npy" in line or "joblib_memmapping_folder" in line
        elif counts and line.startswith("Pss:"):
            total += 1024 * int(line.split()[1])
    return total


def main(*, quick: bool = False, limit: int | None = None) -> str:
    data = load_20newsgroups().head(N_TEXTS if limit is None else min(limit, N_TEXTS_QUICK))
    texts, y = data.train, data.train_labels
    words = words_of(texts)
    sizes = {"large": N_WORDS, "memory": N_WORDS_IN_MEMORY, "tiny": len(words)}
    if quick:
        sizes |= {"large": N_WORDS_QUICK + len(words), "memory": N_WORDS_QUICK}
    sizes["memory"] = max(sizes["memory"], len(words))
    plan = [
        ("PretrainedEmbeddingTransformer(folder)", from_folder, "large"),
        ("PretrainedEmbeddingTransformer(PretrainedVectors of the folder)", opened_folder, "large"),
        ("PretrainedEmbeddingTransformer(PretrainedVectors in memory)", in_memory, "memory"),
        ("PretrainedEmbeddingTransformer(KeyedVectors)", keyed_vectors, "memory"),
        ("a peer: KeyedVectors in a transformer of one's own", peer, "memory"),
    ]
    rows = []
    with tempfile.TemporaryDirectory(prefix="sklearn_transfer_shared_") as name:
        touched = {}
        for size, n_words in sizes.items():
            progress(f"writing {n_words:,} x {DIM}")
            touched[size] = in_fresh_process(make_folder, f"{name}/{size}", words, n_words)[0]
        for label, make, size in plan:
            progress(label)
            base = in_fresh_process(search, make, f"{name}/tiny", texts, y)[0]
            found = in_fresh_process(search, make, f"{name}/{size}", texts, y)[0]
            n_bytes, tiny = sizes[size] * DIM * 4, sizes["tiny"] * DIM * 4
            # The small table may be in the base whole; touched pages are not subtracted.
            most = found["peak"] - base["peak"] + tiny
            rows.append(
                [
                    label,
                    f"{sizes[size]:,} ({n_bytes / 1e6:,.0f} MB)",
                    f"{found['clone ms']:.2f} ms",
                    f"{found['pickle kB']:,.1f} kB",
                    f"{(found['pss'] - base['pss']) / 1e6:+,.0f} MB",
                    f"{(found['peak'] - base['peak']) / 1e6:+,.0f} MB",
                    f"{found['matrix'] / 1e6:,.0f} MB",
                    f"{touched[size] / 1e6:,.0f} MB",
                    f"{100 * most / n_bytes:+.1f} %",
                    f"{found['s']:.1f} s",
                ]
            )
    header = [
        "",
        "words",
        "clone",
        "pickle",
        "Pss added",
        "peak added",
        "the file",
        "touched",
        "share",
        "search",
    ]
    about = (
        f"{len(texts):,} texts with {len(words):,} words, {N_WORKERS} workers, 8 fits; the small "
        f"table has {tiny / 1e6:,.0f} MB. share: what the peak adds, and the whole small table, of "
        f"the matrix's size; an upper bound, as the pages that the texts touch are not subtracted. "
        f"Wanted: below 5 %; clone below 1 ms; pickle below 100 kB."
    )
    return f"{about}\n\n{markdown_table(header, rows)}"
