"""Texts as the token ids of a contextual model that is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ...contextual.model import ContextualModel
from ...contextual.sequences import Sequences
from ...models.sentence_encoder import SentenceEncoder
from ...text.coverage import measure_reading


class SentenceInputs:
    """Texts as the token ids of a contextual model that is trained.

    Parameters
    ----------
    model : ContextualModel

    Attributes
    ----------
    coverage : float
        Share of the tokens of the training texts that are read.
    """

    def __init__(self, model: ContextualModel) -> None:
        self.model = model

    def fit_transform(
        self,
        texts: Sequence[str],
        membership: csr_array | None,  # noqa: ARG002 (the protocol of inputs)
        sample_weight: NDArray[np.floating],  # noqa: ARG002
    ) -> Sequences:
        """Measure the coverage of texts and tokenize them."""
        self.coverage = measure_reading(texts, [self.model])
        return self.transform(texts)

    def transform(self, texts: Sequence[str]) -> Sequences:
        """Tokenize texts."""
        return self.model.split(texts)

    def cut(self, max_tokens: int | None) -> SentenceInputs:
        """The same with a lower maximum sequence length."""
        return self if max_tokens is None else SentenceInputs(self.model.cut(max_tokens))

    def make_encoder(self, example: Sequences, *, pulled: bool) -> SentenceEncoder:
        """A trainable copy of the model, tried on some texts."""
        return SentenceEncoder(self.model, example, pulled=pulled)
