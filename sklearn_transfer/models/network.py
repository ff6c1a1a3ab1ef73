"""Networks: an encoder that may be pretrained, and a head that is new."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .readers import TextEncoder

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
}


def make_head(
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    *,
    activation: str,
    dropout: float,
) -> nn.Sequential:
    """A multi-layer perceptron, whose last module is linear.

    Parameters
    ----------
    n_features : int
    hidden_layer_sizes : sequence of int
        Empty for a linear head.
    n_outputs : int
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float
        Before every linear layer (Srivastava et al. 2014).

    Returns
    -------
    nn.Sequential
        From (n_samples, n_features) to (n_samples, n_outputs); its weights are drawn by Glorot &
        Bengio 2010, uniform.
    """
    layers: list[nn.Module] = []
    width = n_features
    for i, size in enumerate([*hidden_layer_sizes, n_outputs]):
        if i:
            layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
        linear = nn.utils.skip_init(nn.Linear, width, size)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers.append(linear)
        width = size
    return nn.Sequential(*layers)


class PretrainedModule(nn.Module):
    """A pretrained module, and where its parameters started.

    Parameters
    ----------
    module : nn.Module
        It is trained; it should be a copy.
    pulled : bool, default=False
        Whether to remember where its parameters started, for :meth:`squared_distance`.
    """

    def __init__(self, module: nn.Module, *, pulled: bool = False) -> None:
        super().__init__()
        self.module = module
        self._pulled = [name for name, _ in self.module.named_parameters()] if pulled else []
        for i, name in enumerate(self._pulled):
            start = self.module.get_parameter(name).detach().clone()
            self.register_buffer(f"start_{i}", start)

    def squared_distance(self, **_: Tensor) -> Tensor:
        """Squared distance of all parameters from where they started, shape ()."""
        if not self._pulled:
            raise RuntimeError("The start of the parameters is remembered with pulled=True only.")
        moved = (
            self.module.get_parameter(name) - self.get_buffer(f"start_{i}")
            for i, name in enumerate(self._pulled)
        )
        return torch.stack([change.square().sum() for change in moved]).sum()


class ArrayEncoder(PretrainedModule):
    """A copy of a module of the user's, over arrays.

    Parameters
    ----------
    module : nn.Module
        From (n_samples, ...) to (n_samples, d).
    pulled : bool, default=False
        See `PretrainedModule`.

    Raises
    ------
    ValueError
        If parameters of the module are lazy.
    """

    def __init__(self, module: nn.Module, *, pulled: bool = False) -> None:
        if any(nn.parameter.is_lazy(parameter) for parameter in module.parameters()):
            raise ValueError(
                f"The module {type(module).__name__} has lazy parameters, which have no shape yet: "
                f"call it once on some samples before it is given as pretrained."
            )
        super().__init__(copy.deepcopy(module), pulled=pulled)

    def forward(self, x: Tensor) -> Tensor:
        """Encode samples.

        Parameters
        ----------
        x : Tensor, shape (n_samples, ...)
            Integers stay integers; other numbers get the dtype of the module's parameters.

        Returns
        -------
        Tensor of float32, shape (n_samples, d)

        Raises
        ------
        ValueError
            If the module refuses `x`, or gives something else.
        """
        if x.is_floating_point():
            x = x.to(_floating_dtype(self.module))
        try:
            encoded: Tensor = self.module(x)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"The pretrained module, {type(self.module).__name__}, refused a batch of shape "
                f"{tuple(x.shape)} and dtype {x.dtype}: {error}"
            ) from error
        _check_encoded(encoded, len(x), type(self.module).__name__)
        return encoded.float()


def _floating_dtype(module: nn.Module) -> torch.dtype:
    """Of its parameters; float32 where it has none."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def _check_encoded(encoded: Any, n_samples: int, name: str) -> None:
    found = (
        f"shape {tuple(encoded.shape)}"
        if isinstance(encoded, Tensor)
        else f"an object of type {type(encoded).__name__}"
    )
    if not isinstance(encoded, Tensor) or encoded.dim() != 2 or len(encoded) != n_samples:
        raise ValueError(
            f"The module {name} must give a tensor of shape (n_samples, d), here ({n_samples}, d), "
            f"got {found}. Wrap it in a module that pools or picks what the head should see."
        )


class Network(nn.Module):
    """An encoder and a head.

    Parameters
    ----------
    encoder : nn.Module or None
        Its keyword arguments are the inputs; gives (n_samples, d). None: features are given.
    head : nn.Sequential
        From (n_samples, d) to logits; its last module is linear.
    """

    def __init__(self, encoder: nn.Module | None, head: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return int(self.head[-1].in_features)  # type: ignore[arg-type]

    def encode(self, **inputs: Tensor) -> Tensor:
        """What the head sees, shape (n_samples, d): `dense` where that is given."""
        if self.encoder is None or "dense" in inputs:
            return inputs["dense"]
        encoded: Tensor = self.encoder(**inputs)
        return encoded

    def features(self, **inputs: Tensor) -> Tensor:
        """What the last, linear layer sees, shape (n_samples, n_features)."""
        features = self.encode(**inputs)
        for layer in list(self.head)[:-1]:
            features = layer(features)
        return features

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits, shape (n_samples, n_outputs)."""
        logits: Tensor = self.head[-1](self.features(**inputs))
        return logits


@torch.no_grad()
def measure_width(encoder: PretrainedModule | TextEncoder, example: dict[str, Tensor]) -> int:
    """The number of features that an encoder gives.

    Parameters
    ----------
    encoder : nn.Module
    example : dict of Tensor
        The inputs of some samples.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If what it gives is not (n_samples, d) or not finite, or if it changes its own parameters.
    """
    module = encoder.module if isinstance(encoder, PretrainedModule) else encoder.reader
    module = getattr(module, "module", module)
    versions = [parameter._version for parameter in module.parameters()]
    training = encoder.training
    encoded = encoder.eval()(**example)
    encoder.train(training)
    n_samples = len(next(example[name] for name in ("x", "ids") if name in example))
    if "offsets" in example:
        n_samples = len(example["offsets"]) - 1
    _check_encoded(encoded, n_samples, type(module).__name__)
    if versions != [parameter._version for parameter in module.parameters()]:
        raise ValueError(
            f"The module {type(module).__name__} changes its own parameters when it is called; "
            f"what is learned must come from training alone. Keep such state in buffers."
        )
    if not torch.isfinite(encoded).all():
        raise ValueError(
            f"The module {type(module).__name__} gives NaN or infinite features for the first "
            f"samples. Look at its weights, and at the scale of X."
        )
    return encoded.shape[1]


def as_array(X: NDArray[Any], module: nn.Module) -> NDArray[Any]:
    """X as a module takes it: integers as int64, others as float64 if it has that, else float32."""
    if X.dtype.kind in "iub":
        return X.astype(np.int64, copy=False)
    wanted = np.float64 if _floating_dtype(module) == torch.float64 else np.float32
    return X.astype(wanted, copy=False)
