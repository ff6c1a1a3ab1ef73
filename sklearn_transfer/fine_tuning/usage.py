"""The fits that use a parameter: one table, and the warning about parameters without effect."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator

from .._utils.errors import warn_once
from ..training.policies import Contrastive, Full, LinearProbing
from .protocol import Configuration


class Use(NamedTuple):
    """The fits that use a parameter: "Used by: `label`", and parameters with which it is used."""

    label: str
    applies: Callable[[Configuration], bool]
    remedy: str


def _trains_pretrained(config: Configuration) -> bool:
    return not config.is_convex and config.kind.has_pretrained and not config.is_frozen


def _tells_layers_apart(config: Configuration) -> bool:
    alike = isinstance(config.policy, Full | LinearProbing) or (
        config.is_frozen and not isinstance(config.policy, Contrastive)
    )
    return config.kind.has_layers and not alike


def _weights_terms(config: Configuration) -> bool:
    pools = config.parameters.encoder in ("mean", "attention")
    return config.kind.has_tables and (pools or not config.kind.reads_sequences(config))


def _holds_out(config: Configuration) -> bool:
    return _trains_whole(config) and config.parameters.early_stopping


def _trains_whole(config: Configuration) -> bool:
    return not (config.is_convex or config.is_stream)


def _leaves_out(config: Configuration) -> bool:
    return config.is_convex and not isinstance(config.policy, Contrastive)


def _fits_threshold(config: Configuration) -> bool:
    is_given = not isinstance(config.parameters.threshold, str)
    holds = config.has_validation or _holds_out(config) or _leaves_out(config)
    return config.is_indicator and (is_given or holds)


_TRAIN = "set optimizer='adam' or hidden_layer_sizes=(50,)"
MINI_BATCH = Use("mini-batch training", lambda c: not c.is_convex, _TRAIN)
WHOLE = Use("mini-batch training by `fit`", _trains_whole, f"call fit, and {_TRAIN}")
HIDDEN_LAYERS = Use("hidden layers", lambda c: bool(c.hidden), "set hidden_layer_sizes=(50,)")
PRETRAINED_LAYERS = Use(
    "mini-batch training of pretrained layers",
    _trains_pretrained,
    f"{_TRAIN}, with an adaptation that trains them",
)
ANCHORED = Use(
    "token weights of the linear bag of words, and mini-batch training of pretrained layers",
    lambda c: c.kind.has_token_weights(c) or _trains_pretrained(c),
    "give pretrained, with an adaptation that trains it",
)
TOKEN_WEIGHTS = Use(
    "the linear bag of words",
    lambda c: c.kind.has_token_weights(c),
    "give word vectors, with a linear head and adaptation='full'",
)
WORDS = Use(
    "texts that are split into words",
    lambda c: c.kind.splits_words(c),
    "give word vectors as pretrained",
)
PATTERN = Use(
    "texts that are split into words without a tokenizer",
    lambda c: c.kind.splits_words(c) and c.parameters.tokenizer is None,
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
    lambda c: c.kind.has_fixed_features(c),
    "use a linear head, or adaptation='frozen'",
)
TOKENS = Use(
    "texts",
    lambda c: c.kind.truncates(c),
    "give word vectors or a contextual model as pretrained",
)
WORD_SEQUENCES = Use(
    "mini-batch training of word vectors",
    lambda c: c.kind.reads_sequences(c),
    f"give word vectors as pretrained and {_TRAIN}",
)
LAYERS = Use(
    "policies that tell layers apart",
    _tells_layers_apart,
    "set adaptation='gradual', 'discriminative' or 'top-1'",
)
PRETRAINED = Use("pretrained models", lambda c: c.kind.has_pretrained, "give a pretrained model")
EARLY_STOPPING = Use(
    "early stopping in mini-batch training", _holds_out, f"set early_stopping=True, and {_TRAIN}"
)
VALIDATION_FRACTION = Use(
    "early stopping in mini-batch training, without X_val",
    lambda c: _holds_out(c) and not c.has_validation,
    f"set early_stopping=True, leave X_val out, and {_TRAIN}",
)
NAMES = Use(
    "texts in the convex solver, frozen models, and the contrastive stage",
    lambda c: bool(c.name_templates),
    "call fit on texts, with word vectors and a linear head, or adaptation='frozen' or "
    "'contrastive'",
)
TEMPLATES = Use(
    "class names",
    lambda c: bool(c.name_templates) and c.parameters.class_names is not None,
    "give class_names",
)
CALIBRATION = Use(
    "the convex solver, without X_val or a contrastive stage",
    lambda c: _leaves_out(c) and not c.has_validation,
    "leave X_val out, and use a linear head with optimizer='auto'",
)
THRESHOLD = Use(
    "indicator matrices; names need samples that are left out or held out",
    _fits_threshold,
    "give y as an indicator matrix, and X_val or a linear head with optimizer='auto'",
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
    "average_last": WHOLE,
    "label_smoothing": MINI_BATCH,
    "calibrate": CALIBRATION,
    "threshold": THRESHOLD,
    "class_names": NAMES,
    "name_templates": TEMPLATES,
    "early_stopping": WHOLE,
    "validation_fraction": VALIDATION_FRACTION,
    "n_iter_no_change": EARLY_STOPPING,
    "checkpoint": WHOLE,
    "mixed_precision": MINI_BATCH,
    "compile": MINI_BATCH,
    "warm_start": MINI_BATCH,
}


def find_unused(estimator: BaseEstimator, configs: Iterable[Configuration]) -> dict[Use, list[str]]:
    """Find the parameters that were changed and that no fit uses, by the use that they lack."""
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
    """Warn once about all parameters that were changed but have no effect on any of the fits."""
    unused = find_unused(estimator, configs)
    if unused:
        parts = "; ".join(
            f"{', '.join(names)} (used by {use.label}: {use.remedy})"
            for use, names in unused.items()
        )
        warn_once(
            f"Some parameters of this {type(estimator).__name__} were changed but have no effect: "
            f"{parts}."
        )


def choose_named(
    configs: Sequence[tuple[Any, Configuration]], unsampled: Sequence[Any]
) -> list[tuple[Any, Configuration]]:
    """Choose the policies to which names are samples, where classes have no other sample."""
    named = [(policy, config) for policy, config in configs if NAMES.applies(config)]
    if not named:
        raise ValueError(
            f"Expected labelled samples of every class, got none of {reprlib.repr(unsampled)}: "
            f"class_names stand in for them in {NAMES.label} only. To use them, {NAMES.remedy}."
        )
    return named


def warn_kept(config: Configuration, shaping: Mapping[str, Any]) -> None:
    """Warn about changed parameters of which a fit that goes on keeps the values in `shaping`."""
    of_config = {"adaptation": config.policy, "l2_sp": config.l2_sp}
    asked = {**config.parameters.shaping, **of_config}
    changed = [
        "hidden_layer_sizes" if name == "hidden" else name
        for name, value in shaping.items()
        if not _equals(asked[name], value)
    ]
    if changed:
        warn_once(
            f"This fit goes on from an earlier one and keeps its features and its module: the new "
            f"value of {', '.join(changed)} has no effect. Call fit with warm_start=False to start "
            f"anew."
        )


def _equals(value: Any, other: Any) -> bool:
    if value is other:
        return True
    try:
        return type(value) is type(other) and bool(value == other)
    except ValueError:  # arrays among the sources
        return False
