"""The vectors that a sentence encoder looks up for token ids, and others in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class TokenTable:
    """The table in which a module looks up the vectors of token ids.

    Parameters
    ----------
    module : nn.Module
    run : callable
        Calls the module on `ids`.
    ids : Tensor of int64, shape (n_texts, length)
    """

    def __init__(self, module: nn.Module, run: Callable[[], Any], ids: Tensor) -> None:
        called: list[nn.Embedding] = []

        def note(table: nn.Module, args: tuple[Any, ...]) -> None:
            given = args[0] if args else None
            if isinstance(given, Tensor) and given.shape == ids.shape and torch.equal(given, ids):
                called.append(table)  # type: ignore[arg-type]

        tables = [part for part in module.modules() if isinstance(part, nn.Embedding)]
        hooks = [table.register_forward_pre_hook(note) for table in tables]
        try:
            with torch.no_grad():
                run()
        finally:
            for hook in hooks:
                hook.remove()
        if not called:
            raise ValueError(
                f"Gradients of {type(module).__name__} need a table of token vectors "
                f"(torch.nn.Embedding) that reads token ids, and it has none. Use "
                f"method='occlusion'."
            )
        self._table = called[0]

    @torch.no_grad()
    def look_up(self, ids: Tensor) -> Tensor:
        """The vectors of ids, shape (n_texts, length, d)."""
        vectors: Tensor = self._table(ids)
        return vectors

    @contextmanager
    def replaced(self, vectors: Tensor) -> Iterator[None]:
        """Let the module find other vectors for ids of the same shape."""

        def replace(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
            return vectors if output.shape == vectors.shape else output

        hook = self._table.register_forward_hook(replace)
        try:
            yield
        finally:
            hook.remove()
