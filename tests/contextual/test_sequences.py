from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from sklearn_transfer._utils.locks import ThreadLock
from sklearn_transfer.contextual.sequences import (
    SentenceTokenizer,
    Sequences,
    batches_by_length,
)


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


def sequences(*lines: list[int], **settings: Any) -> Sequences:
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    ids = np.array([i for line in lines for i in line], dtype=np.int32)
    return Sequences(ids, np.cumsum(lengths) - lengths, lengths, lengths + 1, 99, **settings)


def texts(found: Sequences) -> list[list[int]]:
    padded = found.padded()
    return [row[mask].tolist() for row, mask in zip(padded["ids"], padded["mask"], strict=True)]


def test_mirrored_texts_have_the_same_lengths_and_other_ids():
    found = sequences([1, 2, 3], [], [4, 5]).mirrored()
    assert texts(found) == [[1, 2, 3], [], [4, 5], [3, 2, 1], [], [5, 4]]
    assert found.lengths.tolist() == [3, 0, 2] * 2
    assert found.n_tokens.tolist() == [4, 1, 3] * 2


def test_some_of_the_texts_in_their_order():
    found = sequences([1, 2], [3], [4], n_prompt=2)
    part = found[np.array([2, 0])]
    assert texts(part) == [[4], [1, 2]]
    assert part.n_tokens.tolist() == [2, 3]
    assert (len(part), part.n_prompt, part.padding) == (2, 2, 99)
    assert texts(found[:2]) == [[1, 2], [3]]
    assert np.shares_memory(part.ids, found.ids)


@pytest.mark.parametrize("lines", [[], [[]], [[], []]])
def test_texts_without_tokens_have_no_columns(lines: list[list[int]]):
    padded = sequences(*lines).padded()
    assert padded["ids"].shape == padded["mask"].shape == (len(lines), 0)


def test_a_text_without_tokens_next_to_a_single_token():
    assert sequences([7], []).padded()["ids"].tolist() == [[7], [99]]


def test_the_layer_goes_with_the_states_that_enter_it():
    plain = sequences([1, 2], [3])
    assert set(plain.to_arrays()) == {"ids", "mask"}
    states = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = sequences([1, 2], [3], states=states, layer=2).to_arrays()
    assert found["layer"] == 2
    np.testing.assert_array_equal(found["states"][0], states[:2])
    assert found["states"].shape == (2, 2, 2)


def test_a_contextual_model_reads_whole_texts():
    found = sequences([1, 2], [3])
    assert found.drop_tokens(0.9, np.random.default_rng(0)) is found


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5, 5, 5], [[0, 1], [2]]),  # the bound itself is allowed
        ([11, 12, 1], [[1], [0], [2]]),
        ([0, 0, 3, 0], [[2, 0, 1], [3]]),  # three columns of padding each
        ([0] * 11, [list(range(10)), [10]]),  # a text without tokens counts as one
        ([], []),
    ],
)
def test_batches_hold_ten_tokens_with_padding(lengths: list[int], expected: list[list[int]]):
    parts = batches_by_length(np.array(lengths, dtype=np.int64), 10)
    assert [part.tolist() for part in parts] == expected


# ---- the tokenizer of a model ----


def tokenizer(prompt: str = "", max_tokens: int = 8, **settings: Any) -> SentenceTokenizer:
    """The tokenizer of a tiny model, which adds [CLS] (2) and [SEP] (3); "the" is 5, "a" is 6."""
    toys = pytest.importorskip("contextual_toys", exc_type=ImportError)
    return SentenceTokenizer(
        toys.make_tokenizer(**settings), ThreadLock(), prompt, max_tokens, n_ids=25, name="tiny"
    )


def test_texts_are_truncated_and_their_tokens_counted():
    found = tokenizer(max_tokens=5).split(["the a the a", "", "a", "the a the", "zork " * 40])
    assert texts(found) == [[2, 5, 6, 5, 3], [2, 3], [2, 6, 3], [2, 5, 6, 5, 3], [2, 1, 1, 1, 3]]
    assert found.n_tokens.tolist() == [6, 2, 3, 5, 42]
    assert (found.padding, found.n_prompt) == (0, 0)
    assert (found.ids.dtype, found.lengths.dtype) == (np.int32, np.int64)


def test_a_tokenizer_without_special_tokens():
    split = tokenizer(max_tokens=2, special=False)
    found = split.split(["the a the a the", "", "a"])
    assert texts(found) == [[5, 6], [], [6]]
    assert found.n_tokens.tolist() == [5, 0, 1]
    assert texts(split.split_alone(np.array([6, 5], dtype=np.int32))) == [[6], [5]]


@pytest.mark.parametrize(("special", "n_prompt"), [(True, 3), (False, 2)])
def test_the_tokens_of_a_prompt_are_counted(special: bool, n_prompt: int):
    found = tokenizer("the a ", special=special).split(["the"])
    ends = ([2], [3]) if special else ([], [])
    assert texts(found) == [[*ends[0], 5, 6, 5, *ends[1]]]
    assert found.n_prompt == n_prompt  # the special token at its start belongs to it


def test_each_id_is_a_text_of_its_own_without_the_prompt():
    found = tokenizer("the a ").split_alone(np.array([7, 5], dtype=np.int32))
    assert texts(found) == [[2, 7, 3], [2, 5, 3]]
    assert found.n_tokens.tolist() == [3, 3]
    assert found.n_prompt == 0


@pytest.mark.parametrize(("token", "expected"), [("[PAD]", 0), ("[MASK]", 4), (None, 0)])
def test_the_id_of_the_padding_is_that_of_the_tokenizer(token: str | None, expected: int):
    split = tokenizer()
    split.tokenizer.pad_token = token
    assert split.padding == split.split(["a"]).padding == expected


def test_a_lone_surrogate_is_read_as_an_unknown_character():
    assert texts(tokenizer().split(["the \ud800"])) == [[2, 5, 1, 3]]


def test_a_tokenizer_is_pickled_with_a_lock_of_its_own():
    one = tokenizer("a ", max_tokens=4)
    other = pickle.loads(pickle.dumps(one))
    assert texts(other.split(["the the the"])) == texts(one.split(["the the the"]))
    assert isinstance(other.lock, ThreadLock)
    assert other.lock is not one.lock
    assert (other.content, other.padding) == (one.content, 0)
    assert '"the":5' in one.content
