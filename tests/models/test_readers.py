from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_transfer.models.readers import (
    READERS,
    AttentionReader,
    ConvolutionReader,
    MeanReader,
    PaddedReader,
    RecurrentReader,
    check_reader,
)
from sklearn_transfer.models.seeds import seeded
from sklearn_transfer.models.text_encoder import TextEncoder, make_text_encoder
from sklearn_transfer.vectors.table.table import Table

DIM = 4
# Texts of 3, 0, 4, 1, 2 and 0 tokens over six distinct ones; one token is twice in a text.
TEXTS = [[1, 5, 1], [], [0, 2, 2, 4], [3], [5, 0], []]


def inputs(texts: list[list[int]] = TEXTS) -> dict[str, Tensor]:
    ids = torch.tensor([i for text in texts for i in text], dtype=torch.int64)
    return {
        "vectors": torch.randn(6, DIM, generator=torch.Generator().manual_seed(0)).double(),
        "ids": ids,
        "offsets": torch.tensor(np.cumsum([0, *map(len, texts)])),
        "weights": torch.linspace(0.5, 2, len(ids)).double(),
    }


def one_by_one(read: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A reader of a single text's vectors (n, dim) and weights (n,), text by text."""

    def forward(vectors: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        bounds = pairwise(offsets.tolist())
        return torch.stack([read(vectors[ids[a:b]], weights[a:b]) for a, b in bounds])

    return forward


def naive_mean(reader: Any) -> Callable[..., Tensor]:
    return one_by_one(lambda v, w: (w[:, None] * v).sum(0) / max(len(v), 1))


def naive_attention(reader: Any) -> Callable[..., Tensor]:
    def read(vectors: Tensor, weights: Tensor) -> Tensor:
        scores = torch.tanh(vectors @ reader.hidden.weight.T + reader.hidden.bias)
        share = torch.exp(scores @ reader.score.weight[0]) * weights
        return (share[:, None] * vectors).sum(0) / (share.sum() if len(share) else 1)

    return one_by_one(read)


def naive_convolution(reader: Any) -> Callable[..., Tensor]:
    def read(vectors: Tensor, weights: Tensor) -> Tensor:
        if not len(vectors):
            return vectors.new_zeros(reader.n_features)
        place, found = 0, []
        biases = reader.bias.split(reader.filters.shape[2])
        for width, bias in zip(reader.widths, biases, strict=True):
            kernel = reader.filters[:, place : place + width].permute(2, 0, 1)
            maps = F.conv1d(vectors.T[None], kernel, bias, padding=width - 1)
            found.append(torch.relu(maps)[0].amax(1))
            place += width
        return torch.cat(found)

    return one_by_one(read)


def naive_recurrent(reader: Any) -> Callable[..., Tensor]:
    def read(vectors: Tensor, weights: Tensor) -> Tensor:
        if not len(vectors):
            return vectors.new_zeros(reader.n_features)
        return reader.network(vectors)[0].amax(0)

    return one_by_one(read)


class Own(nn.Module):
    """A user's module over padded vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIM, 3)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        return torch.tanh(self.linear(vectors.sum(1) / lengths.clamp_min(1)[:, None]))


def naive_padded(reader: Any) -> Callable[..., Tensor]:
    return one_by_one(lambda v, w: torch.tanh(reader.module.linear(v.sum(0) / max(len(v), 1))))


NAIVE: dict[str, tuple[Callable[[], Any], Callable[[Any], Callable[..., Tensor]]]] = {
    "mean": (lambda: MeanReader(DIM), naive_mean),
    "attention": (lambda: AttentionReader(DIM, units=3), naive_attention),
    "cnn": (lambda: ConvolutionReader(DIM, filters=3), naive_convolution),
    "cnn-words": (lambda: ConvolutionReader(DIM, widths=(1,), filters=2), naive_convolution),
    "cnn-twice": (lambda: ConvolutionReader(DIM, widths=(5, 2, 2), filters=2), naive_convolution),
    "gru": (lambda: RecurrentReader(DIM, units=3), naive_recurrent),
    "lstm": (lambda: RecurrentReader(DIM, cell="lstm", units=2), naive_recurrent),
    "deep": (lambda: RecurrentReader(DIM, units=2, layers=2), naive_recurrent),
    "padded": (lambda: PaddedReader(Own()), naive_padded),
}
every_reader = pytest.mark.parametrize("name", NAIVE)


def made(name: str) -> Any:
    """A reader in float64, all of whose parameters are drawn."""
    with seeded(1, seed_global=True):
        reader = NAIVE[name][0]().double()
        for parameter in reader.parameters():
            nn.init.normal_(parameter, std=0.5)
    return reader


@every_reader
def test_texts_are_read_as_if_one_by_one(name: str) -> None:
    reader = made(name)
    torch.testing.assert_close(reader(**inputs()), NAIVE[name][1](reader)(**inputs()))


@every_reader
def test_gradients_are_those_of_reading_one_by_one(name: str) -> None:
    reader, gradients = made(name), []
    given = inputs()
    wanted = [given["vectors"].requires_grad_(), *reader.parameters()]
    for read in (reader, NAIVE[name][1](reader)):
        found = read(**given)
        value = (found * torch.arange(found.numel()).reshape(found.shape).cos()).sum()
        gradients.append(torch.autograd.grad(value, wanted))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["mean", "attention", "cnn", "gru", "padded"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    reader, given = made(name), inputs()
    vectors = given.pop("vectors").requires_grad_()
    assert torch.autograd.gradcheck(lambda v: reader(v, **given), (vectors,))


@every_reader
def test_the_order_of_the_texts_is_kept(name: str) -> None:
    reader, order = made(name), [3, 5, 0, 2, 1, 4]
    given = {**inputs(), "weights": torch.ones(10).double()}
    shuffled = {**inputs([TEXTS[i] for i in order]), "weights": torch.ones(10).double()}
    torch.testing.assert_close(reader(**shuffled), reader(**given)[order])


@every_reader
def test_a_text_does_not_depend_on_its_batch(name: str) -> None:
    reader = made(name)
    alone = {**inputs([TEXTS[2]]), "weights": torch.ones(4).double()}
    among = {**inputs(), "weights": torch.ones(10).double()}
    torch.testing.assert_close(reader(**alone)[0], reader(**among)[2])


@pytest.mark.parametrize("name", [name for name in NAIVE if name != "padded"])
@pytest.mark.parametrize("n_texts", [1, 3])
def test_empty_texts_alone_are_zero_and_train(name: str, n_texts: int) -> None:
    reader, given = made(name), inputs([[]] * n_texts)
    given["vectors"] = given["vectors"][:0].requires_grad_()
    encoded = reader(**given)
    (encoded.sum() + given["vectors"].sum()).backward()
    assert encoded.tolist() == [[0.0] * reader.n_features] * n_texts


@every_reader
def test_n_features_is_the_width_of_what_is_read(name: str) -> None:
    reader = made(name)
    assert reader(**inputs()).shape == (6, 3 if name == "padded" else reader.n_features)


def test_attention_starts_at_the_weighted_mean() -> None:
    given = inputs([[1, 5, 1], [0, 2]])
    share = given["weights"] / torch.tensor([given["weights"][:3].sum()] * 3 + [1, 1])
    share[3:] /= share[3:].sum()
    vectors = given["vectors"][given["ids"]] * share[:, None]
    expected = torch.stack([vectors[:3].sum(0), vectors[3:].sum(0)])
    torch.testing.assert_close(AttentionReader(DIM).double()(**given), expected)


def test_attention_with_large_scores_is_finite() -> None:
    reader = made("attention")
    with torch.no_grad():
        reader.score.weight.fill_(1e6)
    assert torch.isfinite(reader(**inputs())).all()


def test_filters_start_glorot_uniform() -> None:
    with seeded(0, seed_global=True):
        reader = ConvolutionReader(50, widths=(2, 3), filters=40)
    for filters, width in zip(reader.filters.split((2, 3), 1), (2, 3), strict=True):
        bound = (6 / (50 * width + 40)) ** 0.5
        assert 0.99 * bound < float(filters.detach().abs().max()) <= bound


def test_a_users_module_sees_zeros_beside_the_texts() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
            seen.append((vectors, lengths))
            return vectors.sum(1)

    given = inputs()
    PaddedReader(Spy())(**given)
    ((vectors, lengths),) = seen
    assert lengths.tolist() == [3, 0, 4, 1, 2, 0]
    for row, text in zip(vectors, TEXTS, strict=True):
        assert torch.equal(row[: len(text)], given["vectors"][text])
        assert not row[len(text) :].any()


# ---- the encoder: pretrained rows and a reader ----


def bag(n_extra: int = 0) -> dict[str, Tensor]:
    """Texts of 3, 0, 4 and 1 tokens over six of 12 rows and some extra ones."""
    ids = torch.tensor([1, 4, 1, 0, 2, 2, 5, 3])
    if n_extra:
        ids[[1, 6]] = torch.tensor([6, 7])
    return {
        "tokens": torch.tensor([0, 1, 2, 3, 5, 11]),
        "ids": ids,
        "offsets": torch.tensor([0, 3, 3, 7, 8]),
        "weights": torch.linspace(0.5, 2, 8),
        "extra": torch.arange(4.0 * n_extra).reshape(n_extra, 4),
    }


@pytest.fixture
def rows(tiny: Table) -> Tensor:
    return torch.from_numpy(tiny.matrix.copy())


def encoder_of(rows: Tensor, name: str = "mean", **settings: Any) -> TextEncoder:
    with seeded(0, seed_global=True):
        return TextEncoder(rows, READERS[name](DIM), **settings)


def naive(rows: Tensor, encoder: TextEncoder, given: dict[str, Tensor], factor: int = 1) -> Tensor:
    """The reader on the row of each token, none shared."""
    table = torch.cat([rows[given["tokens"]], factor * given["extra"]])
    each = torch.arange(len(given["ids"]))
    return encoder.reader(table[given["ids"]], each, given["offsets"], given["weights"])


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("n_extra", [0, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_text_is_read_by_the_rows_of_its_tokens(
    rows: Tensor, name: str, sparse: bool, n_extra: int
) -> None:
    encoder = encoder_of(rows, name, sparse=sparse)
    torch.testing.assert_close(encoder(**bag(n_extra)), naive(rows, encoder, bag(n_extra)))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_of_the_rows_is_that_of_each_token(
    rows: Tensor, name: str, sparse: bool
) -> None:
    encoder, reference = encoder_of(rows, name, sparse=sparse), rows.clone().requires_grad_()
    encoder(**bag(2)).square().sum().backward()
    naive(reference, encoder, bag(2)).square().sum().backward()
    torch.testing.assert_close(encoder.rows.grad.to_dense(), reference.grad)


def test_a_sparse_gradient_holds_only_rows_of_the_batch(rows: Tensor) -> None:
    encoder = encoder_of(rows)
    encoder(**bag()).sum().backward()
    assert encoder.rows.grad.coalesce().indices()[0].tolist() == bag()["tokens"].tolist()


def test_training_leaves_the_rows_that_were_given(rows: Tensor) -> None:
    before = rows.clone()
    with torch.no_grad():
        encoder_of(rows, pulled=True).rows.add_(1)
    assert torch.equal(rows, before)


def test_channels_share_their_filters_and_are_added(rows: Tensor) -> None:
    encoder = make_text_encoder(
        rows, "cnn", {"multichannel": True, "filters": 3}, sparse=True, pulled=False
    )
    with torch.no_grad():
        encoder.rows += 0.5
    given, reader = bag(), encoder.reader
    vectors, place, found = (encoder.rows[given["tokens"]], rows[given["tokens"]]), 0, []
    for width in reader.widths:
        kernel = reader.filters[:, place : place + width].permute(2, 0, 1)
        maps = [
            F.conv1d(channel[given["ids"][3:7]].T[None], kernel, padding=width - 1)
            for channel in vectors
        ]
        found.append(torch.relu(sum(maps))[0].amax(1))
        place += width
    torch.testing.assert_close(encoder(**given)[2], torch.cat(found))


def test_a_token_that_training_has_not_seen_is_in_both_channels(rows: Tensor) -> None:
    encoder = encoder_of(rows, "cnn", multichannel=True)
    torch.testing.assert_close(encoder(**bag(2)), naive(2 * rows, encoder, bag(2), factor=2))


@pytest.mark.parametrize("sparse", [False, True])
def test_squared_distance_is_of_the_rows_of_the_batch(rows: Tensor, sparse: bool) -> None:
    encoder = encoder_of(rows, sparse=sparse, pulled=True)
    with torch.no_grad():
        encoder.rows += torch.arange(12.0)[:, None]
    distance = encoder.squared_distance(**bag())
    assert distance.item() == pytest.approx(4 * (0 + 1 + 4 + 9 + 25 + 121))


@pytest.mark.parametrize("sparse", [False, True])
def test_the_pull_points_back_to_the_start(rows: Tensor, sparse: bool) -> None:
    encoder = encoder_of(rows, sparse=sparse, pulled=True)
    with torch.no_grad():
        encoder.rows += 0.5
    (encoder.squared_distance(**bag()) / 2).backward()
    expected = torch.zeros(12, 4)
    expected[bag()["tokens"]] = 0.5
    torch.testing.assert_close(encoder.rows.grad.to_dense(), expected)


def test_the_distance_of_a_free_encoder_is_refused(rows: Tensor) -> None:
    with pytest.raises(
        RuntimeError, match="needs the initial rows: make the encoder with pulled=True"
    ):
        encoder_of(rows).squared_distance(**bag())


def test_extending_appends_rows(rows: Tensor) -> None:
    encoder = encoder_of(rows)
    before, after = encoder.extend(torch.ones(2, 4))
    assert after is encoder.rows
    assert before is not after
    assert torch.equal(after, torch.cat([rows, torch.ones(2, 4)]))


@pytest.mark.parametrize("settings", [{"pulled": True}, {"multichannel": True}])
def test_extended_rows_have_not_moved(rows: Tensor, settings: dict[str, bool]) -> None:
    encoder = encoder_of(rows, **settings)
    encoder.extend(torch.ones(2, 4))
    assert encoder.squared_distance(torch.arange(14)).item() == 0


# ---- settings ----


@pytest.mark.parametrize(
    ("encoder", "params", "message"),
    [
        (
            "mean",
            {"units": 3},
            "encoder='mean' has no parameter 'units'; .* may hold nothing.",
        ),
        ("attention", {"filters": 3}, "no parameter 'filters'; encoder_params may hold units."),
        ("cnn", {"dim": 3}, "no parameter 'dim'; .* may hold widths, filters, multichannel."),
        ("rnn", {"widths": 3}, "no parameter 'widths'; .* may hold cell, units, layers."),
        (
            Own(),
            {"units": 3},
            "encoder_params belong to an encoder given by name. Set encoder_params=None.",
        ),
    ],
)
def test_settings_that_an_encoder_lacks_are_refused(
    encoder: Any, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_reader(encoder, params)


@pytest.mark.parametrize("encoder", [*READERS, Own()])
@pytest.mark.parametrize("params", [None, {}])
def test_no_settings_are_always_right(encoder: Any, params: Any) -> None:
    check_reader(encoder, params)


@pytest.mark.parametrize("params", [{"widths": ()}, {"widths": (2, 0)}, {"filters": 0}])
def test_filters_that_are_none_are_refused(params: dict[str, Any]) -> None:
    message = "encoder='cnn' needs widths and a number of filters of at least 1, got widths="
    with pytest.raises(ValueError, match=re.escape(message)):
        ConvolutionReader(DIM, **params)


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="has the cells 'gru' and 'lstm', got cell='elman'"):
        RecurrentReader(DIM, cell="elman")


@pytest.mark.parametrize(
    ("encoder", "params", "width"),
    [
        ("mean", None, DIM),
        ("attention", {"units": 2}, DIM),
        ("cnn", {"widths": (2, 3), "filters": 5}, 10),
        ("rnn", {"cell": "lstm", "units": 3, "layers": 2}, 6),
    ],
)
def test_settings_reach_the_reader(rows: Tensor, encoder: str, params: Any, width: int) -> None:
    made = make_text_encoder(rows, encoder, params, sparse=True, pulled=False)
    assert made(**bag()).shape == (4, width)


def test_a_users_module_is_copied(rows: Tensor) -> None:
    module = Own()
    made = make_text_encoder(rows, module, None, sparse=False, pulled=True)
    assert made.reader.module is not module
    assert torch.equal(made.reader.module.linear.weight, module.linear.weight)


def test_settings_are_left_as_they_are(rows: Tensor) -> None:
    params = {"multichannel": True, "filters": 2}
    make_text_encoder(rows, "cnn", params, sparse=False, pulled=False)
    assert params == {"multichannel": True, "filters": 2}


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that an operation returns."""

    n_values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, torch.Tensor):
                self.n_values = max(self.n_values, part.numel())
        return result


@pytest.mark.parametrize("lengths", [[30_000], [3, 0, 12_000, 0, 9_000, 1, 9_000, 0]])
def test_a_long_text_is_read_in_pieces_of_bounded_memory(lengths: list[int]):
    reader = ConvolutionReader(2, widths=(1, 4), filters=500)
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    ids = torch.randint(0, 50, (sum(lengths),), generator=torch.Generator().manual_seed(0))
    given = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), ids, offsets
    whole = reader(*given, torch.ones(len(ids))).detach()
    with torch.no_grad(), LargestTensor() as largest:
        pieces = reader(*given, torch.ones(len(ids)))
    assert torch.equal(pieces, whole)
    assert largest.n_values <= 5_000_000 < 500 * sum(lengths)
