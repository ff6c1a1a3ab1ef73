"""The protocol between a fit and its inputs: kinds of X, representations, the configuration."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from ..explanation.methods.explainer import Explainer
from ..models.network import Network
from ..text.linear.linear_model import LinearModel
from ..text.rows import ComparedRows
from ..text.tokenization.units import UnitName
from ..training.batches import Inputs, Samples
from ..training.names import Loss
from ..training.nets.inference_net import InferenceNet
from ..training.policies import Adaptation, Frozen
from .checks import check_input
from .parameters import Parameters
from .targets.targets import Task

# A mini-batch holds this share of the samples, within bounds.
_BATCHES_PER_EPOCH, _SMALLEST_BATCH, _LARGEST_BATCH = 16, 8, 128


class Features(Protocol):
    """Inputs of a net that are learned from X."""

    @property
    def coverage(self) -> float | None:
        """Share of the tokens of the training texts that the pretrained model reads."""

    @property
    def token_unit(self) -> UnitName | None:
        """The unit that most tokens of the training texts are, if texts are split into words."""

    def fit_transform(
        self, X: Any, /, membership: csr_array | None, sample_weight: NDArray[np.floating]
    ) -> Inputs:
        """Learn from the training samples, and return their inputs."""

    def transform(self, X: Any, /) -> Inputs:
        """Inputs of samples."""


class Representation:
    """Features, and the encoder that reads them."""

    # `has_seen_labels` is True if the labels of all samples have shaped the features, so that
    # samples that are left out of a later fit are not new to the model.

    has_seen_labels = False

    def __init__(self, features: Features) -> None:
        self.features = features

    def copy(self) -> Self:
        """Copy, so that the original is not changed by :meth:`extend`."""
        made = copy.copy(self)
        made.features = copy.copy(self.features)
        return made

    def saved_state(self, network: Network) -> dict[str, Tensor]:
        """The tensors of a network that a model file has; the others are pretrained ones."""
        return network.saved_state()

    def extend(self, X: Any) -> Tensor | None:
        """Learn words that occur for the first time; initial rows of the table for them, if any."""
        return None

    def compare_rows(self, encoder: Any) -> ComparedRows | None:
        """Words, and their vectors before and after training; None without a trained table."""
        return None

    def continue_encoder(self, encoder: Any, config: Configuration) -> None:
        """Prepare the encoder of an earlier fit for training under a configuration."""

    def match_names(self, net: InferenceNet, texts: Any, names: Samples) -> None:
        """Prepare a model that was fitted on names of classes alone for texts."""

    def linear_model(self, net: InferenceNet) -> LinearModel | None:
        """The model as arrays, if it is linear in a design matrix."""
        return None

    def make_explainer(self, net: InferenceNet) -> Explainer:
        """The model as one whose logits can be attributed; a ValueError where they cannot."""
        raise NotImplementedError

    def make_encoder(self, example: Inputs, config: Configuration) -> nn.Module | None:
        """Module from inputs to the features of the head; None where inputs are these features."""
        return None


class FixedFeatures(Representation):
    """Features that no layer of the net changes: a design matrix."""

    features: Any

    def linear_model(self, net: InferenceNet) -> LinearModel | None:
        """The model as arrays, if there are no hidden layers."""
        n_sparse, _ = self.features.n_columns
        model: LinearModel | None = net.module_.linear_model(n_sparse)
        return model


class Kind(ABC):
    """One kind of X.

    Attributes
    ----------
    input_kind : str
        The kind of X, see `check_input`.
    optimizer : str
        ``optimizer="auto"`` of mini-batch training.
    max_epochs : int
        ``max_epochs="auto"`` of mini-batch training.
    lr_factor : float
        Learning rate of the pretrained layers, where `embedding_lr` is None, relative to `lr`.
    has_pretrained : bool
        Whether there is a pretrained model.
    has_layers : bool
        Whether policies can tell layers of the pretrained model apart.
    has_tables : bool
        Whether word vectors are among the sources.
    """

    input_kind: ClassVar[str]
    optimizer: ClassVar[str] = "adam"
    max_epochs: ClassVar[int] = 20
    lr_factor: ClassVar[float] = 1.0
    has_pretrained: ClassVar[bool] = True
    has_layers: ClassVar[bool] = False
    has_tables: bool = False

    @classmethod
    @abstractmethod
    def of(cls, pretrained: Any) -> Self | None:
        """The kind of X that a resolved `pretrained` reads; None where that is another kind."""

    @property
    @abstractmethod
    def source(self) -> Any:
        """Value of the fitted attribute `pretrained_`."""

    def check(self, X: Any, estimator: BaseEstimator, *, reset: bool) -> Any:
        """Validate X; `reset` lets the estimator remember its features."""
        return check_input(self.input_kind, X, estimator, reset=reset)

    def check_parameters(self, parameters: Parameters, policy: Adaptation) -> None:
        """Refuse parameters that contradict this kind of X."""
        if parameters.encoder != "mean":
            raise ValueError(
                f"encoder={parameters.encoder!r} reads the pretrained vectors of texts; with "
                f"pretrained=None, a torch module or a contextual model it must stay 'mean'."
            )

    @abstractmethod
    def is_linear(self, parameters: Parameters, policy: Adaptation) -> bool:
        """True if the logits of a linear head are linear in everything that is trained."""

    def solver_loss(self, task: Task | type[Task], policy: Adaptation) -> Loss:
        """The criterion "auto" of the convex solver."""
        return task.solver_loss

    @abstractmethod
    def has_fixed_features(self, config: Configuration) -> bool:
        """True if the head reads features that mini-batch training does not change."""

    def name_templates(self, config: Configuration) -> Sequence[str]:
        """``name_templates="auto"``; nothing where names of classes are no samples."""
        return ()

    def forms_clusters(self, config: Configuration) -> bool:
        """True if the features of a class lie around its centroid."""
        return False

    def splits_words(self, config: Configuration) -> bool:
        """True if texts are split into words."""
        return False

    def truncates(self, config: Configuration) -> bool:
        """True if long texts are truncated."""
        return self.splits_words(config)

    def has_token_weights(self, config: Configuration) -> bool:
        """True if tokens have weights of their own, in a linear model."""
        return False

    def reads_sequences(self, config: Configuration) -> bool:
        """True if word vectors are trained in mini-batches."""
        return False

    @abstractmethod
    def candidates(self, parameters: Parameters, n_samples: int) -> Sequence[str]:
        """Policies that ``adaptation="auto"`` compares, the simplest first."""

    def usual_policy(self, task: Task) -> str | None:
        """The policy of ``adaptation="auto"`` unless a comparison speaks for another."""
        return None

    @abstractmethod
    def randomise(self, config: Configuration, seed: int) -> dict[str, Any]:
        """Parameters of an estimator with random weights in place of the pretrained ones.

        Parameters
        ----------
        config : Configuration
        seed : int

        Returns
        -------
        dict of str to object
            Changed parameters; the others stay as they are.

        Raises
        ------
        ValueError
            If random weights cannot be made; the message is the reason.
        """

    def open(self, X: Any, max_tokens: int | None) -> Self:
        """Open the sources; estimators of vectors are fitted on the training samples X."""
        return self

    @abstractmethod
    def represent(self, config: Configuration) -> Representation:
        """Representation of X under a configuration; nothing is learned yet."""


@dataclass(frozen=True)
class Configuration:
    """Resolved parameters of a fit.

    If `is_convex`, a solver of scikit-learn fits a linear model with `loss`. Else a net is trained
    in mini-batches with `optimizer` and `criterion`, its pretrained layers at the rate `encoder_lr`
    (None is `lr`). If `is_stream`, samples come in parts (`partial_fit`).
    `is_indicator` tells that y has independent labels.
    """

    parameters: Parameters
    kind: Kind
    policy: Adaptation
    is_convex: bool
    optimizer: Any
    loss: Loss
    criterion: nn.Module
    hidden: tuple[int, ...]
    device: torch.device
    l2_sp: float
    pretrained_scale: float | Literal["auto"]
    max_epochs: int
    encoder_lr: float | None
    seed: int
    has_validation: bool = False
    is_stream: bool = False
    is_indicator: bool = False

    @property
    def is_frozen(self) -> bool:
        """True if the pretrained model stays as it is while the head is trained."""
        return isinstance(self.policy, Frozen)

    @property
    def name_templates(self) -> Sequence[str]:
        """Templates of the texts that stand for the name of a class; nothing without effect."""
        of_kind = () if self.is_stream else self.kind.name_templates(self)
        given = self.parameters.name_templates
        return of_kind if isinstance(given, str) or not of_kind else given

    def batch_size(self, n_samples: int) -> int:
        """Samples of a mini-batch."""
        size = self.parameters.batch_size
        if size != "auto":
            return size
        return min(max(n_samples // _BATCHES_PER_EPOCH, _SMALLEST_BATCH), _LARGEST_BATCH)
