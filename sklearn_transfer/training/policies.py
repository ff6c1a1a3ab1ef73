"""Adaptation policies: the learning rate of each layer in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from .._utils.objects.state import PlainState

# Rates of the layers of a fit's epochs, as they are in its history.
RATES = "rates"


class Adaptation(Protocol):
    """Interface of a policy: any object with this method.

    A policy may also have a method ``n_probing(history)``, the number of epochs that come before
    `max_epochs` begins to count.
    """

    def rates(
        self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]
    ) -> Sequence[float]:
        """Give the learning rate of each layer in an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, starting at 0.
        n_layers : int
            Number of layers: those of the pretrained module, lowest first, and the head with all
            parameters that are not pretrained, last.
        history : sequence of dict
            The previous epochs: `train_loss`, `valid_loss` if there is one, and `rates`.

        Returns
        -------
        sequence of float, length n_layers
            Factors of the learning rate; a layer of factor 0 is frozen.
        """


@dataclass(frozen=True)
class Frozen(PlainState):
    """Train the head only (feature extraction)."""

    def rates(self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]) -> list[float]:
        """The head alone."""
        return [0.0] * (n_layers - 1) + [1.0]


@dataclass(frozen=True)
class Full(PlainState):
    """Train every layer in every epoch."""

    def rates(self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]) -> list[float]:
        """All at the same rate."""
        return [1.0] * n_layers


@dataclass(frozen=True)
class Top(PlainState):
    """Train the head and the highest layers; the layers below are frozen.

    Attributes
    ----------
    n_layers : int, default=1
        Number of trainable layers of the pretrained module.
    """

    n_layers: int = 1

    def rates(self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]) -> list[float]:
        """The top layers."""
        moving = min(1 + self.n_layers, n_layers)
        return [0.0] * (n_layers - moving) + [1.0] * moving


@dataclass(frozen=True)
class Gradual(PlainState):
    """Unfreeze one layer after another, from the head downwards (Howard & Ruder 2018, section 3.3).

    Attributes
    ----------
    epochs : int, default=1
        Number of epochs after which the next layer is unfrozen.
    """

    epochs: int = 1

    def rates(self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]) -> list[float]:
        """The top layers."""
        moving = min(1 + epoch // self.epochs, n_layers)
        return [0.0] * (n_layers - moving) + [1.0] * moving


@dataclass(frozen=True)
class Discriminative(PlainState):
    """Lower the rate by a factor from each layer to the next lower one (Howard & Ruder 2018, 3.2).

    Attributes
    ----------
    factor : float, default=2.6
        Divisor of the learning rate per layer; the default is that of the paper.
    """

    factor: float = 2.6

    def rates(self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]) -> list[float]:
        """All, the head at the highest rate."""
        return [self.factor**-depth for depth in range(n_layers - 1, -1, -1)]


@dataclass(frozen=True)
class LinearProbing(PlainState):
    """Train the head until it has converged, then every layer: LP-FT (Kumar et al. 2022).

    Attributes
    ----------
    tolerance : float, default=1e-3
        The head has converged if the last `patience` epochs improve the best loss by less than this
        share of the loss of the first epoch.
    patience : int, default=5
        Number of epochs that are compared with the epochs before.
    max_probing : int, default=200
        Maximum number of epochs that train only the head.
    """

    tolerance: float = 1e-3
    patience: int = 5
    max_probing: int = 200

    def n_probing(self, history: Sequence[dict[str, Any]]) -> int:
        """Number of epochs in which only the head was trained."""
        count = sum(not any(list(row[RATES].values())[:-1]) for row in history)
        return min(count, self.max_probing)

    def rates(self, epoch: int, n_layers: int, history: Sequence[dict[str, Any]]) -> list[float]:
        """The head alone, or all."""
        probing = self.n_probing(history)
        if probing == epoch < self.max_probing and not self._has_converged(history):
            return [0.0] * (n_layers - 1) + [1.0]
        return [1.0] * n_layers

    def _has_converged(self, history: Sequence[dict[str, Any]]) -> bool:
        losses = [float(row["train_loss"]) for row in history]
        if len(losses) <= self.patience:
            return False
        gain = min(losses[: -self.patience]) - min(losses[-self.patience :])
        return gain < self.tolerance * losses[0]


@dataclass(frozen=True)
class Contrastive(Frozen):
    """Train the encoder with a contrastive loss, freeze it, then train the head.

    Attributes
    ----------
    n_steps : int, default=20
        Number of steps, one batch each.
    lr : float, default=1e-4
        Learning rate of AdamW after a warm-up over a tenth of the steps; it falls linearly to 0.
    batch_size : int, default=64
        Number of samples per batch, equal for all classes. With fewer samples, a batch has all.
    n_layers : int or None, default=6
        Number of trainable layers, from the top; None trains all layers. The outputs of the layers
        below are computed once.
    temperature : float, default=0.1
        Divisor of the cosines in the loss.
    tuned_share : float, default=0.5
        Weight of the trained weights in their average with the pretrained weights.
    max_tokens : int or None, default=128
        Maximum sequence length in the contrastive stage. For the features of the head, texts are
        truncated only by the limit of the model.

    Notes
    -----
    The loss is the supervised contrastive loss (Khosla et al. 2020 [1]_): a softmax of cosines
    predicts, for each text of a batch, the other texts of its class. All pairs of a batch are used,
    so a text is encoded once per step, and not once per pair as in SetFit (Tunstall et al.
    2022 [2]_). The encoder is in evaluation mode: dropout is off, and batch norms keep their
    statistics. At the end, the weights are averaged with the pretrained weights (Wortsman et al.
    2022 [3]_), so that a few labels do not erase pretrained knowledge.

    References
    ----------
    .. [1] Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu & Krishnan, "Supervised
       contrastive learning", NeurIPS 2020 (arXiv 2004.11362).
    .. [2] Tunstall, Reimers, Jo, Bates, Korat, Wasserblat & Pereg, "Efficient few-shot learning
       without prompts", 2022 (arXiv 2209.11055).
    .. [3] Wortsman, Ilharco, Kim, Li, Kornblith, Roelofs, Gontijo-Lopes, Hajishirzi, Farhadi,
       Namkoong & Schmidt, "Robust fine-tuning of zero-shot models", CVPR 2022 (arXiv 2109.01903).
    """

    n_steps: int = 20
    lr: float = 1e-4
    batch_size: int = 64
    n_layers: int | None = 6
    temperature: float = 0.1
    tuned_share: float = 0.5
    max_tokens: int | None = 128

    def __post_init__(self) -> None:
        for name, least in (("n_steps", 1), ("batch_size", 2), ("n_layers", 1), ("max_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"Contrastive needs {name} of at least {least}, got {value!r}.")
        for name in ("lr", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"Contrastive needs a positive {name}, got {getattr(self, name)!r}."
                )
        if not 0 < self.tuned_share <= 1:
            raise ValueError(
                f"Contrastive needs a tuned_share above 0, at which nothing is learned, up to 1; "
                f"got {self.tuned_share!r}."
            )


POLICIES: dict[str, Callable[[], Adaptation]] = {
    "frozen": Frozen,
    "full": Full,
    "top-1": Top,
    "top-2": partial(Top, 2),
    "top-3": partial(Top, 3),
    "gradual": Gradual,
    "discriminative": Discriminative,
    "lp-ft": LinearProbing,
    "contrastive": Contrastive,
}


@dataclass(frozen=True)
class Choice(PlainState):
    """An adaptation policy and the reason for it.

    Attributes
    ----------
    policy : str or object
        The policy of the fit.
    scores : dict of str to float
        With "auto", the score of each candidate on held-out samples: accuracy, or R2 for a
        regressor.
    reason : str
        Reason of the choice.
    """

    policy: Any
    scores: dict[str, float] = field(default_factory=dict)
    reason: str = "given"


def check_policy(layers: Sequence[object], policy: Any) -> None:
    """Reject a policy that treats layers differently if there is none but the head."""
    if len(layers) == 1 and not isinstance(policy, Frozen | Full):
        raise ValueError(
            f"adaptation={policy!r} moves pretrained layers at different times or rates, and there "
            f"are none: X is features already, or the module has no parameters. Use 'full'."
        )
