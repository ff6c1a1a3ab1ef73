"""Texts as sequences of words, whose vectors are trained in mini-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...explanation.methods.explainer import Explainer
from ...explanation.methods.word_paths import SequenceExplainer
from ...models.text_encoder import TextEncoder, make_text_encoder
from ...text.rows import ComparedRows, WordRows
from ...training.batches import Inputs
from ...training.nets.inference_net import InferenceNet
from ...training.optimization.optimizers import is_row_wise
from ...vectors.pretrained_vectors import PretrainedVectors
from ..protocol import Configuration, Representation
from .word_bag import make_tokenization


class WordSequences(Representation):
    """Rows of a trainable table, and the reader that encodes them."""

    features: WordRows

    def extend(self, X: Any) -> Tensor:
        """Rows for the words that occur for the first time, shape (n_new, dim)."""
        return torch.from_numpy(self.features.extend(X))

    def compare_rows(self, encoder: TextEncoder) -> ComparedRows:
        """The words of the training texts, and their rows before and after training."""
        after = encoder.rows.detach().cpu().numpy()
        words = list(self.features.vocabulary)
        return ComparedRows(words, self.features.initial_rows(words), after)

    def continue_encoder(self, encoder: TextEncoder, config: Configuration) -> None:
        """Give gradients of the rows that the optimizer can take."""
        encoder.sparse = is_row_wise(config.optimizer)

    def make_explainer(self, net: InferenceNet) -> Explainer:
        """Gradients with respect to the vectors of the words."""
        return SequenceExplainer(self.features, net)

    def make_encoder(self, example: Inputs, config: Configuration) -> nn.Module:
        """The table of rows and its reader."""
        return make_text_encoder(
            torch.from_numpy(self.features.release_rows()),
            config.parameters.encoder,
            config.parameters.encoder_params,
            sparse=is_row_wise(config.optimizer),
            pulled=config.l2_sp > 0,
        )


def make_word_sequences(tables: Sequence[PretrainedVectors], config: Configuration) -> WordRows:
    """Rows of a configuration; nothing is learned yet."""
    parameters = config.parameters
    return WordRows(
        tables,
        make_tokenization(parameters),
        weighting=parameters.weighting,
        oov=parameters.oov,
    )
