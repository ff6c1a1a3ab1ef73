"""What do clone, pickle, import and parallel search cost? Nothing may copy the vectors.

Both estimators hold 400,000 x 50 vectors, as a `PretrainedVectors` or as gensim's `KeyedVectors`
(which scikit-learn would deep-copy).
"""

from __future__ import annotations

import pickle
import statistics
import subprocess
import sys
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_transfer import FineTunedClassifier, PretrainedEmbeddingTransformer, load_pretrained

from .data import Labelled, load_20newsgroups
from .measure import in_fresh_process, markdown_table, medians, progress

GLOVE = "glove-wiki-gigaword-50"
PACKAGES = ("gensim", "joblib")
_HEAVY = ("torch", "skorch", "gensim", "matplotlib", "pandas", "pyarrow")


def clones() -> list[tuple[str, float, bool]]:
    """Kind of estimator, milliseconds of a clone (median of 200), whether it holds the same."""
    vectors = load_pretrained(GLOVE)
    keyed = vectors.to_gensim()
    rows = []
    for held, name in ((vectors, "PretrainedVectors"), (keyed, "KeyedVectors")):
        for cls in (PretrainedEmbeddingTransformer, FineTunedClassifier):
            estimator = cls(held)
            seconds = []
            for _ in range(200):
                start = perf_counter()
                copy = clone(estimator)
                seconds.append(perf_counter() - start)
            label = f"clone of {cls.__name__}({name} {len(vectors):,} x {vectors.dim})"
            rows.append((label, 1000 * statistics.median(seconds), copy.pretrained is held))
    return rows


def pickles(data: Labelled) -> list[tuple[str, float]]:
    """Kind of fitted estimator, kB of its pickle; each is read back and must give the same."""
    models = {
        "PretrainedEmbeddingTransformer()": PretrainedEmbeddingTransformer(),
        "PretrainedEmbeddingTransformer(weighting='idf')": PretrainedEmbeddingTransformer(
            weighting="idf"
        ),
        f"FineTunedClassifier({GLOVE!r})": FineTunedClassifier(GLOVE),
    }
    rows = []
    for name, model in models.items():
        stored = pickle.dumps(model.fit(data.train, data.train_labels))
        again, some = pickle.loads(stored), data.test[:50]
        np.testing.assert_array_equal(again.transform(some), model.transform(some))
        rows.append((f"pickle of a fitted {name}", len(stored) / 1e3))
    return rows


def imports(module: str) -> tuple[dict[str, float], list[str]]:
    """Seconds of an import in a new interpreter, and which heavy modules came with it."""
    code = (
        "import sys, time; start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start, *sys.modules)"
    )
    command = [sys.executable, "-c", code]
    seconds, *names = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    figures = {"s": float(seconds), "modules": float(len(names))}
    return figures, [name for name in _HEAVY if name in names]


def search(data: Labelled, n_jobs: int) -> tuple[float, list[float]]:
    """Seconds of a small grid search from texts, and its scores."""
    pipeline = make_pipeline(PretrainedEmbeddingTransformer(), FineTunedClassifier(random_state=0))
    grid = {
        "pretrainedembeddingtransformer__pretrained": [GLOVE, load_pretrained(GLOVE).reduce(25)],
        "finetunedclassifier__hidden_layer_sizes": [(), (20,)],
    }
    start = perf_counter()
    found = GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs).fit(data.train, data.train_labels)
    seconds = perf_counter() - start
    get_reusable_executor().shutdown()  # or this process waits five minutes for idle workers
    return seconds, found.cv_results_["mean_test_score"].tolist()


def main(*, limit: int | None = None, repeats: int = 5) -> str:
    data = load_20newsgroups().head(limit)
    rows: list[list[Any]] = []
    progress("clone")
    for name, milliseconds, same in in_fresh_process(clones)[0]:
        verdict = "the same vectors" if same else "A COPY"
        rows.append([name, f"{milliseconds:.3f} ms", f"< 1 ms; {verdict}"])
    progress("pickle")
    for name, kilobytes in in_fresh_process(pickles, data)[0]:
        aim = "< 100 kB" if name.endswith("Transformer()") else "holds what it learned"
        rows.append([name, f"{kilobytes:,.1f} kB", aim])
    for module in ("sklearn_transfer", "sklearn.pipeline", "sklearn_transfer._classifier"):
        progress(f"import {module}")
        runs = [imports(module) for _ in range(repeats)]
        figures = medians(figures for figures, _ in runs)
        heavy = ", ".join(runs[0][1]) or "none"
        said = f"{figures['s']:.2f} s, {figures['modules']:.0f} modules"
        rows.append([f"import {module}", said, f"of {', '.join(_HEAVY)}: {heavy}"])
    rows += _compare_searches(data.head(1000))
    table = markdown_table(["", "measured", "wanted, found"], rows)
    return f"{data}; medians of {repeats} imports and of 200 clones.\n\n{table}"


def _compare_searches(data: Labelled) -> list[list[Any]]:
    scores, rows = {}, []
    for n_jobs in (1, 2):
        progress(f"GridSearchCV, n_jobs={n_jobs}")
        (seconds, scores[n_jobs]), _ = in_fresh_process(partial(search, data, n_jobs))
        same = "the same scores" if scores[n_jobs] == scores[1] else "OTHER SCORES"
        rows.append([f"GridSearchCV, 4 candidates, n_jobs={n_jobs}", f"{seconds:.1f} s", same])
    return rows
