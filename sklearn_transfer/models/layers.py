"""Layers of a network: groups of parameters that policies train or freeze together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from .network import PretrainedModule
from .sentence_encoder import SentenceEncoder
from .text_encoder import TextEncoder


@dataclass(frozen=True)
class Layer:
    """Parameters that share a learning rate; members are names of parameters or modules."""

    name: str
    members: tuple[str, ...]

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """The parameters, in the order of the network."""
        return [parameter for name, parameter in network.named_parameters() if self.holds(name)]

    def holds(self, name: str) -> bool:
        """True if a parameter or module is one of the members, or inside one."""
        return any(name == member or name.startswith(f"{member}.") for member in self.members)


def find_layers(network: nn.Module, layer_groups: Sequence[Any] | None = None) -> list[Layer]:
    """Find the layers of a network, lowest first, the head last.

    Parameters
    ----------
    network : nn.Module
    layer_groups : sequence of str, or of sequences of str, default=None
        The layers of the user's module, lowest first, as names of its modules or parameters. None
        takes its children that have parameters, in the order of their definition. An only child is
        replaced by its children. Parameters of the module itself belong to the lowest layer.

    Returns
    -------
    list of Layer
        A parameter that `layer_groups` do not name once is a ValueError.
    """
    encoder = getattr(network, "encoder", None)
    if isinstance(encoder, PretrainedModule):
        if layer_groups is not None:
            layers = _named_layers(encoder.module, layer_groups)
        elif isinstance(encoder, SentenceEncoder):
            layers = [Layer(name, tuple(members)) for name, members in encoder.layer_members()]
        else:
            layers = _child_layers(encoder.module)
        layers = [
            Layer(layer.name, tuple(f"encoder.module.{member}" for member in layer.members))
            for layer in layers
        ]
    elif layer_groups is not None:
        raise ValueError(
            "layer_groups name the layers of a torch module given as pretrained. Set it to None."
        )
    else:
        layers = [Layer("vectors", ("encoder.rows",))] if isinstance(encoder, TextEncoder) else []
    head = [
        name
        for name, _ in network.named_parameters()
        if not any(layer.holds(name) for layer in layers)
    ]
    return [*layers, Layer("head", tuple(head))]


def has_trainable_encoder(network: nn.Module) -> bool:
    """True if any parameter of the encoder is trained."""
    encoder = getattr(network, "encoder", None)
    return encoder is not None and any(p.requires_grad for p in encoder.parameters())


def _child_layers(module: nn.Module, path: str = "") -> list[Layer]:
    children = [
        (name, child)
        for name, child in module.named_children()
        if any(True for _ in child.parameters())
    ]
    own = [path + name for name, _ in module.named_parameters(recurse=False)]
    if len(children) == 1 and not own:
        name, child = children[0]
        return _child_layers(child, f"{path}{name}.") or [Layer(path + name, (path + name,))]
    if not children:
        return [Layer(path.rstrip(".") or type(module).__name__, tuple(own))] if own else []
    layers = [Layer(path + name, (path + name,)) for name, _ in children]
    layers[0] = Layer(layers[0].name, (*layers[0].members, *own))
    return layers


def _named_layers(module: nn.Module, layer_groups: Sequence[Any]) -> list[Layer]:
    layers = []
    known = {name for name, _ in [*module.named_modules(), *module.named_parameters()]} - {""}
    for entry in layer_groups:
        members = (entry,) if isinstance(entry, str) else tuple(entry)
        unknown = [name for name in members if name not in known]
        if unknown or not members:
            raise ValueError(
                f"layer_groups name {unknown[0] if unknown else 'nothing'!r}, which the pretrained "
                f"module does not have; its modules: "
                f"{', '.join(name for name, _ in module.named_children())}."
            )
        layers.append(Layer(members[0], members))
    for name, _ in module.named_parameters():
        n_times = sum(layer.holds(name) for layer in layers)
        if n_times != 1:
            raise ValueError(
                f"layer_groups must name every parameter of the pretrained module once; {name!r} "
                f"is named {n_times} times."
            )
    return layers
