"""Integrated gradients of networks (Sundararajan, Taly & Yan 2017)."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..._utils.errors import levels_to_caller
from ...contextual.sequences import batches_by_length
from ...text.tokenization.places import PlacedTokens
from ...text.tokenization.token_ids import TokenIds
from ...training.nets.inference_net import InferenceNet
from ...vectors.table.vocabulary import ragged_arange, to_offsets
from ..completeness import measure_gaps, measure_sizes
from .explainer import Attribution, Candidates, Explainer, Method
from .occlusion import occlude

# Largest completeness gap, and the number of times that an interval is halved until it is reached.
_TOLERANCE, _MOST_ROUNDS = 0.01, 14
# Nodes of the Gauss-Legendre quadrature of an interval from 0 to 1; their weights are equal.
_NODES = (0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2)
# Tokens of a batch, and the length that a text without tokens counts.
_TOGETHER, _SHORTEST = 4096, 8


class Path(ABC):
    """Some texts on straight lines from a reference to their inputs.

    Attributes
    ----------
    start, stop : sequence of Tensor
        The ends of the lines: tensors of any shapes, which `logits` reads.
    text : sequence of Tensor of int64
        For each of these tensors, the text that each row belongs to.
    """

    start: Sequence[Tensor]
    stop: Sequence[Tensor]
    text: Sequence[Tensor]

    @abstractmethod
    def logits(self, *points: Tensor) -> Tensor:
        """Logits at points of the lines, shape (n_texts, n_outputs)."""

    @abstractmethod
    def contributions(self, gradients: Sequence[Sequence[Tensor]]) -> NDArray[np.float64]:
        """Contributions of tokens: products of gradients and lines.

        Parameters
        ----------
        gradients : sequence of sequence of Tensor
            For each target and each tensor of points.

        Returns
        -------
        ndarray of float64, shape (n_tokens, n_targets)
        """

    def at(self, share: Tensor) -> list[Tensor]:
        """The points at a share of the line of each text, shape (n_texts,)."""
        points = []
        for start, stop, text in zip(self.start, self.stop, self.text, strict=True):
            weight = share[text].view(-1, *[1] * (start.dim() - 1)).to(start)
            points.append(torch.lerp(start, stop, weight))
        return points


@dataclass
class Intervals:
    """Parts of lines: from `a` to `b`, shares of the line of a text, each of shape (n,)."""

    text: NDArray[np.int64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]

    def halve(self, chosen: NDArray[np.bool_]) -> Intervals:
        """Both halves of some intervals."""
        text, a, b = self.text[chosen], self.a[chosen], self.b[chosen]
        middle = (a + b) / 2
        return Intervals(np.tile(text, 2), np.concatenate([a, middle]), np.concatenate([middle, b]))


class PathExplainer(Explainer):
    """A network whose logits are attributed by integrated gradients, or by occlusion.

    The gradient of a network jumps where a ReLU or a maximum switches. An interval of the line is
    therefore halved until the sum of its contributions is near the difference of the logits at its
    ends, which finds the places of jumps with few steps.

    Parameters
    ----------
    features : object
        Features of the net, which place tokens and read those that are given.
    net : InferenceNet
    """

    def __init__(self, features: Any, net: InferenceNet) -> None:
        self.features, self.net = features, net

    def logits(self, X: Any) -> NDArray[np.floating]:
        """Logits of validated samples, shape (n_samples, n_outputs)."""
        return self.net.logits(self.features.transform(X))

    @abstractmethod
    def place(self, X: Any) -> PlacedTokens:
        """The tokens of samples."""

    def take(self, X: Any, rows: NDArray[np.int64]) -> list[Any]:
        """A list of some samples, which may occur several times."""
        return [X[i] for i in rows.tolist()]

    @abstractmethod
    def make_path(self, X: list[Any]) -> Path:
        """The path of a list of samples."""

    @property
    def modules(self) -> list[nn.Module]:
        """The modules that compute logits."""
        return [self.net.module_]

    def read_tokens(
        self, texts: list[str], tokens: list[str], token_ids: TokenIds
    ) -> NDArray[np.floating]:
        """Logits of texts whose tokens are given, shape (n_texts, n_outputs)."""
        return self.net.logits(self.features.transform_tokens(texts, tokens, token_ids))

    def methods(self) -> dict[str, Method]:
        """Integrated gradients and occlusion."""
        return {"integrated_gradients": self._integrate, "occlusion": self._occlude}

    def weigh_words(
        self, outputs: NDArray[np.int64], words: PlacedTokens, make_path: Callable[[Any], Path]
    ) -> Candidates:
        """Weigh words by the logits of texts that consist of one, minus those of the reference."""
        ends = []
        self.net.move_to(self.net.device)
        with _evaluating(self.modules):
            for part in words.split(_TOGETHER):
                path, chosen = make_path(part), np.tile(outputs, (len(part), 1))
                shares = np.zeros(len(part)), np.ones(len(part))
                start, stop = (_evaluate(path, chosen, share) for share in shares)
                ends.append(stop - start)
        return Candidates(np.concatenate(ends), words.tokens.__getitem__)

    def _occlude(self, X: Any, outputs: NDArray[np.int64]) -> Attribution:
        placed = self.place(X)
        return Attribution(placed, *occlude(placed, self.read_tokens, outputs), "occlusion")

    def _integrate(self, X: Any, outputs: NDArray[np.int64]) -> Attribution:
        placed = self.place(X)
        offsets, lengths = placed.token_ids.offsets, placed.token_ids.lengths
        n_texts, n_targets = outputs.shape
        total = np.zeros((len(placed.start), n_targets))
        spent = np.zeros(outputs.shape)
        whole = Intervals(np.arange(n_texts), np.zeros(n_texts), np.ones(n_texts))
        intervals = whole.halve(np.ones(n_texts, dtype=bool))
        self.net.move_to(self.net.device)
        with _evaluating(self.modules):
            start, stop = self._find_ends(X, outputs, whole, lengths)
            for _ in range(_MOST_ROUNDS):
                found, residual = self._attribute(X, outputs, intervals, lengths)
                text = intervals.text
                tokens = ragged_arange(offsets[text], lengths[text])
                allowed = measure_sizes(stop - start, _plus(total, tokens, found), offsets)
                allowed *= _TOLERANCE
                is_done = _all(_plus(spent, text, residual) <= allowed)
                share = (intervals.b - intervals.a)[:, None] / 2
                accepted = is_done[text] | _all(residual <= allowed[text] * share)
                used = accepted.repeat(lengths[text])
                total = _plus(total, tokens[used], found[used])
                spent = _plus(spent, text[accepted], residual[accepted])
                if accepted.all():
                    break
                intervals = intervals.halve(~accepted)
            else:
                total = _plus(total, tokens[~used], found[~used])
        gaps = measure_gaps(stop, start, total, offsets).max(axis=1)
        if gaps.max() > _TOLERANCE:
            _warn_of_gaps(gaps)
        return Attribution(placed, total, start, "integrated_gradients")

    def _find_ends(
        self,
        X: Any,
        outputs: NDArray[np.int64],
        whole: Intervals,
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logits of the reference texts and of the texts, shape (n_texts, n_targets)."""
        ends = np.zeros((2, *outputs.shape))
        for rows in _batches(lengths):
            path = self.make_path(self.take(X, rows))
            for i, share in enumerate((whole.a, whole.b)):
                ends[i, rows] = _evaluate(path, outputs[rows], share[rows])
        return ends[0], ends[1]

    def _attribute(
        self,
        X: Any,
        outputs: NDArray[np.int64],
        intervals: Intervals,
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Contributions of the tokens of each interval, and what is missing in their sums."""
        n_tokens = lengths[intervals.text]
        bounds = to_offsets(n_tokens)
        found = np.zeros((bounds[-1], outputs.shape[1]))
        residual = np.zeros((len(n_tokens), outputs.shape[1]))
        for rows in _batches(n_tokens):
            text, a, b = intervals.text[rows], intervals.a[rows], intervals.b[rows]
            path = self.make_path(self.take(X, text))
            parts = integrate(path, outputs[text], a, b)
            found[ragged_arange(bounds[rows], n_tokens[rows])] = parts
            sums = _plus(np.zeros(outputs[text].shape), _owner(n_tokens[rows]), parts)
            ends = [_evaluate(path, outputs[text], share) for share in (a, b)]
            residual[rows] = np.abs(ends[1] - ends[0] - sums)
        return found, residual


def integrate(
    path: Path, outputs: NDArray[np.int64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Attribute differences of logits between two points of a line to tokens.

    Parameters
    ----------
    path : Path
    outputs : ndarray of int64, shape (n_texts, n_targets)
    a, b : ndarray of float64, shape (n_texts,)
        Shares of the line of each text.

    Returns
    -------
    ndarray of float64, shape (n_tokens, n_targets)
    """
    device = path.start[0].device
    chosen, begin, length = (torch.from_numpy(x).to(device) for x in (outputs, a, b - a))
    totals = [[torch.zeros_like(part) for part in path.start] for _ in range(outputs.shape[1])]
    with torch.enable_grad(), _without_cudnn(device):
        for node in _NODES:
            points = [point.requires_grad_() for point in path.at(begin + node * length)]
            logits = path.logits(*points).gather(1, chosen) * (length / len(_NODES))[:, None]
            for target, total in enumerate(totals):
                gradients = torch.autograd.grad(
                    logits[:, target].sum(),
                    points,
                    retain_graph=target + 1 < len(totals),
                    allow_unused=True,  # of texts without tokens
                    materialize_grads=True,
                )
                for part, gradient in zip(total, gradients, strict=True):
                    part += gradient
    return path.contributions(totals)


@torch.no_grad()
def _evaluate(
    path: Path, outputs: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logits at a share of the line of each text, shape (n_texts, n_targets)."""
    logits = path.logits(*path.at(torch.from_numpy(share).to(path.start[0].device)))
    return np.take_along_axis(logits.cpu().numpy().astype(np.float64), outputs, axis=1)


def _batches(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return batches_by_length(np.maximum(lengths, _SHORTEST), _TOGETHER)


def _all(targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows in which all columns are true."""
    rows: NDArray[np.bool_] = np.logical_and.reduce(targets, axis=1)
    return rows


def _owner(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.arange(len(lengths)).repeat(lengths)


def _plus(
    values: NDArray[np.float64], rows: NDArray[np.int64], more: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The values, with more added to some of their rows."""
    added = [np.bincount(rows, column, len(values)) for column in more.T]
    return values + np.stack(added, axis=1)


def _without_cudnn(device: torch.device) -> AbstractContextManager[Any]:
    """Leave out cuDNN, whose recurrent networks have gradients only in training mode."""
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[Any] = torch.backends.cudnn.flags(enabled=False)
    return flags


@contextmanager
def _evaluating(modules: list[nn.Module]) -> Iterator[None]:
    """Put modules in evaluation mode, and afterwards each part in its mode before."""
    training = [part for module in modules for part in module.modules() if part.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _warn_of_gaps(gaps: NDArray[np.float64]) -> None:
    worst = int(np.argmax(gaps))
    warnings.warn(
        f"The contributions of {np.count_nonzero(gaps > _TOLERANCE)} of {len(gaps)} texts do not "
        f"add up within {_TOLERANCE:.0%}: the gap is up to {gaps[worst]:.1%} (text {worst}). See "
        f"Explanation.gaps; method='occlusion' needs no gradients.",
        UserWarning,
        stacklevel=levels_to_caller(),
    )
