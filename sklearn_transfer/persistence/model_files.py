"""Estimators to model files and back."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy
import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils._metadata_requests import SIMPLE_METHODS
from sklearn.utils.validation import check_is_fitted

from .. import fine_tuning
from .._utils.errors import ModelFormatError, VectorFormatError
from .._utils.objects.cloning import VectorsEstimator
from .._utils.objects.named import find_name
from .._utils.objects.state import State
from ..contextual.model import ContextualModel
from ..fine_tuning.fitted.prediction import LinearPredictor, SavedNetwork
from ..fine_tuning.semi_supervised.unlabelled import SelfTraining
from ..fine_tuning.targets.targets import Labels
from ..fine_tuning.targets.values import Values
from ..text.bag.bag_features import BagFeatures
from ..text.bag.token_columns import TokenColumns
from ..text.linear.linear_model import LinearModel
from ..text.linear.scaled_columns import ScaledColumns
from ..text.ngrams import CharNgrams, WordNgrams
from ..text.pooled_features import PooledFeatures
from ..text.rows import WordRows
from ..text.tokenization.token_ids import TokenIds
from ..text.tokenization.tokens import Tokenization
from ..training import policies
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.storage.files import expand_user
from ..vectors.storage.tensors import read_tensors, write_tensors
from ..vectors.table.vocabulary import Vocabulary
from .composites import attach, detach, read_composite, write_composite
from .container import TENSORS, open_model, write_model
from .encoding import Decoder, Encoder
from .sources import SourceWriter, VectorsMode, read_source


class _Kinds(Mapping[str, Any]):
    """The objects of this package that model files hold, by name."""

    _present: ClassVar[dict[str, Any]] = {
        kind.__name__: kind
        for kind in (
            *(BagFeatures, TokenColumns, WordNgrams, CharNgrams, TokenIds, Tokenization),
            *(Vocabulary, PooledFeatures, ScaledColumns, WordRows, Labels, Values),
            *(LinearModel, LinearPredictor, SavedNetwork, SelfTraining),
            *(policies.Choice, policies.Frozen, policies.Full, policies.Top, policies.Gradual),
            *(policies.Discriminative, policies.LinearProbing, policies.Contrastive),
        )
    }
    # Those that need torch.
    _by_name = ("SentenceInputs", "ModuleInputs", "ModuleFeatures")

    def __getitem__(self, name: str) -> Any:
        return getattr(fine_tuning, name) if name in self._by_name else self._present[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._present, *self._by_name))

    def __len__(self) -> int:
        return len(self._present) + len(self._by_name)


_KINDS = _Kinds()


class SavesModel(BaseEstimator):
    """An estimator that can be written to a model file."""

    def save(self, path: str | os.PathLike[str], *, vectors: VectorsMode = "all") -> None:
        """Write a model file, which :func:`sklearn_transfer.load` opens.

        The file contains JSON, tensors and vectors, and no code. Predictions of the loaded model
        are equal, bit for bit.

        Parameters
        ----------
        path : str or path
            A folder, or a zip archive if the name ends in ``.zip``. An earlier model file at the
            path is replaced atomically; other files are never replaced.
        vectors : {"all", "used", "reference"}, default="all"
            Pretrained vectors in the file.

            - "all" includes all words.
            - "used" includes only the words of the training texts, in a much smaller file. Other
              words then have no vector, so predictions of texts with such words differ.
            - "reference" includes the name or path and the fingerprint of the vectors. The vectors
              must be available when the model is loaded.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If a parameter is an object without a name, such as a lambda or a callback.
        FileExistsError
            If the path contains anything but a model file.
        """
        write_estimator(self, path, vectors=vectors)

    def _saved_state(self) -> dict[str, Any]:
        """Entries of a model file in addition to the parameters; nothing if it is not fitted."""
        return {}

    def _restore(self, state: State) -> None:
        """Take over what these entries hold."""

    def _used_words(self, vectors: PretrainedVectors) -> list[str]:  # noqa: ARG002 (a protocol)
        """The words of the training texts, for ``vectors="used"``."""
        raise ValueError(
            f"vectors='used' needs the words of the training texts, which this "
            f"{type(self).__name__} does not keep. Use vectors='all', or fit with "
            f"pretrained=vectors.subset(texts=texts)."
        )


def restore_output(estimator: BaseEstimator, state: State) -> None:
    """Take over the container that `set_output` chose."""
    if "_sklearn_output_config" in state:
        config = State("output", state.of("_sklearn_output_config", dict))
        estimator.set_output(transform=config.choice("transform", "default", "pandas", "polars"))


def write_estimator(
    estimator: Any, path: str | os.PathLike[str], *, vectors: VectorsMode = "all"
) -> None:
    """Write a model file. See :meth:`SavesModel.save`."""
    if vectors not in ("all", "used", "reference"):
        raise ValueError(f"vectors must be 'all', 'used' or 'reference', got {vectors!r}.")
    check_is_fitted(estimator)
    composite, models = detach(estimator, SavesModel)
    if not models:
        raise TypeError(
            f"Expected an estimator of this package, or one of scikit-learn that contains one, got "
            f"a {type(estimator).__name__}. Use skops.io.dump for estimators of scikit-learn."
        )

    def fill(folder: Path) -> dict[str, Any]:
        sources = SourceWriter(folder, vectors, partial(_find_used_words, models))

        def encode_other(value: Any) -> dict[str, Any] | None:
            if isinstance(value, PretrainedVectors | ContextualModel):
                return sources.encode(value)
            return _encode_estimator(value, encoder) if isinstance(value, SavesModel) else None

        encoder = Encoder(_KINDS, encode_other)
        entries = {
            "versions": _list_versions(),
            "is_composite": not isinstance(estimator, SavesModel),
            "models": [_encode_estimator(model, encoder) for model in models],
            "sources": sources.entries,
        }
        write_tensors(folder / TENSORS, encoder.arrays)
        if entries["is_composite"]:
            write_composite(folder, composite)
        return entries

    write_model(expand_user(path), fill)


def _find_used_words(models: Sequence[SavesModel], vectors: PretrainedVectors) -> list[str]:
    """The words of the training texts of all models that are fitted."""
    fitted = [model for model in models if model._saved_state()]  # noqa: SLF001 (its protocol)
    words = (model._used_words(vectors) for model in fitted)  # noqa: SLF001
    return list(dict.fromkeys(chain.from_iterable(words)))


def _list_versions() -> dict[str, str]:
    """Versions of Python and of the packages that predict, for whoever reads the file."""
    return {
        "python": platform.python_version(),
        **{package.__name__: package.__version__ for package in (np, scipy, sklearn)},
    }


def _encode_estimator(estimator: SavesModel, encoder: Encoder) -> dict[str, Any]:
    name = find_name(type(estimator))
    if name is None:
        raise TypeError(
            f"A model file names the class of the estimator, but {type(estimator).__qualname__} "
            f"has no name in a module that can be imported. Define it in a module."
        )
    parameters = estimator.get_params(deep=False)
    if "pretrained" in parameters:
        parameters["pretrained"] = _resolve(estimator)
    encoded = {key: encoder.encode(value, key) for key, value in parameters.items()}
    state = estimator._saved_state()  # noqa: SLF001 (its protocol)
    return {
        "estimator": f"{name[0]}.{name[1]}",
        "requests": _list_requests(estimator),
        "parameters": encoded,
        "state": {key: encoder.encode(value, key) for key, value in state.items()},
    }


def _list_requests(estimator: SavesModel) -> dict[str, dict[str, Any]]:
    """Metadata that `set_fit_request` and the like chose, by method."""
    requests = getattr(estimator, "_metadata_request", None)
    if requests is None:
        return {}
    chosen = {method: getattr(requests, method).requests for method in SIMPLE_METHODS}
    return {
        method: {name: request for name, request in entries.items() if request is not None}
        for method, entries in chosen.items()
        if any(request is not None for request in entries.values())
    }


def _restore_requests(estimator: BaseEstimator, entries: dict[str, Any]) -> None:
    """Take over requests, as the methods ``set_*_request`` do where routing is enabled."""
    if not entries:
        return
    requests = estimator._get_metadata_request()  # noqa: SLF001 (as those methods)
    for method, chosen in entries.items():
        known = getattr(requests, method, None) if method in SIMPLE_METHODS else None
        if known is None or not set(chosen) <= set(known.requests):
            raise ValueError(f"expected requests of metadata, found {method!r:.80}")
        for name, request in chosen.items():
            known.add_request(param=name, alias=request)
    estimator._metadata_request = requests  # noqa: SLF001


def _resolve(estimator: SavesModel) -> Any:
    """The parameter `pretrained`; the opened source in place of an object that is no name."""
    given, opened = estimator.pretrained, getattr(estimator, "pretrained_", None)
    if isinstance(given, list | tuple) and isinstance(opened, list) and len(given) == len(opened):
        return [_resolve_one(a, b) for a, b in zip(given, opened, strict=True)]
    return _resolve_one(given, opened)


def _resolve_one(given: Any, opened: Any) -> Any:
    is_plain = given is None or isinstance(given, str | os.PathLike | VectorsEstimator)
    return given if is_plain or opened is None else opened


def read_estimator(
    path: str | os.PathLike[str],
    *,
    classes: Mapping[str, type[SavesModel]],
    trusted: Collection[str] = (),
    modules: Mapping[str, Any] | None = None,
) -> Any:
    """Read a model file.

    Parameters
    ----------
    path : str or path
    classes : mapping of str to type
        The estimators that need no trust, by their full names.
    trusted : collection of str
        Full names of other classes and functions that may be imported.
    modules : mapping of str to nn.Module, default=None
        Modules of the user, by the parameters that they were given as.

    Returns
    -------
    estimator
    """
    place = expand_user(path)
    with open_model(place) as (folder, about):
        try:
            reading = _Reading(folder, about, mmap=folder == place)
            return reading.decode(classes, trusted, modules or {})
        except ModelFormatError as error:
            raise ModelFormatError(str(error).replace(str(folder), str(place))) from error
        except _DAMAGED as error:
            message = str(error).replace(str(folder), str(place)) or repr(error)
            raise ModelFormatError(
                f"{place}: the model file cannot be loaded: {message}"
            ) from error


# Errors of entries that are not as they are written; VectorFormatError is a ValueError.
_DAMAGED = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
    *(RecursionError, FileNotFoundError, VectorFormatError),
)


class _Reading:
    """The content of a model file: arrays, sources, and the entries of an estimator."""

    def __init__(self, folder: Path, about: dict[str, Any], *, mmap: bool) -> None:
        self._folder, self._about = folder, about
        tensors = read_tensors(folder / TENSORS).items()
        self._arrays = {name: tensor.to_numpy(allow_empty=True) for name, tensor in tensors}
        self._sources = [read_source(folder, entry, mmap=mmap) for entry in about["sources"]]

    def decode(
        self,
        classes: Mapping[str, type[SavesModel]],
        trusted: Collection[str],
        modules: Mapping[str, Any],
    ) -> Any:
        """Make the estimator."""
        self._classes = classes
        self._decoder = Decoder(
            _KINDS, self._arrays, self._decode_other, trusted, self._folder, modules
        )
        entries = State("a model file", self._about)
        models = [self._decode_estimator(entry) for entry in entries.items("models", dict)]
        if entries.of("is_composite", bool):
            return attach(read_composite(self._folder, trusted), models)
        (model,) = models
        check_is_fitted(model)
        return model

    def _decode_other(self, entry: dict[str, Any]) -> Any:
        if "source" in entry:
            last = len(self._sources) - 1
            return self._sources[State("a source", entry).integer("source", 0, last)]
        return self._decode_estimator(entry) if "estimator" in entry else None

    def _decode_estimator(self, entry: dict[str, Any]) -> Any:
        name = State("an estimator", entry).of("estimator", str)
        module, _, attribute = name.rpartition(".")
        kind = self._classes.get(name) or self._decoder.decode(
            {"module": module, "name": attribute}
        )
        if not (isinstance(kind, type) and issubclass(kind, SavesModel)):
            raise ValueError(f"expected a class of estimators, found {name!r:.80}")
        parameters, state = (
            self._decoder.decode_state({"state": entry[part]}) for part in ("parameters", "state")
        )
        made = kind(**parameters)
        made._validate_params()  # noqa: SLF001 (as `fit` does)
        if "requests" in entry:
            _restore_requests(made, State(name, entry).of("requests", dict))
        made._restore(State(name, state))  # noqa: SLF001 (its protocol)
        return made
