"""save and load: estimators as files without pickle."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from ._classifier import FineTunedClassifier
from ._continued import ContinuedVectors
from ._regressor import FineTunedRegressor
from ._transformer import PretrainedEmbeddingTransformer
from .persistence.model_files import SavesModel, read_estimator, write_estimator
from .persistence.sources import VectorsMode

_CLASSES: dict[str, type[SavesModel]] = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (
        *(FineTunedClassifier, FineTunedRegressor),
        *(PretrainedEmbeddingTransformer, ContinuedVectors),
    )
}


def save(estimator: Any, path: str | os.PathLike[str], *, vectors: VectorsMode = "all") -> None:
    """Write a fitted estimator to a model file.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package, or a pipeline or another estimator of scikit-learn that
        contains one. The objects of scikit-learn are written by skops (extra ``skops``).
    path : str or path
        A folder, or a zip archive if the name ends in ``.zip``.
    vectors : {"all", "used", "reference"}, default="all"
        See :meth:`FineTunedClassifier.save`.

    See Also
    --------
    load : Open a model file.
    """
    write_estimator(estimator, path, vectors=vectors)


def load(
    path: str | os.PathLike[str],
    *,
    trusted: Collection[str] = (),
    pretrained: Any = None,
    encoder: Any = None,
) -> Any:
    """Open a model file that :func:`save` or the method `save` of an estimator wrote.

    No content of the file is executed. Linear models and frozen static features predict with NumPy
    and SciPy, without importing torch.

    Parameters
    ----------
    path : str or path
        The folder or zip archive.
    trusted : collection of str, default=()
        Full names of functions and classes in the file that may be imported, such as
        ``"jieba.lcut"``. For a pipeline, also types that skops does not know. An error names each
        name that is missing here.
    pretrained, encoder : nn.Module, default=None
        The modules that the saved estimator had as these parameters. A model file contains their
        weights, but not their code.

    Returns
    -------
    estimator
        The fitted estimator. A linear model has no `net_`, `module_` and `history_`, and cannot be
        trained further by `partial_fit`; `fit` trains it from the start.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    ModelFormatError
        If the file is damaged, incomplete, of a newer version, or names code that is not trusted.

    See Also
    --------
    save : Write a model file.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_transfer import FineTunedClassifier, PretrainedVectors, load
    >>> vectors = PretrainedVectors(["good", "bad", "film"], [[1.0, 0.2], [-1.0, 0.2], [0.0, 1.0]])
    >>> texts = ["a good film", "good plot", "a bad film", "bad plot"]
    >>> model = FineTunedClassifier(vectors).fit(texts, ["yes", "yes", "no", "no"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.zip")
    ...     load(f"{folder}/model.zip").predict(["bad, bad"])
    array(['no'], dtype='<U3')
    """
    given = {"pretrained": pretrained, "encoder": encoder}
    modules = {name: module for name, module in given.items() if module is not None}
    return read_estimator(path, classes=_CLASSES, trusted=trusted, modules=modules)
