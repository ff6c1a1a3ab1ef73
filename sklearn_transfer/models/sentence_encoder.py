"""A pretrained sentence encoder as a module that is trained, from any of its layers upwards."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from .._utils.errors import levels_to_caller
from ..contextual.model import ContextualModel
from ..contextual.runtime import CPU_TOKENS, inputs_of
from ..contextual.sequences import Sequences, batches_by_length
from ..text.coverage import measure_reading
from ..training.batches import as_tensors
from .network import PretrainedModule

# Below this, what two ways of computing the same give is equal.
_TOLERANCE = 1e-4
# Bytes of states that are kept.
_MOST = 4 << 30


class _Reached(Exception):
    """The states that enter a layer are known, and nothing above needs to be computed."""


class _Passed(nn.Module):
    """Stands in for a layer that is not computed."""

    def __init__(self, gives_tuple: bool) -> None:
        super().__init__()
        self.gives_tuple = gives_tuple

    def forward(self, states: Tensor, *_: Any, **__: Any) -> Any:
        """What it was given."""
        return (states,) if self.gives_tuple else states


class SentenceEncoder(PretrainedModule):
    """A copy of a contextual model, over its tokens or over the states that enter a layer.

    Parameters
    ----------
    model : ContextualModel
        Its modules are copied, as float32.
    pulled : bool, default=False
        See `PretrainedModule`.

    Attributes
    ----------
    depth : int
        Layers that can be told apart: 0 where the stack of layers was not found, or what is
        computed from the states that enter a layer is not what is computed at once.

    Notes
    -----
    The stack of layers is the longest list of modules in the model. Nothing is assumed of what is
    around it, but that what stands beside it may act in each layer: the states that enter a layer
    are caught by a hook, and put in its place by another, while the layers below are passed by.
    That this gives the same is tried when the encoder is made.
    """

    light = False
    together = 32

    def __init__(self, model: ContextualModel, *, pulled: bool = False) -> None:
        super().__init__(copy.deepcopy(model.library_model).float(), pulled=pulled)
        self._n_prompt, self._dtype = model.n_prompt, np.dtype(model.hidden_dtype)
        self._path, self.depth = _find_stack(self.module)
        self.gives_tuple = False

    def try_depth(self, ids: Tensor, mask: Tensor) -> None:
        """Find out whether layers can be passed by; sets `depth`.

        Parameters
        ----------
        ids, mask : Tensor, shape (n_texts, length)
        """
        try:
            with torch.no_grad(), _evaluating(self):
                found: list[Any] = []
                layer = next(iter(self._stack()))
                hook = layer.register_forward_hook(lambda _, __, given: found.append(given))
                try:
                    whole = self(ids, mask)
                finally:
                    hook.remove()
                self.gives_tuple = isinstance(found[0], tuple)
                for level in {1, self.depth - 1} if self.depth > 1 else ():
                    states = self.states(ids, mask, level)
                    parts = self(ids, mask, states, level)
                    if not torch.allclose(whole, parts, atol=_TOLERANCE):
                        self.depth = 0
        except Exception:  # of an architecture that is built otherwise
            self.depth = 0

    def n_still(self) -> int:
        """How many layers from below are still, with all below them; `depth` - 1 at most."""
        if self.depth < 2:
            return 0
        moving = {name for name, p in self.module.named_parameters() if p.requires_grad}
        for level, (_, members) in enumerate(self.layer_members()):
            if any(name == m or name.startswith(f"{m}.") for m in members for name in moving):
                below = level - 1 if self.has_below else level
                return min(max(below, 0), self.depth - 1)
        return self.depth - 1

    def states(self, ids: Tensor, mask: Tensor, level: int) -> Tensor:
        """The states that enter a layer.

        Parameters
        ----------
        ids : Tensor of int64, shape (n_texts, length)
        mask : Tensor of bool, shape (n_texts, length)
        level : int
            From 1 to `depth` - 1.

        Returns
        -------
        Tensor, shape (n_texts, length, d)
        """
        caught: list[Tensor] = []

        def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caught.append(args[0] if args else kwargs["hidden_states"])
            raise _Reached

        hook = self._stack()[level].register_forward_pre_hook(catch, with_kwargs=True)
        try:
            self.module(self._inputs(ids, mask))
        except _Reached:
            pass
        finally:
            hook.remove()
        return caught[0]

    @torch.no_grad()
    def with_states(self, inputs: Sequences, level: int, device: torch.device) -> Sequences:
        """Texts with what enters a layer, unless that is too much to keep.

        Parameters
        ----------
        inputs : Sequences, length n_texts
        level : int
            See `states`.
        device : torch.device
            Where the encoder is.

        Returns
        -------
        Sequences, length n_texts

        Warns
        -----
        UserWarning
            If the states would take more than 4 GiB.
        """
        inputs = replace(inputs, states=None)
        kept = None
        with _evaluating(self):
            for rows in batches_by_length(inputs.lengths, CPU_TOKENS):
                places, mask = inputs[rows].places()
                states = self.states(**as_tensors(inputs[rows], device), level=level).cpu()
                if kept is None:
                    kept = self._room_for(len(inputs.ids), states.shape[2])
                    if kept is None:
                        break
                kept[places[mask]] = states.numpy()[mask]
        if kept is not None and not np.isfinite(kept).all():
            raise ValueError(
                f"The states below layer {level} are not finite as {kept.dtype}. Use "
                f"ContextualModel(hidden_dtype='float32'), or look at the weights."
            )
        return replace(inputs, states=kept, level=level)

    def _room_for(self, n_rows: int, width: int) -> NDArray[np.floating] | None:
        """An array for states, shape (n_rows, width); None, and a warning, beyond 4 GiB."""
        n_bytes = n_rows * width * self._dtype.itemsize
        if n_bytes > _MOST:
            warnings.warn(
                f"The states below the lowest layer that is trained would take {n_bytes >> 20:,} "
                f"MiB, and are computed anew in every epoch. Set max_tokens, or "
                f"ContextualModel(hidden_dtype='float16').",
                UserWarning,
                stacklevel=levels_to_caller(),
            )
            return None
        return np.empty((n_rows, width), dtype=self._dtype)

    def forward(
        self, ids: Tensor, mask: Tensor, states: Tensor | None = None, level: int = 0
    ) -> Tensor:
        """Encode texts.

        Parameters
        ----------
        ids : Tensor of int64, shape (n_texts, length)
        mask : Tensor of bool, shape (n_texts, length)
        states : Tensor or None, shape (n_texts, length, d)
            What enters the layer `level`; None: all is computed.
        level : int, default=0

        Returns
        -------
        Tensor of float32, shape (n_texts, dim)
        """
        if states is None:
            found = self.module(self._inputs(ids, mask))
        else:
            with self._entered(states, level):
                found = self.module(self._inputs(ids, mask))
        encoded: Tensor = found["sentence_embedding"]
        return encoded.float()

    def _inputs(self, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        return inputs_of(self.module, ids, mask, self._n_prompt)

    def _stack(self) -> nn.ModuleList:
        return self.module.get_submodule(self._path)  # type: ignore[return-value]

    @contextmanager
    def _entered(self, states: Tensor, level: int) -> Iterator[None]:
        """The layers below `level` are passed by, and `states` enter it."""

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (states, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": states}

        parent, _, name = self._path.rpartition(".")
        stack = self._stack()
        passed = [_Passed(self.gives_tuple) for _ in range(level)]
        hook = stack[level].register_forward_pre_hook(enter, with_kwargs=True)
        setattr(self.module.get_submodule(parent), name, nn.ModuleList([*passed, *stack[level:]]))
        try:
            yield
        finally:
            setattr(self.module.get_submodule(parent), name, stack)
            hook.remove()

    def layer_members(self) -> list[tuple[str, Sequence[str]]]:
        """The layers that policies tell apart, lowest first: names, and what belongs to each."""
        if not self._path:
            return [("encoder", [name for name, _ in self.module.named_children()])]
        below: list[str] = []
        above: list[str] = []
        place, steps = "", self._path.split(".")
        for i, step in enumerate(steps):  # from the whole down to the stack
            found, beside = below, i == len(steps) - 1
            for name, _ in self.module.get_submodule(place).named_children():
                if name == step:
                    # What stands beside the stack may act in each of its layers, wherever it is.
                    found = below if beside else above
                else:
                    found.append(f"{place}.{name}".lstrip("."))
            own = self.module.get_submodule(place).named_parameters(recurse=False)
            below += [f"{place}.{name}".lstrip(".") for name, _ in own]
            place = ".".join(steps[: i + 1])
        inside = [f"{self._path}.{i}" for i in range(len(self._stack()))]
        layers: list[tuple[str, Sequence[str]]] = [("embeddings", below)] if below else []
        layers += [(f"layer {i}", [name]) for i, name in enumerate(inside[:-1])]
        return [*layers, (f"layer {len(inside) - 1}", [inside[-1], *above])]

    @property
    def has_below(self) -> bool:
        """Whether anything is below the layers."""
        return self.layer_members()[0][0] == "embeddings"


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """All parts in evaluation mode, and afterwards each in the one that it was in."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


class SentenceInputs:
    """Texts as a contextual model that is trained takes them.

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
        membership: csr_array | None,
        sample_weight: NDArray[np.floating],
    ) -> Sequences:
        """The tokens of texts; nothing is learned but how much of them is read."""
        self.coverage = measure_reading(texts, [self.model])
        return self.transform(texts)

    def transform(self, texts: Sequence[str]) -> Sequences:
        """The tokens of texts."""
        return self.model.split(texts)

    def cut(self, max_tokens: int | None) -> SentenceInputs:
        """The same, of at most so many tokens of a text."""
        return self if max_tokens is None else SentenceInputs(self.model.cut(max_tokens))

    def make_encoder(self, example: Sequences, *, pulled: bool) -> SentenceEncoder:
        """A copy of the model that can be trained, tried on some texts; see `SentenceEncoder`."""
        encoder = SentenceEncoder(self.model, pulled=pulled)
        padded = example.padded()
        device = next(encoder.parameters()).device
        encoder.try_depth(*(torch.from_numpy(padded[name]).to(device) for name in ("ids", "mask")))
        return encoder


def _find_stack(module: nn.Module) -> tuple[str, int]:
    """The path of the longest list of modules, and its length; "" and 0 where there is none."""
    lists = [
        (name, len(child))
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList)
    ]
    return max(lists, key=lambda found: found[1], default=("", 0))
