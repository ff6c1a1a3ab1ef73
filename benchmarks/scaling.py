"""Time and memory of a fit by number of texts, classes and sentences; latency of predict.

FineTunedClassifier("glove-wiki-gigaword-50") and no other argument, one fit from raw texts in a
process of its own that has fitted 200 texts before, so that modules and vectors are loaded; "fit
MB" is how much higher the peak of its memory is than its memory before the fit (on Linux).

- texts: sentences of MR, the first half of one and the second half of another of the same class.
- classes: 20 Newsgroups (headers, footers, quotes removed; the training posts that are not blank),
  halved again and again at the median of the next principal component of their TF-IDF: 2, 4, ...
  1,024 classes of equal size that can be learned.
- classes of two texts: sentences of MR, the first two with label 0, the next two with 1, and so
  on.
- length: 2,000 texts, each of so many sentences of MR of the same class.
- latency: predict on texts that neither model has seen, next to TF-IDF 1-2-grams + LinearSVC.

The exponent is the slope of log figure over log size, between neighbours and, below, over all
sizes; where there is little to do constant costs hide it. All draws have seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_transfer import FineTunedClassifier

from .data import Labelled, load_20newsgroups
from .measure import in_fresh_process, markdown_table, peak_memory, progress
from .tasks import GLOVE, load_splits, make_rival, take

PACKAGES = ("skorch",)
Texts = tuple[list[str], list[str]]
_FIGURES = ("fit", "memory")
_N_TEXTS = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
_LENGTHS = [1, 4, 16, 64, 256]
_N_LONG = 2_000
_N_PAIRS = [500, 2_000]
_RIVAL = "TF-IDF 1-2-grams + LinearSVC"


def recombine(texts: list[str], labels: list[str], n: int) -> Texts:
    """New sentences out of two halves of the same class."""
    rng = np.random.default_rng(0)
    values = np.asarray(labels)
    words = [text.split() for text in texts]
    out: Texts = ([], [])
    classes = np.unique(values).tolist()
    for label in classes:
        members = np.flatnonzero(values == label)
        size = -(-n // len(classes))
        for i, j in rng.choice(members, size=(size, 2)).tolist():
            first, second = words[i], words[j]
            half = [*first[: len(first) // 2], *second[len(second) // 2 :]]
            out[0].append(" ".join(half))
            out[1].append(label)
    order = rng.permutation(len(out[0]))[:n]
    return take(out[0], order), take(out[1], order)


def lengthen(texts: list[str], labels: list[str], factor: int) -> Texts:
    """Texts of so many sentences of one class each."""
    rng = np.random.default_rng(0)
    values = np.asarray(labels)
    chosen = [labels[i] for i in rng.integers(len(labels), size=_N_LONG)]
    members = {label: np.flatnonzero(values == label) for label in set(labels)}
    return [
        " ".join(take(texts, rng.choice(members[label], size=factor))) for label in chosen
    ], chosen


def fit_recombined(texts: list[str], labels: list[str], n: int) -> dict[str, float]:
    return time_fit(*recombine(texts, labels, n))


def fit_lengthened(texts: list[str], labels: list[str], factor: int) -> dict[str, float]:
    return time_fit(*lengthen(texts, labels, factor))


def fit_pairs(texts: list[str], n_classes: int) -> dict[str, float]:
    return time_fit(texts[: 2 * n_classes], np.arange(2 * n_classes) // 2)


def time_fit(texts: list[str], labels: list[Any]) -> dict[str, float]:
    model = FineTunedClassifier(GLOVE)
    model.fit(texts[:200], np.arange(200) % 2)
    _forget_peak()
    before = peak_memory()
    start = perf_counter()
    model.fit(texts, labels)
    return {"fit": perf_counter() - start, "memory": peak_memory() - before}


def _forget_peak() -> None:
    """Let the peak of this process's memory start again from what it has now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def pseudo_classes(texts: list[str], n_halvings: int) -> np.ndarray[Any, Any]:
    """Class codes after so many halvings at the median, each column for one more; all levels."""
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    components = TruncatedSVD(n_halvings, random_state=0).fit_transform(tfidf)
    codes = np.zeros(len(texts), dtype=np.int64)
    levels = []
    for column in components.T:
        upper = np.zeros(len(texts), dtype=np.int64)
        for code in np.unique(codes):
            members = np.flatnonzero(codes == code)
            upper[members[np.argsort(column[members])[len(members) // 2 :]]] = 1
        codes = 2 * codes + upper
        levels.append(codes)
    return np.stack(levels, axis=1)


def latency(data: Labelled) -> dict[str, dict[str, float]]:
    """Times of predict by model: ms for one text (200 texts), s for 10,000 (median of three).

    No text is predicted twice: each is made of the halves of two test texts of a class.
    """
    n_single, n_many = 210, 10_000
    texts, _ = recombine(data.test, data.test_labels, n_single + 3 * n_many)
    batches = [texts[n_single + i * n_many :][:n_many] for i in range(3)]
    times = {}
    for name, model in (("default", FineTunedClassifier(GLOVE)), (_RIVAL, make_rival("1-2-grams"))):
        model.fit(data.train, data.train_labels)
        single = [_seconds(model.predict, [text]) for text in texts[:n_single]][10:]
        times[name] = {
            "one": 1000 * median(single),
            "slow": 1000 * np.quantile(single, 0.95),
            "many": median(_seconds(model.predict, batch) for batch in batches),
        }
    return times


def _seconds(function: Callable[[list[str]], Any], texts: list[str]) -> float:
    start = perf_counter()
    function(texts)
    return perf_counter() - start


def _slope(sizes: Iterable[float], figures: Iterable[float]) -> float:
    x, y = np.log(list(sizes)), np.log(np.maximum(list(figures), 0.1))
    return float(np.polyfit(x, y, 1)[0])


def main(*, quick: bool = False) -> str:
    splits = load_splits()
    mr = splits["MR"][0]
    posts = load_20newsgroups(headers=False)
    filled = [text for text in posts.train if text.strip()]
    halvings = range(1, 8 if quick else 11)
    codes = pseudo_classes(filled, len(halvings))
    n_texts = [n for n in _N_TEXTS if n <= 30_000 or not quick]
    lengths = [n for n in _LENGTHS if n <= 16 or not quick]
    given = mr.train, mr.train_labels
    series: dict[str, list[tuple[int, Callable[..., dict[str, float]], tuple[Any, ...]]]] = {
        "texts": [(n, fit_recombined, (*given, n)) for n in n_texts],
        "classes": [(2**h, time_fit, (filled, codes[:, h - 1])) for h in halvings],
        "classes of two texts": [(n, fit_pairs, (mr.train, n)) for n in _N_PAIRS],
        "sentences per text": [(n, fit_lengthened, (*given, n)) for n in lengths],
    }
    rows, exponents = [], []
    for name, points in series.items():
        done: list[tuple[int, dict[str, float]]] = []
        for size, function, args in points:
            progress(f"{size:,} {name}")
            done.append((size, in_fresh_process(function, *args)[0]))
            row = done[-1][1]
            local = ["", ""]
            if len(done) > 1:
                ends = done[-2:]
                local = [
                    f"{_slope([n for n, _ in ends], [r[key] for _, r in ends]):.2f}"
                    for key in _FIGURES
                ]
            cells = [f"{row['fit']:.2f}", local[0], f"{row['memory']:,.0f}", local[1]]
            rows.append([name, f"{size:,}", *cells])
        sizes = [n for n, _ in done]
        time, memory = (_slope(sizes, [row[key] for _, row in done]) for key in _FIGURES)
        exponents.append(f"- {name}: time {time:.2f}, memory {memory:.2f}")
    speeds = []
    for name, target in (("MR", "< 0.5 ms, < 0.25 s"), ("R8", ""), ("20 Newsgroups, removed", "")):
        progress(f"latency, {name}")
        by_model, _ = in_fresh_process(latency, splits[name][0])
        for model, row in by_model.items():
            cells = [f"{row['one']:.2f} ms", f"{row['slow']:.2f} ms", f"{row['many']:.2f} s"]
            speeds.append([name, model, *cells, "" if model == _RIVAL else target])
    return "\n\n".join(
        [
            markdown_table(["", "size", "fit s", "exponent", "fit MB", "exponent"], rows),
            "Exponents over all sizes:\n\n" + "\n".join(exponents),
            markdown_table(
                ["predict", "model", "one text", "95 % of texts", "10,000 texts", "target"], speeds
            ),
        ]
    )
