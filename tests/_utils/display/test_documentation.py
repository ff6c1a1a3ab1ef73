"""Links of the diagrams of scikit-learn to our documentation."""

from importlib import metadata

import pytest

from sklearn_transfer import ContinuedVectors, FineTunedClassifier, PretrainedEmbeddingTransformer
from sklearn_transfer._utils.display.documentation import find_documentation

ESTIMATORS = [FineTunedClassifier, PretrainedEmbeddingTransformer, ContinuedVectors]


def name_urls(monkeypatch, urls):
    class Metadata:
        def get_all(self, name):
            assert name == "Project-URL"
            return urls

    monkeypatch.setattr(metadata, "metadata", lambda distribution: Metadata())


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("urls", [None, ["Source, https://example.org/source"]])
def test_a_package_without_an_address_has_no_link(monkeypatch, estimator, urls):
    name_urls(monkeypatch, urls)
    assert estimator()._get_doc_link() == ""
    assert "<a " not in estimator()._repr_html_().split("</style>")[-1]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_diagram_links_to_the_address_of_the_package(monkeypatch, estimator):
    name_urls(monkeypatch, ["Source, https://example.org/s", "Documentation, https://a.org/{x}/"])
    assert estimator()._get_doc_link() == "https://a.org/{x}/"
    assert 'href="https://a.org/{x}/"' in estimator()._repr_html_()


def test_a_folder_that_is_not_installed_has_no_address(monkeypatch):
    def fail(distribution):
        raise metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(metadata, "metadata", fail)
    assert find_documentation() == ""
