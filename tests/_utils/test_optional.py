import sys

import pytest

from sklearn_transfer import MissingDependencyError
from sklearn_transfer._utils.optional import import_optional


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
