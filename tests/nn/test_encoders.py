from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from sklearn_transfer.nn.columns import SparseColumns
from sklearn_transfer.nn.criteria import CrossEntropy, SquaredHinge
from sklearn_transfer.nn.encoders import (
    ACTIVATIONS,
    BagEncoder,
    Dropout,
    EncoderWithHead,
    LinearBag,
    Passage,
    make_encoder_with_head,
    make_head,
    make_linear_bag,
)
from sklearn_transfer.pretrained.table import Table
from sklearn_transfer.text.design import Design
from sklearn_transfer.text.rows import Bags
from sklearn_transfer.text.tokens import TokenIds


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head(*hidden: int, seed: int = 0, **settings: Any) -> nn.Sequential:
    usual = {"activation": "relu", "dropout": 0.0, "generator": seeded(seed)}
    return make_head(4, hidden, 3, **{**usual, **settings})


# ---- dropout ----


def test_dropout_draws_from_its_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = (Dropout(0.5, seeded())(torch.ones(100)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_draws_anew_each_time() -> None:
    dropout = Dropout(0.5, seeded())
    assert not torch.equal(dropout(torch.ones(100)), dropout(torch.ones(100)))


def test_dropout_zeroes_the_share_and_scales_the_rest() -> None:
    dropped = Dropout(0.2, seeded())(torch.ones(20_000))
    assert set(dropped.tolist()) == {0, 1.25}
    assert float((dropped == 0).float().mean()) == pytest.approx(0.2, abs=0.01)


def test_dropout_lets_all_pass_in_evaluation() -> None:
    x = torch.ones(100)
    assert Dropout(0.5, seeded()).eval()(x) is x


def test_dropout_of_nothing_draws_nothing() -> None:
    generator = seeded()
    Dropout(0.0, generator)(torch.ones(100))
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_dropout_keeps_the_dtype() -> None:
    x = torch.ones(10, dtype=torch.float64)
    assert Dropout(0.5, seeded())(x).dtype == torch.float64


@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copy_of_dropout_goes_on_with_the_same_draws(duplicate: Any) -> None:
    dropout = Dropout(0.5, seeded())
    dropout(torch.ones(10))
    other = duplicate(dropout)
    assert torch.equal(other(torch.ones(100)), dropout(torch.ones(100)))


def test_a_copy_of_dropout_draws_on_its_own() -> None:
    dropout = Dropout(0.5, seeded())
    state = dropout.generator.get_state()
    copy.deepcopy(dropout)(torch.ones(100))
    assert torch.equal(dropout.generator.get_state(), state)


# ---- heads ----


def test_a_head_without_hidden_layers_is_linear() -> None:
    (layer,) = head()
    assert (layer.in_features, layer.out_features) == (4, 3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_head_is_a_multi_layer_perceptron(activation: str) -> None:
    made = head(5, 2, activation=activation)
    x = torch.randn(6, 4, generator=seeded(1))
    expected = x
    for i, layer in enumerate(layer for layer in made if isinstance(layer, nn.Linear)):
        expected = ACTIVATIONS[activation]()(expected) if i else expected
        expected = expected @ layer.weight.T + layer.bias
    torch.testing.assert_close(made(x), expected)


def test_dropout_stands_before_every_linear_layer() -> None:
    kinds = [type(layer) for layer in head(5, dropout=0.1)]
    assert kinds == [Dropout, nn.Linear, nn.ReLU, Dropout, nn.Linear]


def test_initial_weights_draw_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = head(50), head(50)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_are_glorot_uniform() -> None:
    weight = make_head(300, (200,), 2, activation="relu", dropout=0, generator=seeded())[
        0
    ].weight.detach()
    bound = (6 / (300 + 200)) ** 0.5
    assert 0.99 * bound < float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.01)


def test_initial_biases_are_zero() -> None:
    assert not any(layer.bias.any() for layer in head(5) if isinstance(layer, nn.Linear))


# ---- bags ----


def bag(n_extra: int = 0) -> dict[str, Tensor]:
    """Texts of 3, 0, 4 and 1 tokens over 12 rows and some extra ones."""
    ids = torch.tensor([1, 5, 1, 0, 2, 2, 11, 3])
    if n_extra:
        ids[[1, 6]] = torch.tensor([12, 13])
    return {
        "ids": ids,
        "offsets": torch.tensor([0, 3, 3, 7, 8]),
        "weights": torch.linspace(0.5, 2, 8),
        "extra": torch.arange(4.0 * n_extra).reshape(n_extra, 4),
    }


def naive(rows: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor, extra: Tensor) -> Tensor:
    table = torch.cat([rows, extra])
    pooled = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        text = weights[start:stop, None] * table[ids[start:stop]]
        pooled.append(text.mean(0) if stop > start else torch.zeros(rows.shape[1]))
    return torch.stack(pooled)


@pytest.fixture
def rows(tiny: Table) -> Tensor:
    return torch.from_numpy(tiny.matrix.copy())


@pytest.mark.parametrize("n_extra", [0, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_bag_is_the_weighted_mean_of_its_rows(rows: Tensor, sparse: bool, n_extra: int) -> None:
    found = BagEncoder(rows, sparse=sparse)(**bag(n_extra))
    torch.testing.assert_close(found, naive(rows, **bag(n_extra)))


@pytest.mark.parametrize("n_extra", [0, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_of_the_rows_is_that_of_the_mean(
    rows: Tensor, sparse: bool, n_extra: int
) -> None:
    encoder, reference = BagEncoder(rows, sparse=sparse), rows.clone().requires_grad_()
    encoder(**bag(n_extra)).square().sum().backward()
    naive(reference, **bag(n_extra)).square().sum().backward()
    torch.testing.assert_close(encoder.rows.grad.to_dense(), reference.grad)


def test_a_sparse_gradient_holds_only_rows_of_the_batch(rows: Tensor) -> None:
    encoder = BagEncoder(rows)
    encoder(**bag()).sum().backward()
    held = encoder.rows.grad.coalesce().indices()[0]
    assert held.tolist() == bag()["ids"].unique().tolist()


def test_a_batch_of_empty_texts_is_zero_and_trains(rows: Tensor) -> None:
    encoder = BagEncoder(rows)
    nothing = bag()["extra"]
    pooled = encoder(
        torch.zeros(0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), nothing[:, 0], nothing
    )
    pooled.sum().backward()
    assert pooled.tolist() == [[0] * 4] * 2
    assert not encoder.rows.grad.to_dense().any()


def test_training_leaves_the_rows_that_were_given(rows: Tensor) -> None:
    before = rows.clone()
    with torch.no_grad():
        BagEncoder(rows, pulled=True).rows.add_(1)
    assert torch.equal(rows, before)


@pytest.mark.parametrize("sparse", [False, True])
def test_squared_distance_is_of_the_rows_of_the_batch(rows: Tensor, sparse: bool) -> None:
    encoder = BagEncoder(rows, sparse=sparse, pulled=True)
    with torch.no_grad():
        encoder.rows += torch.arange(12.0)[:, None]
    distance = encoder.squared_distance(**bag(2))  # rows 0, 1, 2, 3: extra ones do not move
    assert distance.item() == pytest.approx(4 * (0 + 1 + 4 + 9))


@pytest.mark.parametrize("sparse", [False, True])
def test_the_pull_points_back_to_the_start(rows: Tensor, sparse: bool) -> None:
    encoder = BagEncoder(rows, sparse=sparse, pulled=True)
    with torch.no_grad():
        encoder.rows += 0.5
    (encoder.squared_distance(**bag()) / 2).backward()
    gradient = encoder.rows.grad.to_dense()
    expected = torch.zeros(12, 4)
    expected[bag()["ids"].unique()] = 0.5
    torch.testing.assert_close(gradient, expected)


def test_the_distance_of_a_free_encoder_is_refused(rows: Tensor) -> None:
    with pytest.raises(RuntimeError, match="start of the rows is remembered with pulled=True only"):
        BagEncoder(rows).squared_distance(**bag())


def test_extending_appends_rows(rows: Tensor) -> None:
    encoder = BagEncoder(rows)
    before, after = encoder.extend(np.ones((2, 4), dtype=np.float32))
    assert after is encoder.rows
    assert before is not after
    assert torch.equal(after, torch.cat([rows, torch.ones(2, 4)]))


def test_extended_rows_have_not_moved(rows: Tensor) -> None:
    encoder = BagEncoder(rows, pulled=True)
    encoder.extend(np.ones((2, 4), dtype=np.float32))
    assert encoder.squared_distance(torch.arange(14)).item() == 0


# ---- an encoder and a head ----


def test_logits_are_the_last_layer_of_the_features() -> None:
    module = EncoderWithHead(Passage(), head(5))
    x = torch.randn(6, 4, generator=seeded(1))
    torch.testing.assert_close(module(dense=x), module.head[-1](module.features(dense=x)))


@pytest.mark.parametrize("hidden", [(), (5,), (5, 2)])
def test_n_features_is_the_width_of_the_features(hidden: tuple[int, ...]) -> None:
    module = EncoderWithHead(Passage(), head(*hidden))
    assert module.features(dense=torch.zeros(2, 4)).shape[1] == module.n_features


def design(dtype: type[np.floating] = np.float32) -> Design:
    rng = np.random.default_rng(0)
    sparse = csr_array(rng.integers(0, 2, (6, 5)).astype(dtype))
    return Design(sparse, rng.standard_normal((6, 2)).astype(dtype))


def network(inputs: Any, rows: Any, **settings: Any) -> EncoderWithHead:
    usual = {"activation": "relu", "dropout": 0.0, "sparse": True, "pulled": False}
    return make_encoder_with_head(
        inputs, rows, (3,), 2, **{**usual, **settings}, generator=seeded()
    )


def test_a_network_of_a_design_takes_all_its_columns() -> None:
    module = network(design(), None)
    assert module(dense=torch.zeros(6, 7)).shape == (6, 2)


def test_a_network_of_bags_trains_their_rows(tiny: Table) -> None:
    bags = Bags(
        TokenIds(np.zeros(1, dtype=np.int32), np.array([0, 1])),
        np.ones(12, dtype=np.float32),
        np.zeros((0, 4), dtype=np.float32),
    )
    encoder = network(bags, tiny.matrix.copy(), pulled=True).encoder
    assert isinstance(encoder, BagEncoder)
    np.testing.assert_array_equal(encoder.rows.detach(), tiny.matrix)
    assert encoder.start is not None


# ---- the linear bag ----


def linear() -> tuple[LinearBag, Tensor, SparseColumns, Tensor]:
    """A model with weights, its dense and sparse columns, and the latter as a tensor."""
    module = LinearBag(5, 2, torch.tensor([0.5, -1, 2]))
    with torch.no_grad():
        for parameter in (module.offsets, module.head):
            parameter.copy_(torch.randn(parameter.shape, generator=seeded()))
    inputs = design()
    columns = SparseColumns(inputs.sparse, torch.device("cpu"))
    return (
        module,
        torch.from_numpy(inputs.dense),
        columns,
        torch.from_numpy(inputs.sparse.toarray()),
    )


def test_a_linear_bag_is_linear() -> None:
    module, dense, sparse, tensor = linear()
    expected = tensor @ module.offsets + dense @ module.head + module.intercept
    torch.testing.assert_close(module(dense, sparse), expected)


def test_a_linear_bag_starts_at_its_intercept() -> None:
    _, dense, sparse, _ = linear()
    start = torch.tensor([0.5, -1, 2])
    torch.testing.assert_close(LinearBag(5, 2, start)(dense, sparse), start.expand(6, 3))


def test_a_linear_bag_without_sparse_columns_is_the_head() -> None:
    dense = linear()[1]
    module = LinearBag(0, 2, torch.zeros(3))
    torch.testing.assert_close(module(dense), torch.zeros(6, 3))
    assert module.features(dense) is dense


def test_the_logits_of_a_linear_bag_are_a_sum_over_its_features() -> None:
    module, dense, sparse, _ = linear()
    features = module.features(dense, sparse)
    assert features.shape[1] == module.n_features
    logits = features[:, :2] @ module.head + features[:, 2:] + module.intercept
    torch.testing.assert_close(module(dense, sparse), logits)


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy()])
def test_a_linear_bag_starts_where_its_criterion_says(criterion: Any) -> None:
    target, weight = torch.tensor([0, 1, 2, 2, 2, 1]), torch.ones(6)
    module = make_linear_bag(design(), target, weight, 3, criterion)
    expected = criterion.start(torch.tensor([1, 2, 3]) / 6)[None]
    torch.testing.assert_close(module.intercept.detach(), expected)


@pytest.mark.parametrize("criterion", [SquaredHinge(), CrossEntropy()])
def test_each_column_of_an_indicator_starts_as_a_task_of_its_own(criterion: Any) -> None:
    target = torch.tensor([[1.0, 0], [1, 1], [0, 0], [1, 0], [1, 0], [0, 0]])
    module = make_linear_bag(design(), target, torch.ones(6), 2, criterion)
    for column in range(2):
        alone = make_linear_bag(design(), target[:, column], torch.ones(6), 1, criterion)
        torch.testing.assert_close(module.intercept[:, column], alone.intercept[:, 0])


def test_a_linear_bag_starts_at_zero_where_its_criterion_says_nothing() -> None:
    module = make_linear_bag(
        design(), torch.tensor([0, 1, 2, 2, 2, 1]), torch.ones(6), 3, nn.CrossEntropyLoss()
    )
    assert not module.intercept.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_linear_bag_has_the_dtype_of_its_design(dtype: type[np.floating]) -> None:
    module = make_linear_bag(
        design(dtype), torch.tensor([0, 1, 0, 0, 1, 1]), torch.ones(6).double(), 1, SquaredHinge()
    )
    assert {str(p.dtype) for p in module.parameters()} == {f"torch.{np.dtype(dtype)}"}
