"""Modules from token ids to one vector a text."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_sequence


class TextEncoder(nn.Module):
    """The pretrained vectors of a text's tokens, and a reader that makes them one vector.

    Parameters
    ----------
    rows : Tensor of float32, shape (n_rows, dim)
        Where the table starts: the pretrained vectors of the tokens of the training texts.
    reader : nn.Module
        From `vectors`, `ids`, `offsets` and `weights` to (n_texts, d); see `MeanReader`.
    sparse : bool, default=True
        Whether the gradient of the table holds only the rows of a batch.
    pulled : bool, default=False
        Whether to remember where the rows started, for :meth:`squared_distance`.
    multichannel : bool, default=False
        Whether a vector is the sum of its trained row and of where that started. A convolution that
        applies each filter to a channel that is trained and to one that is not, and adds the
        results (Kim 2014, section 3.1), is the filter on this sum.
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
        self.sparse, self.multichannel = sparse, multichannel

    def extend(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Append rows, shape (n_new, dim); the old parameter and the one that takes its place."""
        before, more = self.rows, rows.to(self.rows)
        self.rows = nn.Parameter(torch.cat([before.detach(), more]))
        if self.start is not None:
            self.start = torch.cat([self.start, more])
        return before, self.rows

    def squared_distance(self, tokens: Tensor, **_: Tensor) -> Tensor:
        """Squared distance of the rows of a batch from where they started, shape ()."""
        if self.start is None:
            raise RuntimeError("The start of the rows is remembered with pulled=True only.")
        moved = self._look_up(tokens) - self.start[tokens]
        return moved.square().sum()

    def _look_up(self, tokens: Tensor) -> Tensor:
        if not self.sparse or torch.compiler.is_compiling():
            return F.embedding(tokens, self.rows, sparse=self.sparse)
        rows: Tensor = _DistinctRows.apply(self.rows, tokens)
        return rows

    def forward(
        self, tokens: Tensor, extra: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor
    ) -> Tensor:
        """Encode texts.

        Parameters
        ----------
        tokens : Tensor of int64, shape (n_distinct,)
            The distinct rows of the batch.
        extra : Tensor of float32, shape (n_extra, dim)
            Vectors of tokens that training has not seen, not trained.
        ids : Tensor of int64, shape (n_tokens,)
            Positions in `tokens`; those from n_distinct on are rows of `extra`.
        offsets : Tensor of int64, shape (n_texts + 1,)
        weights : Tensor of float32, shape (n_tokens,)

        Returns
        -------
        Tensor of float32, shape (n_texts, d)
            Zero for a text without tokens.
        """
        vectors = self._look_up(tokens)
        if self.multichannel:
            vectors = vectors + self.start[tokens]  # type: ignore[index]
            extra = 2 * extra
        if len(extra):
            vectors = torch.cat([vectors, extra])
        encoded: Tensor = self.reader(vectors, ids, offsets, weights)
        return encoded


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
        sparse = torch.sparse_coo_tensor(
            tokens[None], gradient, ctx.shape, check_invariants=False, is_coalesced=True
        )
        return sparse, None


class MeanReader(nn.Module):
    """The weighted sum of a text's vectors, by its number of tokens.

    Parameters
    ----------
    dim : int
        Of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.n_features = dim

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Read texts.

        Parameters
        ----------
        vectors : Tensor of float32, shape (n_distinct, dim)
            A vector for each distinct token.
        ids : Tensor of int64, shape (n_tokens,)
            The tokens of all texts, one text after the other, as positions in `vectors`.
        offsets : Tensor of int64, shape (n_texts + 1,)
            Where each text begins in `ids`.
        weights : Tensor of float32, shape (n_tokens,)

        Returns
        -------
        Tensor of float32, shape (n_texts, d)
        """
        return _sums(vectors, ids, offsets, weights) / offsets.diff().clamp_min(1)[:, None]


class AttentionReader(nn.Module):
    """The mean of a text's vectors, weighted by what is learned to be worth reading.

    Parameters
    ----------
    dim : int
        Of the vectors.
    units : int, default=64
        Hidden units of the score.

    Notes
    -----
    A token's score is ``u' tanh(W x + b)``, its share the softmax over its text (Yang et al. 2016
    [1]_, equations 5 to 7, without the recurrent layer); here its weight is a factor of the share.
    The score depends on the token alone, so it is found once for each distinct one. `u` starts at
    zero, which is the weighted mean.

    References
    ----------
    .. [1] Yang, Yang, Dyer, He, Smola & Hovy, "Hierarchical attention networks for document
       classification", NAACL 2016.
    """

    def __init__(self, dim: int, units: int = 64) -> None:
        super().__init__()
        if units < 1:
            raise ValueError(f"encoder='attention' needs units of at least 1, got {units!r}.")
        self.hidden = nn.Linear(dim, units)
        self.score = nn.Linear(units, 1, bias=False)
        nn.init.zeros_(self.score.weight)
        self.n_features = dim

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Read texts; see `MeanReader`."""
        scores = self.score(torch.tanh(self.hidden(vectors)))[:, 0][ids]
        text = _text_of(offsets, len(ids))
        highest = _maxima(scores.detach()[:, None], offsets)[:, 0]
        parts = torch.exp(scores - highest[text]) * weights
        total = parts.new_zeros(len(offsets) - 1).index_add(0, text, parts)
        return _sums(vectors, ids, offsets, parts / total.clamp_min(1e-12)[text])


class ConvolutionReader(nn.Module):
    """Filters over the words of a text, each at its maximum.

    Parameters
    ----------
    dim : int
        Of the vectors.
    widths : sequence of int, default=(3, 4, 5)
        In tokens.
    filters : int, default=100
        Of each width.

    Notes
    -----
    The network of Kim 2014 [1]_: ``c_i = relu(w x_{i:i+h-1} + b)`` over all windows that touch the
    text, and the maximum over i. The product of a filter with a window is a sum of products with
    its tokens, so each distinct token of a batch is multiplied once, by all filters and places; a
    window then adds up rows of that table. Nothing is padded to the longest text, the maximum is
    taken before the relu, which does not change it, and the gradient goes to the windows of the
    maxima alone.

    References
    ----------
    .. [1] Kim, "Convolutional neural networks for sentence classification", EMNLP 2014.
    """

    def __init__(self, dim: int, widths: Sequence[int] = (3, 4, 5), filters: int = 100) -> None:
        super().__init__()
        if not widths or min(widths) < 1 or filters < 1:
            raise ValueError(
                f"encoder='cnn' needs widths and a number of filters of at least 1, got "
                f"widths={widths!r}, filters={filters!r}."
            )
        self.widths = tuple(widths)
        self.filters = nn.Parameter(torch.empty(dim, sum(self.widths), filters))
        self.bias = nn.Parameter(torch.zeros(len(self.widths) * filters))
        for weight, width in zip(self.filters.split(self.widths, 1), self.widths, strict=True):
            bound = (6 / (dim * width + filters)) ** 0.5  # Glorot & Bengio 2010
            nn.init.uniform_(weight, -bound, bound)
        self.n_features = len(self.widths) * filters

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Read texts; see `MeanReader`. Weights play no part."""
        dim, places, n_filters = self.filters.shape
        # A row of zeros stands for what is beside a text.
        padded = torch.cat([vectors, vectors.new_zeros(1, dim)])
        products = (padded @ self.filters.view(dim, -1)).view(-1, n_filters)
        lengths, n_texts = offsets.diff(), len(offsets) - 1
        margin = max(self.widths) - 1
        text = _text_of(offsets, len(ids))
        line = ids.new_full((len(ids) + (n_texts + 1) * margin,), len(vectors))
        line[torch.arange(len(ids), device=ids.device) + (text + 1) * margin] = ids
        starts = offsets + torch.arange(1, n_texts + 2, device=ids.device) * margin
        windows, place = [], 0
        for width in self.widths:
            n_windows = torch.where(lengths > 0, lengths + width - 1, 0)
            bounds = F.pad(n_windows.cumsum(0), (1, 0))
            of_text = _text_of(bounds, int(bounds[-1]))
            first = torch.arange(len(of_text), device=ids.device) - bounds[of_text]
            first = first + starts[of_text] - (width - 1)
            inside = torch.arange(width, device=ids.device)
            rows = line[first[:, None] + inside] * places + (place + inside)
            windows += [rows, bounds, of_text]
            place += width
        found = torch.relu(_WindowMaxima.apply(products, *windows) + self.bias)
        return torch.where((lengths > 0)[:, None], found, 0)


class _WindowMaxima(torch.autograd.Function):
    """The largest sum of a window of each text, by filter; its gradient goes to that window alone.

    Forward takes a table, shape (n_rows, n_filters), and for every width three tensors: the rows
    that each window adds up, int64, shape (n_windows, width); where each text's windows begin,
    shape (n_texts + 1,); the text of each window, shape (n_windows,). It gives (n_texts, n_widths *
    n_filters). Windows that are equal share the gradient.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, *windows: Tensor) -> Tensor:
        """Sums and maxima."""
        sums, best = [], []
        for rows, bounds, _ in _triples(windows):
            sums.append(F.embedding_bag(rows, table, mode="sum"))
            best.append(_maxima(sums[-1], bounds))
        ctx.save_for_backward(*windows, *sums, *best)
        ctx.shape = table.shape
        return torch.cat(best, dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the table."""
        n_widths = len(ctx.saved_tensors) // 5
        windows = ctx.saved_tensors[: 3 * n_widths]
        sums, best = (ctx.saved_tensors[i * n_widths :][:n_widths] for i in (3, 4))
        n_filters = ctx.shape[1]
        found = gradient.new_zeros(ctx.shape)
        parts = zip(_triples(windows), sums, best, gradient.split(n_filters, 1), strict=True)
        for (rows, _, of_text), values, maxima, part in parts:
            window, column = (values == maxima[of_text]).nonzero(as_tuple=True)
            cell = of_text[window] * n_filters + column
            n_equal = torch.bincount(cell, minlength=part.numel())
            share = part.reshape(-1)[cell] / n_equal[cell]
            places = rows[window] * n_filters + column[:, None]
            found.view(-1).index_add_(0, places.flatten(), share.repeat_interleave(rows.shape[1]))
        return (found, *[None] * len(windows))


def _triples(windows: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    return [tuple(windows[i : i + 3]) for i in range(0, len(windows), 3)]


class RecurrentReader(nn.Module):
    """A recurrent network that reads a text in both directions, each state at its maximum.

    Parameters
    ----------
    dim : int
        Of the vectors.
    cell : {"gru", "lstm"}, default="gru"
        Cho et al. 2014; Hochreiter & Schmidhuber 1997.
    units : int, default=64
        Of each direction.
    layers : int, default=1
        One above the other.

    Notes
    -----
    The maximum over time of both directions side by side is that of Conneau et al. 2017 [1]_.
    Texts are packed by arrays: tokens sorted by their place in the text, then by its length.

    References
    ----------
    .. [1] Conneau, Kiela, Schwenk, Barrault & Bordes, "Supervised learning of universal sentence
       representations from natural language inference data", EMNLP 2017.
    """

    def __init__(self, dim: int, cell: str = "gru", units: int = 64, layers: int = 1) -> None:
        super().__init__()
        cells = {"gru": nn.GRU, "lstm": nn.LSTM}
        if cell not in cells:
            raise ValueError(f"encoder='rnn' has the cells 'gru' and 'lstm', got cell={cell!r}.")
        self.network = cells[cell](dim, units, layers, bidirectional=True)
        self.n_features = 2 * units

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Read texts; see `MeanReader`. Weights play no part."""
        lengths = offsets.diff()
        if not len(ids):
            return vectors.new_zeros(len(lengths), self.n_features)
        text = _text_of(offsets, len(ids))
        time = torch.arange(len(ids), device=ids.device) - offsets[text]
        rank = torch.empty_like(lengths)
        longest_first = torch.argsort(lengths, descending=True, stable=True)
        rank[longest_first] = torch.arange(len(lengths), device=ids.device)
        order = torch.argsort(time * len(lengths) + rank[text])
        packed = PackedSequence(vectors[ids[order]], torch.bincount(time).cpu())
        states = self.network(packed)[0].data
        by_text = torch.empty_like(order)
        by_text[order] = torch.arange(len(order), device=ids.device)
        return _maxima(states[by_text], offsets)


class PaddedReader(nn.Module):
    """A module of the user's that reads padded texts.

    Parameters
    ----------
    module : nn.Module
        From vectors, shape (n_texts, length, dim), zero beside the texts, and lengths, int64, shape
        (n_texts,), to (n_texts, d).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Read texts; see `MeanReader`. Weights play no part."""
        lengths = offsets.diff()
        padded = pad_sequence(vectors[ids].split(lengths.tolist()), batch_first=True)
        encoded: Tensor = self.module(padded, lengths)
        return encoded


READERS: dict[str, type[nn.Module]] = {
    "mean": MeanReader,
    "attention": AttentionReader,
    "cnn": ConvolutionReader,
    "rnn": RecurrentReader,
}


def check_reader(encoder: str | nn.Module, params: Mapping[str, Any] | None) -> None:
    """Refuse settings that an encoder does not have.

    Parameters
    ----------
    encoder : {"mean", "attention", "cnn", "rnn"} or nn.Module
    params : mapping or None
        Keyword arguments of the reader, and "multichannel" for "cnn".

    Raises
    ------
    ValueError
        If the encoder does not take those settings.
    """
    if not isinstance(encoder, str):
        if params:
            raise ValueError("encoder_params go with an encoder given by name; set them to None.")
        return
    accepted = list(inspect.signature(READERS[encoder]).parameters)[1:]
    if encoder == "cnn":
        accepted.append("multichannel")
    for name in params or ():
        if name not in accepted:
            raise ValueError(
                f"encoder={encoder!r} has no parameter {name!r}; encoder_params may hold "
                f"{', '.join(accepted) or 'nothing'}."
            )


def make_text_encoder(
    rows: Tensor,
    encoder: str | nn.Module,
    params: Mapping[str, Any] | None,
    *,
    sparse: bool,
    pulled: bool,
) -> TextEncoder:
    """The encoder of a name, or with a module of the user's.

    Parameters
    ----------
    rows : Tensor of float32, shape (n_rows, dim)
        See `TextEncoder`.
    encoder : {"mean", "attention", "cnn", "rnn"} or nn.Module
        A module is copied; see `PaddedReader`.
    params : mapping or None
        See :func:`check_reader`.
    sparse, pulled : bool
        See `TextEncoder`.

    Returns
    -------
    TextEncoder
    """
    if not isinstance(encoder, str):
        reader: nn.Module = PaddedReader(copy.deepcopy(encoder))
        return TextEncoder(rows, reader, sparse=sparse, pulled=pulled)
    options = dict(params or {})
    multichannel = bool(options.pop("multichannel", False))
    reader = READERS[encoder](rows.shape[1], **options)
    return TextEncoder(rows, reader, sparse=sparse, pulled=pulled, multichannel=multichannel)


def _text_of(offsets: Tensor, n_tokens: int) -> Tensor:
    """The text of every token, shape (n_tokens,)."""
    texts = torch.arange(len(offsets) - 1, device=offsets.device)
    return texts.repeat_interleave(offsets.diff(), output_size=n_tokens)


def _sums(vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of every text's vectors, shape (n_texts, dim)."""
    if vectors.is_cuda or weights.requires_grad or torch.compiler.is_compiling():
        return _sum_bags(vectors, ids, offsets, weights)
    sums: Tensor = _Sums.apply(vectors, ids, offsets, weights)
    return sums


def _sum_bags(vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return F.embedding_bag(
        ids, vectors, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


class _Sums(torch.autograd.Function):
    """The sums of embedding_bag, and a gradient that takes a sixth of its time on the CPU.

    The gradient of a vector is the weighted sum of those of the texts in which it occurs: the same
    operation, on the transposed matrix.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, *bags: Tensor) -> Tensor:
        """Weighted sums; `bags` are ids, offsets and weights."""
        ctx.save_for_backward(*bags)
        ctx.n_vectors = len(vectors)
        return _sum_bags(vectors, *bags)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the vectors."""
        ids, offsets, weights = (tensor.numpy() for tensor in ctx.saved_tensors)
        shape = (len(offsets) - 1, ctx.n_vectors)
        by_vector = csr_array((weights, ids, offsets), shape=shape).tocsc()
        parts = (by_vector.indices, by_vector.indptr, by_vector.data)
        return (_sum_bags(gradient, *map(torch.from_numpy, parts)), None, None, None)


def _maxima(values: Tensor, offsets: Tensor) -> Tensor:
    """The maximum of every text's rows, shape (n_texts, d); zero for a text without rows."""
    reduce: Callable[..., Tensor] = torch.segment_reduce
    found = reduce(values, "max", offsets=offsets, axis=0)
    return torch.where((offsets.diff() > 0)[:, None], found, 0)
