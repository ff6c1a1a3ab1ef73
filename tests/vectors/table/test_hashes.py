from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sklearn_transfer.vectors.table.hashes import (
    hash_packed,
    make_keys,
    random_numbers,
    word_blocks,
)
from sklearn_transfer.vectors.table.vocabulary import Vocabulary, pack, to_offsets

LONG = 700_000  # bytes: more than a block
WORDS = {
    "many short": [f"word {i}" for i in range(60_000)],
    "one long": ["x" * LONG],
    "long and short": ["a", "b" * LONG, "", "c", "b" * (LONG - 1) + "c", *map(str, range(50_000))],
    "empty": ["", ""],
    "none": [],
}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("n_keys", [1, 1000, LONG + 1])
def test_hashes_of_words_of_any_length_are_a_sum_over_their_bytes(name: str, n_keys: int) -> None:
    text, offsets = pack(WORDS[name])
    keys = make_keys(7, n_keys - 1)
    values = text.astype(np.uint64) + np.uint64(1)
    expected = [
        int((keys.take(range(len(word)), mode="clip") * word).sum())
        for word in np.split(values, offsets[1:-1])[: len(offsets) - 1][:2000]
    ]
    assert hash_packed(text, offsets, keys)[:2000].tolist() == expected


def test_keys_are_those_of_one_sequence() -> None:
    for seed in (0, 2**64 - 1):
        expected = random_numbers(np.array([seed], dtype=np.uint64), LONG + 1)[0]
        np.testing.assert_array_equal(make_keys(seed, LONG), expected)


def test_blocks_hold_each_word_once_and_few_bytes() -> None:
    for lengths in ([0, 0], [], [10**6, 0, 10**6, 3], np.arange(3000), [10] * 10**5):
        offsets = to_offsets(np.array(lengths, dtype=np.int64))
        blocks = list(word_blocks(offsets))
        places = [i for block in blocks for i in range(block.start, block.stop)]
        assert places == list(range(len(lengths)))
        sizes = [offsets[block.stop] - offsets[block.start] for block in blocks]
        single = [block.stop - block.start == 1 for block in blocks]
        assert all(s or size <= 1 << 18 for s, size in zip(single, sizes, strict=True))
        assert len(blocks) <= 2 + 2 * offsets[-1] // (1 << 18)


@pytest.mark.parametrize("length", [20, 2000, 1_000_000])
def test_repeated_words_are_found_in_a_few_times_the_memory_of_their_bytes(length: int) -> None:
    n_bytes = 8_000_000
    n_words = n_bytes // length
    text = np.full(n_words * length, ord("a"), dtype=np.uint8)
    words = Vocabulary.from_arrays(text, np.arange(n_words + 1) * length)
    tracemalloc.start()
    try:
        is_first = words.is_first()
        taken = words.take(np.arange(n_words)[::-1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert is_first.sum() == is_first[0] == 1
    assert taken[0] == "a" * length
    # The bytes, arrays for each word, keys for the longest one, and a block.
    assert peak < 2 * n_bytes + 100 * n_words + 16 * length + (16 << 20)
