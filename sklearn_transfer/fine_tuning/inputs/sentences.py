"""Texts that a sentence encoder reads as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from ..._utils.objects.state import State
from ...contextual.model import ContextualModel
from ...contextual.sequences import Sequences
from ...explanation.methods.explainer import Explainer
from ...explanation.methods.sentence_paths import SentenceExplainer, SentenceReader
from ...models.random_weights import randomise_encoder
from ...models.sentence_encoder import SentenceEncoder
from ...text.tokenization.coverage import measure_reading
from ...training.names import Loss
from ...training.nets.inference_net import InferenceNet
from ...training.policies import Adaptation, Contrastive, Frozen
from ..parameters import Parameters
from ..protocol import Configuration, Features, Kind, Representation
from ..targets.class_names import SENTENCE_TEMPLATES
from ..targets.targets import Task
from .arrays import TrainedEncoder
from .module_features import TunedFeatures, make_module_features
from .word_bag import find_sentence_scale, make_word_bag

# From so many labels on, training the top layers with the head may beat the contrastive stage.
_MANY_LABELS = 1000


class Sentences(Kind):
    """X is texts, and one contextual model encodes them."""

    input_kind = "sentences"
    has_layers = True
    optimizer = "adamw"
    max_epochs = 3  # Devlin et al. 2019, section A.3
    lr_factor = 0.005

    def __init__(self, model: ContextualModel) -> None:
        self.model = model

    @classmethod
    def of(cls, pretrained: Any) -> Self | None:
        """The kind of a contextual model."""
        return cls(pretrained) if isinstance(pretrained, ContextualModel) else None

    @property
    def source(self) -> ContextualModel:
        """The model."""
        return self.model

    def check_parameters(self, parameters: Parameters, policy: Adaptation) -> None:
        """Refuse to train a model that reads texts in windows."""
        super().check_parameters(parameters, policy)
        if not isinstance(policy, Frozen) or isinstance(policy, Contrastive):
            self.model.check_trainable()

    def is_linear(self, parameters: Parameters, policy: Adaptation) -> bool:
        """True if the model is frozen before the head is trained."""
        return isinstance(policy, Frozen)

    def solver_loss(self, task: Task | type[Task], policy: Adaptation) -> Loss:
        """The loss that separates classes from few labels."""
        return task.sentence_loss

    def has_fixed_features(self, config: Configuration) -> bool:
        """True if the model is not part of the net."""
        return config.is_frozen

    def name_templates(self, config: Configuration) -> Sequence[str]:
        """The name and a sentence, if the head reads features that are fixed before its fit."""
        return SENTENCE_TEMPLATES if config.is_frozen else ()

    def forms_clusters(self, config: Configuration) -> bool:
        """True if the features are fixed before the head is fitted."""
        return config.is_frozen

    def truncates(self, config: Configuration) -> bool:
        """True: a contextual model has a maximum sequence length."""
        return True

    def candidates(self, parameters: Parameters, n_samples: int) -> tuple[str, ...]:
        """Frozen features, the contrastive stage, and with many labels more training."""
        if self.model.settings.windows is not None:
            return ("frozen",)
        usual = ("frozen", "contrastive")
        return (*usual, "top-2") if n_samples >= _MANY_LABELS else usual

    def usual_policy(self, task: Task) -> str | None:
        """The contrastive stage, which gained on almost all sets of its sweep."""
        return "contrastive" if task.is_single_label else None

    def open(self, X: Any, max_tokens: int | None) -> Self:
        """The model, with a lower maximum sequence length if there is one."""
        return self if max_tokens is None else type(self)(self.model.cut(max_tokens))

    def randomise(self, config: Configuration, seed: int) -> dict[str, Any]:
        """A model of the same configuration with new weights."""
        return {"pretrained": randomise_encoder(self.model, seed)}

    def represent(self, config: Configuration) -> Representation:
        """Features of the model where it is not part of the net, else the tokens of the texts."""
        model = self.model
        if isinstance(config.policy, Contrastive):
            scale = find_sentence_scale(config)
            return TunedFeatures(make_module_features(SentenceInputs(model), scale, config))
        if config.is_frozen:
            return make_word_bag([model], config)
        return TrainedEncoder(SentenceInputs(model))


class SentenceInputs:
    """Texts as the token ids of a contextual model that is trained."""

    # `coverage` is the share of the tokens of the training texts that are not truncated. The
    # tokenizer is kept, because a pickle refers to the model only by its name or path.
    token_unit = None  # the model has pieces of words

    def __init__(self, model: ContextualModel) -> None:
        self.model, self.tokenizer = model, model.tokenizer

    input_kinds: tuple[str, ...] = ("sentences",)

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return {"model": self.model, "coverage": self.coverage}

    @classmethod
    def from_state(cls, state: State) -> SentenceInputs:
        """The inputs of these entries."""
        made = cls(state.of("model", ContextualModel))
        made.coverage = state.number("coverage")
        return made

    def pretrained_state(self) -> dict[str, Tensor]:
        """Tensors of the model, float32 as in a trainable copy."""
        state: dict[str, Tensor] = self.model.library_model.state_dict()
        return {
            name: tensor.float().cpu() if tensor.is_floating_point() else tensor.cpu()
            for name, tensor in state.items()
        }

    def used_words(self, vectors: Any) -> list[str]:
        """None: the model splits texts itself."""
        return []

    def fit_transform(
        self,
        texts: Sequence[str],
        membership: csr_array | None,
        sample_weight: NDArray[np.floating],
    ) -> Sequences:
        """Measure the coverage of texts and tokenize them."""
        self.coverage = measure_reading(texts, [self.model])
        return self.transform(texts)

    def transform(self, texts: Sequence[str]) -> Sequences:
        """Tokenize texts."""
        return self.tokenizer.split(texts)

    def make_explainer(
        self,
        features: Features,
        net: InferenceNet,
        encoder: SentenceEncoder,
        finish: Callable[[Tensor], Tensor],
    ) -> Explainer:
        """Gradients with respect to the vectors of the tokens."""
        return SentenceExplainer(features, net, SentenceReader(encoder, self.tokenizer), finish)

    def cut(self, max_tokens: int | None) -> SentenceInputs:
        """The same with a lower maximum sequence length."""
        return self if max_tokens is None else SentenceInputs(self.model.cut(max_tokens))

    def make_encoder(self, example: Sequences, *, pulled: bool) -> SentenceEncoder:
        """A trainable copy of the model."""
        return SentenceEncoder(self.model, pulled=pulled)
