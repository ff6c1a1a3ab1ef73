"""Texts as a bag of words: token columns next to pretrained ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...explanation.methods.bag_paths import BagExplainer
from ...explanation.methods.explainer import Explainer, LinearExplainer
from ...sources import Source, find_contextual, find_tables
from ...text.bag.bag_features import BagFeatures
from ...text.pooling import normalize_rows
from ...text.tokenization.tokens import Tokenization
from ...training.batches import Samples
from ...training.nets.inference_net import InferenceNet
from ..parameters import Parameters
from ..protocol import Configuration, FixedFeatures

# Norm of centred frozen features: without token weights no block of words stands next to them. The
# features of sentence encoders separate classes at a smaller norm, with few labels better, unless
# the loss is cross-entropy.
FROZEN_SCALE, _SENTENCE_SCALE = 3.0, 0.6
# Logits of names of classes alone, relative to cosines.
_NAME_SCALE = 10.0


def find_sentence_scale(config: Configuration) -> float:
    """Norm of the centred features of sentence encoders without token weights next to them."""
    is_short = config.is_convex and config.loss != "cross_entropy"
    return _SENTENCE_SCALE if is_short else FROZEN_SCALE


def make_tokenization(parameters: Parameters) -> Tokenization:
    """Settings of the tokenizer."""
    return Tokenization(
        parameters.tokenizer, parameters.token_pattern, parameters.lowercase, parameters.max_tokens
    )


class WordBag(FixedFeatures):
    """The features of a bag of words."""

    features: BagFeatures

    def match_names(self, net: InferenceNet, texts: Any, names: Samples) -> None:
        """Classify by the cosine to the name, where sentence encoders alone give the features."""
        features, target = self.features, np.asarray(names.y)
        has_class_weights = np.ptp(names.weight) > 0  # which the solution honours
        if features.splits_texts or target.ndim > 1 or has_class_weights:
            return
        # Names tell neither where the texts of a task lie nor how frequent its classes are, so that
        # the centre and the intercept of the solution would mislead.
        features.drop_centers()
        encoded = features.transform(texts).dense
        classes = normalize_rows(np.eye(target.max() + 1)[target].T @ encoded)
        if net.module_.intercept.numel() == 1:  # of two classes, the second against the first
            classes = classes[1:] - classes[:1]
        scale = _NAME_SCALE / features.pretrained_scale
        net.module_.set_solution(scale * classes.T, np.zeros(len(classes)))

    def make_explainer(self, net: InferenceNet) -> Explainer:
        """Exact contributions of a linear model on word vectors; else gradients."""
        model = self.linear_model(net)
        if model is not None and self.features.is_sum_of_tokens:
            return LinearExplainer(self.features, model)
        return BagExplainer(self.features, net)


def _find_encoder_scale(sources: Sequence[Source], config: Configuration) -> float | None:
    """Norm of sentence encoders next to token weights; None where all sources have one scale."""
    is_auto = config.pretrained_scale == "auto" and config.loss == "cross_entropy"
    is_mixed = config.is_convex and not config.is_frozen and find_contextual(sources)
    return FROZEN_SCALE if is_auto and is_mixed else None


def make_word_bag(sources: Sequence[Source], config: Configuration) -> WordBag:
    """Bag of words of a configuration; frozen, it has no token columns."""
    parameters = config.parameters
    scale = config.pretrained_scale
    if scale == "auto" and config.is_frozen:
        scale = FROZEN_SCALE if find_tables(sources) else find_sentence_scale(config)
    return WordBag(
        BagFeatures(
            sources,
            make_tokenization(parameters),
            ngram_range=parameters.ngram_range,
            char_ngram_range=parameters.char_ngram_range,
            pretrained_scale=scale,
            encoder_scale=_find_encoder_scale(sources, config),
            pull=config.l2_sp,
            token_weights=not config.is_frozen,
            weighting=parameters.weighting,
            oov=parameters.oov,
        )
    )
