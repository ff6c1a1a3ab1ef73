"""Samples through a pretrained module: as they are, or as the features that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import nn

from ..._utils.devices import device_or_cpu
from ...models.network import ArrayEncoder, PretrainedModule, as_array
from ...text.design import Design, dense_design
from ...training.batches import Arrays, Batches, Inputs, Samples, by_length
from ...training.contrastive import Contrastive, tune
from .sentences import SentenceInputs

# Samples that are encoded at a time.
_TOGETHER = 256


class ModuleInputs:
    """What a module that is trained takes: arrays in its dtype.

    Parameters
    ----------
    module : nn.Module

    Attributes
    ----------
    coverage : None
        Numbers have no tokens.
    """

    coverage = None

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def fit_transform(
        self, X: NDArray[Any], membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Arrays:
        """X, shape (n_samples, ...), for the module; nothing is learned."""
        return self.transform(X)

    def transform(self, X: NDArray[Any]) -> Arrays:
        """X, shape (n_samples, ...), for the module."""
        return Arrays(as_array(X, self.module))

    def cut(self, max_tokens: int | None) -> ModuleInputs:
        """The same: arrays have no tokens."""
        return self

    def make_encoder(self, example: Arrays, *, pulled: bool) -> ArrayEncoder:
        """A copy of the module that can be trained; see `ArrayEncoder`."""
        return ArrayEncoder(self.module, pulled=pulled)


class ModuleFeatures:
    """What a module gives, as the columns of a linear model.

    Parameters
    ----------
    inputs : ModuleInputs or SentenceInputs
        How X becomes what the module takes.
    strength : float
        Root mean square of the norm of a training sample's features.
    device : torch.device
    tuning : Contrastive or None, default=None
        A stage that trains the module first; None leaves it as it is.
    layer_groups : sequence or None, default=None
        The layers that the stage tells apart; None: what the module has.
    seed : int, default=0
        Of that stage.

    Attributes
    ----------
    coverage : float or None
        That of `inputs`.
    losses : list of float
        Of the stage, by its steps.

    Notes
    -----
    Features are centred and divided by one number, both learned from the training samples.
    """

    def __init__(
        self,
        inputs: ModuleInputs | SentenceInputs,
        strength: float,
        device: torch.device,
        tuning: Contrastive | None = None,
        layer_groups: Sequence[Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.inputs = inputs
        self.strength = strength
        self.device, self.tuning, self.seed = device, tuning, seed
        self.layer_groups = layer_groups

    def fit_transform(
        self, X: Any, membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Design:
        """Train the module if it is to be, and learn centre and scale; the design matrix of X."""
        inputs: Any = self.inputs.fit_transform(X, membership, sample_weight)
        self.coverage, self.losses = self.inputs.coverage, list[float]()
        self.encoder = self.inputs.make_encoder(inputs[:2], pulled=False).eval()
        if self.tuning is not None and membership is not None:
            self.losses = tune(
                self.encoder,
                self.inputs.cut(self.tuning.max_tokens).transform(X),
                membership,
                sample_weight,
                self.tuning,
                layer_groups=self.layer_groups,
                device=self.device,
                seed=self.seed,
            )
        features = encode_inputs(self.encoder, inputs, self.device)
        self.mean = np.average(features, axis=0, weights=sample_weight).astype(np.float32)
        squares = np.square(features - self.mean).sum(axis=1)
        spread = float(np.sqrt(np.average(squares, weights=sample_weight)))
        self.scale = np.float32(self.strength / spread if spread > 0 else 1.0)
        return self._design(features)

    def transform(self, X: Any) -> Design:
        """The design matrix of X."""
        return self._design(encode_inputs(self.encoder, self.inputs.transform(X), self.device))

    def __getstate__(self) -> dict[str, Any]:
        if hasattr(self, "encoder"):
            self.encoder.to("cpu")  # where it is used it is moved
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, device=torch.device(device_or_cpu(state["device"])))

    def _design(self, features: NDArray[np.float32]) -> Design:
        return dense_design((features - self.mean) * self.scale)


@torch.no_grad()
def encode_inputs(
    encoder: PretrainedModule, inputs: Inputs, device: torch.device
) -> NDArray[np.float32]:
    """What an encoder gives, in batches.

    Parameters
    ----------
    encoder : PretrainedModule
        In the mode in which it is used; it is moved to `device`.
    inputs : Arrays or Sequences, length n_samples
    device : torch.device

    Returns
    -------
    ndarray of float32, shape (n_samples, d)

    Raises
    ------
    ValueError
        If it refuses X, or what it gives is not (n_samples, d) or not finite.
    """
    encoder = encoder.to(device)
    inputs, back = by_length(inputs)
    together = getattr(encoder, "together", _TOGETHER)
    batches = Batches(Samples(inputs), together, device)
    parts = [encoder(**batch.tensors).cpu() for batch, _ in batches]
    features: NDArray[np.float32] = torch.cat(parts).float().numpy()[back]
    if not np.isfinite(features).all():
        raise ValueError(
            f"The module {type(encoder.module).__name__} gives NaN or infinite features for "
            f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} samples. "
            f"Look at its weights, and at the scale of X."
        )
    return features
