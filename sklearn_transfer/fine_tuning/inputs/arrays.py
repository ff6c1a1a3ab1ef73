"""Arrays of any shape, which a torch module encodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from ..._utils.objects.state import State
from ...explanation.methods.explainer import Explainer
from ...models.network import ArrayEncoder, Network, PretrainedModule, as_array
from ...models.random_weights import randomise_module
from ...training.batches import Inputs
from ...training.nets.inference_net import InferenceNet
from ...training.policies import Adaptation, Contrastive, Frozen
from ..parameters import Parameters
from ..protocol import Configuration, Features, Kind, Representation
from .module_features import EncoderInputs, TunedFeatures, leave_out, make_module_features
from .word_bag import FROZEN_SCALE


@dataclass(frozen=True)
class Arrays:
    """Samples of a user's module, shape (n_samples, ...)."""

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> Arrays:
        """Some of the samples, in the order given."""
        return Arrays(self.values[rows])

    @property
    def lengths(self) -> None:
        """None: samples have one shape."""
        return None

    def drop_tokens(self, share: float, generator: np.random.Generator) -> Arrays:
        """The same samples: arrays have no tokens."""
        return self

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Keyword argument of an `ArrayEncoder`: a copy, since a module may write into it."""
        return {"x": self.values.copy()}


class TrainedEncoder(Representation):
    """Inputs of a pretrained module that is part of the net."""

    features: EncoderInputs

    def saved_state(self, network: Network) -> dict[str, Tensor]:
        """The tensors of a network that differ from the pretrained ones."""
        return leave_out(super().saved_state(network), self.features, "encoder.module.")

    def make_explainer(self, net: InferenceNet) -> Explainer:
        """Gradients with respect to the inputs of the module."""
        module = net.module_
        return self.features.make_explainer(self.features, net, module.encoder, module.head)

    def make_encoder(self, example: Inputs, config: Configuration) -> nn.Module:
        """A copy of the module, to be trained."""
        return self.features.make_encoder(example, pulled=config.l2_sp > 0)


class Modules(Kind):
    """X is an array of shape (n_samples, ...), which copies of a torch module encode."""

    input_kind = "arrays"
    has_layers = True
    lr_factor = 0.1  # pretrained layers are trained more slowly than the new head

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @classmethod
    def of(cls, pretrained: Any) -> Self | None:
        """The kind of a torch module."""
        return cls(pretrained) if isinstance(pretrained, nn.Module) else None

    @property
    def source(self) -> None:
        """None: `pretrained_` names sources of texts."""
        return None

    def is_linear(self, parameters: Parameters, policy: Adaptation) -> bool:
        """True if the module is frozen before the head is trained."""
        return isinstance(policy, Frozen)

    def has_fixed_features(self, config: Configuration) -> bool:
        """True if the module is not part of the net."""
        return config.is_convex or isinstance(config.policy, Contrastive)

    def candidates(self, parameters: Parameters, n_samples: int) -> Sequence[str]:
        """All policies that suit any module."""
        if not any(True for _ in self.module.parameters()):
            return ("frozen",)
        return ("frozen", "lp-ft", "gradual", "full")

    def randomise(self, config: Configuration, seed: int) -> dict[str, Any]:
        """A copy of the module with the weights of its `reset_parameters`."""
        return {"pretrained": randomise_module(self.module, seed)}

    def represent(self, config: Configuration) -> Representation:
        """Features of the module where it is not part of the net, else its inputs."""
        inputs = ModuleInputs(self.module)
        if self.has_fixed_features(config):
            return TunedFeatures(make_module_features(inputs, FROZEN_SCALE, config))
        return TrainedEncoder(inputs)


class ModuleInputs:
    """Arrays in the dtype of a module."""

    coverage = token_unit = None  # numbers have no tokens

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    input_kinds: tuple[str, ...] = ("arrays",)

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file, which has no code of modules."""
        return {"pretrained": self.module}

    @classmethod
    def from_state(cls, state: State) -> ModuleInputs:
        """The inputs of a module that the user gives."""
        return cls(state.of("pretrained", nn.Module))

    def pretrained_state(self) -> dict[str, Tensor]:
        """Tensors that a model file leaves out: none, all of the module are in it."""
        return {}

    def used_words(self, vectors: Any) -> list[str]:
        """None: arrays have no words."""
        return []

    def fit_transform(
        self, X: NDArray[Any], membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Arrays:
        """X, shape (n_samples, ...), in the dtype of the module; nothing is learned."""
        return self.transform(X)

    def transform(self, X: NDArray[Any]) -> Arrays:
        """X, shape (n_samples, ...), in the dtype of the module."""
        return Arrays(as_array(X, self.module))

    def make_explainer(
        self,
        features: Features,
        net: InferenceNet,
        encoder: PretrainedModule,
        finish: Callable[[Tensor], Tensor],
    ) -> Explainer:
        """Refuse: the parts of an array have no names."""
        raise ValueError(
            "explain gives contributions of the tokens of texts, or of the columns of a matrix of "
            "features. For arrays that a torch module reads, use a library for their kind, for "
            "instance Captum (pip install captum) on model.module_."
        )

    def cut(self, max_tokens: int | None) -> ModuleInputs:
        """The same: arrays have no tokens."""
        return self

    def make_encoder(self, example: Arrays, *, pulled: bool) -> ArrayEncoder:
        """A copy of the module that can be trained; see `ArrayEncoder`."""
        return ArrayEncoder(self.module, pulled=pulled)
