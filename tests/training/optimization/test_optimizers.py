from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_transfer.training.optimization.optimizers import (
    OPTIMIZERS,
    RowAdam,
    clip_gradients,
    is_row_wise,
    replace_parameter,
)

# ---- Adam by rows ----


def batches(n: int = 12, every: int = 1) -> list[Tensor]:
    """Token ids of batches; row 0 occurs (twice) in every so many, row 9 in none."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i in range(n):
        ids = torch.randint(1, 9, (6,), generator=generator)
        found.append(torch.cat([ids, torch.tensor([0, 0])]) if i % every == 0 else ids)
    return found


def table() -> Tensor:
    return torch.randn(10, 3, generator=torch.Generator().manual_seed(1))


def loss_of(parameter: Tensor, ids: Tensor, sparse: bool) -> Tensor:
    return (F.embedding(ids, parameter, sparse=sparse) - 1).pow(4).sum()


def train(
    make: Callable[..., torch.optim.Optimizer], ids: list[Tensor], sparse: bool, **settings: Any
) -> Tensor:
    parameter = nn.Parameter(table())
    optimizer = make([parameter], **settings)
    for batch in ids:
        optimizer.zero_grad()
        loss_of(parameter, batch, sparse).backward()
        optimizer.step()
    return parameter.detach()


SETTINGS = [{}, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_adam_with_dense_gradients_is_torchs(settings: dict[str, Any]) -> None:
    torch.testing.assert_close(
        train(RowAdam, batches(), False, **settings),
        train(torch.optim.Adam, batches(), False, **settings),
    )


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_row_of_every_batch_moves_as_in_torchs_adam(settings: dict[str, Any]) -> None:
    torch.testing.assert_close(
        train(RowAdam, batches(), True, **settings)[0],
        train(torch.optim.Adam, batches(), False, **settings)[0],
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_rows_are_updated_as_few(dtype: torch.dtype) -> None:
    start = torch.linspace(-1, 1, 90_000, dtype=dtype).reshape(30_000, 3)
    tables = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = RowAdam(tables[:1], lr=0.1), torch.optim.Adam(tables[1:], lr=0.1)
    for _ in range(3):
        for table, optimizer in zip(tables, optimizers, strict=True):
            optimizer.zero_grad()
            F.embedding(
                torch.arange(30_000), table, sparse=table is tables[0]
            ).sin().sum().backward()
            optimizer.step()
    torch.testing.assert_close(*tables)


def test_a_row_moves_as_if_only_its_batches_were_there() -> None:
    ids = batches(every=3)
    own = [batch for batch in ids if (batch == 0).any()]
    assert 0 < len(own) < len(ids)
    torch.testing.assert_close(
        train(RowAdam, ids, True, lr=0.1)[0], train(torch.optim.Adam, own, False, lr=0.1)[0]
    )


def test_the_first_step_of_a_rare_row_is_as_long_as_a_frequent_ones() -> None:
    ids = [torch.tensor([0])] * 50 + [torch.tensor([3])]
    step = train(RowAdam, ids, True, lr=0.01) - table()
    np.testing.assert_allclose(step[3].abs(), 0.01, rtol=1e-4)


def test_a_row_that_no_batch_has_is_left_bit_for_bit() -> None:
    found = train(RowAdam, batches(), True, lr=0.1)
    assert torch.equal(found[9], table()[9])
    assert not torch.equal(found[0], table()[0])


def test_a_row_rests_bit_for_bit_between_its_batches() -> None:
    parameter = nn.Parameter(table())
    optimizer = RowAdam([parameter], lr=0.1)
    for ids in ([0, 1], [1, 2]):
        before = parameter.detach().clone()
        optimizer.zero_grad()
        loss_of(parameter, torch.tensor(ids), True).backward()
        optimizer.step()
        rest = [i for i in range(10) if i not in ids]
        assert torch.equal(parameter.detach()[rest], before[rest])


def test_a_parameter_without_gradient_rests() -> None:
    parameter = nn.Parameter(table())
    RowAdam([parameter]).step()
    assert torch.equal(parameter.detach(), table())


def test_each_group_has_its_own_learning_rate() -> None:
    slow, fast = nn.Parameter(table()), nn.Parameter(table())
    optimizer = RowAdam([{"params": [slow], "lr": 0.001}, {"params": [fast]}], lr=0.1)
    (loss_of(slow, torch.tensor([0]), True) + loss_of(fast, torch.tensor([0]), True)).backward()
    optimizer.step()
    for parameter, lr in ((slow, 0.001), (fast, 0.1)):
        np.testing.assert_allclose((parameter.detach() - table())[0].abs(), lr, rtol=1e-3)


def test_adam_gives_the_loss_of_its_closure() -> None:
    parameter = nn.Parameter(table())

    def closure() -> Tensor:
        loss = loss_of(parameter, torch.tensor([0]), True)
        loss.backward()
        return loss

    expected = loss_of(table(), torch.tensor([0]), False)
    torch.testing.assert_close(RowAdam([parameter]).step(closure).detach(), expected)


@pytest.mark.parametrize(
    ("optimizer", "rows"),
    [
        ("adam", True),
        ("sgd", True),
        ("adamw", False),
        ("newton", False),
        (RowAdam, True),
        (torch.optim.SGD, True),
        (torch.optim.Adam, False),
    ],
)
def test_row_wise_optimizers_are_known(optimizer: Any, rows: bool) -> None:
    assert is_row_wise(optimizer) == rows


@pytest.mark.parametrize("optimizer", [*filter(is_row_wise, OPTIMIZERS.values())])
def test_a_row_wise_optimizer_takes_sparse_gradients(optimizer: Any) -> None:
    assert not torch.equal(train(optimizer, batches(2), True, lr=0.01)[0], table()[0])


# ---- more rows ----


MAKERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], bool]] = {
    "RowAdam, sparse": (lambda p: RowAdam(p, lr=0.1), True),
    "RowAdam, dense": (lambda p: RowAdam(p, lr=0.1), False),
    "AdamW": (lambda p: torch.optim.AdamW(p, lr=0.1), False),
    "SGD with momentum": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), False),
}


@pytest.mark.parametrize(("make", "sparse"), MAKERS.values(), ids=MAKERS)
def test_old_rows_go_on_as_if_nothing_had_happened(make: Any, sparse: bool) -> None:
    results = []
    for extends in (False, True):
        parameter = nn.Parameter(table())
        optimizer = make([parameter])
        for i, ids in enumerate(batches()):
            if extends and i == 5:
                longer = nn.Parameter(torch.cat([parameter.detach(), torch.ones(4, 3)]))
                replace_parameter(optimizer, parameter, longer)
                parameter = longer
            optimizer.zero_grad()
            loss_of(parameter, ids, sparse).backward()
            optimizer.step()
        results.append(parameter.detach()[:10])
    assert torch.equal(*results)


def test_a_new_row_moves_as_in_a_new_optimizer() -> None:
    parameter = nn.Parameter(table())
    optimizer = RowAdam([parameter], lr=0.1)
    loss_of(parameter, torch.tensor([0]), True).backward()
    optimizer.step()
    longer = nn.Parameter(torch.cat([parameter.detach(), table()[:1]]))
    replace_parameter(optimizer, parameter, longer)
    loss_of(longer, torch.tensor([10]), True).backward()
    optimizer.step()
    assert torch.equal(longer[10], train(RowAdam, [torch.tensor([0])], True, lr=0.1)[0])


def test_a_parameter_without_state_is_replaced_all_the_same() -> None:
    parameter, longer = nn.Parameter(table()), nn.Parameter(torch.zeros(12, 3))
    optimizer = RowAdam([parameter])
    replace_parameter(optimizer, parameter, longer)
    assert optimizer.param_groups[0]["params"][0] is longer


def test_other_parameters_keep_their_state() -> None:
    old, other = nn.Parameter(table()), nn.Parameter(table())
    optimizer = RowAdam([old, other])
    (loss_of(old, torch.tensor([0]), True) + loss_of(other, torch.tensor([1]), True)).backward()
    optimizer.step()
    state = optimizer.state[other]
    replace_parameter(optimizer, old, nn.Parameter(torch.zeros(12, 3)))
    assert optimizer.state[other] is state
    assert optimizer.param_groups[0]["params"][1] is other
    assert old not in optimizer.state


# ---- clipping ----


def given_gradients() -> list[Tensor]:
    parameters = [torch.zeros(3, 2), torch.zeros(4), torch.zeros(2)]
    for i, parameter in enumerate(parameters[:2]):
        parameter.grad = torch.arange(1.0, 1 + parameter.numel()).reshape(parameter.shape) * (i + 1)
    return parameters  # the last has none


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(max_norm: float) -> None:
    ours, theirs = given_gradients(), given_gradients()
    clip_gradients(ours, max_norm)
    nn.utils.clip_grad_norm_(theirs, max_norm)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_sparse_gradient_is_clipped_as_the_dense_one() -> None:
    sparse, dense = (torch.zeros(5, 2, requires_grad=True) for _ in range(2))
    weight = torch.arange(1.0, 7).reshape(3, 2)
    for table in (sparse, dense):
        found = F.embedding(torch.tensor([1, 4, 1]), table, sparse=table is sparse)  # one twice
        (found * weight).sum().backward()
        (clip_gradients if table is sparse else nn.utils.clip_grad_norm_)([table], 2.0)
    torch.testing.assert_close(sparse.grad.to_dense(), dense.grad)


def test_gradients_of_zero_stay_zero() -> None:
    parameter = torch.zeros(3)
    parameter.grad = torch.zeros(3)
    clip_gradients([parameter], 1.0)
    assert parameter.grad.tolist() == [0, 0, 0]


def test_clipping_without_gradients_does_nothing() -> None:
    clip_gradients([torch.zeros(3)], 1.0)
