import pickle
from functools import partial

import pytest
import segmenters
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import Ridge

from sklearn_transfer import (
    ContinuedVectors,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedEmbeddingTransformer,
)
from sklearn_transfer._utils.objects.cloning import CloneSharesPretrained, VectorsEstimator


class Holder(TransformerMixin, CloneSharesPretrained):
    def __init__(self, pretrained=None, *, other=None, step=None):
        self.pretrained = pretrained
        self.other = other
        self.step = step

    def fit(self, X, y=None, sample_weight=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X

    def get_feature_names_out(self, input_features=None):
        return input_features


class Uncopyable:
    def __deepcopy__(self, memo):
        raise AssertionError("copied")


def test_a_clone_shares_what_it_was_given_as_pretrained():
    source = Uncopyable()
    assert clone(Holder(source)).pretrained is source


def test_a_clone_inside_another_estimator_shares_it_too():
    class Outer(BaseEstimator):
        def __init__(self, inner=None):
            self.inner = inner

    source = Uncopyable()
    assert clone(Outer(Holder(source))).inner.pretrained is source


def test_other_parameters_are_copied():
    other = [1, 2]
    copied = clone(Holder(other=other)).other
    assert copied == other
    assert copied is not other


def test_estimators_among_the_parameters_are_cloned_unfitted():
    step = Ridge(alpha=2).fit([[0.0], [1.0]], [0.0, 1.0])
    copied = clone(Holder(step=step)).step
    assert copied is not step
    assert copied.alpha == 2
    assert not hasattr(copied, "coef_")


def test_a_clone_is_not_fitted():
    assert not hasattr(clone(Holder().fit(None)), "fitted_")


def test_a_clone_gives_frames_where_the_original_does():
    copied = clone(Holder().set_output(transform="pandas"))
    assert copied._sklearn_output_config == {"transform": "pandas"}


def test_what_a_clone_gives_is_its_own_choice():
    original = Holder().set_output(transform="pandas")
    clone(original).set_output(transform="polars")
    assert original._sklearn_output_config == {"transform": "pandas"}


def test_a_clone_asks_for_the_same_metadata_and_its_choice_is_its_own():
    with config_context(enable_metadata_routing=True):
        original = Holder().set_fit_request(sample_weight=True)
        copied = clone(original)
        asked = copied.get_metadata_routing().fit.requests
        copied.set_fit_request(sample_weight=False)
        assert asked == original.get_metadata_routing().fit.requests == {"sample_weight": True}


def test_a_subclass_stays_a_subclass():
    class Special(Holder):
        pass

    assert type(clone(Special())) is Special


class Learner(VectorsEstimator):
    def __init__(self, pretrained=None):
        self.pretrained = pretrained


@pytest.mark.parametrize("container", [list, tuple])
def test_an_estimator_among_the_sources_is_cloned_and_the_others_are_shared(container):
    source, learner = object(), Learner(object())
    shared, cloned = clone(Holder(container([source, learner]))).pretrained
    assert shared is source
    assert cloned is not learner
    assert cloned.pretrained is learner.pretrained
    assert clone(Holder(learner)).pretrained is not learner


# ---- tokenizers ----

ESTIMATORS = [
    ContinuedVectors,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedEmbeddingTransformer,
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ["lcut", "segmenter", "upper"])
def test_a_clone_shares_the_tokenizer(estimator, name):
    tokenizer = getattr(segmenters, name)
    assert clone(estimator(tokenizer=tokenizer)).tokenizer is tokenizer


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ["lcut", "segmenter"])
def test_a_pickle_holds_the_name_of_the_tokenizer(estimator, name):
    tokenizer = getattr(segmenters, name)
    original = estimator(tokenizer=tokenizer)
    assert pickle.loads(pickle.dumps(original)).tokenizer is tokenizer
    assert original.tokenizer is tokenizer


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_pickle_holds_the_name_inside_a_partial(estimator):
    tokenizer = partial(segmenters.lcut, upper=True)
    opened = pickle.loads(pickle.dumps(estimator(tokenizer=tokenizer))).tokenizer
    assert opened("a b") == ["A", "B"]
