"""A classifier that learns what another one says."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import FineTunedClassifier


@pytest.fixture
def teacher(reviews):
    """Any classifier with probabilities."""
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(*reviews)


def test_a_student_learns_the_teacher_s_labels_by_how_sure_they_are(vectors, reviews, teacher):
    texts, labels = reviews
    student = FineTunedClassifier(vectors, distill_from=teacher)
    assert clone(student).distill_from is teacher
    student.fit(texts)
    sure = teacher.predict_proba(texts).max(axis=1)
    expected = FineTunedClassifier(vectors).fit(texts, teacher.predict(texts), sure)
    np.testing.assert_array_equal(student.predict_proba(texts), expected.predict_proba(texts))
    upside_down = np.where(labels == "yes", "no", "yes")
    again = clone(student).fit(iter(texts), upside_down)  # y is not looked at
    np.testing.assert_array_equal(again.predict_proba(texts), student.predict_proba(texts))


def test_weights_of_the_user_count_beside(vectors, reviews, teacher):
    texts, _ = reviews
    weight = np.arange(len(texts)) % 3
    student = FineTunedClassifier(vectors, distill_from=teacher).fit(texts, sample_weight=weight)
    sure = teacher.predict_proba(texts).max(axis=1)
    expected = FineTunedClassifier(vectors).fit(texts, teacher.predict(texts), sure * weight)
    np.testing.assert_array_equal(student.predict_proba(texts), expected.predict_proba(texts))


def test_auto_asks_the_teacher_once(vectors, reviews, teacher):
    student = FineTunedClassifier(vectors, distill_from=teacher, adaptation="auto", random_state=0)
    sure = teacher.predict_proba(reviews[0]).max(axis=1)
    alone = FineTunedClassifier(vectors, adaptation="auto", random_state=0)
    alone.fit(reviews[0], teacher.predict(reviews[0]), sure)
    assert student.fit(reviews[0]).adaptation_ == alone.adaptation_


def test_a_teacher_of_several_labels(vectors, reviews):
    texts, labels = reviews
    indicator = np.stack([labels == "yes", np.arange(len(texts)) % 3 == 0], axis=1).astype(int)
    teacher = FineTunedClassifier(vectors, adaptation="frozen").fit(texts, indicator)
    student = FineTunedClassifier(vectors, distill_from=teacher).fit(texts)
    assert student.predict(texts).shape == indicator.shape


def test_parts_of_the_texts(vectors, reviews, teacher):
    texts, labels = reviews
    student = FineTunedClassifier(vectors, distill_from=teacher, random_state=0)
    student.partial_fit(texts, np.where(labels == "yes", "no", "yes"), classes=["no", "yes"])
    expected = FineTunedClassifier(vectors, random_state=0).partial_fit(
        texts,
        teacher.predict(texts),
        classes=["no", "yes"],
        sample_weight=teacher.predict_proba(texts).max(axis=1),
    )
    np.testing.assert_array_equal(student.predict_proba(texts), expected.predict_proba(texts))


def test_a_teacher_must_be_fitted_and_know_probabilities(vectors, reviews):
    with pytest.raises(NotFittedError):
        FineTunedClassifier(vectors, distill_from=LogisticRegression()).fit(reviews[0])
    with pytest.raises(ValueError, match="'distill_from' parameter"):
        FineTunedClassifier(vectors, distill_from=3).fit(*reviews)
    with pytest.raises(ValueError, match="requires y to be passed"):
        FineTunedClassifier(vectors).fit(reviews[0])
