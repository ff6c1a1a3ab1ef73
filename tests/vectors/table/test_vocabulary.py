from __future__ import annotations

import pickle
import time
import tracemalloc
import unicodedata
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_transfer.vectors.table import vocabulary
from sklearn_transfer.vectors.table.vocabulary import (
    Vocabulary,
    as_list_of_words,
    character_ngrams,
    pack,
    ragged_arange,
    word_hashes,
)

# Few characters, so that words repeat and share beginnings; a lone surrogate is a string, too.
words = st.text(alphabet="ab\0é猫\ud800", max_size=4)


@given(st.lists(words, unique=True), st.lists(words))
def test_find_agrees_with_a_dict(known: list[str], wanted: list[str]) -> None:
    index = {word: i for i, word in enumerate(known)}
    assert Vocabulary(known).find(wanted).tolist() == [index.get(word, -1) for word in wanted]


@given(st.lists(words))
def test_distinct_keeps_the_first_of_each_word(given_words: list[str]) -> None:
    found, kept = Vocabulary.distinct(given_words)
    assert list(found) == list(dict.fromkeys(given_words))
    assert kept.tolist() == [word not in given_words[:i] for i, word in enumerate(given_words)]


@given(st.lists(words, unique=True), st.lists(words))
def test_colliding_hashes_never_give_a_wrong_row(known: list[str], wanted: list[str]) -> None:
    index = {word: i for i, word in enumerate(known)}
    with pytest.MonkeyPatch.context() as patch:
        # Every word of the same length collides.
        patch.setattr(
            vocabulary, "hash_packed", lambda _, offsets, __: np.diff(offsets).astype(np.uint64)
        )
        assert Vocabulary(known).find(wanted).tolist() == [index.get(word, -1) for word in wanted]
        assert list(Vocabulary.distinct(known + known)[0]) == known


@given(st.lists(words, unique=True))
def test_is_the_sequence_that_it_was_made_of(known: list[str]) -> None:
    vocabulary = Vocabulary(known)
    assert list(vocabulary) == [vocabulary[i] for i in range(len(known))] == known
    assert vocabulary[::-1] == known[::-1]
    assert [vocabulary.index(word) for word in known] == list(range(len(known)))
    assert all(word in vocabulary for word in known)


def test_what_is_no_string_is_not_in_it() -> None:
    assert 1 not in Vocabulary(["1"])
    assert None not in Vocabulary(["1"])


def test_repeated_words_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'b' occurs more than once \(2 repeated in all\)"):
        Vocabulary(["a", "b", "b", "b"])


def test_index_of_an_unknown_word_is_an_error() -> None:
    with pytest.raises(ValueError, match="'dog' is not in the vocabulary"):
        Vocabulary(["cat"]).index("dog")


def test_folding_case_prefers_the_exact_form() -> None:
    known = Vocabulary(["paris", "Paris", "rome"])
    assert known.find(["Paris", "ROME", "Oslo"], fold_case=True).tolist() == [1, 2, -1]


def test_take_gives_the_words_in_the_order_asked_for() -> None:
    assert list(Vocabulary(["a", "bc", "", "d"]).take(np.array([3, 2, 0]))) == ["d", "", "a"]


def test_arrays_make_an_equal_vocabulary_with_its_index() -> None:
    known = Vocabulary(["the", "naïve", "猫"])
    again = Vocabulary.from_arrays(**known.arrays())
    assert list(again) == list(known)
    assert again.find(["猫", "x"]).tolist() == [2, -1]


def test_encoded_words_make_a_vocabulary_in_any_number_of_pieces() -> None:
    assert list(Vocabulary.from_encoded([b"the", "naïve猫".encode()], [3, 6, 3])) == [
        "the",
        "naïve",
        "猫",
    ]


def test_pickle_leaves_the_index_out() -> None:
    known = Vocabulary([f"word{i}" for i in range(1000)])
    known.find(["word1"])
    state = pickle.dumps(known)
    assert pickle.loads(state).find(["word999"]).tolist() == [999]
    assert len(state) < sum(array.nbytes for array in known.arrays().values())


@given(st.lists(words, unique=True), st.integers(0, 5))
def test_an_extended_vocabulary_is_that_of_all_words(given_words: list[str], cut: int) -> None:
    extended = Vocabulary(given_words[:cut]).extended(given_words[cut:])
    assert list(extended) == given_words
    assert extended.find(given_words).tolist() == list(range(len(given_words)))


def test_an_empty_vocabulary_knows_nothing() -> None:
    empty = Vocabulary([])
    assert len(empty) == 0
    assert list(empty) == []
    assert empty.find(["a", ""]).tolist() == [-1, -1]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_ragged_arange_agrees_with_a_loop(slices: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(slices, dtype=np.int64).reshape(-1, 2).T
    expected = [i for start, length in slices for i in range(start, start + length)]
    assert ragged_arange(starts, lengths).tolist() == expected


@given(st.lists(words))
def test_hash_of_a_word_does_not_depend_on_its_neighbours(given_words: list[str]) -> None:
    together = word_hashes(given_words)
    assert together.tolist() == [word_hashes([word])[0] for word in given_words]


def test_hashes_are_a_sum_over_the_bytes() -> None:
    m = 6364136223846793005
    expected = [
        sum((byte + 1) * m ** (i + 1) for i, byte in enumerate(b)) % 2**64 for b in (b"", b"a\0b")
    ]
    assert word_hashes(["", "a\0b"]).tolist() == expected


# Two texts of the same value under the public polynomial.
_BLOCKS = "aaacfaalnhaedi", "cigaahbaaabaaa"


def colliding(n_blocks: int) -> list[str]:
    return ["".join(blocks) for blocks in product(_BLOCKS, repeat=n_blocks)]


def test_words_that_collide_under_a_public_hash_have_different_hashes_in_an_index() -> None:
    words = colliding(12)
    assert len(set(word_hashes(words).tolist())) == 1
    start = time.process_time()
    known = Vocabulary(words)
    assert known.find(words[::-1]).tolist() == list(range(len(words)))[::-1]
    assert time.process_time() - start < 2
    assert len(set(known.arrays()["hashes"].tolist())) == len(words)


def test_words_that_collide_for_every_polynomial_do_not_collide_in_an_index() -> None:
    bits = np.array([i.bit_count() % 2 for i in range(2048)])  # Thue and Morse
    words = ["".join("ab"[bit] for bit in half) for half in (bits, 1 - bits)]
    assert len(set(word_hashes(words).tolist())) == 1
    assert len(set(Vocabulary(words).arrays()["hashes"].tolist())) == 2


def test_hashes_of_an_index_depend_on_all_words() -> None:
    one, same, other = (Vocabulary(["a", "b", last]).arrays()["hashes"] for last in "ccd")
    assert one.tolist() == same.tolist()  # a table is written as the same bytes each time
    assert not set(one.tolist()) & set(other.tolist())


def test_a_long_word_costs_no_more_than_its_bytes() -> None:
    known = Vocabulary(["a", "b" * 100])
    tracemalloc.start()
    try:
        assert known.find(["b" * 1_000_000, "a", "b" * 101]).tolist() == [-1, 0, -1]
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


def test_pack_gives_the_bytes_and_the_places_between_words() -> None:
    text, offsets = pack(["é", "", "ab"])
    assert text.tobytes() == "éab".encode()
    assert offsets.tolist() == [0, 2, 2, 4]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_word_is_found_in_another_normal_form(form: str) -> None:
    words = Vocabulary([unicodedata.normalize(form, word) for word in ("café", "plain", "họ")])
    for other in ("NFC", "NFD"):
        wanted = [unicodedata.normalize(other, word) for word in ("họ", "café", "naïve", "plain")]
        assert words.find(wanted).tolist() == [2, 0, -1, 1]
        assert words.find([wanted[1].upper()], fold_case=True).tolist() == [0]


def test_the_empty_word_may_be_the_only_one() -> None:
    assert Vocabulary([""]).find(["a", "", "ab"]).tolist() == [-1, 0, -1]


def test_the_exact_form_comes_first() -> None:
    forms = [unicodedata.normalize(form, "café") for form in ("NFD", "NFC")]
    assert Vocabulary(forms).find(forms[::-1]).tolist() == [1, 0]


@given(st.lists(words), st.integers(1, 3), st.integers(0, 2))
def test_character_ngrams_agree_with_a_loop(given_words: list[str], min_n: int, more: int) -> None:
    text, offsets = pack(given_words)
    found = character_ngrams(text, offsets, min_n, min_n + more)
    ngrams = [(text[i:j].tobytes(), word) for i, j, word in zip(*found, strict=True)]
    assert ngrams == [
        (word[i : i + n].encode(errors="surrogatepass"), k)
        for k, word in enumerate(given_words)
        for i in range(len(word))
        for n in range(min_n, min_n + more + 1)
        if i + n <= len(word)
    ]


# ---- checks ----


def test_words_are_a_list_of_strings_in_order() -> None:
    assert as_list_of_words(("b", "a")) == ["b", "a"]
    for words in ("ab", {"a"}, frozenset("a")):
        with pytest.raises(TypeError, match=r"words must be a sequence of str, in order"):
            as_list_of_words(words)
    for words in (["a", 7, None], ["a", b"b"]):
        with pytest.raises(TypeError, match=r"words must be strings, got (int: 7|bytes: b'b')"):
            as_list_of_words(words)


@pytest.mark.parametrize("known", [[], [""], ["a", "", "猫", "\ud800", "b"]])
def test_arrays_of_a_vocabulary_pass_their_check(known: list[str]) -> None:
    arrays = Vocabulary(known).arrays()
    Vocabulary.from_arrays(**arrays).check()
    Vocabulary.from_arrays(arrays["text"], arrays["offsets"]).check()


@pytest.mark.parametrize(
    ("name", "places", "values", "message"),
    [
        ("offsets", [0], [1], "expected offsets that divide 6 bytes into words"),
        ("offsets", [-1], [5], "expected offsets that divide 6 bytes into words"),
        ("offsets", [-1], [7], "expected offsets that divide 6 bytes into words"),
        ("offsets", [1, 2], [2, 1], "expected offsets that divide 6 bytes into words"),
        ("offsets", [3], [4], "found one that begins within a character"),
        ("text", [0], [0xFF], "invalid start byte"),
        ("order", [2], [-1], "expected the positions of 4 words in the index"),
        ("order", [2], [4], "expected the positions of 4 words in the index"),
        ("hashes", [0], [2**64 - 1], "expected sorted hashes in the index"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    name: str, places: list[int], values: list[int], message: str
) -> None:
    arrays = {
        key: array.copy() for key, array in Vocabulary(["a", "b", "c", "猫"]).arrays().items()
    }
    arrays[name][places] = values
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_arrays(**arrays).check()


@pytest.mark.parametrize(("n", "is_refused"), [(2, False), (100, True)])
def test_two_words_may_have_one_hash_but_not_a_hundred(n: int, is_refused: bool) -> None:
    arrays = Vocabulary(map(str, range(200))).arrays()
    hashes = arrays["hashes"].copy()
    hashes[:n] = hashes[n - 1]
    vocabulary = Vocabulary.from_arrays(**{**arrays, "hashes": hashes})
    if is_refused:
        with pytest.raises(ValueError, match="hashes in the index, nearly all different"):
            vocabulary.check()
    else:
        vocabulary.check()
