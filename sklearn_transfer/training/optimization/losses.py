"""Losses by name, each with one value per sample."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..names import CLASSIFICATION_NAMES, REGRESSION_NAMES


class SquaredHinge(nn.Module):
    """One-versus-rest squared hinge, ``sum_k max(0, 1 - y_k z_k)**2`` with y in {-1, 1}.

    With one column of logits, the target 1 is positive and 0 negative.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, shape (n_samples,)."""
        return (1 - _signs(logits, target) * logits).clamp_min(0).square().sum(1)


def _signs(logits: Tensor, target: Tensor) -> Tensor:
    """1 for the sample's class (or classes) and -1 elsewhere, shape of the logits."""
    if target.shape == logits.shape:
        return 2 * target.to(logits.dtype) - 1
    if logits.shape[1] == 1:
        return 2 * target.to(logits.dtype)[:, None] - 1
    return 2 * F.one_hot(target, logits.shape[1]).to(logits.dtype) - 1


class CrossEntropy(nn.Module):
    """Softmax cross-entropy; with one column of logits, or indicator targets, the logistic loss.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes (Szegedy et al. 2016).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, shape (n_samples,)."""
        if logits.shape[1] > 1 and target.dim() == 1:
            return F.cross_entropy(
                logits, target, reduction="none", label_smoothing=self.label_smoothing
            )
        sign = _signs(logits, target)
        loss = F.softplus(-sign * logits)
        if self.label_smoothing:
            loss = loss + self.label_smoothing / 2 * sign * logits
        return loss.sum(1)


class FocalLoss(nn.Module):
    """Cross-entropy times ``(1 - p)**2``, p the probability of what is true (Lin et al. 2017).

    Samples that are learned already count less. With one column of logits, or indicator targets,
    p is that of each column.
    """

    gamma = 2.0  # best in the paper, table 1b

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, shape (n_samples,)."""
        if logits.shape[1] > 1 and target.dim() == 1:
            log_p = -F.cross_entropy(logits, target, reduction="none")[:, None]
        else:
            log_p = F.logsigmoid(_signs(logits, target) * logits)
        return -((1 - log_p.exp()) ** self.gamma * log_p).sum(1)


class SquaredError(nn.Module):
    """Squared error, summed over the outputs."""

    function: Callable[..., Tensor] = staticmethod(F.mse_loss)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, shape (n_samples,)."""
        return self.function(logits, target.to(logits.dtype), reduction="none").sum(1)


class AbsoluteError(SquaredError):
    """Absolute error, summed over the outputs."""

    function = staticmethod(F.l1_loss)


class HuberLoss(SquaredError):
    """Huber's loss, ``e**2 / 2`` for errors up to 1 and ``|e| - 1/2`` above, summed."""

    function = staticmethod(F.huber_loss)


CLASSIFICATION: dict[str, type[nn.Module]] = dict(
    zip(CLASSIFICATION_NAMES, (CrossEntropy, FocalLoss, SquaredHinge), strict=True)
)
REGRESSION: dict[str, type[nn.Module]] = dict(
    zip(REGRESSION_NAMES, (SquaredError, AbsoluteError, HuberLoss), strict=True)
)


def make_criterion(
    criterion: str | type[nn.Module] | Callable[..., Any], label_smoothing: float
) -> nn.Module:
    """Make a criterion of a name or torch class, with ``reduction="none"`` if it accepts that."""
    make = {**CLASSIFICATION, **REGRESSION}[criterion] if isinstance(criterion, str) else criterion
    accepted = inspect.signature(make).parameters
    wanted: dict[str, Any] = {"reduction": "none"}
    if label_smoothing:
        wanted["label_smoothing"] = label_smoothing
        if "label_smoothing" not in accepted:
            raise ValueError(
                f"criterion={criterion!r} has no label smoothing; set label_smoothing=0 or use "
                f"criterion='cross_entropy'."
            )
    made: nn.Module = make(**{name: wanted[name] for name in wanted if name in accepted})
    return made


def per_sample(loss: Tensor, logits: Tensor) -> Tensor:
    """Sum losses, shape (n_samples,) or that of the logits and no other, over the outputs."""
    if loss.shape != logits.shape[:1] and loss.shape != logits.shape:
        raise ValueError(
            f"The criterion must give a loss for each of the {len(logits)} samples, of shape "
            f"({len(logits)},) or {tuple(logits.shape)} (reduction='none'); got shape "
            f"{tuple(loss.shape)}."
        )
    return loss.sum(1) if loss.dim() > 1 else loss
