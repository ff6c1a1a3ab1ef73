"""Explanations of linear models from model files whose features a network encodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._utils.devices import resolve_device
from ...explanation.methods.explainer import Explainer
from ...models.linear import LinearBag
from ...text.bag.bag_features import BagFeatures
from ...text.linear.design import Design
from ...text.linear.linear_model import LinearModel
from ..inputs.module_features import TunedFeatures
from ..inputs.word_bag import WordBag


@dataclass(frozen=True)
class LinearModule:
    """A linear model as torch's gradients read it, in place of a net."""

    model: LinearModel
    module_: LinearBag
    device: str

    def logits(self, design: Design) -> NDArray[np.floating]:
        """Logits, shape (n_samples, n_outputs)."""
        return self.model.logits(design)

    def move_to(self, device: Any) -> None:
        """Move the module to a device."""
        self.module_.to(device)


def explain_encoded(features: Any, model: LinearModel) -> Explainer:
    """Make an explainer of a linear model on features of sentence encoders.

    Parameters
    ----------
    features : BagFeatures or ModuleFeatures
    model : LinearModel

    Returns
    -------
    Explainer
    """
    n_sparse, n_outputs = model.token_weights.shape
    dtype = torch.from_numpy(model.head[:0]).dtype
    module = LinearBag(n_sparse, len(model.head), n_outputs, dtype)
    module.set_solution(np.concatenate([model.token_weights, model.head]), model.intercept)
    net: Any = LinearModule(model, module, resolve_device("auto"))
    is_bag = isinstance(features, BagFeatures)
    representation = WordBag(features) if is_bag else TunedFeatures(features)
    return representation.make_explainer(net)
