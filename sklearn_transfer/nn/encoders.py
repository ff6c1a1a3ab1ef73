"""Modules from token ids or arrays to one vector a sample, and the heads on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.design import Design
from ..text.rows import Bags
from .columns import SparseColumns
from .criteria import class_shares

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
}


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own (Srivastava et al. 2014).

    torch's draws from the global generator, which is the user's.

    Parameters
    ----------
    p : float
        Share of the values that are set to zero in training.
    generator : torch.Generator
    """

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__()
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        """Zero some values and scale the others, in training."""
        if not self.training or self.p == 0:
            return x
        kept = torch.empty(x.shape).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept.to(x) / (1 - self.p)

    def __getstate__(self) -> dict[str, object]:
        # torch.Generator cannot be pickled in the oldest torch that we support; its state can.
        return {**self.__dict__, "generator": self.generator.get_state()}

    def __setstate__(self, state: dict[str, object]) -> None:
        generator = torch.Generator()
        generator.set_state(state["generator"])  # type: ignore[arg-type]
        self.__dict__.update({**state, "generator": generator})


def make_head(
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    *,
    activation: str,
    dropout: float,
    generator: torch.Generator,
) -> nn.Sequential:
    """A multi-layer perceptron, whose last module is linear.

    Parameters
    ----------
    n_features : int
    hidden_layer_sizes : sequence of int
        Empty for a linear head.
    n_outputs : int
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float
        Before every linear layer.
    generator : torch.Generator
        Draws the initial weights (Glorot & Bengio 2010, uniform) and the dropout.

    Returns
    -------
    nn.Sequential
        From (n_samples, n_features) to (n_samples, n_outputs).
    """
    layers: list[nn.Module] = []
    width = n_features
    for i, size in enumerate([*hidden_layer_sizes, n_outputs]):
        if i:
            layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(Dropout(dropout, generator))
        linear = nn.utils.skip_init(nn.Linear, width, size)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        layers.append(linear)
        width = size
    return nn.Sequential(*layers)


class BagEncoder(nn.Module):
    """The mean of the rows of a text's tokens; the rows are trained.

    Parameters
    ----------
    rows : Tensor of float32, shape (n_rows, dim)
        Where the rows start: the pretrained vectors of the tokens of the training texts.
    sparse : bool, default=True
        Whether the gradient holds only the rows of a batch.
    pulled : bool, default=False
        Whether to remember where the rows started, for :meth:`squared_distance`.
    """

    start: Tensor | None

    def __init__(self, rows: Tensor, *, sparse: bool = True, pulled: bool = False) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.clone())
        self.register_buffer("start", rows.clone() if pulled else None)
        self.sparse = sparse

    def extend(self, rows: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """Append rows, shape (n_new, dim); the old parameter and the one that takes its place."""
        before, more = self.rows, torch.from_numpy(rows).to(self.rows)
        self.rows = nn.Parameter(torch.cat([before.detach(), more]))
        if self.start is not None:
            self.start = torch.cat([self.start, more])
        return before, self.rows

    def squared_distance(self, ids: Tensor, **_: Tensor) -> Tensor:
        """Squared distance of the rows of a batch from where they started, shape ()."""
        if self.start is None:
            raise RuntimeError("The start of the rows is remembered with pulled=True only.")
        rows = ids[ids < len(self.rows)].unique()
        moved = F.embedding(rows, self.rows, sparse=self.sparse) - self.start[rows]
        return moved.square().sum()

    def forward(self, ids: Tensor, offsets: Tensor, weights: Tensor, extra: Tensor) -> Tensor:
        """Pool token rows.

        Parameters
        ----------
        ids : Tensor of int64, shape (n_tokens,)
            Row numbers; those from n_rows on are rows of `extra`.
        offsets : Tensor of int64, shape (n_texts + 1,)
        weights : Tensor of float32, shape (n_tokens,)
        extra : Tensor of float32, shape (n_extra, dim)
            Rows of tokens that training has not seen, not trained.

        Returns
        -------
        Tensor of float32, shape (n_texts, dim)
            Zero for a text without tokens.
        """
        table = self.rows if not len(extra) else torch.cat([self.rows, extra])
        total = F.embedding_bag(
            ids,
            table,
            offsets,
            mode="sum",
            sparse=self.sparse and not len(extra),
            per_sample_weights=weights,
            include_last_offset=True,
        )
        return total / offsets.diff().clamp_min(1)[:, None]


class EncoderWithHead(nn.Module):
    """An encoder and a head.

    Parameters
    ----------
    encoder : nn.Module
        Its keyword arguments are the inputs; gives (n_samples, d).
    head : nn.Sequential
        From (n_samples, d) to logits; its last module is linear.
    """

    def __init__(self, encoder: nn.Module, head: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return int(self.head[-1].in_features)  # type: ignore[arg-type]

    def features(self, **inputs: Tensor) -> Tensor:
        """What the last, linear layer sees, shape (n_samples, n_features)."""
        features: Tensor = self.encoder(**inputs)
        for layer in list(self.head)[:-1]:
            features = layer(features)
        return features

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits, shape (n_samples, n_outputs)."""
        logits: Tensor = self.head[-1](self.features(**inputs))
        return logits


class Passage(nn.Module):
    """The encoder of features that are given: nothing to do."""

    def forward(self, dense: Tensor) -> Tensor:
        """Return the features, shape (n_samples, n_features)."""
        return dense


class LinearBag(nn.Module):
    """A linear model on sparse token columns and dense pretrained ones.

    ``logits = sparse @ offsets + dense @ head + intercept``: see
    :class:`~sklearn_transfer.text.features.BagFeatures`. Zero offsets are feature extraction.

    Parameters
    ----------
    n_sparse, n_dense : int
    intercept : Tensor, shape (n_outputs,)
        Where the intercept starts; all else starts at zero, in its dtype.
    """

    def __init__(self, n_sparse: int, n_dense: int, intercept: Tensor) -> None:
        super().__init__()
        self.offsets = nn.Parameter(intercept.new_zeros(n_sparse, len(intercept)))
        self.head = nn.Parameter(intercept.new_zeros(n_dense, len(intercept)))
        self.intercept = nn.Parameter(intercept.clone()[None])

    @property
    def n_features(self) -> int:
        """Width of :meth:`features`."""
        return len(self.head) + (self.offsets.shape[1] if len(self.offsets) else 0)

    def features(self, dense: Tensor, sparse: SparseColumns | None = None) -> Tensor:
        """The dense columns and, if any, what the offsets add to each logit: (n_samples, d)."""
        return dense if sparse is None else torch.cat([dense, sparse @ self.offsets], dim=1)

    def forward(self, dense: Tensor, sparse: SparseColumns | None = None) -> Tensor:
        """Logits, shape (n_samples, n_outputs)."""
        logits = dense @ self.head + self.intercept
        return logits if sparse is None else logits + sparse @ self.offsets


def make_linear_bag(
    inputs: Design, target: Tensor, weight: Tensor, n_outputs: int, criterion: nn.Module
) -> LinearBag:
    """The linear model of a design, at the intercept that its criterion starts from.

    Parameters
    ----------
    inputs : Design, length n_samples
    target : Tensor, length n_samples
        Class codes or indicators.
    weight : Tensor of float, shape (n_samples,)
    n_outputs : int
    criterion : nn.Module
        Its ``start``, if any, turns the share of each class into the intercept.

    Returns
    -------
    LinearBag
        In the dtype of `inputs`.
    """
    share = class_shares(target, n_outputs, weight)
    start = getattr(criterion, "start", torch.zeros_like)
    # The columns of an indicator are tasks of their own.
    intercept = (
        torch.cat([start(one) for one in share.split(1)]) if target.dim() == 2 else start(share)
    )
    dtype = torch.from_numpy(inputs.dense).dtype
    return LinearBag(inputs.sparse.shape[1], inputs.dense.shape[1], intercept.to(dtype))


def make_encoder_with_head(
    inputs: Design | Bags,
    rows: NDArray[np.float32] | None,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    *,
    activation: str,
    dropout: float,
    sparse: bool,
    pulled: bool,
    generator: torch.Generator,
) -> EncoderWithHead:
    """The network that is trained in mini-batches.

    Parameters
    ----------
    inputs : Design or Bags
    rows : ndarray of float32, shape (n_rows, dim), or None
        Where the rows of the bags start; None for a design, whose columns go to the head.
    hidden_layer_sizes : sequence of int
        See :func:`make_head`.
    n_outputs : int
        See :func:`make_head`.
    activation : str
        See :func:`make_head`.
    dropout : float
        See :func:`make_head`.
    sparse : bool
        See `BagEncoder`.
    pulled : bool
        See `BagEncoder`.
    generator : torch.Generator
        See :func:`make_head`.

    Returns
    -------
    EncoderWithHead
    """
    encoder: nn.Module = Passage()
    if rows is not None:
        encoder = BagEncoder(torch.from_numpy(rows), sparse=sparse, pulled=pulled)
        n_features = rows.shape[1]
    elif isinstance(inputs, Design):
        n_features = inputs.sparse.shape[1] + inputs.dense.shape[1]
    head = make_head(
        n_features,
        hidden_layer_sizes,
        n_outputs,
        activation=activation,
        dropout=dropout,
        generator=generator,
    )
    return EncoderWithHead(encoder, head)
