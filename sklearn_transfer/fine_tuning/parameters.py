"""What the parameters of `FineTunedClassifier` may be."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from ..models.network import ACTIVATIONS
from ..models.readers import READERS
from ..training.losses import CRITERIA
from ..training.optimizers import OPTIMIZERS
from ..training.policies import POLICIES
from ..training.schedules import SCHEDULES

FINE_TUNING: dict[str, Any] = {
    "pretrained": "no_validation",  # load_pretrained says what it may be
    "encoder": [StrOptions(set(READERS)), torch.nn.Module],
    "encoder_params": [dict, None],
    "hidden_layer_sizes": ["array-like"],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "token_dropout": [Interval(Real, 0, 1, closed="left")],
    "adaptation": [StrOptions({"auto", *POLICIES}), HasMethods("rates")],
    "layer_groups": [list, tuple, None],
    "l2_sp": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "strength": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
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
    "optimizer": [StrOptions({"auto", *OPTIMIZERS}), callable],
    "criterion": [StrOptions({"auto", *CRITERIA}), callable],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "calibrate": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "callbacks": [list, tuple, None],
    "distill_from": [HasMethods("predict_proba"), None],
    "checkpoint": [str, os.PathLike, None],
    "mixed_precision": ["boolean"],
    "compile": ["boolean", str],
    "device": [str],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
