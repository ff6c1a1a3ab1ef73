"""Arrays through a pretrained module: as they are, or as the features that it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import nn

from ..text.design import Design, dense_design
from .batches import Arrays
from .networks import ArrayEncoder, as_array

# Samples that are encoded at a time, and the norm of the features beside an intercept of 1.
_TOGETHER, _STRENGTH = 256, 3.0


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


class ModuleFeatures:
    """What a module that stays as it is gives, as the columns of a linear model.

    Parameters
    ----------
    module : nn.Module
        It is copied.
    strength : float or "auto"
        Root mean square of the norm of a training sample's features; "auto" is 3.
    device : torch.device

    Attributes
    ----------
    coverage : None
        Numbers have no tokens.

    Notes
    -----
    Features are centred and divided by one number, both learned from the training samples.
    """

    coverage = None

    def __init__(self, module: nn.Module, strength: Any, device: torch.device) -> None:
        self.encoder = ArrayEncoder(module).eval()
        self.strength = _STRENGTH if strength == "auto" else float(strength)
        self.device = device

    def fit_transform(
        self, X: NDArray[Any], membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Design:
        """Learn centre and scale from X, shape (n_samples, ...); its design matrix."""
        features = self._encode(X)
        self.mean = np.average(features, axis=0, weights=sample_weight).astype(np.float32)
        squares = np.square(features - self.mean).sum(axis=1)
        spread = float(np.sqrt(np.average(squares, weights=sample_weight)))
        self.scale = np.float32(self.strength / spread if spread > 0 else 1.0)
        return self._design(features)

    def transform(self, X: NDArray[Any]) -> Design:
        """The design matrix of X, shape (n_samples, ...)."""
        return self._design(self._encode(X))

    def _design(self, features: NDArray[np.float32]) -> Design:
        return dense_design((features - self.mean) * self.scale)

    def _encode(self, X: NDArray[Any]) -> NDArray[np.float32]:
        return encode_arrays(self.encoder, X, self.device)


@torch.no_grad()
def encode_arrays(
    encoder: ArrayEncoder, X: NDArray[Any], device: torch.device
) -> NDArray[np.float32]:
    """What an encoder gives for arrays, in batches.

    Parameters
    ----------
    encoder : ArrayEncoder
        In the mode in which it is used; it is moved to `device`.
    X : ndarray, shape (n_samples, ...)
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
    values = as_array(X, encoder)
    # Batches are copied: a module that works in place would otherwise write into X.
    parts = [
        encoder(torch.from_numpy(values[start : start + _TOGETHER].copy()).to(device)).cpu()
        for start in range(0, len(values), _TOGETHER)
    ]
    features: NDArray[np.float32] = torch.cat(parts).float().numpy()
    if not np.isfinite(features).all():
        raise ValueError(
            f"The module {type(encoder.module).__name__} gives NaN or infinite features for "
            f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} samples. "
            f"Look at its weights, and at the scale of X."
        )
    return features
