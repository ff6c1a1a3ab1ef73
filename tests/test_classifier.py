"""FineTunedClassifier: what is its own beside the common promises."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from toys import MINIBATCH, weights_of

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedEmbeddingTransformer,
)


def rows_of(model):
    """The table of trained vectors."""
    return model.module_.encoder.rows.detach().numpy()


# What it learns


def test_word_unseen_in_training_is_used_with_its_pretrained_vector(vectors, reviews):
    for params in ({}, {**MINIBATCH, "max_epochs": 30, "lr": 0.05}):
        model = FineTunedClassifier(vectors, **params).fit(*reviews)
        assert model.predict(["fine", "poor"]).tolist() == ["yes", "no"]


def test_word_unknown_to_the_vectors_is_learned_by_its_token_weights(vectors):
    texts = ["zork film", "zork plot", "blorb film", "blorb plot"] * 3
    model = FineTunedClassifier(vectors).fit(texts, [1, 1, 0, 0] * 3)
    assert model.predict(["zork", "blorb"]).tolist() == [1, 0]


def test_frozen_learns_nothing_of_words_without_a_vector(vectors):
    texts = ["zork film", "zork plot", "blorb film", "blorb plot"] * 3
    model = FineTunedClassifier(vectors, adaptation="frozen").fit(texts, [1, 1, 0, 0] * 3)
    zork, blorb = model.decision_function(["zork film", "blorb film"])
    assert zork == blorb


def test_frozen_is_the_full_model_without_token_weights(vectors, reviews):
    frozen = FineTunedClassifier(vectors, adaptation="frozen").fit(*reviews)
    assert frozen.module_.token_weights.shape[0] == 0
    assert frozen.transform(reviews[0]).shape == (60, 4)


def test_strong_pull_gives_the_frozen_model(vectors, reviews):
    settings = {"pretrained_scale": 1.0}
    frozen = FineTunedClassifier(vectors, adaptation="frozen", **settings).fit(*reviews)
    pulled = FineTunedClassifier(vectors, l2_sp=1e9, **settings).fit(*reviews)
    np.testing.assert_allclose(
        pulled.decision_function(reviews[0]), frozen.decision_function(reviews[0]), atol=1e-3
    )


def test_pull_keeps_minibatch_rows_near_the_pretrained_ones(vectors, reviews):
    moved = []
    start = rows_of(FineTunedClassifier(vectors, embedding_lr=0.0, **MINIBATCH).fit(*reviews))
    for l2_sp in (0.0, 0.1, 10.0):
        model = FineTunedClassifier(vectors, l2_sp=l2_sp, **MINIBATCH).fit(*reviews)
        moved.append(np.linalg.norm(rows_of(model) - start))
    assert moved[0] > moved[1] > moved[2] > 0


def test_only_rows_of_words_that_occur_move(vectors, reviews):
    model = FineTunedClassifier(vectors, **MINIBATCH).fit(*reviews)
    assert len(model.module_.encoder.rows) == len({w for t in reviews[0] for w in t.split()})


def test_embedding_lr_of_zero_freezes_the_rows(vectors, reviews):
    model = FineTunedClassifier(vectors, embedding_lr=0.0, **MINIBATCH).fit(*reviews)
    known = {tuple(row) for row in [*vectors.matrix.tolist(), [0.0] * vectors.dim]}
    assert {tuple(row) for row in rows_of(model).tolist()} <= known


def test_max_tokens_reads_the_beginning_only(vectors, reviews):
    model = FineTunedClassifier(vectors, max_tokens=2).fit(*reviews)
    a, b = model.decision_function(["good film awful awful bad", "good film"])
    assert a == b


def test_linear_head_on_numbers_is_linear_svc():
    X, y = make_classification(200, 6, n_informative=4, random_state=1)
    theirs = LinearSVC(C=1.0, tol=1e-8, dual=False).fit(X, y)
    np.testing.assert_allclose(
        FineTunedClassifier().fit(X, y).decision_function(X),
        theirs.decision_function(X),
        rtol=1e-3,
        atol=1e-3,
    )


def test_linear_head_with_cross_entropy_is_logistic_regression():
    X, y = make_classification(1000, 6, n_informative=5, n_classes=3, random_state=1, n_redundant=0)
    ours = FineTunedClassifier(criterion="cross_entropy", calibrate=False).fit(X, y)
    theirs = LogisticRegression(C=1.0, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)


def test_sparse_and_dense_numbers_give_the_same(numbers):
    X, y = numbers
    for params in ({}, MINIBATCH):
        dense = FineTunedClassifier(**params).fit(X, y)
        sparse = FineTunedClassifier(**params).fit(csr_array(X), y)
        expected = dense.decision_function(X)
        for model, data in ((sparse, csr_array(X)), (sparse, X), (dense, csr_array(X))):
            np.testing.assert_allclose(
                model.decision_function(data), expected, rtol=1e-5, atol=1e-5
            )


# Labels


@pytest.mark.parametrize(
    "labels", [["b", "a"], [7, -3], [True, False], [2.0, 1.0], [("x",), ("y",)][:0] or ["é", "ü"]]
)
def test_labels_come_back_as_they_went_in(vectors, labels):
    y = np.array(labels * 4)
    model = FineTunedClassifier(vectors).fit(["good film", "bad film"] * 4, y)
    predicted = model.predict(["good film", "bad film"])
    assert predicted.dtype == y.dtype
    assert predicted.tolist() == labels


@pytest.mark.parametrize(
    "params", [{}, {**MINIBATCH, "max_epochs": 40, "lr": 0.05}], ids=["convex", "minibatch"]
)
def test_indicator_labels_are_predicted_as_indicators(vectors, params):
    texts = ["good film", "bad film", "good plot", "bad plot"] * 10
    y = np.array([[1, 0], [0, 0], [1, 1], [0, 1]] * 10)
    model = FineTunedClassifier(vectors, **params).fit(texts, y)
    np.testing.assert_array_equal(model.predict(texts[:4]), y[:4])
    assert model.predict_proba(texts).shape == (40, 2)
    assert model.score(texts, y) == 1.0


def test_one_class_is_refused(vectors):
    with pytest.raises(ValueError, match="at least two classes; the data has one class: 'a'"):
        FineTunedClassifier(vectors).fit(["x", "y"], ["a", "a"])


def test_y_of_another_length_is_refused(vectors):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        FineTunedClassifier(vectors).fit(["x", "y"], ["a", "b", "a"])


def test_mixed_types_of_labels_are_refused(vectors):
    with pytest.raises((TypeError, ValueError), match=r"one type|uniformly|mix of label"):
        FineTunedClassifier(vectors).fit(["x", "y"], np.array(["a", 1], dtype=object))


# Weights


def test_class_weight_balanced_lifts_the_rare_class(vectors):
    texts, y = ["film plot"] * 20, [0] * 18 + [1] * 2
    plain = FineTunedClassifier(vectors).fit(texts, y)
    balanced = FineTunedClassifier(vectors, class_weight="balanced").fit(texts, y)
    assert balanced.decision_function(texts[:1]) > plain.decision_function(texts[:1]) + 0.3


def test_class_weight_dict_equals_sample_weights(vectors, reviews):
    texts, y = reviews
    by_class = FineTunedClassifier(
        vectors, class_weight={"yes": 3.0, "no": 1.0}, pretrained_scale=1.0
    )
    logits = by_class.fit(texts, y).decision_function(texts)
    assert (
        logits.mean() > FineTunedClassifier(vectors).fit(texts, y).decision_function(texts).mean()
    )


def test_weight_two_equals_a_row_twice(vectors, reviews):
    texts, y = reviews
    weight = np.random.default_rng(3).integers(0, 4, len(texts))
    weighted = FineTunedClassifier(vectors).fit(texts, y, sample_weight=weight)
    rows = np.repeat(np.arange(len(texts)), weight)
    repeated = FineTunedClassifier(vectors).fit([texts[i] for i in rows], y[rows])
    np.testing.assert_allclose(
        weighted.decision_function(texts), repeated.decision_function(texts), rtol=1e-4, atol=1e-4
    )


def test_class_with_weight_zero_only_does_not_exist(vectors, reviews):
    texts, y = [*reviews[0], "film"], np.append(reviews[1], "maybe")
    weight = np.append(np.ones(60), 0)
    model = FineTunedClassifier(vectors).fit(texts, y, sample_weight=weight)
    assert model.classes_.tolist() == ["no", "yes"]


@pytest.mark.parametrize("criterion", ["squared_hinge", "cross_entropy"])
@pytest.mark.parametrize("label", ["no", "yes", "maybe"])
def test_class_with_class_weight_zero_is_never_predicted(vectors, reviews, label, criterion):
    texts, y = [*reviews[0], *["film"] * 9], np.append(reviews[1], ["maybe"] * 9)
    model = FineTunedClassifier(vectors, class_weight={label: 0}, criterion=criterion)
    assert label not in model.fit(texts, y).predict(texts)


def test_class_weights_of_zero_alone_are_refused(vectors, reviews):
    model = FineTunedClassifier(vectors, class_weight={"no": 0, "yes": 0})
    with pytest.raises(ValueError, match=r"positive weight, got class_weight=.*weight 0"):
        model.fit(*reviews)


@pytest.mark.parametrize(
    ("weight", "message"), [(0.0, "at least one non-zero number"), (-1.0, "[Nn]egative")]
)
def test_weights_that_are_no_weights_are_refused(vectors, reviews, weight, message):
    with pytest.raises(ValueError, match=message):
        FineTunedClassifier(vectors).fit(*reviews, sample_weight=np.full(60, weight))


# Continuing


def test_partial_fit_learns_as_batches_come(vectors, reviews):
    texts, y = reviews
    model = FineTunedClassifier(vectors, lr=0.05, random_state=0)
    for _ in range(10):
        for start in range(0, 60, 20):
            part = slice(start, start + 20)
            model.partial_fit(texts[part], y[part], classes=["no", "yes"])
    assert model.score(texts, y) == 1.0
    assert model.n_iter_ == 30


def test_partial_fit_gives_new_words_rows_of_their_own(vectors):
    model = FineTunedClassifier(vectors, lr=0.1, random_state=0)
    model.partial_fit(["good film", "bad film"], [1, 0], classes=[0, 1])
    rows = len(model.module_.encoder.rows)
    for _ in range(20):
        model.partial_fit(["zork film", "blorb film"], [1, 0])
    assert len(model.module_.encoder.rows) == rows + 2
    assert model.predict(["zork", "blorb"]).tolist() == [1, 0]


def test_partial_fit_goes_on_after_fit(vectors, reviews):
    for params in ({}, MINIBATCH):
        model = FineTunedClassifier(vectors, **params).fit(*reviews)
        model.set_params(lr=0.05)
        before = model.decision_function(["good plot"])
        for _ in range(20):
            model.partial_fit(["good plot"] * 4, ["no"] * 4)
        assert model.decision_function(["good plot"]) < before


def test_first_partial_fit_needs_the_classes(vectors, reviews):
    with pytest.raises(ValueError, match="must name all classes"):
        FineTunedClassifier(vectors).partial_fit(*reviews)


def test_partial_fit_refuses_labels_that_were_not_named(vectors, reviews):
    model = FineTunedClassifier(vectors).partial_fit(*reviews, classes=["no", "yes"])
    with pytest.raises(ValueError, match=r"not among the classes.*maybe"):
        model.partial_fit(["good"], ["maybe"])
    with pytest.raises(ValueError, match="differ from those of earlier calls"):
        model.partial_fit(["good"], ["yes"], classes=["maybe", "yes"])


def test_partial_fit_refuses_balanced_class_weights(vectors, reviews):
    with pytest.raises(ValueError, match="give partial_fit a dict"):
        FineTunedClassifier(vectors, class_weight="balanced").partial_fit(
            *reviews, classes=["no", "yes"]
        )


def test_warm_start_continues_and_cold_start_does_not(vectors, reviews):
    params = {**MINIBATCH, "max_epochs": 1}
    once = FineTunedClassifier(vectors, **params).fit(*reviews)
    cold = FineTunedClassifier(vectors, **params).fit(*reviews).fit(*reviews)
    warm = FineTunedClassifier(vectors, warm_start=True, **params).fit(*reviews).fit(*reviews)
    for a, b in zip(weights_of(once), weights_of(cold), strict=True):
        np.testing.assert_array_equal(a, b)
    assert warm.history_[-1]["train_loss"] < once.history_[-1]["train_loss"]


# Together with scikit-learn


def test_ends_a_pipeline_of_embeddings(vectors, reviews):
    for params in ({}, {**MINIBATCH, "max_epochs": 30}):
        model = make_pipeline(
            PretrainedEmbeddingTransformer(vectors), FineTunedClassifier(**params)
        ).fit(*reviews)
        assert model.score(*reviews) > 0.9


def test_a_grid_goes_over_vectors_and_heads(vectors, reviews):
    pipeline = make_pipeline(FineTunedClassifier(random_state=0))
    grid = {
        "finetunedclassifier__pretrained": [vectors, vectors.reduce(2)],
        "finetunedclassifier__hidden_layer_sizes": [(), (4,)],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(*reviews)
    assert (search.cv_results_["mean_test_score"] > 0.9).all()


def test_transform_is_what_the_last_layer_sees(vectors, reviews):
    model = FineTunedClassifier(vectors, **MINIBATCH).fit(*reviews)
    features = model.transform(reviews[0])
    last = model.module_.head[-1]
    logits = features @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(logits[:, 0], model.decision_function(reviews[0]), rtol=1e-5)


def test_probabilities_are_probabilities(numbers):
    X, y = numbers
    proba = FineTunedClassifier().fit(X, y).predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba >= 0).all()


def test_no_warning_in_ordinary_use(vectors, reviews):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FineTunedClassifier(vectors).fit(*reviews).predict_proba(reviews[0])


# Samples outside of all classes


@pytest.mark.parametrize("n_classes", [2, 4])
def test_samples_far_from_all_classes_have_low_scores(n_classes):
    rng = np.random.default_rng(0)
    centres = 4 * np.eye(6)[:n_classes]
    y = np.arange(200) % n_classes
    model = FineTunedClassifier().fit(centres[y] + rng.normal(size=(200, 6)), y)
    inside = model.score_samples(centres[y] + rng.normal(size=(200, 6)))
    outside = model.score_samples(centres.mean(axis=0) + rng.normal(size=(200, 6)))
    assert (inside.shape, inside.dtype) == ((200,), np.float64)
    assert roc_auc_score(np.repeat([1, 0], 200), np.r_[inside, outside]) > 0.9


def test_scores_are_largest_logits():
    X, y = make_classification(100, 8, n_informative=6, n_classes=3, random_state=0)
    classes = FineTunedClassifier().fit(X, y)
    logits = classes.decision_function(X).astype(float)
    np.testing.assert_allclose(classes.score_samples(X), logits.max(axis=1) - logits.mean(axis=1))
    two = FineTunedClassifier().fit(X, y > 0)
    np.testing.assert_allclose(two.score_samples(X), abs(two.decision_function(X)) / 2)
    labels = FineTunedClassifier().fit(X, np.eye(3, dtype=int)[y])
    np.testing.assert_allclose(labels.score_samples(X), labels.decision_function(X).max(axis=1))


def test_scores_need_a_fit():
    with pytest.raises(NotFittedError):
        FineTunedClassifier().score_samples([[1.0]])
