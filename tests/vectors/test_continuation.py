from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText

from sklearn_transfer.vectors.continuation import Continuation, continue_training
from sklearn_transfer.vectors.pretrained_vectors import PretrainedVectors

TOPICS = [["cat", "dog", "bird", "mouse"], ["car", "bus", "train", "ship"]]
NEW = ["zorkling", "flurbmobile"]
UNSEEN = ["</s>", "island"]
HOW = Continuation(
    epochs=10, pull=0.1, window=5, negative=5, min_count=2, lr=0.1, seed=0, n_threads=1
)


def make_sentences(n: int = 300) -> list[list[str]]:
    """Each of one topic, with the topic's new word."""
    rng = np.random.default_rng(0)
    sentences = []
    for i in range(n):
        topic = i % 2
        words = [*rng.choice(TOPICS[topic], 5).tolist(), NEW[topic], "once" * (i == 0)]
        sentences.append([word for word in rng.permutation(words).tolist() if word])
    return sentences


SENTENCES = make_sentences()


@pytest.fixture(scope="module")
def vectors() -> PretrainedVectors:
    """The words of a topic lie together."""
    values = np.random.default_rng(0).normal(0, 0.4, (10, 6))
    values[:4, 0] += 2
    values[4:8, 1] += 2
    return PretrainedVectors([*TOPICS[0], *TOPICS[1], *UNSEEN], values, name="toys")


@pytest.fixture(scope="module")
def continued(vectors: PretrainedVectors) -> PretrainedVectors:
    return continue_training(vectors, SENTENCES, HOW)


@pytest.fixture
def ngrams(data: Path) -> PretrainedVectors:
    """A fastText model."""
    return PretrainedVectors.load(data / "fasttext.bin")


def sentences_of(ngrams: PretrainedVectors) -> list[list[str]]:
    words = [word for word in ngrams.words if word.isalpha()][:6]
    rng = np.random.default_rng(0)
    return [[*rng.choice(words, 5).tolist(), "zorkling"] for _ in range(100)]


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def moved(after: PretrainedVectors, before: PretrainedVectors) -> float:
    words = TOPICS[0] + TOPICS[1]
    return float(np.linalg.norm(after[words] - before[words], axis=1).mean())


def test_new_words_come_to_lie_near_words_of_the_same_context(continued) -> None:
    for new, own, other in [(NEW[0], *TOPICS), (NEW[1], *TOPICS[::-1])]:
        near = [similarity(continued[new], continued[word]) for word in own]
        far = [similarity(continued[new], continued[word]) for word in other]
        assert min(near) > max(far)


def test_all_words_of_the_source_come_first_and_then_the_new_ones(vectors, continued) -> None:
    words = list(continued.words)
    assert words[: len(vectors)] == list(vectors.words)
    assert sorted(words[len(vectors) :]) == sorted(NEW)
    assert continued.words.find(words).tolist() == list(range(len(words)))


def test_words_that_do_not_occur_keep_their_rows(vectors, continued) -> None:
    np.testing.assert_array_equal(continued[UNSEEN], vectors[UNSEEN])


def test_words_that_occur_have_moved_and_the_source_has_not(vectors, continued) -> None:
    assert np.abs(continued.matrix[:8] - vectors.matrix[:8]).max(axis=1).min() > 0.01
    assert not np.shares_memory(continued.matrix, vectors.matrix)


def test_words_below_min_count_are_left_out(vectors) -> None:
    rare = [*SENTENCES, ["island", "cat"]]
    assert "once" not in continue_training(vectors, rare, HOW)
    np.testing.assert_array_equal(
        continue_training(vectors, rare, HOW)["island"], vectors["island"]
    )
    assert "once" in continue_training(vectors, SENTENCES, replace(HOW, min_count=1))


def test_a_stronger_pull_leaves_words_nearer_to_where_they_started(vectors) -> None:
    distances = [
        moved(continue_training(vectors, SENTENCES, replace(HOW, pull=pull)), vectors)
        for pull in (0, 0.1, 0.5, 1)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 2 * distances[2] > 0
    assert distances[3] < 1e-6


def test_only_the_output_vectors_are_trained_in_the_first_epoch(vectors, monkeypatch) -> None:
    train, changes = FastText.train, []

    def watch(model: FastText, *args, **params):
        rows, outputs = model.wv.vectors_vocab.copy(), model.syn1neg.copy()
        result = train(model, *args, **params)
        changes.append((np.ptp(model.wv.vectors_vocab - rows), np.ptp(model.syn1neg - outputs)))
        return result

    monkeypatch.setattr(FastText, "train", watch)
    continue_training(vectors, SENTENCES, replace(HOW, epochs=1))
    (rows, outputs), (rows_after, _) = changes
    assert rows == 0 < outputs
    assert rows_after > 0


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(vectors, continued) -> None:
    again = continue_training(vectors, SENTENCES, HOW)
    np.testing.assert_array_equal(again.matrix, continued.matrix)
    other = continue_training(vectors, SENTENCES, replace(HOW, seed=1))
    assert not np.array_equal(other.matrix, continued.matrix)


def test_threads_share_the_sentences(vectors) -> None:
    several = continue_training(vectors, SENTENCES, replace(HOW, n_threads=2))
    assert similarity(several[NEW[0]], several["cat"]) > similarity(several[NEW[0]], several["bus"])


def test_a_sentence_longer_than_gensim_reads_is_read_to_its_end(vectors) -> None:
    long = [["cat", "dog"] * 10_000 + [NEW[0], "bus"] * 5]
    assert NEW[0] in continue_training(vectors, long, replace(HOW, epochs=1))


def test_float16_becomes_float32(vectors) -> None:
    half = vectors.astype("float16")
    continued = continue_training(half, SENTENCES, HOW)
    assert continued.matrix.dtype == np.float32
    np.testing.assert_array_equal(continued[UNSEEN], half[UNSEEN])


def test_nothing_is_printed(vectors, capfd) -> None:
    continue_training(vectors, SENTENCES[:3], HOW)
    assert capfd.readouterr() == ("", "")


def test_ngrams_are_trained_too(ngrams) -> None:
    continued = continue_training(ngrams, sentences_of(ngrams), HOW)
    unseen = ["zorkl", "zorklings"]
    before, after = ngrams.subwords.vectors(unseen), continued.subwords.vectors(unseen)
    assert np.abs(after - before).max(axis=1).min() > 0.001
    _, found = continued.look_up(unseen, oov="subword")
    np.testing.assert_array_equal(found, after)


def test_buckets_of_no_ngram_of_the_texts_keep_their_rows(ngrams) -> None:
    sentences = sentences_of(ngrams)
    continued = continue_training(ngrams, sentences, HOW)
    _, used = ngrams.subwords.ngrams(sorted({word for words in sentences for word in words}))
    changed = (continued.subwords.matrix != ngrams.subwords.matrix).any(axis=1)
    assert set(np.flatnonzero(changed).tolist()) == set(used.tolist())


def test_words_with_ngrams_start_where_the_source_has_them(ngrams) -> None:
    sentences = sentences_of(ngrams)
    still = continue_training(ngrams, sentences, replace(HOW, lr=1e-9, pull=0))
    np.testing.assert_allclose(still.matrix[:-1], ngrams.matrix, rtol=1e-4, atol=1e-6)
    own = ngrams.subwords.vectors(["zorkling"])[0]
    np.testing.assert_allclose(still["zorkling"], own, rtol=1e-4, atol=1e-6)


def test_words_and_ngrams_are_pulled_back(ngrams) -> None:
    back = continue_training(ngrams, sentences_of(ngrams), replace(HOW, pull=1))
    np.testing.assert_allclose(back.matrix[:-1], ngrams.matrix, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(back.subwords.matrix, ngrams.subwords.matrix, atol=1e-6)


def test_words_with_ngrams_that_do_not_occur_keep_their_rows(ngrams) -> None:
    sentences = sentences_of(ngrams)
    continued = continue_training(ngrams, sentences, HOW)
    unseen = sorted(set(ngrams.words) - {word for words in sentences for word in words})
    assert unseen
    np.testing.assert_array_equal(continued[unseen], ngrams[unseen])


def test_texts_without_a_frequent_word_are_refused(vectors) -> None:
    with pytest.raises(
        ValueError,
        match=r"No word occurs at least min_count=3 times: the texts have 4 tokens, 3 of them "
        r"distinct\. Give more texts, .* or lower min_count",
    ):
        continue_training(vectors, [["cat", "cat"], [], ["dog", "bus"]], replace(HOW, min_count=3))


def test_texts_without_a_known_word_are_refused(vectors) -> None:
    with pytest.raises(
        ValueError,
        match=r"None of the 2 distinct words that occur at least min_count=2 times in the texts is "
        r"known to <PretrainedVectors 'toys': .* Check that language, letter case and tokens",
    ):
        continue_training(vectors, [["Cat", "Dog"], ["Dog", "Cat", "cat"]], HOW)


def test_values_that_would_overflow_are_refused() -> None:
    vectors = PretrainedVectors(["cat"], [[1e20, 0.0]])
    with pytest.raises(
        ValueError, match=r"values up to 1e\+20, expected .* Scale the vectors down"
    ):
        continue_training(vectors, [["cat", "cat"]], HOW)
