from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_transfer.text.tokenization.tokens import (
    SplitAll,
    Splitter,
    TokenIds,
    Tokenization,
    Tokenizer,
    clear_token_cache,
    find_tokenizer,
)

# Any text, and texts of a few words, so that tokens repeat within and between texts.
ASCII = st.text(st.characters(max_codepoint=127))
TEXTS = st.lists(st.one_of(ASCII, st.text(), st.text(alphabet="aB é猫.'_")), max_size=6)
RAGGED = st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=5)


def ragged(rows: Sequence[Sequence[int]]) -> TokenIds:
    lengths = [len(row) for row in rows]
    ids = np.array([i for row in rows for i in row], dtype=np.int32)
    return TokenIds(ids, np.cumsum([0, *lengths], dtype=np.int64))


def rows(token_ids: TokenIds) -> list[list[int]]:
    return [token_ids.ids[a:b].tolist() for a, b in pairwise(token_ids.offsets.tolist())]


def written(result: tuple[list[str], TokenIds]) -> list[list[str]]:
    """The tokens of each text as strings."""
    tokens, token_ids = result
    return [[tokens[i] for i in row] for row in rows(token_ids)]


def each(split: Splitter) -> SplitAll:
    return lambda texts: (list(split(text)) for text in texts)


def split(texts: Sequence[str], tokenizer: Splitter) -> tuple[list[str], TokenIds]:
    """Texts as the estimators split them."""
    return Tokenization(tokenizer, "", lowercase=False).split(texts, [])


class Counting:
    """Splits at spaces, and counts how often each text is split."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, text: str) -> list[str]:
        self.calls[text] += 1
        return text.split()


# ---- TokenIds ----


@settings(derandomize=True)
@given(RAGGED)
def test_length_is_the_number_of_texts(texts: list[list[int]]) -> None:
    assert len(ragged(texts)) == len(texts)


@settings(derandomize=True)
@given(RAGGED)
def test_lengths_count_the_tokens_of_each_text(texts: list[list[int]]) -> None:
    assert ragged(texts).lengths.tolist() == [len(text) for text in texts]


@settings(derandomize=True)
@given(RAGGED.filter(len), st.data())
def test_an_index_takes_texts_in_its_order(texts: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(-len(texts), len(texts) - 1), max_size=6))
    taken = ragged(texts)[np.array(chosen, dtype=np.int64)]
    assert rows(taken) == [texts[i] for i in chosen]


@settings(derandomize=True)
@given(RAGGED, st.slices(5))
def test_a_slice_takes_texts_as_of_a_list(texts: list[list[int]], part: slice) -> None:
    assert rows(ragged(texts)[part]) == texts[part]


@settings(derandomize=True)
@given(RAGGED, st.lists(st.integers(-2, 9), min_size=6, max_size=6))
def test_translate_drops_negative_ids(texts: list[list[int]], new: list[int]) -> None:
    translated = ragged(texts).translate(np.array(new))
    assert rows(translated) == [[new[i] for i in text if new[i] >= 0] for text in texts]


@pytest.mark.parametrize("new", [[5, 4, 3], [5, -1, 3]])
def test_translate_keeps_ids_int32(new: list[int]) -> None:
    assert ragged([[0, 1], [2]]).translate(np.array(new)).ids.dtype == np.int32


@settings(derandomize=True)
@given(RAGGED, st.sampled_from([6, 1000]))  # by a table of all ids, or by sorting
def test_distinct_ids_are_positions_among_those_that_occur(
    texts: list[list[int]], n_ids: int
) -> None:
    positions, found = ragged(texts).distinct(n_ids)
    assert found.tolist() == sorted({i for text in texts for i in text})
    assert [[found[i] for i in text] for text in rows(positions)] == texts


@pytest.mark.parametrize("n_ids", [6, 1000])
def test_distinct_ids_keep_their_types(n_ids: int) -> None:
    positions, found = ragged([[1, 5], [1]]).distinct(n_ids)
    assert (positions.ids.dtype, found.dtype) == (np.int32, np.int64)


@settings(derandomize=True)
@given(RAGGED, st.integers(1, 6))
def test_parts_are_the_texts_in_order(texts: list[list[int]], n_tokens: int) -> None:
    parts = ragged(texts).split(n_tokens)
    assert [row for part in parts for row in rows(part)] == texts


def test_token_ids_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        ragged([[1]]).ids = np.zeros(1, dtype=np.int32)  # type: ignore[misc]


def test_text_index_is_the_text_of_each_token() -> None:
    assert ragged([[4, 4], [], [4]]).text_index.tolist() == [0, 0, 2]


def test_thin_keeps_about_the_share_of_tokens() -> None:
    thinned = ragged([[1] * 5000, [2] * 5000]).thin(0.3, np.random.default_rng(0))
    np.testing.assert_allclose(thinned.lengths / 5000, 0.3, atol=0.03)


def test_thin_leaves_every_token_in_its_text() -> None:
    thinned = ragged([[1] * 50, [], [2] * 50]).thin(0.5, np.random.default_rng(0))
    assert [set(row) for row in rows(thinned)] == [{1}, set(), {2}]


def test_thin_draws_from_its_generator_alone() -> None:
    before = np.random.get_state()[1]  # noqa: NPY002  the global state is what must not move
    first, second = (
        ragged([list(range(100))]).thin(0.5, np.random.default_rng(7)) for _ in range(2)
    )
    assert rows(first) == rows(second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# ---- splitting ----


@settings(derandomize=True)
@given(TEXTS)
def test_tokens_are_numbered_by_first_occurrence(texts: list[str]) -> None:
    tokens, _ = Tokenizer(each(str.split))(texts)
    assert tokens == list(dict.fromkeys(token for text in texts for token in text.split()))


@settings(derandomize=True)
@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_what_was_split_before_changes_nothing(texts: list[str], before: list[list[str]]) -> None:
    experienced = Tokenizer(each(str.split))
    for earlier in before:
        experienced(earlier)
    tokens, token_ids = experienced(texts)
    fresh_tokens, fresh_ids = Tokenizer(each(str.split))(texts)
    assert tokens == fresh_tokens
    assert rows(token_ids) == rows(fresh_ids)


def test_a_few_texts_among_many_are_numbered_as_if_alone() -> None:
    tokenizer = Tokenizer(each(str.split))
    tokenizer([f"{i} {i + 1}" for i in range(1000)])
    tokens, token_ids = tokenizer(["70 3 70 new", "", "3 800"])
    assert (tokens, rows(token_ids)) == (["70", "3", "new", "800"], [[0, 1, 0, 2], [], [1, 3]])


def test_no_texts_have_no_tokens() -> None:
    tokens, token_ids = Tokenizer(each(str.split))([])
    assert (tokens, len(token_ids)) == ([], 0)


def test_ids_are_int32_and_offsets_int64() -> None:
    _, token_ids = Tokenizer(each(str.split))(["a b", ""])
    assert (token_ids.ids.dtype, token_ids.offsets.dtype) == (np.int32, np.int64)


def test_max_tokens_leaves_the_rest_of_a_text_out() -> None:
    tokens, token_ids = Tokenizer(each(str.split))(["a b c", "", "d a e", "b"], max_tokens=2)
    assert (tokens, rows(token_ids)) == (["a", "b", "d"], [[0, 1], [], [2, 0], [1]])


def test_max_tokens_does_not_shorten_what_is_remembered() -> None:
    tokenizer = Tokenizer(each(str.split))
    tokenizer(["a b c"], max_tokens=1)
    assert written(tokenizer(["a b c"])) == [["a", "b", "c"]]


# ---- the memory ----


def test_each_distinct_text_is_split_once() -> None:
    split = Counting()
    tokenizer = Tokenizer(each(split))
    tokenizer(["a b", "c", "a b"])
    tokenizer(["c", "d", "a b"])
    assert split.calls == {"a b": 1, "c": 1, "d": 1}


def test_a_full_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_TOKENS_MB", "0")
    count = Counting()
    for _ in range(2):
        split(["a b", "c"], count)
    assert count.calls == {"a b": 2, "c": 2}


def test_a_single_text_is_not_cached() -> None:
    count = Counting()
    for _ in range(2):
        tokens, ids = split(["a b a"], count)
        assert (tokens, ids.ids.tolist(), ids.offsets.tolist()) == (["a", "b"], [0, 1, 0], [0, 3])
    assert count.calls == {"a b a": 2}


def test_emptying_the_cache_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_TOKENS_MB", "0")
    for texts in (["a b", "c a"], ["c c", "b"], ["a b", ""]):
        assert written(split(texts, str.split)) == [text.split() for text in texts]


def test_the_limit_is_one_for_all_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_TOKENS_MB", "4")
    texts = [f"{'x' * 1000} {i}" for i in range(1500)]  # 2 MB
    first, second, third = Counting(), Counting(), Counting()
    for tokenizer in (first, second, first, third):
        split(texts, tokenizer)
    assert max(first.calls.values()) == 1  # was used after the second
    split(texts, first)
    assert max(first.calls.values()) == 1
    split(texts, second)
    assert min(second.calls.values()) == 2


def test_texts_above_the_limit_do_not_cost_those_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_TOKENS_MB", "2")
    small, large = Counting(), Counting()
    split(["a b", "c"], small)
    split([f"{'x' * 1000} {i}" for i in range(4000)], large)
    split(["a b", "c"], small)
    assert small.calls == {"a b": 1, "c": 1}


@pytest.mark.parametrize("size", ["-1", "256 MB", "1e3"])
def test_a_limit_that_is_no_number_is_named(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN_TRANSFER_TOKENS_MB", size)
    with pytest.raises(ValueError, match=f"SKLEARN_TRANSFER_TOKENS_MB must be .*, got '{size}'"):
        split(["a", "b"], str.split)


def test_the_size_of_the_cache_is_what_it_holds() -> None:
    tokenizer = Tokenizer(each(str.split))
    texts = [f"{i} {i + 1} {'x' * (i % 90)} {'y ' * (i % 30)}" for i in range(20_000)]
    tracemalloc.start()
    tokenizer(texts)
    held = tracemalloc.get_traced_memory()[0] + sum(map(sys.getsizeof, texts))
    tracemalloc.stop()
    assert tokenizer.nbytes == pytest.approx(held, rel=0.1)


def test_texts_are_split_again_after_the_cache_is_cleared() -> None:
    split = Counting()
    for _ in range(2):
        find_tokenizer(split, "", lowercase=False)(["a b"])
        clear_token_cache()
    assert split.calls == {"a b": 2}


def test_a_text_that_cannot_be_split_leaves_the_memory_intact() -> None:
    def split(text: str) -> Iterator[str]:
        for token in text.split():
            if token == "bad":
                raise OSError("no such token")
            yield token

    tokenizer = Tokenizer(each(split))
    with pytest.raises(OSError, match="no such token"):
        tokenizer(["a b", "x bad y", "c"])
    assert written(tokenizer(["c a", "y", "a b"])) == [["c", "a"], ["y"], ["a", "b"]]


def test_threads_get_what_one_thread_gets() -> None:
    tokenizer = Tokenizer(each(str.split))
    batches = [[f"{i % 97} {i % 89} {j}" for i in range(j, j + 200)] for j in range(24)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(tokenizer, batches))
    assert [written(result) for result in results] == [
        [text.split() for text in batch] for batch in batches
    ]


def test_threads_split_each_distinct_text_once() -> None:
    split = Counting()
    tokenizer = Tokenizer(each(split))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tokenizer, [[f"text {i}" for i in range(100)]] * 16))
    assert set(split.calls.values()) == {1}
