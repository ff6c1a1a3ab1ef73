"""Opened models of sentence-transformers with one vector per token, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._utils.errors import VectorFormatError
from ..vectors.formats.static_models import tabulate
from ..vectors.table.table import Table
from ..vectors.table.tokenizer import TableTokenizer
from .library_state import find_default_prompt

_STATIC, _NEUTRAL = "StaticEmbedding", {"Normalize"}


def is_static(library: Any) -> bool:
    """True for a SentenceTransformer whose first module is a table of vectors."""
    return type(library[0]).__name__ == _STATIC


def tabulate_library(library: Any) -> Table:
    """Make the table that a saved model would be read as; truncated, and with its prompt."""
    module, *others = library
    kinds = [type(other).__name__ for other in others]
    if not set(kinds) <= _NEUTRAL:
        raise VectorFormatError(
            f"The SentenceTransformer: expected the module {_STATIC}, followed only by Normalize, "
            f"found {', '.join(kinds)}. Only static models are tables of vectors."
        )
    tokenizer = TableTokenizer(module.tokenizer.to_str(), prompt=find_default_prompt(library))
    tokenizer.check(Path(_STATIC))
    matrix = module.embedding.weight.detach().float().cpu().numpy()[:, : library.truncate_dim]
    return tabulate(tokenizer, matrix.copy(), Path(_STATIC))
