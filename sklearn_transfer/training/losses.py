"""Losses by name, each a value a sample."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SquaredHinge(nn.Module):
    """One-versus-rest squared hinge, ``sum_k max(0, 1 - y_k z_k)**2`` with y in {-1, 1}.

    With one column of logits, the target 1 is positive and 0 negative.
    """

    def columns(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of every class, shape (n_samples, K)."""
        return (1 - _signs(logits, target) * logits).clamp_min(0).square()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of every sample, shape (n_samples,)."""
        return self.columns(logits, target).sum(1)

    @staticmethod
    def start(share: Tensor) -> Tensor:
        """The intercept to start from, shape (K,), from the share of each class."""
        return 2 * share - 1


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
        """The loss of every sample, shape (n_samples,)."""
        if logits.shape[1] > 1 and target.dim() == 1:
            return F.cross_entropy(
                logits, target, reduction="none", label_smoothing=self.label_smoothing
            )
        sign = _signs(logits, target)
        loss = F.softplus(-sign * logits)
        if self.label_smoothing:
            loss = loss + self.label_smoothing / 2 * sign * logits
        return loss.sum(1)

    @staticmethod
    def start(share: Tensor) -> Tensor:
        """The intercept to start from, shape (K,): the logarithm, or log-odds, of each share."""
        log = share.clamp_min(1e-6).log()
        return log - (1 - share).clamp_min(1e-6).log() if len(share) == 1 else log - log.mean()


class FocalLoss(nn.Module):
    """Cross-entropy times ``(1 - p)**2``, p the probability of what is true (Lin et al. 2017).

    Samples that are learned already count less. With one column of logits, or indicator targets,
    p is that of each column.
    """

    gamma = 2.0  # best in the paper, table 1b

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of every sample, shape (n_samples,)."""
        if logits.shape[1] > 1 and target.dim() == 1:
            log_p = -F.cross_entropy(logits, target, reduction="none")[:, None]
        else:
            log_p = F.logsigmoid(_signs(logits, target) * logits)
        return -((1 - log_p.exp()) ** self.gamma * log_p).sum(1)


CRITERIA: dict[str, type[nn.Module]] = {
    "cross_entropy": CrossEntropy,
    "focal": FocalLoss,
    "squared_hinge": SquaredHinge,
}


def make_criterion(
    criterion: str | type[nn.Module] | Callable[..., Any], label_smoothing: float
) -> nn.Module:
    """The criterion of a name, or of a torch class, whose losses are not reduced.

    Parameters
    ----------
    criterion : {"cross_entropy", "focal", "squared_hinge"} or class
        A class is called with ``reduction="none"`` where it takes that.
    label_smoothing : float
        For criteria that take it.

    Returns
    -------
    nn.Module
    """
    make = CRITERIA[criterion] if isinstance(criterion, str) else criterion
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


def per_sample(loss: Tensor, n_samples: int) -> Tensor:
    """Losses of any shape (n_samples, ...) as one value a sample, shape (n_samples,)."""
    if loss.shape[:1] != torch.Size([n_samples]):
        raise ValueError(
            f"The criterion must give a loss for each of the {n_samples} samples "
            f"(reduction='none'), got shape {tuple(loss.shape)}."
        )
    return loss.flatten(1).sum(1) if loss.dim() > 1 else loss


def class_shares(target: Tensor, n_outputs: int, weight: Tensor) -> Tensor:
    """The weighted share of each output's positive samples, shape (n_outputs,)."""
    signs = _signs(weight.new_zeros(len(weight), n_outputs), target)
    return (signs > 0).to(weight.dtype).T @ weight / weight.sum()
