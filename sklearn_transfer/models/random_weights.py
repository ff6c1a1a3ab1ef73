"""Copies of pretrained modules with random weights, for comparison with the pretrained ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from ..contextual.model import ContextualModel
from .seeds import seeded

# The second is the name in torch.nn.MultiheadAttention and torch.nn.Transformer.
_RESETS = ("reset_parameters", "_reset_parameters")


def randomise_module(module: nn.Module, seed: int) -> nn.Module:
    """Copy a module, and draw its weights anew by the `reset_parameters` of its parts.

    Parameters
    ----------
    module : nn.Module
    seed : int

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        If a parameter belongs to no part with `reset_parameters`, or keeps its value.
    """
    fresh = copy.deepcopy(module)
    with seeded(seed, _device_of(fresh), seed_global=True), torch.no_grad():
        _reset(fresh)
    _check_fresh(module, fresh)
    return fresh


def randomise_encoder(model: ContextualModel, seed: int) -> ContextualModel:
    """Copy a sentence encoder with the weights that its configuration draws for a new model.

    Parameters
    ----------
    model : ContextualModel
    seed : int

    Returns
    -------
    ContextualModel
        With the settings of `model`; its features are kept in memory only.

    Raises
    ------
    ValueError
        If the library cannot make a model of the same parameters from the configuration.
    """
    library = model.library_model
    fresh = copy.deepcopy(library)
    with seeded(seed, _device_of(fresh), seed_global=True), torch.no_grad():
        for name, part in _find_transformers(library):
            made = type(part)(copy.deepcopy(part.config))
            if made.state_dict().keys() != part.state_dict().keys():
                raise ValueError(
                    f"the configuration of {type(part).__name__} makes a model of other parameters"
                )
            parent, _, attribute = name.rpartition(".")
            setattr(fresh.get_submodule(parent), attribute, made.to(part.device, part.dtype))
        _reset(fresh, without=[name for name, _ in _find_transformers(fresh)])
    _check_fresh(library, fresh)
    settings = model.settings
    return ContextualModel(
        fresh.eval(),
        max_tokens=settings.max_tokens,
        windows=settings.windows,
        prompt=settings.prompt,
        device=settings.device,
        batch_tokens=settings.batch_tokens,
        cache=None if settings.cache is None else "memory",
        cache_bytes=settings.cache_bytes,
        hidden_dtype=settings.hidden_dtype,
    )


def _find_transformers(library: nn.Module) -> list[tuple[str, Any]]:
    """The outermost modules of the library transformers, by name."""
    kind = import_module("transformers").PreTrainedModel
    found: list[tuple[str, Any]] = []
    for name, part in library.named_modules():
        if isinstance(part, kind) and not _is_inside(name, [outer for outer, _ in found]):
            found.append((name, part))
    return found


def _reset(module: nn.Module, without: Sequence[str] = ()) -> None:
    """Call the resets of all parts, the innermost first, as constructors do."""
    resets = {}
    for name, part in module.named_modules():
        methods = [getattr(part, method, None) for method in _RESETS]
        if not _is_inside(name, without) and any(methods):
            resets[name] = next(filter(None, methods))
    for name, _ in module.named_parameters():
        if not _is_inside(name, [*resets, *without]):
            raise ValueError(
                f"no part that holds the parameter {name!r} has a method reset_parameters"
            )
    for reset in reversed(resets.values()):
        reset()


def _check_fresh(before: nn.Module, after: nn.Module) -> None:
    """Refuse a parameter that still has its pretrained values."""
    # A parameter of one value, such as a new bias, may have it again.
    for name, parameter in before.named_parameters():
        is_constant = bool((parameter == parameter.flatten()[:1]).all())
        if not is_constant and torch.equal(parameter, after.get_parameter(name)):
            raise ValueError(f"the parameter {name!r} keeps its pretrained values")


def _is_inside(name: str, parts: Iterable[str]) -> bool:
    return any(not part or name == part or name.startswith(f"{part}.") for part in parts)


def _device_of(module: nn.Module) -> torch.device:
    parameter = next(module.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
