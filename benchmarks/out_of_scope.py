"""Do scores tell texts outside of all classes from others, next to those of logistic regression?

A quarter of the classes (of R8 and the questions: two), drawn with seeds 0, 1, 2, is left out of
training; their texts are the ones to reject. AUROC in percent, of at most 1,000 test texts of the
other classes against at most 1,000 texts of the classes that were left out, on average over the
draws; higher is better. 77 intents, questions with 6 classes, R8, and 20 Newsgroups (headers,
footers and quotes removed); with 10 labels per class and with all, at most 3,000.

MiniLM: FineTunedClassifier(model, adaptation="frozen") on all-MiniLM-L6-v2, next to
LogisticRegression(C=10) on the same features, and to the cosine of the nearest training text.
GloVe: FineTunedClassifier("glove-wiki-gigaword-50"), next to the same two on TF-IDF. Texts are cut
to 130 words. The last three columns are scores that were not chosen: the largest probability before
calibration, the energy (the logarithm of the summed exponentials of the logits; Liu et al. 2020),
and `score_samples` times the cosine of the nearest training text, which needs these texts in the
model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize

from sklearn_transfer import ContextualModel, FineTunedClassifier, PretrainedEmbeddingTransformer

from .data import Labelled, find_shared, load_20newsgroups, load_intents, load_r8, read_jsonl
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE, draw, take

PACKAGES = ("sentence-transformers", "transformers")
N_TEST, N_TRAIN, N_WORDS = 1000, 3000, 130
SIZES: tuple[int | None, ...] = (10, None)


def load_questions() -> Labelled:
    """Questions and the types of their answers (Li & Roth 2002)."""
    rows = list(read_jsonl(find_shared("trec6")))
    parts: list[list[str]] = []
    for split in ("train", "test"):
        part = [row for row in rows if row["split"] == split]
        parts += [[row["text"] for row in part], [row["label"] for row in part]]
    return Labelled(*parts, source="shared trec6")


SETS: dict[str, Callable[[], Labelled]] = {
    "77 intents": load_intents,
    "questions": load_questions,
    "R8": load_r8,
    "20 Newsgroups": lambda: load_20newsgroups(headers=False),
}


def leave_out(data: Labelled, size: int | None, seed: int) -> tuple[Labelled, NDArray[np.int64]]:
    """Training texts of some classes; test texts of all, and 1 for those of these classes."""
    rng = np.random.default_rng(seed)
    classes = np.unique(data.train_labels)
    n_out = 2 if len(classes) <= 8 else len(classes) // 4
    out = rng.permutation(classes)[:n_out]
    kept = np.flatnonzero(~np.isin(data.train_labels, out))
    texts, labels = take(data.train, kept), take(data.train_labels, kept)
    rows = draw(labels, size, seed)[:N_TRAIN]
    is_in = ~np.isin(data.test_labels, out)
    test = [rng.permutation(np.flatnonzero(is_in == part))[:N_TEST] for part in (True, False)]
    chosen = np.concatenate(test)
    split = Labelled(
        _cut(take(texts, rows)),
        take(labels, rows),
        _cut(take(data.test, chosen)),
        take(data.test_labels, chosen),
        data.source,
    )
    return split, is_in[chosen].astype(np.int64)


def _cut(texts: list[str]) -> list[str]:
    return [" ".join(text.split()[:N_WORDS]) for text in texts]


def score(model: Any, features: Any, split: Labelled) -> dict[str, NDArray[np.float64]]:
    """The scores of a model, and of the rivals on features."""
    model.fit(split.train, split.train_labels)
    train, test = features.fit_transform(split.train), features.transform(split.test)
    rival = LogisticRegression(C=10, max_iter=1000).fit(train, split.train_labels)
    cosines = normalize(test) @ normalize(train).T
    nearest = cosines.max(axis=1)
    nearest = nearest.toarray().ravel() if hasattr(nearest, "toarray") else nearest
    chosen, logits = model.score_samples(split.test), model.decision_function(split.test)
    return {
        "score_samples": chosen,
        "largest probability": model.predict_proba(split.test).max(axis=1),
        "logistic regression": rival.predict_proba(test).max(axis=1),
        "nearest text": nearest,
        "before calibration": softmax(logits, axis=1).max(axis=1),
        "energy": logsumexp(logits, axis=1),
        "score times nearest": chosen * nearest,
    }


def main(*, quick: bool = False, repeats: int = 3) -> str:
    encoder = ContextualModel(minilm_folder(), max_tokens=128)
    rows: list[list[str]] = []
    for name, load in SETS.items():
        data = load().head(1000 if quick else None)
        for size in SIZES:
            found: dict[str, dict[str, list[float]]] = {}
            for seed in range(1 if quick else repeats):
                progress(f"{name}, {size or 'all'}, draw {seed}")
                split, is_in = leave_out(data, size, seed)
                frozen = FineTunedClassifier(encoder, adaptation="frozen")
                pairs = {
                    "MiniLM": (frozen, PretrainedEmbeddingTransformer(encoder)),
                    "GloVe": (FineTunedClassifier(GLOVE), TfidfVectorizer(sublinear_tf=True)),
                }
                for source, (model, features) in pairs.items():
                    for kind, values in score(model, features, split).items():
                        auroc = 100 * float(roc_auc_score(is_in, values))
                        found.setdefault(source, {}).setdefault(kind, []).append(auroc)
            for source, kinds in found.items():
                means = [f"{np.mean(values):.1f}" for values in kinds.values()]
                rows.append([source, name, str(size or "all"), *means])
    rows.sort(key=lambda row: row[0], reverse=True)
    for source in ("MiniLM", "GloVe"):
        own = np.array([[float(x) for x in row[3:]] for row in rows if row[0] == source])
        rows.append([source, "average", "", *(f"{x:.1f}" for x in own.mean(axis=0))])
    header = ["source", "set", "labels per class", *found["GloVe"]]
    return markdown_table(header, rows)
