"""Features that a pretrained module computes, as the columns of a linear model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from ..._utils.devices import device_or_cpu, resolve_device
from ..._utils.objects.state import State
from ..._utils.progress import progress_bar
from ...explanation.methods.explainer import Explainer
from ...models.network import PretrainedModule, load_tensors, to_arrays
from ...models.seeds import EvaluationSeed
from ...text.linear.design import Design, dense_design
from ...training.batches import Batches, Inputs, Samples, by_length
from ...training.contrastive import tune
from ...training.nets.inference_net import InferenceNet
from ...training.policies import Contrastive
from ...vectors.pretrained_vectors import PretrainedVectors
from ..protocol import Configuration, Features, FixedFeatures

# Samples that are encoded at a time.
_TOGETHER = 256


class EncoderInputs(Features, Protocol):
    """Inputs of a pretrained module; `input_kinds` are the kinds of X."""

    input_kinds: tuple[str, ...]

    def cut(self, max_tokens: int | None) -> EncoderInputs:
        """The same, of at most so many tokens of each text."""

    def make_encoder(self, example: Any, *, pulled: bool) -> PretrainedModule:
        """Copy of the module that can be trained."""

    def pretrained_state(self) -> dict[str, Tensor]:
        """Tensors of the module that are there without a model file, by name."""

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts: none, the module has no words."""

    def make_explainer(
        self,
        features: Features,
        net: InferenceNet,
        encoder: Any,
        finish: Callable[[Tensor], Tensor],
    ) -> Explainer:
        """Explain a net that `finish` computes from what the encoder gives."""


def leave_out(
    state: dict[str, Tensor], inputs: EncoderInputs, prefix: str = ""
) -> dict[str, Tensor]:
    """The tensors that differ from the pretrained ones, whose names have no prefix."""
    pretrained = inputs.pretrained_state()
    return {
        name: tensor
        for name, tensor in state.items()
        if (before := pretrained.get(name.removeprefix(prefix))) is None
        or not torch.equal(tensor.cpu(), before)
    }


class ModuleFeatures:
    """Features of a module: centred, and divided by one number."""

    is_sum_of_tokens = False
    token_unit = None

    # `scale` is the root mean square of the norm of a training sample's features. A stage `tuning`
    # trains the module first, with the layers `layer_groups`; `losses` has the loss of its steps.

    def __init__(  # noqa: PLR0913 (a constructor)
        self,
        inputs: EncoderInputs,
        scale: float,
        device: torch.device,
        *,
        tuning: Contrastive | None = None,
        layer_groups: Sequence[Any] | None = None,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        self.inputs = inputs
        self.scale = scale
        self.device, self.tuning, self.seed = device, tuning, seed
        self.layer_groups, self.verbose = layer_groups, verbose

    def fit_transform(
        self, X: Any, membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Design:
        """Tune the module, learn centre and scale, and return the design of X."""
        inputs: Any = self.inputs.fit_transform(X, membership, sample_weight)
        self.coverage, self.losses = self.inputs.coverage, list[float]()
        self.encoder = self.inputs.make_encoder(inputs[:2], pulled=False).eval()
        self.evaluation = self._seed_evaluation()
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
                verbose=self.verbose,
            )
        features = self._encode(inputs)
        self.mean = np.average(features, axis=0, weights=sample_weight).astype(np.float32)
        squares = np.square(features - self.mean).sum(axis=1)
        spread = float(np.sqrt(np.average(squares, weights=sample_weight)))
        self.factor = np.float32(self.scale / spread if spread > 0 else 1.0)
        return self._design(features)

    def _seed_evaluation(self) -> EvaluationSeed:
        return EvaluationSeed(self.seed, may_draw=not self.encoder.is_own)

    @property
    def input_kinds(self) -> tuple[str, ...]:
        """The kinds of X that the module reads."""
        return self.inputs.input_kinds

    coefficient_scale = 1.0

    def column_names(self) -> list[str]:
        """Names of the features."""
        return [f"pretrained__{i}" for i in range(len(self.mean))]

    @property
    def n_columns(self) -> tuple[int, int]:
        """Numbers of sparse and of dense columns."""
        return 0, len(self.mean)

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        state = leave_out(self.encoder.module.state_dict(), self.inputs)
        return {
            "inputs": self.inputs,
            "mean": self.mean,
            "factor": float(self.factor),
            "coverage": self.coverage,
            "seed": self.seed,
            "tensors": to_arrays(state),
        }

    @classmethod
    def from_state(cls, state: State) -> ModuleFeatures:
        """The features of these entries."""
        inputs: Any = state["inputs"]
        seed = state.integer("seed")
        made = cls(inputs, 1.0, torch.device(resolve_device("auto")), seed=seed)
        made.encoder = inputs.make_encoder(None, pulled=False).eval()
        made.evaluation = made._seed_evaluation()
        load_tensors(made.encoder.module, state.of("tensors", dict), inputs.pretrained_state())
        made.mean = state.array("mean", "float32", None)
        made.factor = np.float32(state.number("factor"))
        made.coverage, made.losses = state.optional("coverage", float), []
        return made

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """None: the module has no words."""
        return self.inputs.used_words(vectors)

    def transform(self, X: Any) -> Design:
        """Design matrix of X."""
        return self._design(self._encode(self.inputs.transform(X)))

    def _encode(self, inputs: Any) -> NDArray[np.float32]:
        with self.evaluation(self.device):
            return encode_inputs(self.encoder, inputs, self.device, verbose=self.verbose)

    def __getstate__(self) -> dict[str, Any]:
        if hasattr(self, "encoder"):
            self.encoder.to("cpu")  # each use moves it to its device
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, device=torch.device(device_or_cpu(state["device"])))

    def _design(self, features: NDArray[np.float32]) -> Design:
        return dense_design((features - self.mean) * self.factor)


class TunedFeatures(FixedFeatures):
    """Features of a module, which a contrastive stage may have trained."""

    features: ModuleFeatures

    def make_explainer(self, net: InferenceNet) -> Explainer:
        """Gradients with respect to the inputs of the module."""
        features = self.features
        mean = torch.from_numpy(features.mean).to(net.device)

        def finish(encoded: Tensor) -> Tensor:
            logits: Tensor = net.module_(dense=(encoded - mean) * float(features.factor))
            return logits

        return features.inputs.make_explainer(features, net, features.encoder, finish)

    @property
    def has_seen_labels(self) -> bool:  # type: ignore[override]
        """True if the stage has trained the module with the labels."""
        return bool(self.features.losses)


def make_module_features(
    inputs: EncoderInputs, auto_scale: float, config: Configuration
) -> ModuleFeatures:
    """Features of a configuration; `auto_scale` is ``pretrained_scale="auto"``."""
    scale = config.pretrained_scale
    policy = config.policy
    return ModuleFeatures(
        inputs,
        auto_scale if scale == "auto" else float(scale),
        config.device,
        tuning=policy if isinstance(policy, Contrastive) else None,
        layer_groups=config.parameters.layer_groups,
        seed=config.seed,
        verbose=config.parameters.verbose,
    )


@torch.no_grad()
def encode_inputs(
    encoder: PretrainedModule, inputs: Inputs, device: torch.device, *, verbose: int = 0
) -> NDArray[np.float32]:
    """Encode inputs in batches by an encoder in its present mode: float32, shape (n_samples, d)."""
    encoder.restore()
    encoder = encoder.to(device)
    inputs, back = by_length(inputs)
    together = getattr(encoder, "together", _TOGETHER)
    batches = Batches(Samples(inputs), together, device)
    parts = []
    with progress_bar(len(inputs), "samples", verbose=verbose) as bar:
        for batch, _ in batches:
            parts.append(encoder(**batch.tensors).cpu())
            bar.update(len(batch))
    features: NDArray[np.float32] = torch.cat(parts).float().numpy()[back]
    if not np.isfinite(features).all():
        raise ValueError(
            f"The module {type(encoder.module).__name__} gives NaN or infinite features for "
            f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} samples. "
            f"Look at its weights, and at the scale of X."
        )
    return features
