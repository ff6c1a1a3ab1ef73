"""Parameters of the estimators: their types and the values that they may have."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from ..models.names import ACTIVATION_NAMES, READER_NAMES
from ..text.tokenization.tokens import Lowercase
from ..text.weights import Weighting
from ..training.names import (
    CLASSIFICATION_NAMES,
    OPTIMIZER_NAMES,
    REGRESSION_NAMES,
    SCHEDULE_NAMES,
)
from ..training.policies import POLICIES
from ..vectors.table.lookup import OutOfVocabulary
from .targets.class_names import check_templates
from .targets.thresholds import PER_LABEL, SHARED

if TYPE_CHECKING:
    from torch import nn

CONVEX = "convex"

CONSTRAINTS: dict[str, Any] = {
    "pretrained": "no_validation",  # load_pretrained checks it
    "encoder": [StrOptions(set(READER_NAMES)), HasMethods(["forward", "state_dict"])],
    "encoder_params": [dict, None],
    "hidden_layer_sizes": ["array-like", Integral],
    "activation": [StrOptions(set(ACTIVATION_NAMES))],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "token_dropout": [Interval(Real, 0, 1, closed="left")],
    "adaptation": [StrOptions({"auto", *POLICIES}), HasMethods("rates")],
    "layer_groups": [list, tuple, None],
    "l2_sp": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "pretrained_scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "weighting": [StrOptions({"idf", "sif"}), None],
    "ngram_range": [StrOptions({"auto"}), tuple, list],
    "char_ngram_range": [StrOptions({"auto"}), tuple, list, None],
    "tokenizer": [callable, None],
    "token_pattern": [str],
    "lowercase": ["boolean", StrOptions({"auto"})],
    "oov": [StrOptions({"ignore", "subword", "hash"})],
    "max_tokens": [Interval(Integral, 1, None, closed="left"), None],
    "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "embedding_lr": [Interval(Real, 0, None, closed="left"), None],
    "schedule": [StrOptions(set(SCHEDULE_NAMES))],
    "warmup": [Interval(Real, 0, 1, closed="left")],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "average_last": [Interval(Integral, 0, None, closed="left")],
    "optimizer": [StrOptions({"auto", CONVEX, *OPTIMIZER_NAMES}), callable],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "callbacks": [list, tuple, None],
    "distill_from": [HasMethods("predict"), None],
    "checkpoint": [str, os.PathLike, None],
    "mixed_precision": ["boolean"],
    "compile": ["boolean", str],
    "device": [str],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

# Parameters that shape the features and the module. A fit that goes on from another keeps theirs.
_SHAPING = (
    *("pretrained", "encoder", "encoder_params", "hidden", "activation", "dropout"),
    *("pretrained_scale", "weighting", "ngram_range", "char_ngram_range", "tokenizer"),
    *("token_pattern", "lowercase", "oov", "max_tokens"),
)

CLASSIFIER_CONSTRAINTS: dict[str, Any] = {
    **CONSTRAINTS,
    "criterion": [StrOptions({"auto", *CLASSIFICATION_NAMES}), callable],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "class_names": [StrOptions({"auto"}), dict, list, tuple, None],
    "name_templates": [StrOptions({"auto"}), list, tuple],
    "unlabelled": [StrOptions({"auto"}), None],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "calibrate": ["boolean"],
    "threshold": [StrOptions({SHARED, PER_LABEL}), Interval(Real, 0, 1, closed="neither")],
    "distill_from": [HasMethods("predict_proba"), None],
}

REGRESSOR_CONSTRAINTS: dict[str, Any] = {
    **CONSTRAINTS,
    "criterion": [StrOptions({"auto", *REGRESSION_NAMES}), callable],
}


@dataclass(frozen=True)
class Parameters:
    """Parameters of an estimator as plain Python values; its docstring describes them."""

    pretrained: Any
    encoder: str | nn.Module
    encoder_params: Mapping[str, Any] | None
    hidden_layer_sizes: Any
    activation: str
    dropout: float
    token_dropout: float
    adaptation: Any
    layer_groups: Sequence[Any] | None
    l2_sp: float | Literal["auto"]
    pretrained_scale: float | Literal["auto"]
    weighting: Weighting
    ngram_range: tuple[int, int] | Literal["auto"]
    char_ngram_range: tuple[int, int] | Literal["auto"] | None
    tokenizer: Any
    token_pattern: str
    lowercase: Lowercase
    oov: OutOfVocabulary
    max_tokens: int | None
    max_epochs: int | Literal["auto"]
    batch_size: int | Literal["auto"]
    lr: float
    embedding_lr: float | None
    schedule: str
    warmup: float
    max_grad_norm: float | None
    average_last: int
    optimizer: Any
    criterion: Any
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    callbacks: Sequence[Any] | None
    distill_from: Any
    checkpoint: str | os.PathLike[str] | None
    mixed_precision: bool
    compile: bool | str
    device: str
    warm_start: bool
    random_state: Any
    verbose: int
    label_smoothing: float = 0.0
    class_weight: Any = None
    class_names: Any = None
    name_templates: Sequence[str] | Literal["auto"] = "auto"
    unlabelled: Literal["auto"] | None = None
    calibrate: bool = True
    threshold: float | str = SHARED

    @classmethod
    def of(cls, estimator: BaseEstimator) -> Self:
        """Read the parameters of an estimator; numbers of any type become Python's own."""
        given = estimator.get_params(deep=False)
        values = {name: _as_plain(value) for name, value in given.items()}
        for name in ("ngram_range", "char_ngram_range"):
            values[name] = _check_range(name, values[name])
        if not isinstance(templates := values.get("name_templates", "auto"), str):
            check_templates(templates)
        values["verbose"] = int(values["verbose"])
        return cls(**values)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the hidden layers."""
        sizes = self.hidden_layer_sizes
        hidden = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(size, Integral) and int(size) > 0 for size in hidden):
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of positive integers, () for a linear head; "
                f"got {sizes!r}."
            )
        return tuple(map(int, hidden))

    @property
    def shaping(self) -> dict[str, Any]:
        """The parameters that a fit from these weights cannot change."""
        return {name: getattr(self, name) for name in _SHAPING}


def _as_plain(value: Any) -> Any:
    """Numbers and mappings of numbers as Python's own types; anything else as given."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is dict:
        return {key: _as_plain(part) for key, part in value.items()}
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)  # also a longdouble


def _check_range(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    whole = len(value) == 2 and all(isinstance(n, Integral) for n in value)
    if not whole or not 1 <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (shortest, longest) with 1 <= shortest <= longest, got {value!r}."
        )
    return int(value[0]), int(value[1])
