"""What do smaller tables cost: float16, int8, fewer dimensions, fewer words?

Size of what a table holds beside its words; training texts of 20 Newsgroups a second, each
measurement in a process of its own that has not split them before; accuracies in percent on the
test parts of 20 Newsgroups (headers kept) and MR (a stratified tenth). Frozen:
PretrainedEmbeddingTransformer(weighting="idf", norm="l2"), StandardScaler, LogisticRegression.
Fine-tuned: FineTunedClassifier with its defaults. "PCA" is reduce to half of the dimensions, "all
but the top" leaves out the first dim / 100 components before (Mu & Viswanath 2018). The subset
holds the words of the training texts alone. Nothing is tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
    load_pretrained,
)

from .data import Labelled, load_20newsgroups, load_mr
from .measure import in_fresh_process, markdown_table, medians, progress
from .sources import spacy_folder
from .wheels import WheelUnavailable

PACKAGES = ()
TABLES: dict[str, Callable[[], PretrainedVectors]] = {
    "GloVe, 50 d": partial(load_pretrained, "glove-wiki-gigaword-50"),
    "spaCy md, 300 d": lambda: load_pretrained(spacy_folder()),
}
_WARM_UP = ["A few words to warm up with.", "And a few more."]


def _reduced(vectors: PretrainedVectors, *, removed: bool = False) -> PretrainedVectors:
    return vectors.reduce(vectors.dim // 2, n_removed=max(1, vectors.dim // 100) if removed else 0)


Derive = Callable[[PretrainedVectors, list[str]], PretrainedVectors]
KINDS: dict[str, Derive] = {
    "float32": lambda vectors, _: vectors.astype("float32"),
    "float16": lambda vectors, _: vectors.astype("float16"),
    "int8": lambda vectors, _: vectors.astype("int8"),
    "PCA": lambda vectors, _: _reduced(vectors),
    "all but the top": lambda vectors, _: _reduced(vectors, removed=True),
    "PCA, int8": lambda vectors, _: _reduced(vectors).astype("int8"),
    "subset": lambda vectors, texts: vectors.subset(texts=texts),
    "subset, int8": lambda vectors, texts: vectors.subset(texts=texts).astype("int8"),
}


def megabytes(vectors: PretrainedVectors) -> float:
    arrays = (vectors.matrix, vectors.rows, vectors.scales)
    return sum(array.nbytes for array in arrays if array is not None) / 1e6


def throughput(table: str, kind: str, data: Labelled) -> dict[str, float]:
    vectors = KINDS[kind](TABLES[table](), data.train)
    embed = PretrainedEmbeddingTransformer(vectors).fit(_WARM_UP)
    embed.transform(_WARM_UP)
    start = perf_counter()
    embed.transform(data.train)
    return {"MB": megabytes(vectors), "texts/s": len(data.train) / (perf_counter() - start)}


def accuracies(table: str, kind: str, data: Labelled) -> tuple[float, float]:
    """Of frozen features and of the fine-tuned classifier, in percent."""
    vectors = KINDS[kind](TABLES[table](), data.train)
    frozen = make_pipeline(
        PretrainedEmbeddingTransformer(vectors, weighting="idf", norm="l2"),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    found = [
        100 * model.fit(data.train, data.train_labels).score(data.test, data.test_labels)
        for model in (frozen, FineTunedClassifier(vectors, random_state=0))
    ]
    return found[0], found[1]


def main(*, limit: int | None = None, repeats: int = 3, skip: str = "") -> str:
    left = [kind for kind in KINDS if any(part in kind for part in skip.split(",") if part)]
    kinds = [kind for kind in KINDS if kind not in left]
    sets = {"20 Newsgroups": load_20newsgroups().head(limit), "MR": load_mr().head(limit)}
    rows: list[list[Any]] = []
    left_out = ""
    for table in TABLES:
        try:
            TABLES[table]()
        except WheelUnavailable as error:
            left_out = f"\n\nLeft out: {table}, {error}"
            continue
        for kind in kinds:
            progress(f"{table}, {kind}")
            first = sets["20 Newsgroups"]
            figures = medians(
                in_fresh_process(throughput, table, kind, first)[0] for _ in range(repeats)
            )
            row = [f"{table}, {kind}", f"{figures['MB']:.1f}", f"{figures['texts/s']:,.0f}"]
            for data in sets.values():
                row += [
                    f"{value:.1f}" for value in in_fresh_process(accuracies, table, kind, data)[0]
                ]
            progress(" | ".join(row))
            rows.append(row)
    header = ["table", "MB", "texts/s"]
    header += [f"{name}, {how}" for name in sets for how in ("frozen", "fine-tuned")]
    if left:
        left_out += f"\n\nLeft out on request: {'; '.join(left)}."
    return markdown_table(header, rows) + left_out
