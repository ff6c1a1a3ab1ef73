"""Transfer learning on 20 Newsgroups, next to TF-IDF: ``python -m benchmarks.demo``.

Every row is fitted in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sklearn_transfer import FineTunedClassifier, PretrainedEmbeddingTransformer, load_pretrained

from .data import DataUnavailable, Labelled, load_20newsgroups
from .measure import describe_machine, in_fresh_process

GLOVE = "glove-wiki-gigaword-50"
PICTURE = "confusion_matrix.png"


def tfidf() -> Any:
    return make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC())


def frozen_embedding() -> Any:
    return make_pipeline(PretrainedEmbeddingTransformer(), LogisticRegression(max_iter=1000))


def tutorial_recipe() -> Any:
    """What tutorials build: mean of the vectors, 50 ReLU units, softmax, Adam, ten epochs."""
    return FineTunedClassifier(
        GLOVE,
        hidden_layer_sizes=(50,),
        max_epochs=10,
        batch_size=32,
        lr=1e-3,
        weighting=None,
        random_state=0,
    )


def fine_tuned() -> Any:
    return FineTunedClassifier(GLOVE)


def grid_search() -> Any:
    """Vectors, pooling, weighting and head, searched together on a part of the training texts."""
    pipeline = make_pipeline(PretrainedEmbeddingTransformer(), FineTunedClassifier(random_state=0))
    grid = {
        "pretrainedembeddingtransformer__pretrained": [GLOVE, load_pretrained(GLOVE).reduce(25)],
        "pretrainedembeddingtransformer__pooling": ["mean", ("mean", "max")],
        "pretrainedembeddingtransformer__weighting": [None, "sif"],
        "finetunedclassifier__hidden_layer_sizes": [(), (50,)],
    }
    return SearchOnPart(GridSearchCV(pipeline, grid, cv=3, refit=False))


class SearchOnPart(ClassifierMixin, BaseEstimator):
    """Search on the first texts, then fit the best candidate on all: the demo has minutes."""

    def __init__(self, search: GridSearchCV, n_texts: int = 2000) -> None:
        self.search = search
        self.n_texts = n_texts

    def fit(self, X: list[str], y: list[str]) -> SearchOnPart:
        search = clone(self.search).fit(X[: self.n_texts], y[: self.n_texts])
        self.best_params_ = search.best_params_
        self.n_candidates_ = len(search.cv_results_["params"])
        self.best_ = clone(search.estimator).set_params(**search.best_params_).fit(X, y)
        return self

    def predict(self, X: list[str]) -> Any:
        return self.best_.predict(X)


ROWS: dict[str, Callable[[], Any]] = {
    "TF-IDF + LinearSVC": tfidf,
    "PretrainedEmbeddingTransformer + LogisticRegression": frozen_embedding,
    "a pipeline of both, searched with GridSearchCV": grid_search,
    "FineTunedClassifier, a network as in tutorials": tutorial_recipe,
    "FineTunedClassifier, defaults": fine_tuned,
}


def evaluate(make_model: Callable[[], Any], data: Labelled) -> dict[str, Any]:
    """Fit and predict; scores, seconds, and the predictions."""
    model = make_model()
    start = perf_counter()
    model.fit(data.train, data.train_labels)
    fitted = perf_counter()
    predicted = model.predict(data.test)
    stop = perf_counter()
    return {
        "accuracy": accuracy_score(data.test_labels, predicted),
        "f1": f1_score(data.test_labels, predicted, average="macro"),
        "fit": fitted - start,
        "predict": stop - fitted,
        "predicted": predicted,
        "found": _describe_search(model),
    }


def _describe_search(model: Any) -> str | None:
    if not isinstance(model, SearchOnPart):
        return None
    values = [f"{name.split('__')[1]}={value!r}" for name, value in model.best_params_.items()]
    return (
        f"best of {model.n_candidates_} candidates, 3-fold on {model.n_texts:,} texts: "
        f"{', '.join(sorted(values))}"
    )


def show(data: Labelled, *, grid: bool) -> dict[str, Any]:
    """Print the table, a row as soon as it is there; the results by name."""
    print(f"\n20 Newsgroups by date, 20 classes: {data}\n")
    width = max(map(len, ROWS))
    print(f"{'':{width}}  accuracy  macro F1    fit s  predict s  peak MB")
    results = {}
    for name, make_model in ROWS.items():
        if make_model is grid_search and not grid:
            continue
        row, peak = in_fresh_process(evaluate, make_model, data)
        results[name] = row
        print(
            f"{name:{width}}  {row['accuracy']:8.3f}  {row['f1']:8.3f}  {row['fit']:7.1f}  "
            f"{row['predict']:9.1f}  {peak:7.0f}",
            flush=True,
        )
        if row["found"]:
            print(f"  {row['found']}", flush=True)
    return results


def draw_confusions(data: Labelled, predicted: Any) -> None:
    """Save which newsgroups are taken for which, where matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        print(f"\nNo {PICTURE}: that needs matplotlib (pip install matplotlib).")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 10), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        data.test_labels,
        predicted,
        ax=axes,
        normalize="true",
        values_format=".0%",
        xticks_rotation="vertical",
        cmap="Blues",
        colorbar=False,
        text_kw={"fontsize": 7},
    )
    axes.set_title("FineTunedClassifier with its defaults, 20 Newsgroups with headers")
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)
    print(f"\nWhich groups are taken for which (FineTunedClassifier, defaults): {PICTURE}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="headers kept only, no grid search")
    parser.add_argument("--limit", type=int, help="read only so many training and test texts")
    options = parser.parse_args()

    print(describe_machine())
    vectors = load_pretrained(GLOVE)
    print(f"Vectors: {vectors!r}")
    print("Peak memory is that of a process with Python, the libraries and the texts in it.")

    data = load_20newsgroups().head(options.limit)
    results = show(replace(data, source=f"{data.source}; headers kept"), grid=not options.quick)
    draw_confusions(data, results["FineTunedClassifier, defaults"]["predicted"])
    if options.quick:
        return
    try:
        without_headers = load_20newsgroups(headers=False)
    except DataUnavailable as error:
        print(f"\nThe table without headers is left out. {error}")
        return
    show(without_headers.head(options.limit), grid=True)


if __name__ == "__main__":
    main()
