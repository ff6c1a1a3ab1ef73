"""Networks from model files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from skorch.history import History
from torch import nn

from ...models.network import Network, load_tensors, make_head
from ...models.seeds import seeded
from ..config import resolve
from ..fit import Fit, Fitted
from ..inputs import find_kind
from ..parameters import CONVEX, Parameters
from ..protocol import Configuration
from .prediction import SavedNetwork

# What a network from a model file lacks: it cannot be pulled to initial parameters.
_LACKING = {"l2_sp": 0.0}


def restore(saved: SavedNetwork, parameters: Parameters) -> Fitted:
    """Build the network of a model file, and load its weights.

    Parameters
    ----------
    saved : SavedNetwork
    parameters : Parameters
        Of the estimator.

    Returns
    -------
    Fitted
        Without the state of the optimizer: a later `partial_fit` begins with a new one.

    Raises
    ------
    ValueError
        If the parts do not belong together.
    """
    is_module = saved.input_kind == "arrays"
    _check_sizes(saved)
    kind = find_kind(parameters.pretrained if is_module else saved.source)
    if kind.input_kind != saved.input_kind:
        raise ValueError(f"expected a model of {saved.input_kind}, found one of {kind.input_kind}")
    shaping = {**parameters.shaping, **saved.shaping}
    config = resolve(
        _shape(parameters, shaping, kind.optimizer), kind, saved.task, saved.policy, seed=saved.seed
    )
    representation = kind.represent(config)
    representation.features = saved.features
    with seeded(0, seed_global=True):
        encoder = representation.make_encoder(saved.features, config)
        network = Network(encoder, _make_head(saved, encoder, config))
    load_tensors(network, saved.tensors, saved.unchanged)
    net = Fit(config, saved.task).make_net(network, 1, None, None)
    net.initialize()
    net.history = History({**row, "batches": []} for row in saved.history)
    kept = {**shaping, "pretrained": parameters.pretrained, "adaptation": saved.policy, **_LACKING}
    return Fitted(saved.task, kind, representation, net, kept, saved.temperature, saved.thresholds)


def _shape(parameters: Parameters, shaping: dict[str, Any], optimizer: str) -> Parameters:
    """The parameters of a network with this shape."""
    changes: dict[str, Any] = {
        **{name: value for name, value in shaping.items() if name not in ("hidden", "pretrained")},
        "hidden_layer_sizes": shaping["hidden"],
        "optimizer": optimizer
        if parameters.optimizer in ("auto", CONVEX)
        else parameters.optimizer,
        # What belongs to training, or contradicts a network, may have been set afterwards.
        **{"average_last": 0, "class_weight": None, "checkpoint": None},
    }
    return replace(parameters, **changes, **_LACKING)  # type: ignore[arg-type]


def _make_head(
    saved: SavedNetwork, encoder: nn.Module | None, config: Configuration
) -> nn.Sequential:
    shapes = {
        int(name.split(".")[1]): tensor.shape
        for name, tensor in saved.tensors.items()
        if name.startswith("head.") and tensor.ndim == 2
    }
    outputs, inputs = zip(*(shapes[number] for number in sorted(shapes)), strict=True)
    # Before memory is taken: the sizes of a crafted file may be huge.
    if outputs != (*config.hidden, saved.task.n_outputs) or inputs[1:] != outputs[:-1]:
        raise ValueError(f"expected hidden layers of {config.hidden}, found {outputs[:-1]}")
    width = inputs[0]
    if encoder is None and width != sum(saved.features.n_columns):
        raise ValueError(f"expected a head of {sum(saved.features.n_columns)} columns, got {width}")
    return make_head(
        width,
        config.hidden,
        saved.task.n_outputs,
        activation=config.parameters.activation,
        dropout=config.parameters.dropout,
    )


def _check_sizes(saved: SavedNetwork) -> None:
    """Refuse a reader whose sizes are larger than any of its tensors, before memory is taken."""
    largest = max((max(tensor.shape, default=0) for tensor in saved.tensors.values()), default=0)
    params = saved.shaping.get("encoder_params") or {}
    sizes = [size for value in params.values() for size in np.ravel(value)]
    if any(isinstance(size, np.integer) and size > largest for size in sizes):
        raise ValueError(f"expected encoder_params of at most {largest}, got {params!r:.80}")
