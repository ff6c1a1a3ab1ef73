from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from toys import N, bags, design

from sklearn_transfer.contextual.sequences import Sequences
from sklearn_transfer.fine_tuning.inputs.arrays import Arrays
from sklearn_transfer.text.linear.design import Design
from sklearn_transfer.text.rows import Bags
from sklearn_transfer.text.tokenization.token_ids import TokenIds
from sklearn_transfer.training.batches import Batch, Batches, Samples, by_length

CPU = torch.device("cpu")


def cut(inputs: Any, batch_size: int, **settings: Any) -> Batches:
    taken = inputs if isinstance(inputs, Samples) else Samples(inputs, np.arange(len(inputs)))
    return Batches(taken, batch_size, CPU, **settings)


def targets(batches: Batches) -> list[list[int]]:
    return [target.tolist() for _, target in batches]


# ---- samples ----


def test_samples_without_weights_weigh_one() -> None:
    assert Samples(design(3)).weight.tolist() == [1, 1, 1]


def test_the_length_of_samples_is_that_of_their_inputs() -> None:
    assert len(Samples(bags(5))) == 5


# ---- batches ----


@pytest.mark.parametrize(
    "inputs", [design(), bags(), Arrays(np.ones((N, 2)))], ids=["design", "bags", "arrays"]
)
@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_an_epoch_has_each_sample_once(inputs: Any, batch_size: int) -> None:
    seen = targets(cut(inputs, batch_size, generator=np.random.default_rng(0)))
    assert sorted(chain.from_iterable(seen)) == list(range(N))


@pytest.mark.parametrize(("n", "batch_size"), [(23, 5), (20, 5), (3, 100), (7, 1)])
def test_the_length_is_the_number_of_batches(n: int, batch_size: int) -> None:
    batches = cut(design(n), batch_size)
    assert len(batches) == len(targets(batches))


def test_without_a_generator_samples_keep_their_order() -> None:
    assert targets(cut(design(7), 3)) == [[0, 1, 2], [3, 4], [5, 6]]


def test_equal_generators_give_equal_batches() -> None:
    first, second = (
        targets(cut(design(), 5, generator=np.random.default_rng(3))) for _ in range(2)
    )
    assert first == second


def test_each_epoch_has_an_order_of_its_own() -> None:
    batches = cut(design(), 5, generator=np.random.default_rng(0))
    assert targets(batches) != targets(batches)


def test_shuffling_touches_no_global_generator() -> None:
    before, torch_before = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    targets(cut(bags(), 5, generator=np.random.default_rng(0), token_dropout=0.5))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_a_batch_of_a_design_has_the_blocks_of_its_samples() -> None:
    inputs = design()
    for batch, target in cut(inputs, 5, generator=np.random.default_rng(0)):
        np.testing.assert_array_equal(batch.tensors["dense"], inputs.dense[target])
        sparse = batch.tensors["sparse"].to_dense()
        np.testing.assert_array_equal(sparse, inputs.sparse.toarray()[target])


def test_a_design_without_sparse_columns_gives_none() -> None:
    inputs = Design(csr_array((4, 0), dtype=np.float32), np.ones((4, 2), dtype=np.float32))
    ((batch, _),) = cut(inputs, 100)
    assert set(batch.tensors) == {"dense"}


def test_a_batch_with_sparse_columns_cannot_be_divided() -> None:
    ((batch, _),) = cut(design(), 100)
    assert not batch.divisible


def read(tensors: dict[str, Any], table: np.ndarray) -> np.ndarray:
    """The vector of every token of a batch."""
    known = table[tensors["tokens"].numpy()]
    return np.concatenate([known, tensors["extra"].numpy()])[tensors["ids"].numpy()]


def test_a_batch_of_bags_has_the_tokens_of_its_samples() -> None:
    inputs, table = bags(), np.random.default_rng(0).random((8, 2))
    whole = np.concatenate([table, inputs.extra])
    for batch, target in cut(inputs, 5, generator=np.random.default_rng(0)):
        expected = inputs[target.numpy()].token_ids
        np.testing.assert_array_equal(read(batch.tensors, table), whole[expected.ids])
        np.testing.assert_array_equal(batch.tensors["offsets"], expected.offsets)
        np.testing.assert_array_equal(batch.tensors["weights"], inputs.weights[expected.ids])


def test_a_batch_of_bags_has_each_of_its_rows_once() -> None:
    for batch, target in cut(bags(), 5, generator=np.random.default_rng(0)):
        used = np.unique(bags()[target.numpy()].token_ids.ids)
        assert batch.tensors["tokens"].tolist() == used[used < 8].tolist()
        assert len(batch.tensors["extra"]) == (used >= 8).sum()


def test_a_batch_of_arrays_has_the_values_of_its_samples() -> None:
    values = np.random.default_rng(0).random((N, 3, 2))
    for batch, target in cut(Arrays(values), 5, generator=np.random.default_rng(0)):
        np.testing.assert_array_equal(batch.tensors["x"], values[target])
        assert batch.weight.dtype == torch.float32


@pytest.mark.parametrize("batch_size", [5, 100])
def test_a_module_may_write_into_its_batch(batch_size: int) -> None:
    values = np.ones((N, 3))
    for batch, _ in cut(Arrays(values), batch_size):
        batch.tensors["x"].zero_()
    assert values.all()


@pytest.mark.parametrize("change", ["read-only", "backwards"])
def test_arrays_that_torch_does_not_take_are_batched(change: str) -> None:
    values = np.arange(6.0).reshape(3, 2)[:: -1 if change == "backwards" else 1]
    values.flags.writeable = change != "read-only"
    ((batch, _),) = cut(Arrays(values), 100)
    np.testing.assert_array_equal(batch.tensors["x"], values)


@pytest.mark.parametrize(("n", "batch_size"), [(23, 5), (9, 8), (17, 8), (7, 7), (2, 8), (5, 2)])
def test_batches_differ_in_length_by_one_at_most(n: int, batch_size: int) -> None:
    lengths = [len(target) for target in targets(cut(design(n), batch_size))]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= batch_size


def test_batches_over_other_samples_are_of_the_same_kind() -> None:
    batches = cut(design(), 5)
    other = batches.over(Samples(design(7), np.arange(7)))
    assert targets(other) == [[0, 1, 2, 3], [4, 5, 6]]
    assert len(batches.samples) == N


@pytest.mark.parametrize("batch_size", [5, 100])
def test_weights_go_with_their_samples(batch_size: int) -> None:
    inputs = Samples(design(), np.arange(N), np.linspace(1, 2, N))
    for batch, target in cut(inputs, batch_size, generator=np.random.default_rng(0)):
        np.testing.assert_allclose(batch.weight, inputs.weight[target], rtol=1e-6)


def test_token_dropout_leaves_the_share_of_tokens_out() -> None:
    inputs = Bags(
        TokenIds(np.zeros(10_000, dtype=np.int32), np.array([0, 5000, 10_000])),
        np.ones(1, dtype=np.float32),
        np.zeros((0, 2), dtype=np.float32),
    )
    ((batch, _),) = cut(inputs, 2, generator=np.random.default_rng(0), token_dropout=0.2)
    np.testing.assert_allclose(batch.tensors["offsets"].diff() / 5000, 0.8, atol=0.02)


def test_no_token_is_dropped_without_a_generator() -> None:
    ((batch, _),) = cut(bags(), 100, token_dropout=0.9)
    np.testing.assert_array_equal(batch.tensors["offsets"], bags().token_ids.offsets)


# ---- parts of a batch ----


def batch_of(**tensors: Any) -> Batch:
    return Batch(tensors, torch.arange(4.0))


def test_a_batch_of_rows_and_integers_is_cut() -> None:
    rows = torch.arange(8).reshape(4, 2)
    whole = batch_of(x=rows, layer=2)
    assert whole.divisible
    part = whole[1:3]
    assert (len(part), part.tensors["layer"]) == (2, 2)
    assert torch.equal(part.tensors["x"], rows[1:3])
    assert part.weight.tolist() == [1, 2]


@pytest.mark.parametrize("n_rows", [3, 5])
def test_a_batch_whose_rows_are_no_samples_cannot_be_divided(n_rows: int) -> None:
    assert not batch_of(x=torch.zeros(4, 2), tokens=torch.zeros(n_rows)).divisible


# ---- sequences ----


def sequences(lengths: Any) -> Sequences:
    """Texts of given lengths, whose ids are their number."""
    lengths = np.array(lengths)
    ids = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return Sequences(ids, np.cumsum(lengths) - lengths, lengths, lengths, padding=0)


def test_inputs_are_sorted_by_length_and_restored() -> None:
    inputs, back = by_length(sequences([2, 5, 1, 5]))
    assert inputs.lengths.tolist() == [5, 5, 2, 1]
    assert inputs.to_arrays()["ids"][:, 0].tolist() == [1, 3, 0, 2]
    assert inputs[back].lengths.tolist() == [2, 5, 1, 5]


def test_inputs_without_lengths_keep_their_order() -> None:
    inputs = design()
    found, back = by_length(inputs)
    assert found is inputs
    np.testing.assert_array_equal(np.arange(N)[back], np.arange(N))


def test_sequences_are_predicted_longest_first_at_32_tokens_per_sample() -> None:
    batches = cut(sequences([3, 32, 65, 32, 33, 3, 8]), 2)
    assert targets(batches) == [[2], [4], [1, 3], [6, 0, 5]]
    for batch, target in batches:
        ids = [set(row[mask].tolist()) for row, mask in zip(*batch.tensors.values(), strict=True)]
        assert ids == [{number} for number in target.tolist()]


def test_few_short_sequences_are_one_batch_in_their_order() -> None:
    assert targets(cut(sequences([1, 3, 2]), 8)) == [[0, 1, 2]]


def shuffled(lengths: Any, batch_size: int) -> list[list[int]]:
    """The lengths of each batch of an epoch."""
    batches = cut(sequences(lengths), batch_size, generator=np.random.default_rng(0))
    seen = targets(batches)
    assert sorted(chain.from_iterable(seen)) == list(range(len(lengths)))
    return [[lengths[i] for i in part] for part in seen]


def test_sequences_of_a_shuffled_batch_are_of_similar_length() -> None:
    lengths = np.random.default_rng(1).permutation(128).tolist()
    parts = shuffled(lengths, 8)  # 16 batches, drawn together
    assert [max(part) - min(part) for part in parts] == [7] * 16
    shortest = [min(part) for part in parts]
    assert shortest != sorted(shortest)


def test_sequences_of_sixteen_batches_are_drawn_together() -> None:
    parts = shuffled(np.arange(257).tolist(), 8)
    ranges = [max(part) - min(part) for part in parts if len(part) > 1]
    assert max(map(len, parts)) == 8
    assert 7 < np.mean(ranges) < 32  # sorted as a whole: 7; not sorted: about 200
