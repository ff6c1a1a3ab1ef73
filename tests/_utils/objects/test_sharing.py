"""Constructors and documentation that estimators share."""

import inspect
import pickle

import pytest
from sklearn.base import BaseEstimator, clone

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer._utils.objects.sharing import document_parameters, share_constructor


class Full(BaseEstimator):
    """Estimator with all parameters.

    Parameters
    ----------
    first : int
        One.

        Another paragraph.
    second : {"a", "b"} or \
            object, default="a"
        Two.
    third : float, default=0.5
        Three.

    Attributes
    ----------
    fitted_ : int
        Not a parameter.
    """

    def __init__(self, first, *, second="a", third=0.5):
        self.first, self.second, self.third = first, second, third


@document_parameters(Full)
class Part(BaseEstimator):
    """Estimator with fewer parameters.

    Parameters
    ----------
    third : float, default=0.5
        Three, in words of its own.

    Attributes
    ----------
    fitted_ : int
        Another one.
    """

    __init__ = share_constructor(Full, without=["second"])


def test_the_signature_is_that_of_the_other_estimator_without_some_parameters():
    assert str(inspect.signature(Part)) == "(first, *, third=0.5)"


def test_parameters_are_stored_and_have_the_same_defaults():
    assert Part(3).get_params() == {"first": 3, "third": 0.5}
    assert Part(first=3, third=[1]).get_params() == {"first": 3, "third": [1]}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'first'"),
        ((1, 2), {}, "too many positional arguments"),
        ((1,), {"second": "b"}, "got an unexpected keyword argument 'second'"),
    ],
)
def test_other_arguments_are_refused_as_those_of_any_function(args, kwargs, message):
    with pytest.raises(TypeError, match=message):
        Part(*args, **kwargs)


def test_the_other_estimator_keeps_its_constructor():
    assert Full(1).get_params() == {"first": 1, "second": "a", "third": 0.5}


def test_it_is_cloned_and_pickled():
    part = Part(1, third=2.0)
    assert clone(part).get_params() == part.get_params()
    assert pickle.loads(pickle.dumps(part)).get_params() == part.get_params()


def test_the_documentation_describes_all_parameters_in_order():
    parameters, attributes = Part.__doc__.split("\n\nAttributes\n")
    assert parameters.endswith(
        "first : int\n    One.\n\n    Another paragraph.\n"
        "third : float, default=0.5\n    Three, in words of its own."
    )
    assert "second" not in parameters
    assert "fitted_ : int\n    Another one." in attributes


def test_the_estimators_share_a_constructor():
    classifier, regressor = (
        inspect.signature(kind).parameters for kind in (FineTunedClassifier, FineTunedRegressor)
    )
    without = ("label_smoothing", "class_weight", "class_names", "name_templates", "unlabelled")
    without += ("calibrate", "threshold")
    assert list(regressor) == [name for name in classifier if name not in without]
    for name, parameter in regressor.items():
        assert parameter.default == classifier[name].default
        assert f"\n{name} : " in FineTunedRegressor.__doc__
