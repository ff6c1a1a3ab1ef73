"""How fast and how well does fine-tuning learn, next to what one would use instead?

20 Newsgroups with its headers, unless another set is named. Every fit has a process of its own,
starts from raw texts, and includes opening the pretrained vectors. The plain recipe is what
tutorials build with skorch: ids padded to 400, an embedding layer over all 400,000 GloVe vectors,
mean, 50 ReLU units, softmax, Adam; `--recipe-epochs` epochs of it are measured, and its time for
more is extrapolated.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sklearn_transfer import FineTunedClassifier, load_pretrained

from . import N_THREADS
from .data import LOADERS, Labelled
from .measure import in_fresh_process, markdown_table, medians, progress
from .wheels import WheelUnavailable, read_wordllama

GLOVE = "glove-wiki-gigaword-50"
PACKAGES = ("skorch", "fasttext-community", "model2vec")
TARGET_RATIO, TARGET_ACCURACY = 50, 0.84
_ONCE = 60  # seconds: what takes longer is measured once
_TOKEN = re.compile(r"(?u)\b\w+\b")
_OURS, _RECIPE = "FineTunedClassifier, defaults", "plain skorch, the tutorial recipe"


def fine_tuned(data: Labelled) -> dict[str, float]:
    return _time_estimator(FineTunedClassifier(GLOVE), data)


def fine_tuned_recipe(data: Labelled) -> dict[str, float]:
    model = FineTunedClassifier(
        GLOVE,
        hidden_layer_sizes=(50,),
        max_epochs=10,
        batch_size=32,
        lr=1e-3,
        weighting=None,
        random_state=0,
    )
    return _time_estimator(model, data)


def tfidf(data: Labelled) -> dict[str, float]:
    features = TfidfVectorizer(sublinear_tf=True, min_df=2)
    return _time_estimator(make_pipeline(features, LinearSVC()), data)


def tfidf_bigrams(data: Labelled) -> dict[str, float]:
    features = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    return _time_estimator(make_pipeline(features, LinearSVC()), data)


def _time_estimator(model: Any, data: Labelled) -> dict[str, float]:
    start = perf_counter()
    model.fit(data.train, data.train_labels)
    fit = perf_counter() - start
    epochs = {"epochs": float(model.n_iter_)} if hasattr(model, "n_iter_") else {}
    return {**_time_predict(model.predict, data), "fit": fit, **epochs}


def _time_predict(predict: Callable[[list[str]], Any], data: Labelled) -> dict[str, float]:
    start = perf_counter()
    predicted = predict(data.test)
    seconds = perf_counter() - start
    return {"accuracy": float(accuracy_score(data.test_labels, predicted)), "predict": seconds}


def fasttext_defaults(data: Labelled) -> dict[str, float]:
    return _time_fasttext(data, epoch=5, lr=0.1, wordNgrams=1)


def fasttext_tuned(data: Labelled) -> dict[str, float]:
    """The settings of fastText's own tutorial on text classification."""
    return _time_fasttext(data, epoch=25, lr=1.0, wordNgrams=2)


def _time_fasttext(data: Labelled, *, epoch: int, **options: Any) -> dict[str, float]:
    import fasttext

    def words(text: str) -> str:
        return " ".join(_TOKEN.findall(text.lower()))

    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        pairs = zip(data.train_labels, data.train, strict=True)
        file.write_text("".join(f"__label__{label} {words(text)}\n" for label, text in pairs))
        model = fasttext.train_supervised(
            str(file), epoch=epoch, thread=N_THREADS, verbose=0, **options
        )
    fit = perf_counter() - start

    def predict(texts: list[str]) -> list[str]:
        found, _ = model.predict([words(text) for text in texts])
        return [best[0].removeprefix("__label__") if len(best) else "" for best in found]

    return {**_time_predict(predict, data), "fit": fit, "epochs": epoch}


def model2vec(data: Labelled) -> dict[str, float]:
    import torch
    from model2vec import StaticModel
    from model2vec.train import StaticModelForClassification
    from tokenizers import Tokenizer

    torch.set_num_threads(N_THREADS)
    start = perf_counter()
    matrix, tokenizer = read_wordllama()
    static = StaticModel(matrix, Tokenizer.from_str(tokenizer))
    model = StaticModelForClassification.from_static_model(model=static)
    model.fit(data.train, data.train_labels, device="cpu")
    fit = perf_counter() - start
    return {**_time_predict(model.predict, data), "fit": fit}


def plain_recipe(data: Labelled, epochs: int) -> dict[str, float]:
    """The recipe as tutorials write it; `fit` is the time without epochs, `epoch` that of one."""
    import skorch  # noqa: F401 (before the clock starts)

    start = perf_counter()
    vectors = load_pretrained(GLOVE)
    index = {word: row for row, word in enumerate(vectors.words)}
    classes, codes = np.unique(data.train_labels, return_inverse=True)
    net = plain_net(vectors.matrix, len(classes), epochs)
    net.fit(pad_ids(data.train, index), codes)
    fit = perf_counter() - start
    trained = sum(net.history[:, "dur"])
    scores = _time_predict(lambda texts: classes[net.predict(pad_ids(texts, index))], data)
    return {**scores, "fit": fit - trained, "epoch": trained / epochs}


def pad_ids(
    texts: list[str], index: dict[str, int], length: int = 400
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The ids of the first known words of each text, then ``len(index)``."""
    ids = np.full((len(texts), length), len(index), dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        known = [index[w] for w in _TOKEN.findall(text.lower()) if w in index][:length]
        row[: len(known)] = known
    return ids


def plain_net(matrix: np.ndarray[Any, np.dtype[np.float32]], n_classes: int, epochs: int) -> Any:
    """The skorch net of the recipe; padding takes the row after the last."""
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    class Recipe(nn.Module):
        def __init__(self, rows: torch.Tensor) -> None:
            super().__init__()
            pad = len(rows) - 1
            self.embedding = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=pad)
            self.head = nn.Sequential(
                nn.Linear(rows.shape[1], 50), nn.ReLU(), nn.Linear(50, n_classes)
            )

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            n_words = (ids != self.embedding.padding_idx).sum(dim=1, keepdim=True)
            return self.head(self.embedding(ids).sum(dim=1) / n_words.clamp(min=1))

    torch.manual_seed(0)
    torch.set_num_threads(N_THREADS)
    return NeuralNetClassifier(
        Recipe(torch.from_numpy(np.vstack([matrix, np.zeros_like(matrix[:1])]))),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=32,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


ROWS: dict[str, Callable[[Labelled], dict[str, float]]] = {
    _OURS: fine_tuned,
    "FineTunedClassifier, the tutorial recipe": fine_tuned_recipe,
    "TF-IDF + LinearSVC": tfidf,
    "TF-IDF of 1-2-grams + LinearSVC": tfidf_bigrams,
    "fastText supervised, its defaults": fasttext_defaults,
    "fastText supervised, 25 epochs of 1-2-grams, lr 1": fasttext_tuned,
    "model2vec trainer, WordLlama": model2vec,
}


def main(
    *,
    limit: int | None = None,
    repeats: int = 3,
    data: str = "20newsgroups",
    recipe_epochs: int = 1,
    skip: str = "",
) -> str:
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of model2vec
    labelled = LOADERS[data]().head(limit)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ROWS}
    notes = []
    for repeat in range(repeats):
        for name, function in ROWS.items():
            done = runs[name]
            if any(part in name for part in skip.split(",") if part):
                continue
            if repeat and (not done or done[0]["fit"] > _ONCE):  # left out, or slow
                continue
            progress(f"{name}, {repeat + 1} of {repeats}")
            try:
                figures, peak = in_fresh_process(function, labelled)
            except (ImportError, WheelUnavailable) as error:
                notes.append(f"{name}: left out, {error}.")
            else:
                done.append({**figures, "peak": peak})
    measured = {name: medians(rows) for name, rows in runs.items() if rows}
    progress(f"{_RECIPE}, {recipe_epochs} epoch(s)")
    plain, peak = in_fresh_process(plain_recipe, labelled, recipe_epochs)

    ours = measured[_OURS]
    rows = [_row(name, row, ours) for name, row in measured.items()]
    for epochs in dict.fromkeys([int(ours["epochs"]), 10]):
        row = {
            **plain,
            "peak": peak,
            "epochs": epochs,
            "fit": plain["fit"] + epochs * plain["epoch"],
        }
        if epochs != recipe_epochs:
            del row["accuracy"]
        rows.append(_row(f"{_RECIPE}, {epochs} epochs", row, ours))
    header = ["", "accuracy", "fit s", "epochs", "s/epoch", "predict s", "peak MB", "fit of ours"]
    ratio = (plain["fit"] + ours["epochs"] * plain["epoch"]) / ours["fit"]
    return "\n\n".join(
        [
            f"{labelled}. Medians of {repeats} repeats (one, where a fit takes more "
            f"than {_ONCE} s).",
            markdown_table(header, rows),
            f"The plain recipe was trained for {recipe_epochs} epoch(s) of {plain['epoch']:.1f} s "
            f"each; times for other numbers are extrapolated in proportion, and their accuracy is "
            f"not known.",
            f"Ours with its defaults fits {ratio:.0f} times as fast as the plain recipe for the "
            f"same number of epochs, {ours['epochs']:.0f} (target {TARGET_RATIO}; an epoch of its "
            f"solver is a Newton step on all texts), and reaches {ours['accuracy']:.3f} (target "
            f"{TARGET_ACCURACY:.2f}).",
            *notes,
        ]
    )


def _row(name: str, row: dict[str, float], ours: dict[str, float]) -> list[str]:
    epochs = row.get("epochs")
    return [
        name,
        f"{row['accuracy']:.3f}" if "accuracy" in row else "",
        f"{row['fit']:.1f}",
        f"{epochs:.0f}" if epochs else "",
        f"{row.get('epoch', row['fit'] / epochs):.2f}" if epochs else "",
        f"{row['predict']:.1f}",
        f"{row['peak']:.0f}",
        f"x {row['fit'] / ours['fit']:.2f}",
    ]
