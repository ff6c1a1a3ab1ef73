"""A pretrained sentence encoder as a trainable module that can start at any of its layers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._utils.errors import levels_to_caller
from .._utils.objects.copying import deepcopy_attributes
from .._utils.progress import progress_bar
from ..contextual.model import ContextualModel
from ..contextual.runtime import CPU_TOKENS, PROBES, encode_padded, make_inputs
from ..contextual.sequences import Sequences, batches_by_length
from .network import PretrainedModule
from .trained import Trained

# Differences of rounding between two ways to compute the same features.
_TOLERANCE = 1e-4


class _Caught(Exception):
    """The states that enter a layer are known; the layers above need not be computed."""


class _Skipped(nn.Module):
    """Stands in for a layer that is not computed."""

    def __init__(self, *, returns_tuple: bool) -> None:
        super().__init__()
        self.returns_tuple = returns_tuple

    def forward(self, states: Tensor, *_: Any, **__: Any) -> Any:
        """Return the states as they are."""
        return (states,) if self.returns_tuple else states


class SentenceEncoder(PretrainedModule):
    """A trainable copy, in float32, of a contextual model.

    Its input is the token ids of texts, or the states that enter one of its layers.

    Parameters
    ----------
    model, pulled : ContextualModel, bool
        See also `PretrainedModule`.

    Attributes
    ----------
    dim : int
        The number of features.
    batching : {"padded", "equal lengths", "single"}
        The texts that are encoded together without an effect on their features.
    n_layers : int
        The number of layers at which the encoder can start. 0 if it has no stack of layers, or if
        starting at a layer gives other features than the whole encoder.

    Notes
    -----
    The stack of layers is the longest list of modules that texts pass: not one of another route of
    a router, or of the images of a multimodal model. A hook catches the states that enter a layer,
    another puts them in its place, and the layers below are skipped. Modules outside the stack may
    act in each layer (the relative positions of MPNet), so the constructor compares the features of
    both ways.
    """

    light = False
    together = 32

    def __init__(self, model: ContextualModel, *, pulled: bool = False) -> None:
        model.check_trainable()
        super().__init__(copy.deepcopy(model.library_model).float(), pulled=pulled)
        self._model = model
        if any("quantized" in type(part).__module__ for part in self.module.modules()):
            raise ValueError(
                f"The weights of {model!r} are quantized, and cannot be trained. Set "
                f"adaptation='frozen', or train the model before you quantize it."
            )
        example = model.split(PROBES)
        self._n_prompt, self._dtype = example.n_prompt, np.dtype(model.settings.hidden_dtype)
        self.dim, self.batching = model.dim, model.batching
        self._returns_tuple = False
        with torch.no_grad(), _evaluating(self):
            ids, mask = self._tensors(example)
            self._called = _find_called(self.module, lambda: self(ids, mask))
            self._path, self.n_layers = _find_stack(self.module, self._called)
            try:
                if self.batching != "padded" or not self._starts_at_layers(ids, mask):
                    self.n_layers = 0
            except Exception:  # of any type, from an architecture that is built otherwise
                self.n_layers = 0

    def _starts_at_layers(self, ids: Tensor, mask: Tensor) -> bool:
        """Compare the features from the lowest and the highest layer upwards with the whole."""
        outputs: list[Any] = []
        hook = self._stack()[0].register_forward_hook(lambda _, __, output: outputs.append(output))
        try:
            whole = self(ids, mask)
        finally:
            hook.remove()
        self._returns_tuple = isinstance(outputs[0], tuple)
        if self.states(ids[:1], mask[:1], self.n_layers - 1).shape[:2] != (1, ids.shape[1]):
            return False  # XLNet has the positions first
        return all(
            torch.allclose(
                whole, self(ids, mask, self.states(ids, mask, layer), layer), atol=_TOLERANCE
            )
            for layer in {1, self.n_layers - 1} - {0}
        )

    def __getstate__(self) -> dict[str, Any]:
        # The rest is that of the model, to which the pickle refers.
        if self.is_incomplete:
            return dict(self.__dict__)
        trained = Trained.of(self.module, self._model.library_model)
        return {**self.__dict__, "_modules": {}, "_buffers": {}, "_trained": trained}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        try:
            self.restore()
        except (OSError, ValueError, ImportError) as error:
            warnings.warn(str(error), UserWarning, stacklevel=levels_to_caller())

    __deepcopy__ = deepcopy_attributes

    def __getattr__(self, name: str) -> Any:
        if name == "module" and self.is_incomplete:
            self.restore()
        return super().__getattr__(name)

    @property
    def is_incomplete(self) -> bool:
        """True for an encoder from a pickle whose model has not been found yet."""
        return "_trained" in self.__dict__

    def restore(self) -> None:
        """Complete an encoder from a pickle; an error if its model is not found."""
        if not self.is_incomplete:
            return
        module = copy.deepcopy(self._model.library_model).float().to("cpu")
        trained = self.__dict__.pop("_trained")
        self.module = module
        self._anchor()
        trained.apply(module)

    def n_frozen(self) -> int:
        """Count the frozen layers below the lowest trainable one; `n_layers` - 1 at most."""
        if self.n_layers < 2:
            return 0
        trainable = [name for name, p in self.module.named_parameters() if p.requires_grad]
        layers = self.layer_members()
        n_below = len(layers) - self.n_layers  # 1 if there are embeddings
        for number, (_, members) in enumerate(layers):
            if any(name == m or name.startswith(f"{m}.") for m in members for name in trainable):
                return min(max(number - n_below, 0), self.n_layers - 1)
        return self.n_layers - 1

    def states(self, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
        """Compute the states that enter a layer from 1 on, shape (n_texts, length, d)."""
        caught: list[Tensor] = []

        def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caught.append(args[0] if args else kwargs["hidden_states"])
            raise _Caught

        hook = self._stack()[layer].register_forward_pre_hook(catch, with_kwargs=True)
        try:
            self.module(self._inputs(ids, mask))
        except _Caught:
            pass
        finally:
            hook.remove()
        return caught[0]

    @torch.no_grad()
    def with_states(
        self, inputs: Sequences, layer: int, *, max_bytes: int = 4 << 30, verbose: int = 0
    ) -> Sequences:
        """Add the states that enter a layer; if they exceed `max_bytes`, warn and add none."""
        inputs = replace(inputs, states=None, layer=layer)
        kept: NDArray[np.floating] | None = None
        bar = progress_bar(len(inputs), "texts", verbose=verbose)
        with _evaluating(self), bar:
            for rows in batches_by_length(inputs.lengths, CPU_TOKENS):
                rows = rows[inputs.lengths[rows] > 0]  # the longest come first
                if not len(rows):
                    break
                positions, mask = inputs[rows].positions()
                states = self.states(*self._tensors(inputs[rows]), layer).cpu().numpy()
                if kept is None:
                    shape = len(inputs.ids), states.shape[2]
                    n_bytes = shape[0] * shape[1] * self._dtype.itemsize
                    if n_bytes > max_bytes:
                        _warn_of_size(n_bytes)
                        return inputs
                    kept = np.empty(shape, dtype=self._dtype)
                kept[positions[mask]] = states[mask]
                bar.update(len(rows))
        if kept is not None and not np.isfinite(kept).all():
            raise ValueError(
                f"The states below layer {layer} are not finite as {kept.dtype}. Use "
                f"ContextualModel(hidden_dtype='float32'), or look at the weights."
            )
        return replace(inputs, states=kept)

    def forward(
        self, ids: Tensor, mask: Tensor, states: Tensor | None = None, layer: int = 0
    ) -> Tensor:
        """Encode texts as float32, shape (n_texts, dim).

        Parameters
        ----------
        ids, mask : Tensor of int64, Tensor of bool, shape (n_texts, length)
        states, layer : Tensor or None, shape (n_texts, length, d), and int
            The states that enter a layer. None computes all layers.

        Returns
        -------
        Tensor
        """

        def encode(rows: Tensor, length: int) -> Tensor:
            inputs = self._inputs(ids[rows, :length], mask[rows, :length])
            if states is None:
                outputs = self.module(inputs)
            else:
                with self._starting_at(layer, states[rows, :length]):
                    outputs = self.module(inputs)
            encoded: Tensor = outputs["sentence_embedding"]
            return encoded

        features: Tensor = encode_padded(encode, mask, self.dim, self.batching)
        return features

    def _inputs(self, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        return make_inputs(self.module, ids, mask, self._n_prompt)

    def _tensors(self, inputs: Sequences) -> tuple[Tensor, Tensor]:
        """Padded ids and mask on the device of the encoder."""
        device, padded = next(self.parameters()).device, inputs.padded()
        return (
            torch.from_numpy(padded["ids"]).to(device),
            torch.from_numpy(padded["mask"]).to(device),
        )

    def _stack(self) -> nn.ModuleList:
        return self.module.get_submodule(self._path)  # type: ignore[return-value]

    @contextmanager
    def _starting_at(self, layer: int, states: Tensor) -> Iterator[None]:
        """Skip the layers below `layer`, which `states` enter."""

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (states, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": states}

        path, _, name = self._path.rpartition(".")
        parent, stack = self.module.get_submodule(path), self._stack()
        skipped = [_Skipped(returns_tuple=self._returns_tuple) for _ in range(layer)]
        hook = stack[layer].register_forward_pre_hook(enter, with_kwargs=True)
        setattr(parent, name, nn.ModuleList([*skipped, *stack[layer:]]))
        try:
            yield
        finally:
            setattr(parent, name, stack)
            hook.remove()

    def layer_members(self) -> list[tuple[str, Sequence[str]]]:
        """Name the layers, lowest first, and the modules and parameters that belong to each."""
        if not self._path:
            return [("encoder", [name for name, _ in self.module.named_children()])]
        below: list[str] = []
        above: list[str] = []
        path, steps = "", self._path.split(".")
        for i, step in enumerate(steps):  # from the whole model down to the stack
            members, innermost = below, i == len(steps) - 1
            for name, _ in self.module.get_submodule(path).named_children():
                whole = f"{path}.{name}".lstrip(".")
                if name == step:
                    # Modules beside the stack may act in each of its layers.
                    members = below if innermost else above
                else:
                    (members if whole in self._called else below).append(whole)
            own = self.module.get_submodule(path).named_parameters(recurse=False)
            below += [f"{path}.{name}".lstrip(".") for name, _ in own]
            path = ".".join(steps[: i + 1])
        inside = [f"{self._path}.{i}" for i in range(len(self._stack()))]
        layers: list[tuple[str, Sequence[str]]] = [("embeddings", below)] if below else []
        layers += [(f"layer {i}", [name]) for i, name in enumerate(inside[:-1])]
        return [*layers, (f"layer {len(inside) - 1}", [inside[-1], *above])]


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put all parts in evaluation mode, and afterwards each in its mode before."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _find_called(module: nn.Module, run: Callable[[], Any]) -> set[str]:
    """Name the modules that are called in a run, and the modules that contain them."""
    called: set[str] = set()
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, part in module.named_modules()
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return {
        ".".join(parts[:n])
        for parts in (name.split(".") for name in called)
        for n in range(1, len(parts) + 1)
    }


def _find_stack(module: nn.Module, called: set[str]) -> tuple[str, int]:
    """Find the path of the longest list of modules in use, and its length; "" and 0 without any."""
    lists = [
        (name, len(child))
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList) and name in called
    ]
    return max(lists, key=lambda pair: pair[1], default=("", 0))


def _warn_of_size(n_bytes: int) -> None:
    warnings.warn(
        f"The states below the lowest trainable layer would take {n_bytes >> 20:,} MiB, and are "
        f"computed anew in every epoch. Set max_tokens, or "
        f"ContextualModel(hidden_dtype='float16').",
        UserWarning,
        stacklevel=levels_to_caller(),
    )
