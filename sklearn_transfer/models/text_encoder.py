"""Encoders of texts: a trainable table of word vectors and a reader."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .readers import READERS, AttentionReader, MeanReader, PaddedReader


class TextEncoder(nn.Module):
    """A trainable table of word vectors and a reader of the vectors of a text.

    Parameters
    ----------
    rows : Tensor of float32, shape (n_rows, dim)
        Initial table: the pretrained vectors of the tokens of the training texts.
    reader : nn.Module
        From `vectors`, `ids`, `offsets` and `weights` to (n_texts, d); see `MeanReader`.
    sparse : bool, default=True
        True: the gradient of the table holds only the rows of a batch.
    pulled : bool, default=False
        Keep the initial rows, for :meth:`squared_distance`.
    multichannel : bool, default=False
        True: a vector is the sum of its trained row and its initial row. Kim 2014, section 3.1,
        applies each filter to a trained and to a static channel and adds the results, which is the
        filter applied to this sum.
    """

    start: Tensor | None

    def __init__(
        self,
        rows: Tensor,
        reader: nn.Module,
        *,
        sparse: bool = True,
        pulled: bool = False,
        multichannel: bool = False,
    ) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.clone())
        self.register_buffer("start", rows.clone() if pulled or multichannel else None)
        self.reader = reader
        self.light = isinstance(reader, MeanReader | AttentionReader)
        self.is_own = not isinstance(reader, PaddedReader)  # else see PretrainedModule
        self.sparse, self.multichannel = sparse, multichannel

    @property
    def is_anchored(self) -> bool:
        """True if the initial rows are kept, so that a penalty can pull towards them."""
        return self.start is not None

    def left_out(self) -> set[str]:
        """Names of the tensors that a model file does not have: initial rows for the penalty."""
        return set() if self.start is None or self.multichannel else {"start"}

    def n_frozen(self) -> int:
        """Number of lowest layers whose outputs need to be computed only once."""
        return 0

    def extend(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Append rows, shape (n_new, dim); return the old parameter and its replacement."""
        before, more = self.rows, rows.to(self.rows)
        self.rows = nn.Parameter(torch.cat([before.detach(), more]))
        if self.start is not None:
            self.start = torch.cat([self.start, more])
        return before, self.rows

    def squared_distance(self, tokens: Tensor, **_: Tensor) -> Tensor:
        """Squared distance of the rows of a batch from the initial ones, shape ()."""
        if self.start is None:
            raise RuntimeError(
                "squared_distance needs the initial rows: make the encoder with pulled=True."
            )
        moved = self._look_up(tokens) - self.start[tokens]
        return moved.square().sum()

    def _look_up(self, tokens: Tensor) -> Tensor:
        if not self.sparse or torch.compiler.is_compiling():
            return F.embedding(tokens, self.rows, sparse=self.sparse)
        rows: Tensor = _DistinctRows.apply(self.rows, tokens)  # type: ignore[no-untyped-call]
        return rows

    def forward(
        self, tokens: Tensor, extra: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor
    ) -> Tensor:
        """Encode texts, shape (n_texts, d); zero for a text without tokens.

        Parameters
        ----------
        tokens : Tensor of int64, shape (n_distinct,)
            The distinct rows of the batch, in ascending order.
        extra : Tensor of float32, shape (n_extra, dim)
            Vectors of tokens that are not in the table; they are not trained.
        ids, offsets, weights : Tensor
            See `MeanReader`; ids are positions in `tokens`, from n_distinct on in `extra`.

        Returns
        -------
        Tensor of float32
        """
        encoded: Tensor = self.reader(self.vectors(tokens, extra), ids, offsets, weights)
        return encoded

    def vectors(self, tokens: Tensor, extra: Tensor) -> Tensor:
        """The vectors that the reader gets, shape (n_distinct + n_extra, dim)."""
        vectors = self._look_up(tokens)
        if self.multichannel:
            vectors = vectors + self.start[tokens]  # type: ignore[index]
            extra = 2 * extra
        return torch.cat([vectors, extra]) if len(extra) else vectors


def make_text_encoder(
    rows: Tensor,
    encoder: str | nn.Module,
    params: Mapping[str, Any] | None,
    *,
    sparse: bool,
    pulled: bool,
) -> TextEncoder:
    """Make the encoder of a name and its parameters, or one whose reader is a copy of a module."""
    if not isinstance(encoder, str):
        reader: nn.Module = PaddedReader(copy.deepcopy(encoder))
        return TextEncoder(rows, reader, sparse=sparse, pulled=pulled)
    options = dict(params or {})
    multichannel = bool(options.pop("multichannel", False))
    reader = READERS[encoder](rows.shape[1], **options)
    return TextEncoder(rows, reader, sparse=sparse, pulled=pulled, multichannel=multichannel)


class _DistinctRows(torch.autograd.Function):
    """Rows of a table, whose sparse gradient needs no sorting: `tokens` are distinct and sorted."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> Tensor:
        """The rows."""
        ctx.save_for_backward(tokens)
        ctx.shape = table.shape
        return table.index_select(0, tokens)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of the table."""
        (tokens,) = ctx.saved_tensors
        # torch 2.11 warns even if the argument check_invariants is False.
        with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
            sparse = torch.sparse_coo_tensor(tokens[None], gradient, ctx.shape, is_coalesced=True)
        return sparse, None
