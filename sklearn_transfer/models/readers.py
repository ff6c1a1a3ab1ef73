"""Modules from the token ids of texts to one vector per text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from .names import READER_NAMES
from .seeds import current_generator

_PIECE = 1 << 22  # sums of windows that are kept at once where no gradient needs them


class MeanReader(nn.Module):
    """The weighted sum of the vectors of a text, divided by its number of tokens."""

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
            Text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
        weights : Tensor of float32, shape (n_tokens,)

        Returns
        -------
        Tensor of float32, shape (n_texts, d)
        """
        return _sums(vectors, ids, offsets, weights) / offsets.diff().clamp_min(1)[:, None]


class AttentionReader(nn.Module):
    """The mean of the vectors of a text, weighted by a learned attention score.

    Parameters
    ----------
    dim, units : int
        Dimension of the vectors; hidden units of the score.

    Notes
    -----
    The score of a token is ``u' tanh(W x + b)``, and its share the softmax over its text (Yang et
    al. 2016 [1]_, equations 5 to 7, without the recurrent layer). The share is multiplied by the
    weight of the token. The score depends on the token alone, so it is computed once for each
    distinct token. `u` starts at zero, which gives the weighted mean.

    References
    ----------
    .. [1] Yang, Yang, Dyer, He, Smola & Hovy, "Hierarchical attention networks for document
       classification", NAACL 2016.
    """

    def __init__(self, dim: int, units: int = 64) -> None:
        super().__init__()
        if units < 1:
            raise ValueError(f"encoder='attention' needs units of at least 1, got {units!r}.")
        self.hidden = _uniform(nn.Linear, dim, units, bound=dim**-0.5)
        self.score = nn.utils.skip_init(nn.Linear, units, 1, bias=False)  # type: ignore[no-untyped-call]
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
    """Convolution over the words of a text, with a maximum over time.

    Parameters
    ----------
    dim : int
        Dimension of the vectors.
    widths, filters : sequence of int, int
        Widths of the filters, in tokens, and the number of filters of each width.

    Notes
    -----
    The network of Kim 2014 [1]_: ``c_i = relu(w x_{i:i+h-1} + b)`` over all windows that touch the
    text, and the maximum over i. The product of a filter with a window is a sum of products with
    its tokens. Each distinct token of a batch is therefore multiplied once, by all filters at all
    positions, and a window adds up rows of that table. Texts are not padded to the longest one. The
    maximum is taken before the ReLU, which does not change it, and the gradient goes only to the
    windows of the maxima.

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
        for weight, width in zip(
            torch.split(self.filters, list(self.widths), 1), self.widths, strict=True
        ):
            bound = (6 / (dim * width + filters)) ** 0.5  # Glorot & Bengio 2010
            nn.init.uniform_(weight, -bound, bound, generator=current_generator())
        self.n_features = len(self.widths) * filters

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002
        """Read texts; see `MeanReader`. Weights are ignored."""
        dim, places, n_filters = self.filters.shape
        # A row of zeros pads the texts.
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
            shifted = _Windows(line, starts - (width - 1), bounds, width, places, place)
            windows.append(shifted)
            place += width
        if torch.is_grad_enabled():
            parts = [part for of_width in windows for part in of_width.all()]
            maxima: Tensor = _WindowMaxima.apply(products, *parts)  # type: ignore[no-untyped-call]
        else:
            maxima = torch.cat([of_width.maxima(products) for of_width in windows], dim=1)
        maxima = torch.relu(maxima + self.bias)
        return torch.where((lengths > 0)[:, None], maxima, 0)


class _Windows(NamedTuple):
    """The windows of one width over all texts: each adds up rows of a table."""

    line: Tensor  # the tokens of all texts, with padding
    starts: Tensor  # of the first window of each text, in `line`
    bounds: Tensor  # offsets of the windows of each text, shape (n_texts + 1,)
    width: int
    places: int  # rows of the table for each token, and the first of them
    place: int

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of each window, shape (n_windows, width), the bounds, the texts of windows."""
        of_text = _text_of(self.bounds, int(self.bounds[-1]))
        return self._rows(of_text, 0), self.bounds, of_text

    def maxima(self, table: Tensor) -> Tensor:
        """Maximum over the windows of each text, without a gradient, in bounded memory."""
        # The maximum over the parts of a text is that over the text.
        n_windows, size = int(self.bounds[-1]), max(_PIECE // table.shape[1], 1)
        best = table.new_full((len(self.bounds) - 1, table.shape[1]), -torch.inf)
        for first in range(0, n_windows, size):
            stop = min(first + size, n_windows)
            texts = torch.searchsorted(
                self.bounds, self.bounds.new_tensor([first, stop - 1]), right=True
            )
            low, high = (texts - 1).tolist()
            bounds = self.bounds[low : high + 2].clamp(first, stop) - first
            rows = self._rows(_text_of(bounds, stop - first) + low, first)
            sums = F.embedding_bag(rows, table, mode="sum")
            part = best[low : high + 1]
            torch.maximum(part, _maxima(sums, bounds), out=part)
        return best

    def _rows(self, of_text: Tensor, first: int) -> Tensor:
        """The rows of windows from `first` on, of these texts."""
        window = torch.arange(first, first + len(of_text), device=self.line.device)
        begin = window - self.bounds[of_text] + self.starts[of_text]
        inside = torch.arange(self.width, device=self.line.device)
        rows: Tensor = self.line[begin[:, None] + inside] * self.places + (self.place + inside)
        return rows


class _WindowMaxima(torch.autograd.Function):
    """Maximum over the windows of each text, per filter.

    Forward takes a table, shape (n_rows, n_filters), and three tensors for every width: the rows
    that each window adds up, int64, shape (n_windows, width); the offsets of the windows of each
    text, shape (n_texts + 1,); the text of each window, shape (n_windows,). It returns a tensor of
    shape (n_texts, n_widths * n_filters). Windows with the same maximum share the gradient.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, *windows: Tensor) -> Tensor:
        """Sum the rows of each window, and take the maxima."""
        sums, best = [], []
        for rows, bounds, _ in _triples(windows):
            sums.append(F.embedding_bag(rows, table, mode="sum"))
            best.append(_maxima(sums[-1], bounds))
        ctx.save_for_backward(*windows, *sums, *best)
        ctx.shape = table.shape
        return torch.cat(best, dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradient of the table."""
        n_widths = len(ctx.saved_tensors) // 5
        windows = ctx.saved_tensors[: 3 * n_widths]
        sums, best = (ctx.saved_tensors[i * n_widths :][:n_widths] for i in (3, 4))
        n_filters = ctx.shape[1]
        total = gradient.new_zeros(ctx.shape)
        parts = zip(_triples(windows), sums, best, torch.split(gradient, n_filters, 1), strict=True)
        for (rows, _, of_text), values, maxima, part in parts:
            window, column = (values == maxima[of_text]).nonzero(as_tuple=True)
            cell = of_text[window] * n_filters + column
            n_equal = torch.bincount(cell, minlength=part.numel())
            share = part.reshape(-1)[cell] / n_equal[cell]
            places = rows[window] * n_filters + column[:, None]
            total.view(-1).index_add_(0, places.flatten(), share.repeat_interleave(rows.shape[1]))
        return (total, *[None] * len(windows))


def _triples(windows: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    return [tuple(windows[i : i + 3]) for i in range(0, len(windows), 3)]


class RecurrentReader(nn.Module):
    """Bidirectional recurrent network with a maximum over time.

    Parameters
    ----------
    dim : int
        Dimension of the vectors.
    cell : {"gru", "lstm"}, default="gru"
        Cho et al. 2014; Hochreiter & Schmidhuber 1997.
    units, layers : int
        Units of each direction; number of stacked layers.

    Notes
    -----
    The maximum is taken over the concatenated states of both directions (Conneau et al.
    2017 [1]_).

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
        bound = units**-0.5
        self.network = _uniform(cells[cell], dim, units, layers, bound=bound, bidirectional=True)
        self.n_features = 2 * units

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002
        """Read texts; see `MeanReader`. Weights are ignored."""
        lengths = offsets.diff()
        if not len(ids):
            return vectors.new_zeros(len(lengths), self.n_features)
        has_tokens = lengths > 0  # a packed sequence cannot be empty
        lengths = lengths[has_tokens].cpu()
        padded = pad_sequence(list(torch.split(vectors[ids], lengths.tolist())))
        packed = pack_padded_sequence(padded, lengths, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.network(packed)[0], padding_value=-torch.inf)
        encoded = vectors.new_zeros(len(has_tokens), self.n_features)
        return encoded.masked_scatter(has_tokens[:, None], states.amax(0).to(encoded))


class PaddedReader(nn.Module):
    """A user's module that reads padded texts.

    Parameters
    ----------
    module : nn.Module
        From vectors, shape (n_texts, length, dim), padded with zeros, and lengths, int64, shape
        (n_texts,), to (n_texts, d).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002
        """Read texts; see `MeanReader`. Weights are ignored."""
        lengths = offsets.diff()
        padded = pad_sequence(list(torch.split(vectors[ids], lengths.tolist())), batch_first=True)
        encoded: Tensor = self.module(padded, lengths)
        return encoded


READERS: dict[str, type[nn.Module]] = dict(
    zip(
        READER_NAMES,
        (MeanReader, AttentionReader, ConvolutionReader, RecurrentReader),
        strict=True,
    )
)


def check_reader(encoder: str | nn.Module, params: Mapping[str, Any] | None) -> None:
    """Reject keyword arguments that a reader does not have; "cnn" also takes "multichannel"."""
    if not isinstance(encoder, str):
        if params:
            raise ValueError(
                "encoder_params belong to an encoder given by name. Set encoder_params=None."
            )
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


def _uniform(
    made: Callable[..., nn.Module], *sizes: int, bound: float, **options: Any
) -> nn.Module:
    """A module whose parameters are uniform between two bounds, as torch initialises it."""
    # On the device "meta", torch's own initialisation draws no numbers.
    module = made(*sizes, device="meta", **options).to_empty(device="cpu")
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=current_generator())
    return module


def _text_of(offsets: Tensor, n_tokens: int) -> Tensor:
    """The text of every token, shape (n_tokens,)."""
    texts = torch.arange(len(offsets) - 1, device=offsets.device)
    return texts.repeat_interleave(offsets.diff(), output_size=n_tokens)


def _sums(vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of the vectors of each text, shape (n_texts, dim)."""
    if vectors.device.type != "cpu" or weights.requires_grad or torch.compiler.is_compiling():
        return _sum_bags(vectors, ids, offsets, weights)
    sums: Tensor = _Sums.apply(vectors, ids, offsets, weights)  # type: ignore[no-untyped-call]
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
    """Compute the maximum of the rows of each text, shape (n_texts, d); zero without rows."""
    reduce: Callable[..., Tensor] = torch.segment_reduce
    maxima = reduce(values, "max", offsets=offsets, axis=0)
    return torch.where((offsets.diff() > 0)[:, None], maxima, 0)
