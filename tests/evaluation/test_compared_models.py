"""The models that a report compares, by the kind of pretrained model."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from torch import nn

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.evaluation.compared_models import compare_models, find_last, make_baseline
from sklearn_transfer.text.random_vectors import RandomVectors

BASELINE = LogisticRegression()


def compare(estimator, n_samples=100):
    return compare_models(estimator, n_samples, BASELINE, seed=1)


def test_the_linear_bag_of_words_loses_its_pretrained_block(vectors):
    models = compare(FineTunedClassifier(vectors, ngram_range=(1, 1)))
    assert models.names == ["fine-tuned", "frozen", "random", "tf-idf"]
    assert models.left_out == {}
    made = {name: models.build(name, 5) for name in models.names}
    assert (
        made["fine-tuned"].get_params()
        == FineTunedClassifier(vectors, ngram_range=(1, 1), random_state=5).get_params()
    )
    assert made["frozen"].adaptation == "frozen"
    assert made["frozen"].ngram_range == "auto"  # without use there: no warning
    assert made["random"].pretrained_scale == 0
    assert made["random"].pretrained is vectors
    assert made["tf-idf"].random_state == 5


def test_vectors_in_mini_batches_become_random(vectors):
    given = FineTunedClassifier(vectors, encoder="cnn", oov="subword", tokenizer=str.split)
    made = compare(given).build("random", 5)
    assert isinstance(made.pretrained, RandomVectors)
    assert made.pretrained.pretrained is vectors
    assert made.pretrained.tokenizer is given.tokenizer
    assert made.pretrained.random_state == 5
    assert made.oov == "ignore"
    assert made.encoder == "cnn"
    several = compare(FineTunedClassifier([vectors, vectors], encoder="rnn")).build("random", 5)
    assert [type(source) for source in several.pretrained] == [RandomVectors] * 2


def test_a_frozen_estimator_is_the_frozen_row(vectors):
    models = compare(FineTunedClassifier(vectors, adaptation="frozen"))
    assert models.names == ["frozen", "random", "tf-idf"]
    assert "adaptation='full'" in models.left_out["fine-tuned"]
    assert isinstance(models.build("random", 0).pretrained, RandomVectors)


def test_a_module_has_new_weights():
    body = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 3))
    models = compare(FineTunedRegressor(body, adaptation="lp-ft"))
    assert models.names == ["fine-tuned", "frozen", "random"]
    assert models.left_out == {"tf-idf": "X is not texts"}
    one, two, other = (models.build("random", seed).pretrained for seed in (0, 0, 1))
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
    assert not torch.equal(one[0].weight, body[0].weight)


class Unresettable(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, 2.0]))

    def forward(self, x):
        return x[:, :2] * self.scale


def test_a_module_that_cannot_be_reset_is_left_out():
    models = compare(FineTunedClassifier(Unresettable()))
    assert models.names == ["fine-tuned", "frozen"]
    assert "parameter 'scale'" in models.left_out["random"]


@pytest.mark.parametrize("adaptation", ["contrastive", "top-1", "auto"])
def test_an_encoder_is_made_anew(tiny_model, adaptation):
    models = compare(FineTunedClassifier(str(tiny_model), adaptation=adaptation))
    assert models.names == ["fine-tuned", "frozen", "random", "tf-idf"]
    made = models.build("random", 7)
    assert made.adaptation == adaptation
    texts = ["the cat sat"]
    before = models.kind.model.encode(texts)
    assert np.abs(made.pretrained.encode(texts) - before).max() > 0.1


def test_a_pipeline_keeps_its_other_steps(vectors):
    lower = FunctionTransformer(str)
    pipeline = make_pipeline(lower, FineTunedClassifier(vectors, random_state=3))
    models = compare(pipeline)
    for name in models.names:
        made = models.build(name, 0)
        assert list(made.named_steps) == list(pipeline.named_steps)
        assert made[0] is not lower
    assert models.build("frozen", 0)[-1].adaptation == "frozen"
    assert models.build("frozen", 0)[-1].random_state == 3  # given by the user
    assert type(models.build("tf-idf", 0)[-1]) is LogisticRegression


# ---- TF-IDF ----


@pytest.mark.parametrize(
    ("estimator", "options", "expected"),
    [
        (FineTunedClassifier("x"), {}, LinearSVC),
        (FineTunedClassifier("x"), {"probabilities": True}, LogisticRegression),
        (FineTunedClassifier("x"), {"multilabel": True}, OneVsRestClassifier),
        (FineTunedRegressor("x"), {}, Ridge),
    ],
)
def test_the_linear_model_suits_the_task(estimator, options, expected):
    made = make_baseline(estimator, **{"multilabel": False, "probabilities": False, **options})
    assert type(made[-1]) is expected


def test_the_baseline_takes_tokenizer_and_class_weights():
    given = FineTunedClassifier("x", tokenizer=lambda tokens: tokens, class_weight="balanced")
    made = make_baseline(given, multilabel=False, probabilities=False)
    assert made[-1].class_weight == "balanced"
    made.fit([["A", "b"], ["c", "b"]], [0, 1])
    assert set(made[0].get_feature_names_out()) == {"A", "b", "c", "A b", "c b"}


# ---- what is refused ----


def test_estimators_that_are_not_ours_are_refused(vectors):
    for other in (
        LogisticRegression(),
        make_pipeline(LogisticRegression()),
        GridSearchCV(FineTunedClassifier(vectors), {}),
        FineTunedClassifier,
    ):
        with pytest.raises(TypeError, match=r"expected a FineTunedClassifier or .*best_estimator_"):
            find_last(other)


def test_estimators_without_a_pretrained_model_or_with_a_teacher_are_refused(vectors):
    with pytest.raises(ValueError, match=r"got an estimator with pretrained=None. Name a model"):
        find_last(FineTunedClassifier())
    teacher = FineTunedClassifier(vectors).fit(["good", "bad"], [1, 0])
    with pytest.raises(ValueError, match="needs distill_from=None"):
        find_last(FineTunedClassifier(vectors, distill_from=teacher))


def test_tfidf_reads_a_script_without_spaces_by_character() -> None:
    model = make_baseline(FineTunedClassifier(), multilabel=False, probabilities=False)
    analyze = model[0].build_analyzer()
    english = "It's a very good film, isn't it? 10 of 10."
    assert analyze(english) == TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()(english)
    assert analyze("很好吃 ok") == ["很", "好", "吃", "ok", "很 好", "好 吃", "吃 ok"]
