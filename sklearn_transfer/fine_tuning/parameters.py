"""Parameters of the estimators: types, allowed values, and the fits that use them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import nn

from .._utils.validation import levels_to_caller
from ..models.network import ACTIVATIONS
from ..models.readers import READERS
from ..text.tokens import Lowercase
from ..text.weights import Weighting
from ..training.losses import CLASSIFICATION, REGRESSION
from ..training.optimizers import OPTIMIZERS
from ..training.policies import POLICIES, Contrastive, Full, LinearProbing
from ..training.schedules import SCHEDULES
from ..vectors.table.lookup import OutOfVocabulary

if TYPE_CHECKING:
    from .config import Configuration

CONVEX = "convex"

CONSTRAINTS: dict[str, Any] = {
    "pretrained": "no_validation",  # load_pretrained checks it
    "encoder": [StrOptions(set(READERS)), nn.Module],
    "encoder_params": [dict, None],
    "hidden_layer_sizes": ["array-like", Integral],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "token_dropout": [Interval(Real, 0, 1, closed="left")],
    "adaptation": [StrOptions({"auto", *POLICIES}), HasMethods("rates")],
    "layer_groups": [list, tuple, None],
    "l2_sp": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "pretrained_scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "weighting": [StrOptions({"idf", "sif"}), None],
    "ngram_range": [tuple, list],
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
    "schedule": [StrOptions(set(SCHEDULES))],
    "warmup": [Interval(Real, 0, 1, closed="left")],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "average_last": [Interval(Integral, 0, None, closed="left")],
    "optimizer": [StrOptions({"auto", CONVEX, *OPTIMIZERS}), callable],
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

CLASSIFIER_CONSTRAINTS: dict[str, Any] = {
    **CONSTRAINTS,
    "criterion": [StrOptions({"auto", *CLASSIFICATION}), callable],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "calibrate": ["boolean"],
    "distill_from": [HasMethods("predict_proba"), None],
}

REGRESSOR_CONSTRAINTS: dict[str, Any] = {
    **CONSTRAINTS,
    "criterion": [StrOptions({"auto", *REGRESSION}), callable],
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
    ngram_range: tuple[int, int]
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
    calibrate: bool = True

    @classmethod
    def of(cls, estimator: BaseEstimator) -> Self:
        """Read the parameters of an estimator; NumPy scalars become Python numbers."""
        values = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in estimator.get_params(deep=False).items()
        }
        for name in ("ngram_range", "char_ngram_range"):
            values[name] = _check_range(name, values[name])
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


def _check_range(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    whole = len(value) == 2 and all(isinstance(n, Integral) for n in value)
    if not whole or not 1 <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (shortest, longest) with 1 <= shortest <= longest, got {value!r}."
        )
    return int(value[0]), int(value[1])


class Use(NamedTuple):
    """The fits that use a parameter.

    Attributes
    ----------
    label : str
        As in "Used by: mini-batch training".
    applies : callable
        Whether a fit with a configuration uses it.
    remedy : str
        A change of parameters after which it is used.
    """

    label: str
    applies: Callable[[Configuration], bool]
    remedy: str


def _splits_words(config: Configuration) -> bool:
    return config.kind.name == "words" and (config.kind.has_tables or not config.is_frozen)


def _has_token_weights(config: Configuration) -> bool:
    return config.kind.name == "words" and config.is_convex and not config.is_frozen


def _trains_pretrained(config: Configuration) -> bool:
    return not config.is_convex and config.kind.name != "features" and not config.is_frozen


def _tells_layers_apart(config: Configuration) -> bool:
    alike = isinstance(config.policy, Full | LinearProbing) or (
        config.is_frozen and not isinstance(config.policy, Contrastive)
    )
    return config.kind.name in ("arrays", "sentences") and not alike


def _has_fixed_features(config: Configuration) -> bool:
    if config.kind.name == "arrays":
        return config.is_convex or isinstance(config.policy, Contrastive)
    return {
        "features": True,
        "words": config.reads_bags,
        "sentences": config.is_frozen,
    }[config.kind.name]


def _weights_terms(config: Configuration) -> bool:
    pools = config.parameters.encoder in ("mean", "attention")
    return config.kind.has_tables and (config.reads_bags or pools)


def _holds_out(config: Configuration) -> bool:
    return not config.is_convex and config.parameters.early_stopping


_TRAIN = "set optimizer='adam' or hidden_layer_sizes=(50,)"
MINI_BATCH = Use("mini-batch training", lambda c: not c.is_convex, _TRAIN)
HIDDEN_LAYERS = Use("hidden layers", lambda c: bool(c.hidden), "set hidden_layer_sizes=(50,)")
PRETRAINED_LAYERS = Use(
    "mini-batch training of pretrained layers",
    _trains_pretrained,
    f"{_TRAIN}, with an adaptation that trains them",
)
ANCHORED = Use(
    "token weights of the linear bag of words, and mini-batch training of pretrained layers",
    lambda c: _has_token_weights(c) or _trains_pretrained(c),
    "give pretrained, with an adaptation that trains it",
)
TOKEN_WEIGHTS = Use(
    "the linear bag of words",
    _has_token_weights,
    "give word vectors, with a linear head and adaptation='full'",
)
WORDS = Use("texts that are split into words", _splits_words, "give word vectors as pretrained")
PATTERN = Use(
    "texts that are split into words without a tokenizer",
    lambda c: _splits_words(c) and c.parameters.tokenizer is None,
    "give word vectors as pretrained, and tokenizer=None",
)
TABLES = Use("word vectors", lambda c: c.kind.has_tables, "give word vectors as pretrained")
TERM_WEIGHTS = Use(
    "word vectors under the encoders 'mean' and 'attention'",
    _weights_terms,
    "give word vectors as pretrained, with encoder='mean' or 'attention'",
)
FIXED_FEATURES = Use(
    "fixed features: those given, the linear bag of words, and frozen models",
    _has_fixed_features,
    "use a linear head, or adaptation='frozen'",
)
TOKENS = Use(
    "texts",
    lambda c: _splits_words(c) or c.kind.name == "sentences",
    "give word vectors or a contextual model as pretrained",
)
WORD_SEQUENCES = Use(
    "mini-batch training of word vectors",
    lambda c: c.kind.name == "words" and not c.reads_bags,
    f"give word vectors as pretrained and {_TRAIN}",
)
LAYERS = Use(
    "policies that tell layers apart",
    _tells_layers_apart,
    "set adaptation='gradual', 'discriminative' or 'top-1'",
)
PRETRAINED = Use(
    "pretrained models", lambda c: c.kind.name != "features", "give a pretrained model"
)
EARLY_STOPPING = Use(
    "early stopping in mini-batch training", _holds_out, f"set early_stopping=True, and {_TRAIN}"
)
VALIDATION_FRACTION = Use(
    "early stopping in mini-batch training, without X_val",
    lambda c: _holds_out(c) and not c.has_validation,
    f"set early_stopping=True, leave X_val out, and {_TRAIN}",
)
CALIBRATION = Use(
    "the convex solver, without X_val or a contrastive stage",
    lambda c: c.is_convex and not c.has_validation and not isinstance(c.policy, Contrastive),
    "leave X_val out, and use a linear head with optimizer='auto'",
)

# What is not listed is used by every fit.
USED_BY: dict[str, Use] = {
    "activation": HIDDEN_LAYERS,
    "dropout": MINI_BATCH,
    "token_dropout": WORD_SEQUENCES,
    "adaptation": PRETRAINED,
    "layer_groups": LAYERS,
    "l2_sp": ANCHORED,
    "pretrained_scale": FIXED_FEATURES,
    "weighting": TERM_WEIGHTS,
    "ngram_range": TOKEN_WEIGHTS,
    "char_ngram_range": TOKEN_WEIGHTS,
    "tokenizer": WORDS,
    "token_pattern": PATTERN,
    "lowercase": WORDS,
    "oov": TABLES,
    "max_tokens": TOKENS,
    "max_epochs": MINI_BATCH,
    "batch_size": MINI_BATCH,
    "lr": MINI_BATCH,
    "embedding_lr": PRETRAINED_LAYERS,
    "schedule": MINI_BATCH,
    "warmup": MINI_BATCH,
    "max_grad_norm": MINI_BATCH,
    "average_last": MINI_BATCH,
    "label_smoothing": MINI_BATCH,
    "calibrate": CALIBRATION,
    "early_stopping": MINI_BATCH,
    "validation_fraction": VALIDATION_FRACTION,
    "n_iter_no_change": EARLY_STOPPING,
    "checkpoint": MINI_BATCH,
    "mixed_precision": MINI_BATCH,
    "compile": MINI_BATCH,
    "warm_start": MINI_BATCH,
}


def find_unused(estimator: BaseEstimator, configs: Iterable[Configuration]) -> dict[Use, list[str]]:
    """Find the parameters that were changed, and that no fit of an estimator uses.

    Parameters
    ----------
    estimator : BaseEstimator
    configs : iterable of Configuration
        All fits whose results the estimator depends on.

    Returns
    -------
    dict of Use to list of str
    """
    configs = list(configs)
    defaults = signature(type(estimator).__init__).parameters
    unused: dict[Use, list[str]] = {}
    for name, value in estimator.get_params(deep=False).items():
        use = USED_BY.get(name)
        if use is None or _equals(value, defaults[name].default):
            continue
        if not any(map(use.applies, configs)):
            unused.setdefault(use, []).append(name)
    return unused


def warn_unused(estimator: BaseEstimator, configs: Iterable[Configuration]) -> None:
    """Warn once about all parameters that were changed but have no effect.

    Parameters
    ----------
    estimator : BaseEstimator
    configs : iterable of Configuration
        See `find_unused`.

    Warns
    -----
    UserWarning
        Names the parameters, the fits that use them, and a remedy.
    """
    unused = find_unused(estimator, configs)
    if unused:
        parts = "; ".join(
            f"{', '.join(names)} (used by {use.label}: {use.remedy})"
            for use, names in unused.items()
        )
        warnings.warn(
            f"Some parameters of this {type(estimator).__name__} were changed but have no effect: "
            f"{parts}.",
            UserWarning,
            stacklevel=levels_to_caller(),
        )


def _equals(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))
