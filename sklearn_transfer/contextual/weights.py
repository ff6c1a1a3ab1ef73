"""Weights of opened models: none of those that features depend on is random or not finite."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .._utils.errors import VectorFormatError

_LISTED = 3  # names of weights in a message


def check_weights(
    library: Any, encode: Callable[[], Any], name: str, *, must_be_read: bool
) -> None:
    """Refuse a model with weights that are not finite or, optionally, were not read from a file.

    Parameters
    ----------
    library : SentenceTransformer
    encode : callable
        Computes the features of a text. Weights on which they do not depend are not checked.
    name : str
        Of the model, for the messages.
    must_be_read : bool
        Check that no weight was initialised at random.

    Raises
    ------
    VectorFormatError
    """
    torch = import_module("torch")
    weights = dict(library.named_parameters())
    with torch.inference_mode():
        damaged = {k: v for k, v in weights.items() if not _is_finite(v)}
    if used := _select_used(damaged, encode):
        raise VectorFormatError(
            f"{name}: expected finite weights, found NaN or infinity in {_list(used)}. The file "
            f"is damaged, or precision='float32' is needed."
        )
    if not must_be_read:
        return
    if missing := _select_used(_find_initial(library), encode):
        raise VectorFormatError(
            f"{name}: expected all weights of the encoder in its safetensors, of the shapes that "
            f"its config.json implies; {len(missing)} are missing or have another shape: "
            f"{_list(missing)}. Get the whole model again, or correct config.json."
        )


def _is_finite(weight: Any) -> bool:
    if not weight.is_floating_point() or not weight.numel():
        return True
    low, high = weight.aminmax()
    return bool(low.isfinite() and high.isfinite())  # NaN is either of both


def _find_initial(library: Any) -> dict[str, Any]:
    """Find the parameters and saved buffers of transformers that no file has filled."""
    # It marks what it has read, and what is tied to that, and initialises the rest at random.
    library_class = import_module("transformers").PreTrainedModel
    initial = {}
    for prefix, module in library.named_modules():
        if isinstance(module, library_class):
            for name, value in module.state_dict(keep_vars=True).items():
                if value.is_floating_point() and not getattr(value, "_is_hf_initialized", False):
                    initial[f"{prefix}.{name}"] = value
    return initial


def _select_used(weights: dict[str, Any], encode: Callable[[], Any]) -> list[str]:
    """Name the weights on which the features depend; buffers are taken to be used."""
    if not weights:
        return []
    torch = import_module("torch")
    trainable = {k: v for k, v in weights.items() if isinstance(v, torch.nn.Parameter)}
    frozen = [v for v in trainable.values() if not v.requires_grad]
    try:
        for weight in frozen:
            weight.requires_grad_()
        with torch.enable_grad():
            features = encode()
            if not features.requires_grad:  # computed by other means than torch's
                return list(weights)
            found = torch.autograd.grad(features.sum(), list(trainable.values()), allow_unused=True)
    finally:
        for weight in frozen:
            weight.requires_grad_(requires_grad=False)
    unused = {name for name, grad in zip(trainable, found, strict=True) if grad is None}
    return [name for name in weights if name not in unused]


def _list(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
