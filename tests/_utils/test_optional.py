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
        "pip install no-such-package; or, in a clone of sklearn-transfer, all packages of this "
        'extra: pip install -e ".[glove]".'
    )


def test_the_package_that_is_really_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import its_dependency.inside")
    (tmp_path / "broken_package.py").write_text("from json import no_such_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"'its_dependency', which.*its-dependency;"):
        import_optional("half_installed", extra="glove", purpose="This")
    with pytest.raises(
        MissingDependencyError,
        match=r"'broken_package', which is installed but cannot be imported: cannot import name "
        r"'no_such_name'.* Install it again: pip install broken-package;",
    ):
        import_optional("broken_package", extra="glove", purpose="This")


def test_a_missing_dependency_is_an_import_error():
    with pytest.raises(ImportError, match="no_such_package") as caught:
        import_optional("no_such_package", extra="x", purpose="This")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
