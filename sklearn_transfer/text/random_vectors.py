"""Random word vectors in place of pretrained ones, for comparison with these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._utils.objects.cloning import VectorsEstimator
from .._utils.random import draw_seed
from ..sources import load_sources
from ..vectors.pretrained_vectors import PretrainedVectors
from .tokenization.coverage import learn_tokenization
from .tokenization.tokens import Lowercase, Tokenization


class RandomVectors(VectorsEstimator):
    """Random vectors for the words of texts that have a vector in a pretrained table.

    The norms are those of the pretrained vectors, distributed anew among the words; the directions
    are uniform.

    Parameters
    ----------
    pretrained : PretrainedVectors, or an estimator of vectors
        The table that is replaced.
    tokenizer, token_pattern, lowercase : object
        Those of the estimator that reads the texts.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    vectors_ : PretrainedVectors
        Words outside the texts have no vector.
    """

    def __init__(
        self,
        pretrained: Any,
        *,
        tokenizer: Any,
        token_pattern: str,
        lowercase: Lowercase,
        random_state: Any = None,
    ) -> None:
        self.pretrained = pretrained
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.lowercase = lowercase
        self.random_state = random_state

    def fit(self, texts: Sequence[str], y: Any = None) -> Self:  # noqa: ARG002 (as in scikit-learn)
        """Draw a vector for each word of the texts.

        Parameters
        ----------
        texts : sequence of str
        y : None, default=None
            Ignored.

        Returns
        -------
        self
        """
        (source,) = load_sources([self.pretrained], texts)
        if not isinstance(source, PretrainedVectors):
            raise TypeError(f"pretrained must be a table of word vectors, got {source!r}.")
        tokenization = Tokenization(self.tokenizer, self.token_pattern, self.lowercase)
        tokenization = learn_tokenization(texts, tokenization, [source])
        tokens, _ = tokenization.split(texts, [source])
        index, vectors = source.look_up(tokens, fold_case=tokenization.folds_case([source]))
        words = [token for token, row in zip(tokens, index.tolist(), strict=True) if row >= 0]
        generator = np.random.default_rng(draw_seed(self.random_state))
        rows = _randomise(vectors[index[index >= 0]], generator)
        self.vectors_ = PretrainedVectors(words, rows, name=f"random, for {source.name}")
        return self


def _randomise(vectors: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    rows = generator.standard_normal(vectors.shape, dtype=np.float32)
    norms = generator.permutation(np.linalg.norm(vectors, axis=1))
    rows *= (norms / np.linalg.norm(rows, axis=1))[:, None]
    return rows
