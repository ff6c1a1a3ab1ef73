"""Do exported models predict the same in their runtimes, how large are they, and how fast?

ONNX: the largest difference between the output of onnxruntime and predict_proba, or the predict of
a regressor, over all test texts (of MiniLM: 200), in batches of 1, 7 and 256 texts; of 1, the first
200 texts. GloVe has 50 dimensions. Mini-batch models are trained for two epochs, because the
question is whether they are the same; MiniLM has 64 labels.
The file with vectors="used" is given training texts. Milliseconds per text: the median over
200 test texts, each given alone. Ours includes the tokenizer and, of MiniLM, has no cache;
onnxruntime, with the same number of threads, is given ids. Values of the regressor are the valence
of tweets, -4 to 4.

Static: the largest difference between the embeddings of model2vec or sentence-transformers and
`transform`, over the training texts (words outside them are not in the folder).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np

from sklearn_transfer import ContextualModel, FineTunedClassifier, FineTunedRegressor

from . import N_THREADS
from .data import Labelled, load_mr, load_r8, load_vader
from .measure import markdown_table, progress
from .multilabel import load_joined
from .sources import minilm_folder
from .tasks import GLOVE, QUICK, draw_split

PACKAGES = ("onnx", "onnxruntime", "onnxscript", "model2vec", "sentence-transformers")
_TRAINED: dict[str, Any] = {"optimizer": "adam", "max_epochs": 2, "random_state": 0}
_BATCHES = (1, 7, 256)
_ALONE = 200  # texts that are given alone


class Fitted(NamedTuple):
    """A fitted model and test texts."""

    model: Any
    texts: list[str]
    vectors: Literal["all", "used"] = "all"


def _cases(*, quick: bool) -> dict[str, Callable[[], Fitted]]:
    limit = QUICK // 5 if quick else None
    mr, r8 = load_mr().head(limit), load_r8().head(limit)

    def fit(data: Labelled, **parameters: Any) -> Callable[[], Fitted]:
        def run() -> Fitted:
            model = FineTunedClassifier(GLOVE, **parameters)
            return Fitted(model.fit(data.train, data.train_labels), data.test)

        return run

    hidden = {"hidden_layer_sizes": (50,), "activation": "gelu", "dropout": 0.2, **_TRAINED}
    return {
        "default, MR": fit(mr),
        "default, R8": fit(r8),
        'default, R8, vectors="used"': lambda: _fit_used(r8),
        "frozen, MR": fit(mr, adaptation="frozen"),
        "frozen, hidden layer, MR": fit(mr, adaptation="frozen", **hidden),
        "mean, hidden layer, MR": fit(mr, **hidden),
        "mean, hidden layer, R8": fit(r8, **hidden),
        "attention, R8": fit(r8, encoder="attention", **_TRAINED),
        "CNN, MR": fit(mr, encoder="cnn", **_TRAINED),
        "CNN, R8": fit(r8, encoder="cnn", **_TRAINED),
        "GRU, MR": fit(mr, encoder="rnn", **_TRAINED),
        "LSTM, two layers, MR": fit(
            mr, encoder="rnn", encoder_params={"cell": "lstm", "layers": 2}, **_TRAINED
        ),
        "several labels, joined posts": lambda: _fit_labels(limit),
        "values, VADER": lambda: _fit_values(limit),
        "MiniLM, frozen, MR": lambda: _fit_sentences(mr, adaptation="frozen"),
        "MiniLM, contrastive, MR": lambda: _fit_sentences(mr, adaptation="contrastive"),
        "MiniLM, top-1, MR": lambda: _fit_sentences(mr, adaptation="top-1", max_epochs=1),
    }


def _fit_used(data: Labelled) -> Fitted:
    model = FineTunedClassifier(GLOVE).fit(data.train, data.train_labels)
    return Fitted(model, data.train[:2000], "used")


def _fit_labels(limit: int | None) -> Fitted:
    data = load_joined().head(limit or 2000)
    return Fitted(FineTunedClassifier(GLOVE).fit(data.train, data.train_labels), data.test[:500])


def _fit_values(limit: int | None) -> Fitted:
    texts, values = load_vader()
    cut = limit or len(texts) * 4 // 5
    return Fitted(FineTunedRegressor(GLOVE).fit(texts[:cut], values[:cut]), texts[cut:][:1000])


def _fit_sentences(data: Labelled, **parameters: Any) -> Fitted:
    encoder, few = ContextualModel(minilm_folder(), cache=None), draw_split(data, 32, 0)
    model = FineTunedClassifier(encoder, random_state=0, **parameters)
    return Fitted(model.fit(few.train, few.train_labels), few.test[:200])


def _open(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = N_THREADS
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _measure(name: str, fitted: Fitted, path: Path) -> list[str]:
    model, texts, vectors = fitted
    model.export_onnx(path, vectors=vectors)
    session = _open(path)
    predict = getattr(model, "predict_proba", model.predict)
    worst = []
    for size in _BATCHES:
        given = texts[:_ALONE] if size == 1 else texts
        parts = [given[i : i + size] for i in range(0, len(given), size)]
        worst.append(max(_compare(session, model, predict, part) for part in parts))
    alone = [[text] for text in texts[:_ALONE]]
    feeds = [model.onnx_inputs(part) for part in alone]
    ours = _time(predict, alone)
    theirs = _time(lambda feed: session.run(None, feed), feeds)
    return [
        name,
        *(f"{difference:.1e}" for difference in worst),
        f"{path.stat().st_size / 1e6:.1f}",
        f"{ours:.2f}",
        f"{theirs:.2f}",
    ]


def _compare(session: Any, model: Any, predict: Callable[..., Any], texts: list[str]) -> float:
    (found,) = session.run(["predictions"], model.onnx_inputs(texts))
    difference = float(np.abs(found - predict(texts)).max())
    if not np.isfinite(difference):
        raise AssertionError(f"{model!r} predicts {found} in onnxruntime")
    return difference


def _time(function: Callable[[Any], Any], items: list[Any]) -> float:
    """Milliseconds, the median over the items."""
    seconds = []
    function(items[0])
    for item in items:
        start = perf_counter()
        function(item)
        seconds.append(perf_counter() - start)
    return 1e3 * median(seconds)


def _measure_static(folder: Path, *, quick: bool) -> Iterator[list[str]]:
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    data = load_mr().head(QUICK // 5 if quick else None)
    for name, weighting in (("MR", None), ("MR, idf weights", "idf")):
        progress(f"static, {name}")
        model = FineTunedClassifier(GLOVE, weighting=weighting, **_TRAINED)
        expected = model.fit(data.train, data.train_labels).transform(data.train)
        model.export_static(folder / name)
        found = StaticModel.from_pretrained(folder / name).encode(data.train)
        yield [
            name,
            "model2vec",
            f"{np.abs(found - expected).max():.1e}",
            _megabytes(folder / name),
        ]
        path = folder / f"{name}-st"
        model.export_static(path, format="sentence-transformers")
        found = SentenceTransformer(str(path), device="cpu").encode(data.train)
        difference = f"{np.abs(found - expected).max():.1e}"
        yield [name, "sentence-transformers", difference, _megabytes(path)]


def _megabytes(folder: Path) -> str:
    return f"{sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e6:.1f}"


def main(*, quick: bool = False) -> str:
    rows = []
    with tempfile.TemporaryDirectory(prefix="sklearn_transfer_exports_") as temporary:
        folder = Path(temporary)
        for name, fit in _cases(quick=quick).items():
            progress(name)
            rows.append(_measure(name, fit(), folder / "model.onnx"))
        static = list(_measure_static(folder, quick=quick))
    batches = [f"batches of {size}" for size in _BATCHES]
    header = ["ONNX", *batches, "MB", "ours, ms", "onnxruntime, ms"]
    tables = [
        markdown_table(header, rows),
        markdown_table(["static", "opened by", "difference", "MB"], static),
    ]
    return "\n\n".join(tables)
