"""Features that are given: numeric X as a design matrix."""

from __future__ import annotations

from typing import Any, Self

from ...explanation.methods.explainer import Explainer, LinearExplainer
from ...explanation.methods.word_paths import ColumnNetworkExplainer
from ...models.layers import Layer
from ...text.linear.scaled_columns import ScaledColumns
from ...training.nets.inference_net import InferenceNet
from ...training.policies import Adaptation, check_policy
from ..parameters import Parameters
from ..protocol import Configuration, FixedFeatures, Kind


class GivenColumns(FixedFeatures):
    """The columns of X."""

    features: ScaledColumns

    def make_explainer(self, net: InferenceNet) -> Explainer:
        """Contributions of the features; under hidden layers, gradients."""
        model = self.linear_model(net)
        if model is None:
            return ColumnNetworkExplainer(self.features, net)
        return LinearExplainer(self.features, model)


class GivenFeatures(Kind):
    """X is a matrix of features, and nothing is pretrained."""

    input_kind = "features"
    has_pretrained = False
    source = None

    @classmethod
    def of(cls, pretrained: Any) -> Self | None:
        """The kind of ``pretrained=None``."""
        return cls() if pretrained is None else None

    def check_parameters(self, parameters: Parameters, policy: Adaptation) -> None:
        """Refuse what needs pretrained layers."""
        super().check_parameters(parameters, policy)
        check_policy([Layer("head", ())], policy)
        if parameters.layer_groups is not None:
            raise ValueError(
                "layer_groups names the layers of a torch module or a contextual model given as "
                "pretrained; with pretrained=None it must be None."
            )

    def is_linear(self, parameters: Parameters, policy: Adaptation) -> bool:
        """True: only the head is trained."""
        return True

    def has_fixed_features(self, config: Configuration) -> bool:
        """True: X is features."""
        return True

    def candidates(self, parameters: Parameters, n_samples: int) -> tuple[str, ...]:
        """No pretrained layer: nothing to compare."""
        return ("full",)

    def randomise(self, config: Configuration, seed: int) -> dict[str, Any]:
        """Refuse: nothing is pretrained."""
        raise ValueError("X is features, and nothing is pretrained")

    def represent(self, config: Configuration) -> GivenColumns:
        """The scaled columns of X."""
        scale = config.pretrained_scale
        return GivenColumns(ScaledColumns(1.0 if scale == "auto" else float(scale)))
