"""What raw text is, optional imports, and clones that share."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import Ridge

from sklearn_transfer import MissingDependencyError
from sklearn_transfer._utils.cloning import CloneSharesPretrained, VectorsEstimator
from sklearn_transfer._utils.optional import import_optional
from sklearn_transfer._utils.random import draw_seed
from sklearn_transfer._utils.texts import check_texts, looks_like_texts

TEXTS = ["one", "two"]


# ---- check_texts ----


@pytest.mark.parametrize(
    "X",
    [
        ("one", "two"),
        iter(TEXTS),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array([["one"], ["two"]]),
        np.array(TEXTS, dtype=np.dtypes.StringDType()),
        pd.Series(TEXTS, index=[7, 8]),
        pd.Series(TEXTS, dtype="category"),
        pd.Index(TEXTS),
        pd.DataFrame({"t": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"t": TEXTS}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_every_sequence_of_texts_becomes_a_list(X):
    found = check_texts(X)
    assert type(found) is list
    assert found == TEXTS


def test_subclasses_of_str_are_strings():
    class Text(str):
        __slots__ = ()

    assert check_texts([Text("one"), np.str_("two")]) == TEXTS


@pytest.mark.parametrize(("X", "kind"), [("one", "str"), (b"one", "bytes")])
def test_a_single_text_is_refused_with_a_cure(X, kind):
    with pytest.raises(ValueError, match=rf"a single {kind}, which .* Wrap it in a list: \[text\]"):
        check_texts(X)


@pytest.mark.parametrize("X", [3, None, {"one": 1}, {"one"}, frozenset({"one"}), object()])
def test_what_is_no_sequence_is_named_by_its_type(X):
    with pytest.raises(TypeError, match=rf"\(list, array, Series\), got {type(X).__name__}\.$"):
        check_texts(X)


@pytest.mark.parametrize(
    ("X", "shape"),
    [
        (np.array([["a", "b"]]), r"\(1, 2\)"),
        (np.array("a"), r"\(\)"),
        (np.zeros((2, 1, 1)), r"\(2, 1, 1\)"),
        (pd.DataFrame({"a": TEXTS, "b": TEXTS}), r"\(2, 2\)"),
        (pl.DataFrame({"a": TEXTS, "b": TEXTS}), r"\(2, 2\)"),
        (csr_array(np.eye(2)), r"\(2, 2\)"),
        (csr_array(np.ones((2, 1))), r"\(2, 1\)"),
    ],
)
def test_another_shape_than_a_column_is_refused_with_a_cure(X, shape):
    with pytest.raises(ValueError, match=f"array of shape {shape}. Choose the column of texts, .*"):
        check_texts(X)


@pytest.mark.parametrize("X", [[], (), np.array([], dtype=str), pd.Series([], dtype=str), iter([])])
def test_no_texts_are_refused_in_the_words_of_scikit_learn(X):
    with pytest.raises(ValueError, match=r"found array with 0 sample\(s\) while a minimum of 1"):
        check_texts(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["a", None], "NoneType at position 1: None. Replace missing texts, for instance by the"),
        (["a", "b", np.nan], "float at position 2: nan. Replace missing texts"),
        ([np.float32("nan")], "float32 at position 0: .* Replace missing texts"),
        (pd.Series(["a", None]), "float at position 1: nan. Replace missing texts"),
        (pd.Series(["a", None], dtype="string"), "NAType at position 1: <NA>. Replace missing te"),
        (pl.Series(["a", None]), "NoneType at position 1: None. Replace missing texts"),
        ([b"a"], r"bytes at position 0: b'a'. Decode it first, for instance with .decode"),
        (np.array([b"a"]), "bytes at position 0: b'a'. Decode it first"),
        (["a", 3], r"int at position 1: 3. Convert it with str\(\), or pass numbers to an esti"),
        ([["a", "b"]], r"list at position 0: \['a', 'b'\]. Convert it"),
        ([np.ones(2)], r"ndarray at position 0: array\(\[1., 1.\]\). Convert it"),
        (np.array([1.5]), "float at position 0: 1.5. Convert it"),
    ],
)
def test_what_is_no_text_is_named_with_position_and_cure(X, message):
    with pytest.raises(TypeError, match=f"every element of X to be a str, got {message}"):
        check_texts(X)


def test_the_first_of_several_is_named():
    with pytest.raises(TypeError, match="at position 1"):
        check_texts(["a", 1, "b", None])


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(TypeError, match=r"position 0: b'x{55}\.\.\.\. Decode"):
        check_texts([b"x" * 1000])


@pytest.mark.parametrize("X", ["text", 3, np.eye(2), [], [3]])
def test_messages_begin_with_who_asks(X):
    with pytest.raises((TypeError, ValueError), match=r"^MyEstimator expected "):
        check_texts(X, estimator="MyEstimator")


# ---- looks_like_texts ----


@pytest.mark.parametrize(
    "X",
    [
        "text",
        b"text",
        TEXTS,
        ("one",),
        [b"one"],
        np.array(TEXTS),
        np.array([["one"], ["two"]], dtype=object),
        np.array([], dtype=str),
        pd.Series(TEXTS),
        pd.DataFrame({"t": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"t": TEXTS}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_strings_look_like_texts(X):
    assert looks_like_texts(X)


@pytest.mark.parametrize(
    "X",
    [
        3,
        None,
        [],
        [[1.0, 2.0]],
        np.eye(2),
        np.eye(2, dtype=object),
        np.array([], dtype=object),
        csr_array(np.eye(2)),
        pd.DataFrame({"x": [1.0]}),
        pl.DataFrame({"x": [1.0]}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_numbers_do_not_look_like_texts(X):
    assert not looks_like_texts(X)


def test_looking_takes_nothing_from_an_iterator():
    texts = iter(TEXTS)
    looks_like_texts(texts)
    assert list(texts) == TEXTS


# ---- import_optional ----


def test_a_module_that_is_installed_is_given():
    assert import_optional("xml.dom", extra="x", purpose="This") is sys.modules["xml.dom"]


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.inside"])
def test_a_missing_package_is_an_error_with_the_extra(module):
    with pytest.raises(MissingDependencyError) as caught:
        import_optional(module, extra="glove", purpose="Reading the words")
    assert str(caught.value) == (
        "Reading the words needs the package 'no_such_package', which is not installed: "
        'pip install "sklearn-transfer[glove]".'
    )


def test_a_missing_dependency_is_an_import_error():
    with pytest.raises(ImportError, match="no_such_package") as caught:
        import_optional("no_such_package", extra="x", purpose="This")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


# ---- CloneSharesPretrained ----


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


# ---- draw_seed ----


def test_a_seed_is_taken_or_drawn():
    assert draw_seed(np.int64(7)) == 7
    assert draw_seed(np.random.RandomState(0)) == draw_seed(np.random.RandomState(0))
    assert draw_seed(None) != draw_seed(None)
