"""Fine-tuned word vectors as a folder that model2vec and sentence-transformers open."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..text.rows import WordRows
from ..text.tokenization.tokens import TOKEN_PATTERN, Tokenization
from ..vectors.formats.static_writers import make_word_tokenizer
from ..vectors.pretrained_vectors import PretrainedVectors
from ..vectors.table.table import Table

StaticFormat = Literal["model2vec", "sentence-transformers"]

# The patterns that the tokenizer of the folder has as well, and whether marks are tokens.
_PATTERNS = {TOKEN_PATTERN: False, r"\w+|[^\w\s]": True}


def write_static(fitted: Any, path: str | os.PathLike[str], format: StaticFormat) -> None:
    """Write the fine-tuned vectors of a model; see `Exports.export_static`."""
    if format not in ("model2vec", "sentence-transformers"):
        raise ValueError(f"Expected format='model2vec' or 'sentence-transformers', got {format!r}.")
    features = getattr(getattr(fitted, "representation", None), "features", None)
    if not isinstance(features, WordRows):
        raise ValueError(
            "Expected a model that trains its word vectors in mini-batches, got another one (the "
            "token weights of a linear model have one number per logit, and are no vectors). Fit "
            "with optimizer='adam', or export vectors that were trained without labels: "
            "ContinuedVectors(...).fit(texts).vectors_.write(path, format='model2vec')."
        )
    tune_vectors(features, fitted.net.module_.encoder).write(path, format=format)


def tune_vectors(features: WordRows, encoder: Any) -> PretrainedVectors:
    """The vectors of the words of the training texts, as fine-tuning has left them."""
    tokenization = features.tokenization
    _check_tokenization(tokenization)
    rows: NDArray[np.float32] = encoder.rows.detach().cpu().numpy()
    if encoder.multichannel:
        rows = rows + encoder.start.detach().cpu().numpy()
    weights = features.word_weights()
    lowercase = tokenization.lowercase
    tokenizer = make_word_tokenizer(
        features.vocabulary,
        cased=tokenization.folds_case(features.sources) if lowercase == "auto" else not lowercase,
        punctuation=_PATTERNS[tokenization.token_pattern],
    )
    scales = None if (weights == 1).all() else weights
    table = Table(features.vocabulary, rows, scales=scales, tokenizer=tokenizer)
    names = [source.name or "vectors" for source in features.sources]
    return PretrainedVectors.from_table(table, f"{', '.join(names)}, fine-tuned")


def _check_tokenization(tokenization: Tokenization) -> None:
    """Raise an error for texts that the exported tokenizer would split otherwise."""
    if tokenization.tokenizer is not None or tokenization.token_pattern not in _PATTERNS:
        raise ValueError(
            f"Expected no tokenizer and one of the token patterns {list(_PATTERNS)}, as the folder "
            f"has, got tokenizer={tokenization.tokenizer!r:.80}, "
            f"token_pattern={tokenization.token_pattern!r}: the programs that open it would split "
            f"texts otherwise. Fit with one of these, on texts with spaces between words."
        )
