"""Digests of content: equal for equal content, different after any change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, csr_matrix
from torch import nn
from toys import body

from sklearn_transfer.fine_tuning.fingerprints import (
    content_keys,
    describe,
    digest_module,
    digest_samples,
)
from sklearn_transfer.fine_tuning.inputs.arrays import Arrays
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.training.batches import Samples

ROWS = np.array([[1.0, 0, 2], [0, 0, 0], [1, 0, 2], [1, 2, 0], [0, 1, 2]])


def classes(keys: np.ndarray) -> list[int]:
    """Equal keys as equal small numbers, in the order in which they occur."""
    return [keys.tolist().index(key) for key in keys.tolist()]


# ---- keys of samples ----


def test_equal_texts_have_equal_keys() -> None:
    keys = content_keys(["good", "bad", "good", "", "Good", "\ud800", "\ud801", "\ud800"])
    assert classes(keys) == [0, 1, 0, 3, 4, 5, 6, 5]
    assert keys.dtype == np.int64
    assert content_keys(["bad"]).tolist() == keys[1:2].tolist()


@pytest.mark.parametrize(
    "convert", [np.asarray, np.asfortranarray, csr_array, csr_matrix], ids=lambda c: c.__name__
)
def test_equal_rows_have_equal_keys(convert: Callable[[Any], Any]) -> None:
    assert classes(content_keys(convert(ROWS))) == [0, 1, 0, 3, 4]
    assert content_keys(convert(ROWS)[1:]).tolist() == content_keys(convert(ROWS)).tolist()[1:]


def test_a_sparse_row_has_one_key_however_it_is_stored() -> None:
    usual = csr_array(ROWS)
    twice = csr_array((np.array([1.0, 2, 0.5, 1.5]), [2, 0, 2, 0], [0, 4]), shape=(1, 3))
    for column in (np.int32, np.int64):
        stored = csr_array(([2.0, 1.5], np.array([0, 2], dtype=column), [0, 2]), shape=(1, 3))
        found = content_keys(twice)
        twice.indices = twice.indices.astype(column)
        assert content_keys(csr_array(([3.5, 1.5], stored.indices, [0, 2]))) == found
    assert twice.nnz == 4  # X is left as it is
    assert content_keys(usual.tocsc()).tolist() == content_keys(usual).tolist()


# ---- modules ----


def changed(place: Callable[[nn.Module], torch.Tensor]) -> nn.Module:
    module = nn.Sequential(body(), nn.BatchNorm1d(4))
    with torch.no_grad():
        place(module).view(-1)[-1] += 1
    return module


def test_a_digest_is_that_of_parameters_and_buffers() -> None:
    module = nn.Sequential(body(), nn.BatchNorm1d(4))
    digests = [
        digest_module(module),
        digest_module(changed(lambda m: m[0][4].weight)),
        digest_module(changed(lambda m: m[1].running_mean)),
        digest_module(nn.Sequential(nn.Identity(), *module)),  # other names
    ]
    assert len(set(digests)) == 4
    assert digest_module(copy.deepcopy(module)) == digests[0]


def test_the_layout_of_weights_is_not_part_of_their_digest() -> None:
    module = nn.Linear(3, 2)
    other = copy.deepcopy(module)
    other.weight.data = module.weight.data.t().contiguous().t()
    assert not other.weight.is_contiguous()
    assert digest_module(other) == digest_module(module)


# ---- samples as a net reads them ----


def samples(n: int = 600) -> Samples:
    """More samples than are digested at a time."""
    generator = np.random.default_rng(0)
    sparse = csr_array((generator.random((n, 6)) < 0.3).astype(np.float32))
    dense = generator.random((n, 2), dtype=np.float32)
    return Samples(Design(sparse, dense), np.arange(n) % 3, generator.random(n))


def add_sparse(data: Samples) -> None:
    data.X.sparse.data[-1] += 1


def move_sparse(data: Samples) -> None:
    data.X.sparse.indices[-1] = 5 if data.X.sparse.indices[-1] < 5 else 0


def add_dense(data: Samples) -> None:
    data.X.dense[-1, -1] += 1


def add_dense_before(data: Samples) -> None:
    data.X.dense[255, 0] += 1


def change_target(data: Samples) -> None:
    data.y[-1] += 1


def change_weight(data: Samples) -> None:
    data.weight[-1] += 1


@pytest.mark.parametrize(
    "change",
    [add_sparse, move_sparse, add_dense, add_dense_before, change_target, change_weight],
    ids=lambda change: change.__name__,
)
def test_each_value_is_part_of_the_digest(change: Callable[[Samples], None]) -> None:
    data = samples()
    assert digest_samples(data) == digest_samples(samples())
    change(data)
    assert digest_samples(data) != digest_samples(samples())


def test_the_place_of_an_entry_is_part_of_the_digest() -> None:
    def with_rows(pointer: list[int]) -> str:
        sparse = csr_array((np.ones(2, np.float32), np.zeros(2, np.int32), pointer), shape=(2, 1))
        return digest_samples(Samples(Design(sparse, np.zeros((2, 1), np.float32))))

    assert with_rows([0, 1, 2]) != with_rows([0, 2, 2])


def test_arrays_are_digested_with_all_their_samples() -> None:
    values = np.random.default_rng(0).random((600, 2, 3))
    digests = {digest_samples(Samples(Arrays(values)))}
    for row in (0, 255, 256, 599):
        other = values.copy()
        other[row] += 1
        digests.add(digest_samples(Samples(Arrays(other))))
    assert len(digests) == 5


# ---- parameters ----


class Policy:
    """An object whose text has its address."""


def test_a_parameter_is_described_without_addresses() -> None:
    assert describe(Policy()) == describe(Policy())
    assert " at 0x" not in describe([Policy(), (Policy(),)])
    assert describe([Policy()]).startswith(f"[<{__name__}.Policy object>")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, "0.5"),
        ("adam", "'adam'"),
        ({"a": (1, None)}, "{'a': (1, None)}"),
        (nn.Linear(2, 3), "Linear"),
        (torch.optim.Adagrad, "torch.optim.adagrad.Adagrad"),
        (str.split, "str.split"),  # it has no module
        (len, "builtins.len"),
        (copy.copy, "copy.copy"),
    ],
)
def test_values_by_their_text_and_functions_by_their_name(value: Any, expected: str) -> None:
    assert describe(value) == expected
