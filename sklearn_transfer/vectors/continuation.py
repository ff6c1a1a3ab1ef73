"""Continued training of word vectors on texts: skip-gram with negative sampling, by gensim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.progress import progress_bar
from .pretrained_vectors import PretrainedVectors
from .table.oov import Subwords
from .table.table import Table

# gensim drops the rest of a longer sentence.
_LONGEST = 10_000

# Products of larger values overflow float32, and gensim uses them unchecked as an index.
_LARGEST = 1e9


@dataclass(frozen=True)
class Continuation:
    """Parameters of continued training."""

    epochs: int  # after one that trains only the output vectors
    pull: float  # share of the way back to its pretrained values that a row moves after each epoch
    window: int  # maximum distance between a word and a word of its context
    negative: int  # random words per word of a context
    min_count: int  # words that occur less often are left out
    lr: float  # initial learning rate; it falls linearly to zero
    seed: int  # in [0, 2**32)
    n_threads: int  # with more than one, the result depends on their timing


def continue_training(
    vectors: PretrainedVectors, sentences: Sequence[Sequence[str]], parameters: Continuation
) -> PretrainedVectors:
    """Continue the training of vectors on sentences.

    Parameters
    ----------
    vectors : PretrainedVectors
    sentences : sequence of sequences of str
        Words as the vectors write them.
    parameters : Continuation

    Returns
    -------
    PretrainedVectors
        In memory, float32: all words of `vectors`, then the new ones by decreasing frequency. Rows
        of words that were not trained are bit-identical.

    Raises
    ------
    ValueError
        If no word occurs `min_count` times, if no such word is among the vectors, or if their
        values are too large to be trained.

    Notes
    -----
    Skip-gram with negative sampling (Mikolov et al. 2013, equation 4), with gensim's default
    subsampling of frequent words. The output vectors, which no table holds, start at zero and are
    trained alone for one epoch. New words start at gensim's small random vectors. N-gram rows are
    trained, too (Bojanowski et al. 2017), and a new word then starts at the mean of its own.
    """
    counts = _count(sentences, parameters.min_count)
    words = list(counts)
    position = vectors.words.find(words)
    is_old = position >= 0
    if not is_old.any():
        raise ValueError(
            f"None of the {len(words)} distinct words that occur at least min_count="
            f"{parameters.min_count} times in the texts is known to {vectors!r}, so there is "
            f"nothing to continue from. Check that language, letter case and tokens are those of "
            f"the vectors."
        )
    model = _make_model(vectors.dim, counts, parameters)
    rows = _Rows(model, vectors, words, position)
    parts = [
        sentence[start : start + _LONGEST]
        for sentence in sentences
        for start in range(0, len(sentence), _LONGEST)
    ]
    _train(model, rows, parts, parameters)
    trained, subwords = rows.publish()
    before = vectors.table.expanded().matrix.astype(np.float32, copy=False)
    matrix = np.concatenate([before, trained[~is_old]])
    matrix[position[is_old]] = trained[is_old]
    new = [words[i] for i in np.flatnonzero(~is_old).tolist()]
    return PretrainedVectors.continued(
        vectors,
        f"{vectors.name or 'vectors'}, continued",
        Table(vectors.words.extended(new), matrix, subwords, tokenizer=vectors.tokenizer),
    )


def _count(sentences: Iterable[Sequence[str]], min_count: int) -> dict[str, int]:
    """Count the words that are frequent enough, in order of decreasing frequency."""
    counts = Counter(chain.from_iterable(sentences))
    kept = {word: count for word, count in counts.most_common() if count >= min_count}
    if not kept:
        raise ValueError(
            f"No word occurs at least min_count={min_count} times: the texts have "
            f"{counts.total()} tokens, {len(counts)} of them distinct. Give more texts, for "
            f"example unlabelled ones, or lower min_count."
        )
    return kept


def _make_model(dim: int, counts: dict[str, int], parameters: Continuation) -> Any:
    """Make a gensim model of these words, in their order, with small random rows."""
    from gensim.models import FastText

    model = FastText(  # Word2Vec, as long as there are no n-grams: bucket=0
        vector_size=dim,
        sg=1,
        bucket=0,
        window=parameters.window,
        negative=parameters.negative,
        min_count=1,
        sorted_vocab=False,
        alpha=parameters.lr,
        seed=parameters.seed,
        workers=parameters.n_threads,
    )
    model.build_vocab_from_freq(counts)
    return model


class _Rows:
    """The rows that a model trains, initialised with the pretrained ones.

    `words` are those of the model, `position` theirs in the vectors, -1 for new words: shape (n,).
    """

    def __init__(
        self, model: Any, vectors: PretrainedVectors, words: list[str], position: NDArray[np.int64]
    ) -> None:
        self._words, self._before, self._old = words, vectors.subwords, position >= 0
        self._own: NDArray[np.float32] = model.wv.vectors_vocab
        self._ngrams, self._used = np.zeros((0, vectors.dim), dtype=np.float32), position[:0]
        start = vectors.table.vectors(position[self._old])
        if self._before is not None:
            # A table holds (own row + n-gram rows) / (1 + n_ngrams).
            sums, counts = self._before.sums(words)
            size = counts.astype(np.float32)[:, None]
            start = start * (1 + size[self._old]) - sums[self._old]
            new = ~self._old & (counts > 0)
            self._own[new] = sums[new] / size[new]
            # Only the n-grams of these words, renumbered: a model has millions of buckets.
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
                f"{vectors!r} holds values up to {largest:.3g}, expected values below "
                f"{_LARGEST:g}. Scale the vectors down."
            )

    def pull(self, share: float) -> None:
        """Move pretrained rows back towards their initial values, by a share of the distance."""
        self._own[self._old] += np.float32(share) * (self._start - self._own[self._old])
        self._ngrams += np.float32(share) * (self._start_ngrams - self._ngrams)

    def publish(self) -> tuple[NDArray[np.float32], Subwords | None]:
        """Return the vectors of the words, shape (n, dim), and all n-gram rows, if any."""
        if self._before is None:
            return self._own, None
        matrix = np.array(self._before.matrix)
        matrix[self._used] = self._ngrams
        subwords = Subwords(matrix, self._before.min_n, self._before.max_n)
        sums, counts = subwords.sums(self._words)
        return (self._own + sums) / (1 + counts.astype(np.float32))[:, None], subwords


def _train(
    model: Any, rows: _Rows, sentences: list[Sequence[str]], parameters: Continuation
) -> None:
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
    # Untrained output vectors would damage the pretrained rows.
    train_epoch(parameters.lr, parameters.lr, factor=0)
    falling = np.linspace(parameters.lr, 0, parameters.epochs + 1).tolist()
    falling[-1] = falling[-2] / 1000  # gensim treats zero as the default
    with progress_bar(parameters.epochs, "epochs") as bar:
        for start, end in pairwise(falling):
            train_epoch(start, end, factor=1)
            rows.pull(parameters.pull)
            bar.update()
