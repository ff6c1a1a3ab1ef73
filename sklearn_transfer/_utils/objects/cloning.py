"""Clones of estimators that share pretrained weights."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

from sklearn.base import BaseEstimator, clone

from ..display.documentation import find_documentation
from .named import by_name
from .pickling import PickledOnly


class CloneSharesPretrained(PickledOnly, BaseEstimator):
    """An estimator whose clones share the objects given as ``pretrained`` and ``tokenizer``.

    :func:`sklearn.base.clone` deep-copies parameters that are not estimators. For a gensim object
    this is a copy of the whole matrix, per candidate and fold of every search. An estimator among
    the sources is cloned. A copy of a tokenizer would split all texts again.

    A tokenizer is pickled by its name if it has one (see :func:`.named.by_name`).
    """

    _shared: ClassVar[tuple[str, ...]] = ()  # other parameters that clones share
    _doc_link_module = "sklearn_transfer"

    @property
    def _doc_link_template(self) -> str:  # scikit-learn's diagrams have no link where it is empty
        return find_documentation().replace("{", "{{").replace("}", "}}")

    def __sklearn_clone__(self) -> Any:
        params = self.get_params(deep=False)
        names = {"tokenizer", *self._shared} & set(params)
        shared = {name: params.pop(name) for name in names}
        shared["pretrained"] = _share(params.pop("pretrained"))
        copy = type(self)(
            **shared, **{name: clone(value, safe=False) for name, value in params.items()}
        )
        # As scikit-learn's own clone, which copies these in addition to the parameters.
        for attribute in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, attribute):
                setattr(copy, attribute, deepcopy(getattr(self, attribute)))
        return copy

    def _is_for_pickle_only(self) -> bool:
        return any(name.endswith("_") and name[0] != "_" for name in vars(self))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "tokenizer" in state:
            state["tokenizer"] = by_name(state["tokenizer"])
        return state


class VectorsEstimator(CloneSharesPretrained):
    """An estimator that other estimators take as ``pretrained``.

    They clone it, call ``fit(texts)`` with the texts that they are fitted on, and use its fitted
    attribute ``vectors_``, a `PretrainedVectors`.
    """


def _share(pretrained: Any) -> Any:
    """Return the same source or sources; estimators among them are cloned."""
    if isinstance(pretrained, VectorsEstimator):
        return clone(pretrained)
    if isinstance(pretrained, list | tuple) and not is_pair(pretrained):
        return type(pretrained)(map(_share, pretrained))
    return pretrained


def is_frame(source: Any) -> bool:
    """Return True for a pandas or polars frame."""
    return hasattr(source, "columns") and (
        hasattr(source, "iloc") or hasattr(source, "get_columns")
    )


def is_pair(source: Any) -> bool:
    """Return True for a pair of words and their matrix, False for a tuple of two sources."""
    if not isinstance(source, tuple) or len(source) != 2 or is_frame(source[1]):
        return False
    return hasattr(source[1], "__array__") and getattr(source[1], "ndim", None) == 2
