"""Training of word vectors continued on texts: skip-gram with negative sampling, by gensim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pretrained_vectors import PretrainedVectors
from .table.table import Table
from .table.unknown import Subwords

# gensim drops what comes after so many words of a sentence.
_LONGEST = 10_000

# Products of larger values leave float32, and gensim indexes a table of sigmoids by them unchecked.
_LARGEST = 1e9


@dataclass(frozen=True)
class Continuation:
    """How training goes on.

    Attributes
    ----------
    epochs : int
        Passes over the sentences, after one in which only the output vectors move.
    pull : float
        After every epoch pretrained rows go so far back to where they started, as a share of the
        distance.
    window : int
        Most words between a word and one of its context, on either side.
    negative : int
        Random words for each word of a context.
    min_count : int
        Words that occur less often are left out.
    lr : float
        Learning rate at the start; it falls linearly to zero.
    seed : int
        In ``[0, 2**32)``.
    n_threads : int
        With more than one, the result depends on their timing.
    """

    epochs: int
    pull: float
    window: int
    negative: int
    min_count: int
    lr: float
    seed: int
    n_threads: int


def continue_training(
    vectors: PretrainedVectors, sentences: Sequence[Sequence[str]], how: Continuation
) -> PretrainedVectors:
    """Train vectors further on sentences.

    Parameters
    ----------
    vectors : PretrainedVectors
    sentences : sequence of sequences of str
        Words as the vectors write them.
    how : Continuation

    Returns
    -------
    PretrainedVectors
        In memory, float32: all words of `vectors`, then the new ones by falling frequency. Rows of
        words that were not trained are the same, bit for bit.

    Raises
    ------
    ValueError
        If no word occurs `min_count` times, if none that does is among the vectors, or if their
        values are too large to be trained.

    Notes
    -----
    Skip-gram with negative sampling (Mikolov et al. 2013, equation 4), frequent words thinned out
    as gensim does by default. The output vectors, which no table holds, start at zero and have an
    epoch for themselves. New words start at gensim's small random vectors. Where the vectors have
    n-gram rows, these are trained, too (Bojanowski et al. 2017), and a new word starts at the mean
    of its own.
    """
    counts = _count(sentences, how.min_count)
    words = list(counts)
    found = vectors.words.find(words)
    old = found >= 0
    if not old.any():
        raise ValueError(
            f"None of the {len(words)} distinct words that occur at least min_count="
            f"{how.min_count} times in the texts is known to {vectors!r}, so there is nothing to "
            f"continue from. Check that language, letter case and tokens are those of the vectors."
        )
    model = _make_model(vectors.dim, counts, how)
    rows = _Rows(model, vectors, words, found)
    _train(model, rows, _cut(sentences), how)
    trained, subwords = rows.publish()
    before = vectors._table.expanded().matrix.astype(np.float32, copy=False)
    matrix = np.concatenate([before, trained[~old]])
    matrix[found[old]] = trained[old]
    new = [words[i] for i in np.flatnonzero(~old).tolist()]
    return PretrainedVectors._wrap(
        Table(vectors.words.extended(new), matrix, subwords, tokenizer=vectors.tokenizer),
        name=f"{vectors.name or 'vectors'}, continued",
    )


def _count(sentences: Iterable[Sequence[str]], min_count: int) -> dict[str, int]:
    """How often words occur that are frequent enough, by falling frequency."""
    counts = Counter(chain.from_iterable(sentences))
    kept = {word: count for word, count in counts.most_common() if count >= min_count}
    if not kept:
        raise ValueError(
            f"No word occurs at least min_count={min_count} times: the texts have "
            f"{counts.total()} tokens, {len(counts)} of them distinct. Give more texts, for "
            f"instance unlabelled ones, or lower min_count."
        )
    return kept


def _cut(sentences: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    return [
        sentence[start : start + _LONGEST]
        for sentence in sentences
        for start in range(0, len(sentence), _LONGEST)
    ]


def _make_model(dim: int, counts: dict[str, int], how: Continuation) -> Any:
    """A gensim model of these words, in their order, on small random rows."""
    from gensim.models import FastText

    model = FastText(  # Word2Vec, as long as there are no n-grams: bucket=0
        vector_size=dim,
        sg=1,
        bucket=0,
        window=how.window,
        negative=how.negative,
        min_count=1,
        sorted_vocab=False,
        alpha=how.lr,
        seed=how.seed,
        workers=how.n_threads,
    )
    model.build_vocab_from_freq(counts)
    return model


class _Rows:
    """The rows that a model trains, begun as the pretrained ones.

    Parameters
    ----------
    model : gensim FastText
    vectors : PretrainedVectors
    words : list of str, length n
        The words of the model.
    found : ndarray of int64, shape (n,)
        Their rows in the vectors; -1 for new words.
    """

    def __init__(
        self, model: Any, vectors: PretrainedVectors, words: list[str], found: NDArray[np.int64]
    ) -> None:
        self._words, self._before, self._old = words, vectors.subwords, found >= 0
        self._own: NDArray[np.float32] = model.wv.vectors_vocab
        self._ngrams, self._used = np.zeros((0, vectors.dim), dtype=np.float32), found[:0]
        start = vectors._table.vectors(found[self._old])
        if self._before is not None:
            # A table holds (own row + n-gram rows) / (1 + n_ngrams).
            sums, counts = self._before.sums(words)
            size = counts.astype(np.float32)[:, None]
            start = start * (1 + size[self._old]) - sums[self._old]
            new = ~self._old & (counts > 0)
            self._own[new] = sums[new] / size[new]
            # Only the n-grams of these words, numbered anew: a model has millions of buckets.
            word, bucket = self._before.ngrams(words)
            by_word = np.argsort(word, kind="stable")
            self._used, column = np.unique(bucket[by_word], return_inverse=True)
            self._ngrams = np.array(self._before.matrix[self._used], dtype=np.float32)
            model.wv.buckets_word = np.split(column.astype(np.uint32), np.cumsum(counts)[:-1])
        self._own[self._old] = start
        model.wv.vectors_ngrams, model.wv.bucket = self._ngrams, len(self._ngrams)
        self._start, self._start_ngrams = start, self._ngrams.copy()
        largest = max(float(np.abs(rows).max(initial=0)) for rows in (self._own, self._ngrams))
        if not largest < _LARGEST:
            raise ValueError(
                f"{vectors!r} holds values as large as {largest:.3g}; they are trained up to "
                f"{_LARGEST:g}. Scale the vectors down."
            )

    def pull(self, share: float) -> None:
        """Move pretrained rows back to where they started, by a share of the distance."""
        self._own[self._old] += np.float32(share) * (self._start - self._own[self._old])
        self._ngrams += np.float32(share) * (self._start_ngrams - self._ngrams)

    def publish(self) -> tuple[NDArray[np.float32], Subwords | None]:
        """The vectors of the words, shape (n, dim), and all n-gram rows, if any."""
        if self._before is None:
            return self._own, None
        matrix = np.array(self._before.matrix)
        matrix[self._used] = self._ngrams
        subwords = Subwords(matrix, self._before.min_n, self._before.max_n)
        sums, counts = subwords.sums(self._words)
        return (self._own + sums) / (1 + counts.astype(np.float32))[:, None], subwords


def _train(model: Any, rows: _Rows, sentences: list[Sequence[str]], how: Continuation) -> None:
    def train_epoch(start: float, end: float, factor: float) -> None:
        for name in ("vectors_vocab_lockf", "vectors_ngrams_lockf"):
            setattr(model.wv, name, np.full(1, factor, dtype=np.float32))
        model.train(
            sentences,
            total_examples=len(sentences),
            total_words=n_tokens,
            epochs=1,
            start_alpha=start,
            end_alpha=end,
        )

    n_tokens = sum(map(len, sentences))
    # While the output vectors say nothing, they would lead pretrained rows astray.
    train_epoch(how.lr, how.lr, factor=0)
    falling = np.linspace(how.lr, 0, how.epochs + 1).tolist()
    falling[-1] = falling[-2] / 1000  # gensim takes zero for "not given"
    for start, end in pairwise(falling):
        train_epoch(start, end, factor=1)
        rows.pull(how.pull)
