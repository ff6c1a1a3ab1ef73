"""How large is a saved model, how soon does it serve, and how fast?

The default model as model files (`vectors="all"`, `"used"`, `"reference"`) and as a pickle; TF-IDF
of words + LinearSVC as a pickle and by skops; model2vec's own pipeline, with the same GloVe vectors
and a logistic regression. A sentence encoder (all-MiniLM-L6-v2, 64 labels of MR): frozen and tuned
(`"top-1"`), without a cache of embeddings, and SetFit's model with its logistic regression. Each
row is served in a process of its own, which reads files that are in the system's page cache. Start:
import, load and first prediction, in addition to `import sklearn`. One text: the median over 500
test texts, each given alone. Many: 10,000 texts in one call, all different, the training texts
among them (R8 has 7,674). Difference: the largest one between the decisions or probabilities of the
served model and of the model before it was saved.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import ContextualModel, FineTunedClassifier, load_pretrained

from .data import Labelled, load_20newsgroups, load_mr, load_r8
from .few_sentences import SetFit
from .measure import markdown_table, progress
from .sources import minilm_folder
from .tasks import GLOVE, QUICK, draw_split, make_rival

PACKAGES = ("skops", "model2vec", "sentence-transformers", "setfit")
SETS: dict[str, Callable[[], Labelled]] = {
    "MR": load_mr,
    "R8": load_r8,
    "20 Newsgroups": load_20newsgroups,
}
_LOADERS = {
    "load": "from sklearn_transfer import load; model = load(path)",
    "joblib": "import joblib; model = joblib.load(path)",
    "skops": (
        "import skops.io as io; model = io.load(path, trusted=io.get_untrusted_types(file=path))"
    ),
    "model2vec": (
        "from model2vec.inference import StaticModelPipeline as P; model = P.from_pretrained(path)"
    ),
    "setfit": "from setfit import SetFitModel as M; model = M.from_pretrained(path)",
}
_SERVE = """
import json, sys
from time import perf_counter
import sklearn
path, (texts, many) = sys.argv[1], json.load(open(sys.argv[2]))
start = perf_counter()
{loader}
model.predict(texts[:1])
started = perf_counter() - start
seconds = []
for text in texts[:500]:
    start = perf_counter()
    model.predict([text])
    seconds.append(perf_counter() - start)
start = perf_counter()
model.predict(many)
elapsed = perf_counter() - start
method = "decision_function" if hasattr(model, "decision_function") else "predict_proba"
scores = getattr(model, method)(texts).tolist()
print(json.dumps([started, sorted(seconds)[len(seconds) // 2], len(many) / elapsed, scores]))
"""


def _write(data: Labelled, folder: Path) -> Iterator[tuple[str, str, Path, Any]]:
    """A name, a loader, a path and the fitted model, one row after the other."""
    model = FineTunedClassifier(GLOVE, random_state=0).fit(data.train, data.train_labels)
    for vectors in ("all", "used", "reference"):
        path = folder / f"ours-{vectors}"
        model.save(path, vectors=vectors)
        yield f'default model, vectors="{vectors}"', "load", path, model
    joblib.dump(model, folder / "ours.joblib")
    yield "default model, pickle", "joblib", folder / "ours.joblib", model
    rival = make_rival("words").fit(data.train, data.train_labels)
    joblib.dump(rival, folder / "rival.joblib")
    yield "TF-IDF + LinearSVC, pickle", "joblib", folder / "rival.joblib", rival
    if importlib.util.find_spec("skops") is not None:
        import skops.io

        skops.io.dump(rival, folder / "rival.skops")
        yield "TF-IDF + LinearSVC, skops", "skops", folder / "rival.skops", rival
    if importlib.util.find_spec("model2vec") is not None:
        yield _write_model2vec(data, folder)


def _write_model2vec(data: Labelled, folder: Path) -> tuple[str, str, Path, Any]:
    from model2vec import StaticModel
    from model2vec.inference import StaticModelPipeline
    from model2vec.inference.mlp import Activation, Layer, MLPHead

    load_pretrained(GLOVE).write(folder / "static", format="model2vec")
    static = StaticModel.from_pretrained(str(folder / "static"))
    linear = LogisticRegression(max_iter=1000).fit(static.encode(data.train), data.train_labels)
    weight, bias = linear.coef_, linear.intercept_
    if len(linear.classes_) == 2:  # its softmax has an output for each class
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.append(0.0, bias)
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    layer = Layer(weight=weight, bias=bias.astype(np.float32))
    head = MLPHead(layers=[layer], activation=Activation.SOFTMAX, classes=linear.classes_)
    made = StaticModelPipeline(static, head)
    made.save_pretrained(str(folder / "model2vec"))
    return "model2vec's pipeline, GloVe", "model2vec", folder / "model2vec", made


def _write_encoders(data: Labelled, folder: Path) -> Iterator[tuple[str, str, Path, Any]]:
    """As `_write`, for sentence encoders."""
    few = draw_split(data, 32, 0)
    for policy in ("frozen", "top-1"):
        encoder = ContextualModel(minilm_folder(), cache=None)
        model = FineTunedClassifier(encoder, adaptation=policy, max_epochs=1, random_state=0)
        model.fit(few.train, few.train_labels)
        for vectors in ("all", "reference"):
            path = folder / f"{policy}-{vectors}"
            model.save(path, vectors=vectors)
            yield f'MiniLM, "{policy}", vectors="{vectors}"', "load", path, model
        joblib.dump(model, folder / f"{policy}.joblib")
        yield f'MiniLM, "{policy}", pickle', "joblib", folder / f"{policy}.joblib", model
    if importlib.util.find_spec("setfit") is not None:
        rival = SetFit(0)
        rival.prepare()
        body = rival.model.model_body
        rival.model.model_head.fit(body.encode(few.train), few.train_labels)
        rival.model.save_pretrained(str(folder / "setfit"))
        yield "SetFit, MiniLM", "setfit", folder / "setfit", rival.model


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _serve(loader: str, path: Path, texts: Path, model: Any, repeats: int) -> list[float]:
    """Medians of start, one text and throughput; the largest difference from the model."""
    script = _SERVE.format(loader=_LOADERS[loader])
    command = [sys.executable, "-c", script, str(path), str(texts)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = []
    for _ in range(repeats):
        shown = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        runs.append(json.loads(shown.stdout.splitlines()[-1]))
    method = "decision_function" if hasattr(model, "decision_function") else "predict_proba"
    expected = np.asarray(getattr(model, method)(json.loads(texts.read_text())[0]))
    difference = float(np.abs(np.array(runs[0][3]) - expected).max())
    return [*np.median([run[:3] for run in runs], axis=0).tolist(), difference]


def main(*, quick: bool = False, repeats: int = 5) -> str:
    rows = []
    for name, load_set in SETS.items():
        data = load_set().head(QUICK if quick else None)
        with tempfile.TemporaryDirectory(prefix="sklearn_transfer_shipping_") as temporary:
            folder = Path(temporary)
            texts = folder / "texts.json"
            many = (data.test + data.train)[: 500 if quick else 10_000]
            texts.write_text(json.dumps([data.test[:1000], many]))
            encoders = _write_encoders(data, folder) if name == "MR" else ()
            for row, loader, path, model in chain(_write(data, folder), encoders):
                progress(f"{name}: {row}")
                n = min(repeats, 3) if row.startswith(("MiniLM", "SetFit")) else repeats
                start, one, rate, difference = _serve(loader, path, texts, model, n)
                size = f"{_size(path) / 1e6:.1f}"
                figures = (f"{start:.2f}", f"{1e3 * one:.2f}", f"{rate:,.0f}", f"{difference:.1g}")
                rows.append((name, row, size, *figures))
    header = ["texts", "model", "MB", "start, s", "one text, ms", "texts/s", "difference"]
    about = f"Medians of {repeats} processes, of at most 3 for sentence encoders."
    return f"{about}\n\n{markdown_table(header, rows)}"
