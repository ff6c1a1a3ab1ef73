from __future__ import annotations

import numpy as np

from sklearn_transfer.contextual.sequences import Sequences, batches_by_length


def test_padding_by_a_naive_loop():
    generator = np.random.default_rng(0)
    lines = [generator.integers(1, 9, size=n) for n in (3, 0, 5, 1)]
    lengths = np.array([len(line) for line in lines])
    starts = np.cumsum(lengths) - lengths
    ids = np.concatenate(lines).astype(np.int32)
    states = generator.standard_normal((len(ids), 2)).astype(np.float16)
    whole = Sequences(ids, starts, lengths, lengths, padding=99, states=states)
    rows = np.array([2, 1, 0])
    padded = whole[rows].padded()
    assert padded["ids"].dtype == np.int64
    assert padded["states"].dtype == np.float32
    for line, row in enumerate(rows.tolist()):
        n = int(lengths[row])
        expected = np.full(5, 99)
        expected[:n] = lines[row]
        assert padded["ids"][line].tolist() == expected.tolist()
        assert padded["mask"][line].tolist() == (expected != 99).tolist()
        np.testing.assert_array_equal(
            padded["states"][line][:n], states[starts[row] : starts[row] + n]
        )


def test_batches_hold_each_text_once_within_bounds():
    lengths = np.array([3, 50, 7, 7, 1, 200, 12])
    parts = list(batches_by_length(lengths, 60))
    assert sorted(np.concatenate(parts).tolist()) == list(range(7))
    assert parts[0].tolist() == [5]
    assert all(len(part) == 1 or lengths[part].max() * len(part) <= 60 for part in parts)
