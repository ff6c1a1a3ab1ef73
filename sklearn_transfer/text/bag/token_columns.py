"""The sparse columns of a bag of words: words, word n-grams and character n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, hstack

from ..._utils.compact import open_state, pack_state
from ..._utils.objects.state import State
from ...vectors.table.vocabulary import ragged_arange, to_offsets
from ..ngrams import (
    CharNgrams,
    WordNgrams,
    add_counts,
    as_index,
    count_keys,
    document_frequency,
)
from ..pooling import idf
from ..tokenization.token_ids import TokenIds
from ..tokenization.units import UNITS, WORD, TokenUnit, find_unit, read_unit
from ..weights import supervised_scale

# Norm of the character n-grams inside words, next to that of the words, which is 1.
_CHAR_NORM = 0.7
# Character n-grams help where texts are short: at most so many tokens on average.
_SHORT_TEXT = 60
# From so many texts on, n-grams must occur in two of them.
_MANY_TEXTS = 1000
# Character n-grams of a long text that are counted at a time.
_NGRAMS_AT_A_TIME = 1 << 20
# Tokens whose n-grams are counted at a time: it bounds memory, and the keys stay in the cache.
_TOKENS_AT_A_TIME = 1 << 13


class TokenColumns:
    """One sparse column per word and n-gram of the training texts.

    Parameters
    ----------
    ngram_range : tuple of int (min_n, max_n) or "auto"
        Lengths of word n-grams, (1, 1) for words alone. "auto" is (1, 2), or (1, 4) if the tokens
        are characters.
    char_ngram_range : tuple of int, "auto" or None
        Lengths of character n-grams inside words; "auto" is (2, 4) if the tokens are words and the
        training texts have 60 tokens or fewer on average, and None otherwise.
    scale : float
        Factor of all values.

    Attributes
    ----------
    unit : TokenUnit
        The unit that the tokens of the training texts are.
    n_words : int
        Number of words of the training texts.
    starts : tuple of int
        The columns between two of them are words, one length of n-grams, or characters.
    bounds : tuple of int
        The columns between two bounds are a block, whose rows have the same norm: one or several
        lengths of n-grams, or characters.
    """

    def __init__(
        self,
        ngram_range: tuple[int, int] | Literal["auto"],
        char_ngram_range: tuple[int, int] | Literal["auto"] | None,
        scale: float,
    ) -> None:
        self._ngram_range, self.char_ngram_range = ngram_range, char_ngram_range
        self.scale = scale

    def __getstate__(self) -> dict[str, Any]:
        return pack_state(self, "_weights")

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "_weights")

    def fit_transform(
        self,
        words: Sequence[str],
        counts: csr_array,
        word_ids: TokenIds,
        membership: csr_array | None,
        sample_weight: NDArray[np.floating],
    ) -> csr_array:
        """Learn columns and their weights, and return the columns of the same texts.

        Parameters
        ----------
        words : sequence of str, length n_words
        counts : csr_array of float32, shape (n_texts, n_words)
        word_ids : TokenIds, length n_texts
            The words of each text as positions in `words`.
        membership : csr_array, shape (n_texts, n_classes), or None
            1 if a text belongs to a class; None leaves the columns unscaled.
        sample_weight : ndarray of float, shape (n_texts,)

        Returns
        -------
        csr_array of float32, shape (n_texts, n_columns)
        """
        self.n_words = len(words)
        self._set_unit(find_unit(words, word_ids))
        blocks, weights = [], []
        for is_words, block in self._fit_blocks(words, counts, word_ids, sample_weight):
            weight = idf(document_frequency(block, sample_weight), sample_weight.sum())
            if membership is not None and is_words:
                weight *= supervised_scale(block, membership, sample_weight)
            blocks.append(block)
            weights.append(weight)
        self._weights = np.concatenate(weights)
        self._arrange([len(weight) for weight in weights])
        columns: csr_array = hstack(blocks, format="csr")
        n_entries = np.stack([np.diff(block.indptr) for block in blocks], axis=1)
        n_entries = np.add.reduceat(n_entries, self._first_lengths, axis=1)
        columns.data = self._weigh(columns.data, columns.indices, n_entries)
        return columns

    def rescale(self, scale: float, columns: csr_array) -> csr_array:
        """Multiply all values by a number, and with them the columns of the training texts."""
        self.scale *= scale
        self._norms *= scale
        return csr_array(columns * np.float32(scale))

    def transform(
        self, words: Sequence[str], word: NDArray[np.int64], token_ids: TokenIds
    ) -> csr_array:
        """The columns of other texts.

        Parameters
        ----------
        words : sequence of str, length n
        word : ndarray of int64, shape (n,)
            Positions among the words of the training texts; -1 if a word was not there.
        token_ids : TokenIds, length n_texts
            Positions in `words`.

        Returns
        -------
        csr_array of float32, shape (n_texts, n_columns)
        """
        word_ids, spelling = self._number(words, word, token_ids)
        parts = [self._count(part, spelling) for part in word_ids.split(_TOKENS_AT_A_TIME)]
        values, indices, n_entries = map(np.concatenate, zip(*parts, strict=True))
        pointer = to_offsets(n_entries)
        size = max(len(values), self.bounds[-1])
        data = (values, indices, as_index(pointer, size))
        return csr_array(data, shape=(len(token_ids), self.bounds[-1]))

    def spread(
        self, words: Sequence[str], word: NDArray[np.int64], token_ids: TokenIds
    ) -> csr_array:
        """The columns of `transform`, each value spread over the tokens of its text.

        The occurrences of a word or n-gram in a text have equal shares of the value, and so have
        the tokens of a word n-gram. A character n-gram belongs to the token that contains it.

        Parameters
        ----------
        words, word, token_ids : object
            See `transform`.

        Returns
        -------
        csr_array of float64, shape (n_tokens, n_columns)
            The rows of the tokens of a text add up to the row of the text in `transform`.
        """
        word_ids, spelling = self._number(words, word, token_ids)
        n_tokens, n_columns = len(word_ids.ids), self.bounds[-1]
        text = word_ids.text_index
        totals = self.transform(words, word, token_ids)
        keys = np.repeat(np.arange(len(word_ids)), np.diff(totals.indptr)) * n_columns
        keys += totals.indices
        rows, entries, shares = [], [], []
        for first, column, length in self._occurrences(word_ids, spelling):
            entry = keys.searchsorted(text[first] * n_columns + column)
            rows += [first + i for i in range(length)]
            entries += [entry] * length
            shares.append(np.bincount(entry, minlength=len(keys)) * length)
        n_shares = np.maximum(np.sum(shares, axis=0, initial=0), 1)
        row, entry = (np.concatenate([np.empty(0, np.int64), *parts]) for parts in (rows, entries))
        values = (totals.data / n_shares)[entry]
        spread = coo_array((values, (row, totals.indices[entry])), shape=(n_tokens, n_columns))
        return csr_array(spread)

    def list_occurrences(
        self, words: Sequence[str], word: NDArray[np.int64], token_ids: TokenIds
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """By block: the text and the column of each occurrence; arguments as of `transform`."""
        word_ids, spelling = self._number(words, word, token_ids)
        text = word_ids.text_index
        for first, column, _ in self._occurrences(word_ids, spelling):
            yield text[first], column

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weight of each column."""
        return self._weights

    @property
    def norms(self) -> NDArray[np.float64]:
        """The norm of the rows of each block."""
        return self._norms

    @property
    def char_lengths(self) -> tuple[int, int] | None:
        """The lengths of character n-grams; None without them."""
        ngrams = self._char_ngrams
        return None if ngrams is None else (ngrams.min_n, ngrams.max_n)

    @property
    def n_word_columns(self) -> int:
        """The number of columns of words and word n-grams, which come first."""
        return int(self.starts[-1 if self._char_ngrams is None else -2])

    @property
    def alone(self) -> NDArray[np.float64]:
        """The value of each column in a text that has no other column of its block."""
        return self._norms.repeat(np.diff(self.bounds))

    def name(self, column: int, words: Sequence[str]) -> str:
        """The words or characters of a column, given the words of the training texts."""
        block = int(np.searchsorted(self.starts, column, side="right")) - 1
        position = column - self.starts[block]
        if column >= self.n_word_columns and self._char_ngrams is not None:
            return self._char_ngrams.name(position)
        n = self.ngram_range[0] + block
        return (
            words[position]
            if self._word_ngrams is None
            else self._word_ngrams.name(n, position, words)
        )

    def _occurrences(
        self, word_ids: TokenIds, spelling: TokenIds | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
        """By block: the first token of each occurrence of a column, the column, and its tokens."""
        is_known = word_ids.ids < self.n_words
        blocks: list[NDArray[np.integer]] = [np.where(is_known, word_ids.ids, -1)]
        if self._word_ngrams is not None:
            blocks += self._word_ngrams.find(word_ids)
        shortest = self.ngram_range[0]
        for i, (start, columns) in enumerate(
            zip(self.starts, blocks[shortest - 1 :], strict=False)
        ):
            first = np.flatnonzero(columns >= 0)
            yield first, columns[first].astype(np.int64) + start, shortest + i
        if self._char_ngrams is None or spelling is None:
            return
        place = np.arange(len(word_ids.ids))
        for inside, ids, ngrams in (
            (is_known, word_ids.ids, self._char_ngrams.spelling),
            (~is_known, word_ids.ids - self.n_words, spelling),
        ):
            found = ngrams[ids[inside]]
            column = found.ids.astype(np.int64) + self.starts[-2]
            yield place[inside].repeat(found.lengths), column, 1

    def _number(
        self, words: Sequence[str], word: NDArray[np.int64], token_ids: TokenIds
    ) -> tuple[TokenIds, TokenIds | None]:
        """Ids of the words of texts; and the character n-grams of those that were not learned."""
        unknown = np.flatnonzero(word < 0)
        # Each unknown word has an id of its own: no n-gram reaches over it, and it has characters.
        ids = word.astype(np.int32)
        ids[unknown] = self.n_words + np.arange(len(unknown))
        spelling = None
        if self._char_ngrams is not None:
            spelling = self._char_ngrams.find([words[i] for i in unknown.tolist()])
        return TokenIds(ids[token_ids.ids], token_ids.offsets), spelling

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return {
            "ngram_range": self.ngram_range,
            "char_ngram_range": self.char_ngram_range,
            "scale": float(self.scale),
            "token_unit": self.unit.name,
            "n_words": self.n_words,
            "weights": self._weights,
            "norms": self._norms,
            "word_ngrams": self._word_ngrams,
            "char_ngrams": self._char_ngrams,
        }

    @classmethod
    def from_state(cls, state: State) -> TokenColumns:
        """The columns of these entries."""
        shortest, longest = state.items("ngram_range", int)
        if not 1 <= shortest <= longest:
            raise state.error("ngram_range", "(min_n, max_n)", (shortest, longest))
        made = cls((shortest, longest), state["char_ngram_range"], state.number("scale"))
        made._set_unit(UNITS[read_unit(state) or WORD.name])
        made.n_words = state.integer("n_words")
        made._word_ngrams = state.optional("word_ngrams", WordNgrams)
        made._char_ngrams = state.optional("char_ngrams", CharNgrams)
        sizes = [made.n_words] if shortest == 1 else []
        if made._word_ngrams is not None:
            lengths = made._word_ngrams.n_tokens, made._word_ngrams.max_n
            if lengths != (made.n_words, longest):
                raise state.error("word_ngrams", f"n-grams of {made.n_words} words", lengths)
            sizes += made._word_ngrams.sizes[max(shortest - 2, 0) :]
        elif longest > 1:
            raise state.error("word_ngrams", f"n-grams of {longest} words", None)
        if made._char_ngrams is not None:
            if len(made._char_ngrams.spelling) != made.n_words:
                raise state.error("char_ngrams", "the n-grams of each word", made._char_ngrams)
            sizes.append(made._char_ngrams.size)
        made._arrange(sizes)
        made._weights = state.array("weights", "float32", made.bounds[-1])
        # Those of the fit, whatever the defaults are.
        made._norms = state.array("norms", "float64", len(made.bounds) - 1)
        return made

    def _set_unit(self, unit: TokenUnit) -> None:
        given = self._ngram_range
        self.unit, self.ngram_range = unit, unit.ngram_range if given == "auto" else given

    def _arrange(self, sizes: Sequence[int]) -> None:
        """Set the blocks and their norms, given the number of columns of each length."""
        self.starts = (0, *np.cumsum(sizes).tolist())
        has_characters = self._char_ngrams is not None
        n_lengths = len(sizes) - has_characters
        norms = [self.unit.ngram_norm] * n_lengths
        if self.ngram_range[0] == 1:
            norms[0] = 1.0
        self._first_lengths = list(range(n_lengths))
        if self.unit.ngram_norm is None:
            norms, self._first_lengths = [1.0], [0]
        if has_characters:
            norms, self._first_lengths = [*norms, _CHAR_NORM], [*self._first_lengths, n_lengths]
        self._norms = np.array(norms) * self.scale
        self.bounds = (*(self.starts[i] for i in self._first_lengths), self.starts[-1])

    def _fit_blocks(
        self,
        words: Sequence[str],
        counts: csr_array,
        word_ids: TokenIds,
        sample_weight: NDArray[np.floating],
    ) -> Iterator[tuple[bool, csr_array]]:
        """The counts of words, n-grams and characters, and whether they are of words."""
        shortest, longest = self.ngram_range
        min_df = 2 if sample_weight.sum() > _MANY_TEXTS else 0
        if shortest == 1:
            yield True, counts.copy()
        self._word_ngrams = self._char_ngrams = None
        if longest > 1:
            self._word_ngrams = WordNgrams(len(words), longest)
            by_length = self._word_ngrams.fit_count(word_ids, sample_weight, min_df)
            for block in by_length[max(shortest - 2, 0) :]:
                yield True, block
        char_range = self.char_ngram_range
        if char_range == "auto":
            n_tokens = float(np.dot(sample_weight, word_ids.lengths))
            is_short = n_tokens <= _SHORT_TEXT * sample_weight.sum()
            char_range = (2, 4) if is_short and self.unit.has_char_ngrams else None
        if char_range is not None:
            self._char_ngrams = CharNgrams(*char_range)
            block = self._char_ngrams.fit_count(words, counts, sample_weight, min_df)
            yield False, block

    def _count(
        self, word_ids: TokenIds, spelling: TokenIds | None
    ) -> tuple[NDArray[np.float32], NDArray[np.integer], NDArray[np.int64]]:
        """The weighted values, column indices and numbers of entries of some texts.

        Ids from ``n_words`` on are words outside the training texts; `spelling` has the columns of
        their character n-grams.
        """
        n_columns = self.bounds[-1]
        size = len(word_ids) * n_columns
        rows = np.arange(len(word_ids)) * n_columns
        row = as_index(rows, size).repeat(word_ids.lengths)
        is_known = word_ids.ids < self.n_words
        blocks: list[NDArray[np.integer]] = [np.where(is_known, word_ids.ids, -1)]
        if self._word_ngrams is not None:
            blocks += self._word_ngrams.find(word_ids)
        keys = []
        for start, columns in zip(self.starts, blocks[self.ngram_range[0] - 1 :], strict=False):
            is_column = columns >= 0
            keys.append(row[is_column] + as_index(columns[is_column] + start, size))
        parts: Iterator[NDArray[np.integer]] = iter(())
        if self._char_ngrams is not None and spelling is not None:
            row += self.starts[-2]
            unknown = word_ids.ids[~is_known] - self.n_words
            parts = chain(
                _spell(row[is_known], word_ids.ids[is_known], self._char_ngrams.spelling),
                _spell(row[~is_known], unknown, spelling),
            )
        distinct, times = _count_parts(keys, parts)
        # A block of a text ends before the key of its bound.
        bounds = as_index((rows[:, None] + np.asarray(self.bounds[1:])).ravel(), size)
        ends = np.append(0, distinct.searchsorted(bounds))
        n_entries = (ends[1:] - ends[:-1]).reshape(len(rows), len(self._norms))
        per_text = n_entries.sum(axis=1)
        indices = as_index(distinct - as_index(rows, size).repeat(per_text), n_columns)
        return self._weigh(times.astype(np.float32), indices, n_entries), indices, per_text

    def _weigh(
        self,
        times: NDArray[np.float32],
        indices: NDArray[np.integer],
        n_entries: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """``(1 + ln tf)`` times the column's weight, scaled to the norm of the block; in place.

        The counts are sorted by row, then block; `n_entries` has the shape (n_texts, n_blocks).
        """
        values = np.log(times, out=times)
        values += 1
        values *= self._weights[indices]
        per_block = n_entries.ravel()
        sums = np.zeros(len(values) + 1)
        np.square(values, dtype=np.float64).cumsum(out=sums[1:])
        sums = sums[to_offsets(per_block)]
        length = np.sqrt(sums[1:] - sums[:-1]).reshape(n_entries.shape)
        length[length == 0] = 1
        factor = (self._norms / length).astype(np.float32)
        values *= factor.ravel().repeat(per_block)
        return values


def _spell(
    row: NDArray[np.integer], words: NDArray[np.integer], spelling: TokenIds
) -> Iterator[NDArray[np.integer]]:
    """The keys of the character n-grams of words, given the key of the row of each."""
    if not len(words):
        return
    starts = spelling.offsets[words]
    lengths = spelling.offsets[words + 1] - starts
    if lengths.sum() < _NGRAMS_AT_A_TIME:
        yield row.repeat(lengths) + spelling.ids[ragged_arange(starts, lengths)]
        return
    ends = to_offsets(lengths)
    cuts = np.flatnonzero(np.diff(ends[:-1] // _NGRAMS_AT_A_TIME)) + 1
    for a, b in pairwise([0, *cuts.tolist(), len(words)]):
        ngrams = spelling[words[a:b]]
        yield row[a:b].repeat(ngrams.lengths) + ngrams.ids


def _count_parts(
    keys: list[NDArray[np.integer]], parts: Iterator[NDArray[np.integer]]
) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """The distinct keys of all arrays, sorted, and their counts; long arrays one at a time."""
    counted: list[tuple[NDArray[np.integer], NDArray[np.int64]]] = []
    for part in parts:
        keys.append(part)
        if sum(map(len, keys)) >= _NGRAMS_AT_A_TIME:
            counted = [add_counts([*counted, count_keys(np.concatenate(keys))])]
            keys = []
    if keys:
        counted.append(count_keys(np.concatenate(keys)))
    return add_counts(counted) if len(counted) > 1 else counted[0]
