"""transfer_report: fits on the same splits, and their scores."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from torch import nn

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, transfer_report
from sklearn_transfer.evaluation.splits import make_splits


def report(estimator, X, y, **options):
    defaults = {"cv": 3, "train_sizes": [1.0], "random_state": 0}
    return transfer_report(estimator, X, y, **{**defaults, **options})


def test_scores_are_those_of_the_models_on_the_same_splits(vectors, reviews):
    texts, y = reviews
    estimator = FineTunedClassifier(vectors, calibrate=False)
    made = report(estimator, texts, y, train_sizes=[6, 1.0])
    codes = (y == "yes").astype(np.int64)
    splits = make_splits(3, texts, y, codes, 0)
    frozen = FineTunedClassifier(vectors, adaptation="frozen", calibrate=False)
    tfidf = make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LinearSVC())
    models = {"fine-tuned": estimator, "frozen": frozen, "tf-idf": tfidf}
    for name, model in models.items():
        for split, (train, test) in enumerate(splits):
            for row, size in enumerate([6, 40]):
                kept = train[:size]
                fitted = clone(model).fit([texts[i] for i in kept], y[kept])
                expected = fitted.score([texts[i] for i in test], y[test])
                assert made.scores[name][row, split] == pytest.approx(expected), (name, size)
    assert made.train_sizes.tolist() == [6, 40]
    assert made.test_ratio == pytest.approx(0.5)
    assert list(made.scores) == ["fine-tuned", "frozen", "random", "tf-idf"]
    assert all((seconds > 0).all() for seconds in made.fit_seconds.values())


def test_transfer_helps_where_words_are_new():
    from sklearn_transfer import PretrainedVectors

    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), (40, 6))
    words = ["".join(row) for row in letters]
    tone = np.where(np.arange(40) % 2, 1.0, -1.0)
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    made = report(
        FineTunedClassifier(PretrainedVectors(words, np.stack([tone, noise], 1))),
        words,
        tone > 0,
        cv=4,
    )
    assert made.scores["fine-tuned"].mean() == 1
    assert made.scores["random"].mean() < 0.7
    assert "Transfer helps: fine-tuned minus random is" in repr(made)


def test_a_seed_gives_the_same_report_in_parallel_too(vectors, reviews):
    estimator = FineTunedClassifier(vectors, encoder="cnn", max_epochs=2)
    one = report(estimator, *reviews, cv=2)
    with parallel_config("threading"):
        two = report(estimator, *reviews, cv=2, n_jobs=2)
    other = report(estimator, *reviews, cv=2, random_state=1)
    for model in one.scores:
        np.testing.assert_array_equal(one.scores[model], two.scores[model])
    assert any((one.scores[model] != other.scores[model]).any() for model in one.scores)


def test_global_generators_and_the_estimator_stay_as_they_were(vectors, reviews):
    estimator = FineTunedClassifier(vectors, optimizer="adam", max_epochs=1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    report(estimator, *reviews, cv=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert not hasattr(estimator, "classes_")
    assert estimator.random_state is None


@pytest.mark.parametrize(
    "make",
    [
        pd.Series,
        lambda texts: pd.DataFrame({"text": texts}, index=range(5, 65)),
        lambda texts: pl.DataFrame({"text": texts}),
        pl.Series,
        lambda texts: np.array(texts, dtype=object)[:, None],
        iter,
    ],
    ids=["Series", "frame", "polars frame", "polars Series", "column", "iterator"],
)
def test_texts_of_any_container(vectors, reviews, make):
    texts, y = reviews
    estimator, options = FineTunedClassifier(vectors, calibrate=False), {"cv": [(A, B), (B, A)]}
    made, expected = (report(estimator, X, y, **options) for X in (make(texts), texts))
    assert made.left_out == {}
    for model, scores in expected.scores.items():
        np.testing.assert_array_equal(made.scores[model], scores)


A, B = np.arange(30), np.arange(30, 60)


def test_lists_of_tokens(vectors, reviews):
    texts, y = reviews
    estimator = FineTunedClassifier(vectors, tokenizer=lambda tokens: tokens)
    made = report(estimator, [text.split() for text in texts], y)
    assert made.left_out == {}
    assert made.scores["tf-idf"].mean() > 0.9


def test_values_are_scored_by_r2(vectors, reviews):
    texts, y = reviews
    values = (y == "yes") + np.random.default_rng(0).normal(0, 0.1, 60)
    made = report(FineTunedRegressor(vectors), pd.Series(texts), values)
    assert made.score_name == "r2"
    assert made.scores["fine-tuned"].mean() > 0.8


def test_several_labels(vectors, reviews):
    texts, y = reviews
    labels = pd.DataFrame({"tone": y == "yes", "film": ["film" in text for text in texts]})
    made = report(FineTunedClassifier(vectors), texts, labels.astype(int), scoring="f1_micro")
    assert (made.scores["fine-tuned"] > 0.8).all()
    assert list(made.scores) == ["fine-tuned", "frozen", "random", "tf-idf"]


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("neg_log_loss", "neg_log_loss"),
        (make_scorer(f1_score, pos_label="yes"), "make_scorer(f1_score"),
        (lambda model, X, y: model.predict_proba(X).max(axis=1).mean(), "<lambda>"),
    ],
    ids=["name", "scorer", "function"],
)
def test_scores_of_probabilities_and_callables(vectors, reviews, scoring, name):
    made = report(FineTunedClassifier(vectors), *reviews, scoring=scoring)
    assert made.score_name.startswith(name)
    assert np.isfinite(made.scores["tf-idf"]).all()


def test_arrays_and_a_module(numbers):
    body = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 5))
    made = report(FineTunedClassifier(body, max_epochs=1), *numbers, cv=2)
    assert list(made.scores) == ["fine-tuned", "frozen", "random"]
    assert made.left_out == {"tf-idf": "X is not texts"}


def test_a_pipeline_and_a_splitter(vectors, reviews):
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = make_pipeline(upper, FineTunedClassifier(vectors))
    made = report(pipeline, *reviews, cv=ShuffleSplit(2, test_size=15, random_state=0))
    assert made.scores["fine-tuned"].shape == (1, 2)
    assert made.test_ratio == pytest.approx(15 / 45)


# ---- errors ----


def test_an_error_of_the_estimator_names_the_fit(vectors, reviews):
    with pytest.raises(ValueError, match="max_grad_norm") as caught:
        report(FineTunedClassifier(vectors, max_grad_norm=-1.0), *reviews)
    assert "the fit on 40 labels of split 0" in caught.value.__notes__[0]
    estimator = FineTunedClassifier(vectors, tokenizer=fail_on_films)
    with pytest.raises(RuntimeError, match="a film") as caught:
        report(estimator, *reviews)
    assert "the fit on 40 labels of split 0 of the model 'fine-tuned'" in caught.value.__notes__[0]


def fail_on_films(text):
    raise RuntimeError("a film")


@pytest.mark.filterwarnings("ignore:Only 0%")
def test_a_compared_model_that_fails_is_left_out(vectors):
    texts, y = ["+ +", "- -"] * 6, [0, 1] * 6  # no token of TF-IDF
    made = report(FineTunedClassifier(vectors), texts, y)
    assert made.scores["fine-tuned"].mean() == 1
    assert "tf-idf" not in made.scores
    assert "tf-idf" not in made.fit_seconds
    assert "the fit on 8 labels of split 0 failed: ValueError" in made.left_out["tf-idf"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scoring": ["accuracy", "f1"]}, "'scoring' parameter of transfer_report"),
        ({"confidence": 95}, "'confidence' parameter of transfer_report"),
        ({"cv": "five"}, "'cv' parameter of transfer_report"),
        ({"train_sizes": 0.5}, "'train_sizes' parameter of transfer_report"),
        ({"train_sizes": [1]}, r"whole numbers from 2 \(one label of each class\) to 40"),
    ],
)
def test_options_out_of_range_are_refused(vectors, reviews, options, message):
    with pytest.raises(ValueError, match=message):
        report(FineTunedClassifier(vectors), *reviews, **options)


def test_targets_are_checked(vectors, reviews):
    texts, y = reviews
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        report(FineTunedClassifier(vectors), texts, y[1:])
    with pytest.raises(ValueError, match="at least two classes"):
        report(FineTunedClassifier(vectors), texts, ["yes"] * 60)
    with pytest.raises(ValueError, match="requires y"):
        report(FineTunedRegressor(vectors), texts, None)
