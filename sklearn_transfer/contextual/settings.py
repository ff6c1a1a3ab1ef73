"""The settings of a contextual model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..vectors.storage.cache import ENCODINGS, find_root

PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of a :class:`ContextualModel` except its source; see there.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    max_tokens: int | None
    prompt: str | None
    precision: str
    device: str
    batch_tokens: int | None
    cache: str | os.PathLike[str] | None
    cache_bytes: int
    hidden_dtype: str
    trust_remote_code: bool
    pickle_weights: bool

    def __post_init__(self) -> None:
        for name, allowed in (("precision", PRECISIONS), ("hidden_dtype", PRECISIONS[:2])):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        for name in ("max_tokens", "batch_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be a positive number of tokens, got {value}.")
        if self.cache_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative, got {self.cache_bytes}.")

    @property
    def memory(self) -> int:
        """Maximum size of the features in memory, in bytes."""
        return 0 if self.cache is None else self.cache_bytes

    @property
    def cache_folder(self) -> Path | None:
        """Folder for the features of all models; None if they are kept in memory only."""
        if self.cache is None or self.cache == "memory":
            return None
        root = find_root() if self.cache == "disk" else Path(self.cache).expanduser().absolute()
        return None if root is None else root / ENCODINGS
