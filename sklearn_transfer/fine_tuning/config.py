"""What the parameters of a fit come to, and which of them do not go together."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch

from .._utils.cloning import CloneSharesPretrained
from .._utils.random import draw_seed
from ..contextual.safety import is_library_model
from ..models.readers import check_reader
from ..sources import is_contextual
from ..training.batches import find_device
from ..training.checkpoints import stored_seed
from ..training.losses import make_criterion
from ..training.policies import POLICIES, Adaptation, Contrastive, Frozen, Full, Layer, check_policy
from .selection import Choice, choose_adaptation

# What max_epochs="auto" is; a contextual model is trained for a few (Devlin et al. 2019, A.3).
_EPOCHS, _CONTEXTUAL_EPOCHS = 20, 3
# From so many labels on, layers of a contextual model are trained with the head, not before it.
_MANY_LABELS = 1000
# Criteria of which the linear model has one optimum.
_CONVEX = ("auto", "squared_hinge", "cross_entropy")


@dataclass(frozen=True)
class Steps:
    """What the parameters of a fit come to."""

    hidden: tuple[int, ...]
    optimizer: Any
    criterion: torch.nn.Module
    policy: Adaptation
    device: torch.device
    l2_sp: float
    max_epochs: int
    seed: int


class Choices(CloneSharesPretrained):
    """What is decided before anything is learned; parameters come from the estimator."""

    @property
    def _reads_arrays(self) -> bool:
        """Whether what is pretrained is a torch module, so that X is an array of any shape."""
        given = self.pretrained
        return isinstance(given, torch.nn.Module) and not is_library_model(given)

    @property
    def _reads_sentences(self) -> bool:
        """Whether what is pretrained is one contextual model."""
        return is_contextual(self.pretrained)

    def _resolve(self, adaptation: Any, seed: int, *, stream: bool = False) -> Steps:
        """Turn "auto" into choices, and refuse those that do not go together."""
        sizes = self.hidden_layer_sizes
        hidden = (int(sizes),) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(size, Integral) and int(size) > 0 for size in hidden):
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of positive integers, () for a linear head; "
                f"got {sizes!r}."
            )
        for name in ("ngram_range", "char_ngram_range"):
            _check_range(name, getattr(self, name))
        self._check_encoder()
        if self.average_last and self.early_stopping:
            raise ValueError(
                "average_last and early_stopping both choose the final weights: set one of them."
            )
        policy = POLICIES[adaptation]() if isinstance(adaptation, str) else adaptation
        if self.pretrained is None:
            check_policy([Layer("head", ())], policy)
        if isinstance(policy, Contrastive):
            self._check_contrastive(stream)
        optimizer, criterion = self.optimizer, self.criterion
        convex = isinstance(criterion, str) and criterion in _CONVEX
        solvable = not hidden and convex and self._is_linear(policy)
        if optimizer == "newton" and (not solvable or stream):
            raise ValueError(
                "optimizer='newton' needs a linear model: hidden_layer_sizes=(), for texts "
                "encoder='mean' with adaptation='full' or 'frozen', for a torch module "
                "adaptation='frozen'; a criterion given by name (not 'focal'); and all samples at "
                "once (fit). Use optimizer='auto' or 'adam'."
            )
        if optimizer == "auto":
            others = "adamw" if self._reads_sentences else "adam"
            optimizer = "newton" if solvable and not stream else others
        newton = optimizer == "newton"
        if newton and self.checkpoint is not None:
            raise ValueError(
                "checkpoint is for training in mini-batches; the solver 'newton' starts anew, and "
                "gives the same solution. Set checkpoint=None, or optimizer='adam'."
            )
        if newton and self.l2_sp == 0:
            raise ValueError(
                "optimizer='newton' needs a pull: l2_sp > 0, or 'auto', which is 1. Without one "
                "the offsets of rare words grow without bound."
            )
        if criterion == "auto":
            smooth = self.label_smoothing > 0
            criterion = "squared_hinge" if newton and not smooth else "cross_entropy"
        if stream and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all labels at once; give partial_fit a dict."
            )
        return Steps(
            hidden=hidden,
            optimizer=optimizer,
            criterion=make_criterion(criterion, self.label_smoothing),
            policy=policy,
            device=find_device(self.device),
            l2_sp=(1.0 if newton else 0.0) if self.l2_sp == "auto" else float(self.l2_sp),
            max_epochs=self._find_max_epochs(newton),
            seed=seed,
        )

    def _check_encoder(self) -> None:
        """Refuse an encoder where there are no token vectors to read, or with strange settings."""
        has_layers = self._reads_arrays or self._reads_sentences
        if self.encoder != "mean" and (self.pretrained is None or has_layers):
            raise ValueError(
                f"encoder={self.encoder!r} reads the pretrained vectors of texts; with "
                f"pretrained=None, a torch module or a contextual model it must stay 'mean'."
            )
        if self.layer_groups is not None and not has_layers:
            raise ValueError(
                "layer_groups name the layers of a torch module or a contextual model given as "
                "pretrained."
            )
        if self.token_dropout and self._reads_sentences:
            raise ValueError(
                "token_dropout leaves out word vectors; with a contextual model it must be 0."
            )
        check_reader(self.encoder, self.encoder_params)

    def _find_max_epochs(self, newton: bool) -> int:
        if self.max_epochs != "auto":
            return int(self.max_epochs)
        return _CONTEXTUAL_EPOCHS if self._reads_sentences and not newton else _EPOCHS

    def _check_contrastive(self, stream: bool) -> None:
        if not (self._reads_arrays or self._reads_sentences):
            raise ValueError(
                "adaptation='contrastive' trains an encoder: give one contextual model or a torch "
                "module as pretrained. Word vectors are adapted with adaptation='full'."
            )
        if stream:
            raise ValueError("adaptation='contrastive' needs all samples at once (fit).")

    def _is_linear(self, policy: Adaptation) -> bool:
        """Whether the logits are linear in what a fit with this policy learns."""
        if self.pretrained is None:
            return True
        if self._reads_arrays or self._reads_sentences:
            return isinstance(policy, Frozen)
        return self.encoder == "mean" and isinstance(policy, Frozen | Full)

    def _find_seed(self) -> int:
        """The seed of this fit; of one that goes on, that with which it began."""
        if self.random_state is None and self.checkpoint is not None:
            seed = stored_seed(self.checkpoint)
            if seed is not None:
                return seed
        return draw_seed(self.random_state)

    def _choose_adaptation(self, labelled: Any, validation: tuple[Any, Any], seed: int) -> Choice:
        """The policy that is given or, for "auto", the best of those that there are."""
        if not isinstance(self.adaptation, str) or self.adaptation != "auto":
            return Choice(self.adaptation)
        if self.pretrained is None:
            return Choice("full", reason="X is features: nothing pretrained is adapted")
        if self._reads_arrays and not any(True for _ in self.pretrained.parameters()):
            return Choice("frozen", reason="the module has no parameters to adapt")
        if self._reads_sentences:
            candidates = ["frozen", "contrastive" if len(labelled[1]) < _MANY_LABELS else "top-2"]
        elif self._reads_arrays or self.encoder != "mean":
            candidates = ["frozen", "lp-ft", "gradual", "full"]
        else:
            candidates = ["frozen", "full"]
        return choose_adaptation(self, candidates, labelled, validation, seed)


def _check_range(name: str, value: Any) -> None:
    if value is None or value == "auto":
        return
    whole = len(value) == 2 and all(isinstance(n, Integral) for n in value)
    if not whole or not 1 <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (shortest, longest) with 1 <= shortest <= longest, got {value!r}."
        )
