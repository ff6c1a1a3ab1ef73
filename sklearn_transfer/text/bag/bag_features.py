"""The features of a fine-tuned bag of words: sparse token columns and dense pretrained ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..._utils.compact import open_state, pack_state
from ..._utils.objects.copying import copy_attributes, deepcopy_attributes
from ..._utils.objects.state import State
from ...contextual.model import ContextualModel
from ...sources import Source, find_contextual, find_tables
from ...vectors.pretrained_vectors import PretrainedVectors
from ...vectors.table.lookup import OutOfVocabulary
from ...vectors.table.vocabulary import Vocabulary, pack
from ..linear.design import Design
from ..linear.token_design import Block, TokenDesign, TokenVectors, count_in_text
from ..ngrams import count_distinct, count_tokens
from ..pooling import normalize_rows, sum_rows
from ..pretrained_words import PretrainedWords
from ..tokenization.coverage import (
    find_used,
    has_vector,
    learn_tokenization,
    measure_coverage,
    measure_reading,
)
from ..tokenization.places import PlacedTokens, place_tokens
from ..tokenization.token_ids import TokenIds
from ..tokenization.tokens import Tokenization
from ..tokenization.units import CHARACTER, UnitName, find_unit, read_unit
from ..weights import Weighting, learn_term_weights, unseen_share
from .token_columns import TokenColumns
from .word_scale import choose_word_scale

# With this share of a text in words that only the pretrained vectors know, their scale is 1.
_FULL_SCALE_SHARE, _LEAST_SCALE = 0.5, 0.25


class BagFeatures:
    r"""Features of the model ``logit = sum_w a_w (u_w + E_w H) + b``.

    The pretrained row ``E_w`` of a token is frozen. Fine-tuning adds the token weights ``u_w`` in
    the space of the logits. A linear model on these features learns ``u`` as the weights of the
    sparse columns and ``H`` as those of the dense ones; a quadratic penalty on ``u`` anchors the
    model at the pretrained one (L2-SP, Li et al. 2018 [1]_).

    Parameters
    ----------
    sources : sequence of PretrainedVectors and ContextualModel
        One block of dense columns per source. Without sources there are only token columns.
    tokenization : Tokenization
    ngram_range : tuple of int (min_n, max_n) or "auto"
        Lengths of word n-grams with a column, (1, 1) for words alone; "auto" is (1, 2), or (1, 4)
        if the tokens are characters.
    char_ngram_range : tuple of int, "auto" or None
        Lengths of character n-grams inside words with a column; "auto" is (2, 4) if the tokens are
        words and the training texts have 60 of them or fewer on average, and None otherwise.
    pretrained_scale : float or "auto"
        Norm of the dense block of a text; the norm of its words is 1. "auto" is
        ``clip(2 q, 0.25, 1)``, q the share of the squared tf-idf of a training text, on average,
        that lies in words with a pretrained vector that no other training text has; or 0.25 where
        the tokens are characters, of which few are new in a text.
    encoder_scale : float, default=None
        Norm of the features of sentence encoders together, next to words; all words have a scale
        of their own, see `choose_word_scale`. None: that of all sources is `pretrained_scale`.
    pull : float
        Strength of the penalty on the token weights; that on the head is 1. The sparse columns are
        divided by its square root.
    token_weights : bool
        Give tokens sparse columns. False is feature extraction.
    weighting : {"idf", "sif"} or None
        Weight of a token in the dense block.
    oov : {"ignore", "subword", "hash"}
        Treatment of words without a vector in the dense block.

    Attributes
    ----------
    vocabulary : Vocabulary, length n_words
        The tokens of the training texts.
    pretrained_scale, word_scale : float
        The norm of word vectors where words have norm 1, and the scale of both.
    coverage : float
        Share of the tokens of the training texts with a pretrained vector.
    token_unit : {"word", "character"} or None
        The unit that most tokens of the training texts are; None if texts are not split.

    Notes
    -----
    A sparse value is ``(1 + ln tf) idf s``. The supervised scale of a column, at least 0.75 and 1
    on average, is ``s = 0.75 + 0.25 r / mean(r)``, r the largest absolute log-ratio over the
    classes of the smoothed share of texts with the column, in the class against the rest (Wang &
    Manning 2012 [2]_); character n-grams are not scaled. Words, each length of n-grams, and
    characters are blocks whose rows are scaled to the norms 1, 0.7 and 0.7. Where tokens are
    characters, their n-grams of all lengths are one block of norm 1. A dense value is the
    row-normalised, centred, and again row-normalised sum of ``(1 + ln tf) a_w E_w`` over all words
    with a vector, including words outside the training texts.

    References
    ----------
    .. [1] Li, Grandvalet & Davoine, "Explicit inductive bias for transfer learning with
       convolutional networks", ICML 2018.
    .. [2] Wang & Manning, "Baselines and bigrams: simple, good sentiment and topic
       classification", ACL 2012.
    """

    input_kinds: ClassVar[tuple[str, ...]] = ("words", "sentences")
    has_tokens = True

    def __init__(  # noqa: PLR0913 (a constructor)
        self,
        sources: Sequence[Source],
        tokenization: Tokenization,
        *,
        ngram_range: tuple[int, int] | Literal["auto"] = "auto",
        char_ngram_range: tuple[int, int] | Literal["auto"] | None = "auto",
        pretrained_scale: float | Literal["auto"] = "auto",
        encoder_scale: float | None = None,
        pull: float = 1.0,
        token_weights: bool = True,
        weighting: Weighting = "idf",
        oov: OutOfVocabulary = "ignore",
    ) -> None:
        self.sources, self.tokenization = tuple(sources), tokenization
        self.tables = find_tables(self.sources)
        self._pretrained_scale = pretrained_scale
        self.encoder_scale, self.word_scale = encoder_scale, 1.0
        self._columns: TokenColumns | None = None
        if token_weights:
            self._columns = TokenColumns(ngram_range, char_ngram_range, 1 / np.sqrt(pull))
        self.weighting, self.oov = weighting, oov
        self.token_unit: UnitName | None = None

    def fit_transform(
        self,
        texts: Sequence[str],
        membership: csr_array | None,
        sample_weight: NDArray[np.floating],
    ) -> Design:
        """Learn vocabulary, weights and scales, and return the features of the same texts.

        Parameters
        ----------
        texts : sequence of str, length n_texts
        membership : csr_array, shape (n_texts, n_classes), or None
            1 if a text belongs to a class; None leaves the columns unscaled.
        sample_weight : ndarray of float, shape (n_texts,)
            Positive. A text of weight 2 counts as two.

        Returns
        -------
        Design, length n_texts
        """
        if self.splits_texts:
            self.tokenization = learn_tokenization(texts, self.tokenization, self.tables)
        tokens, token_ids = self._split(texts)
        self._number = number = dict[str, int]()
        word = np.array([number.setdefault(w, len(number)) for w in self._words(tokens)], dtype=int)
        word_ids = token_ids.translate(word)
        counts = count_tokens(word_ids, len(number))
        self._term_weights = learn_term_weights(self.weighting, word_ids, counts, sample_weight)
        covered = has_vector(tokens, self.tables, fold_case=self._folds_case)
        self.coverage = 0.0
        if self.tables:
            self.coverage = measure_coverage(tokens, token_ids, covered, self.oov)
        elif self.sources:
            self.coverage = measure_reading(texts, find_contextual(self.sources))
        covered = np.bincount(word[covered], minlength=len(number)) > 0
        words, sparse = list(number), None
        if self._columns is not None:
            sparse = self._columns.fit_transform(words, counts, word_ids, membership, sample_weight)
            self.token_unit = self._columns.unit.name
        elif self.splits_texts:
            self.token_unit = find_unit(words, word_ids).name
        self.pretrained_scale = self._find_scale(counts, covered, sample_weight)
        self._look_up_words(words)
        pooled = self._pool(texts, tokens, token_ids, word)
        self._means = [
            np.average(block, axis=0, weights=sample_weight).astype(np.float32) for block in pooled
        ]
        design = self._assemble(sparse, pooled, len(texts))
        if self.encoder_scale is None:
            return design
        kinds = [isinstance(source, ContextualModel) for source in self.sources]
        is_encoder = np.repeat(kinds, [len(mean) for mean in self._means])
        ratio = choose_word_scale(texts, design, is_encoder, membership, sample_weight)
        self.word_scale = ratio * self.encoder_scale
        if sparse is not None and self._columns is not None:
            sparse = self._columns.rescale(self.word_scale, sparse)
        return self._assemble(sparse, pooled, len(texts))

    def drop_centers(self) -> None:
        """Set the centres of the dense blocks to zero."""
        self._means = [np.zeros_like(mean) for mean in self._means]

    def transform(self, texts: Sequence[str]) -> Design:
        """The features of texts."""
        return self.transform_tokens(texts, *self._split(texts))

    def transform_tokens(
        self, texts: Sequence[str], tokens: list[str], token_ids: TokenIds
    ) -> Design:
        """The features of texts that are split already.

        Parameters
        ----------
        texts : sequence of str, length n_texts
            Read by contextual models.
        tokens : list of str
        token_ids : TokenIds, length n_texts
            Positions in `tokens`.

        Returns
        -------
        Design, length n_texts
        """
        words = self._words(tokens)
        word = self.find_words(words)
        sparse = None
        if self._columns is not None:
            sparse = self._columns.transform(words, word, token_ids)
        return self._assemble(sparse, self._pool(texts, tokens, token_ids, word), len(texts))

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return {
            "sources": self.sources,
            "tokenization": self.tokenization,
            "columns": self._columns,
            "pretrained_scale": self.pretrained_scale,
            "encoder_scale": self.encoder_scale,
            "word_scale": self.word_scale,
            "weighting": self.weighting,
            "oov": self.oov,
            "words": self.vocabulary,
            "term_weights": self._term_weights,
            "means": self._means,
            "coverage": self.coverage,
            "token_unit": self.token_unit,
        }

    @classmethod
    def from_state(cls, state: State) -> BagFeatures:
        """The features of these entries."""
        columns = state.optional("columns", TokenColumns)
        made = cls(
            state.items("sources", PretrainedVectors, ContextualModel),
            state.of("tokenization", Tokenization),
            pretrained_scale=state.number("pretrained_scale"),
            token_weights=False,
            weighting=state.choice("weighting", "idf", "sif", None),
            oov=state.choice("oov", "ignore", "subword", "hash"),
        )
        made._columns, made.pretrained_scale = columns, state.number("pretrained_scale")
        if "encoder_scale" in state:  # files of earlier versions have one scale
            made.encoder_scale = state.optional("encoder_scale", float)
            made.word_scale = state.number("word_scale")
        words = list(state.of("words", Vocabulary))
        made._number = {word: i for i, word in enumerate(words)}
        made._term_weights = state.array("term_weights", "float32", len(words) + 1)
        if columns is not None and columns.n_words != len(words):
            raise state.error("columns", f"columns of {len(words)} words", columns.n_words)
        made.token_unit = read_unit(state)
        made.coverage, made._means = state.number("coverage"), state.items("means", np.ndarray)
        # A contextual model is not opened before it is used.
        dims = [s.dim if isinstance(s, PretrainedVectors) else None for s in made.sources]
        if len(dims) != len(made._means) or any(
            mean.ndim != 1 or dim not in (None, len(mean))
            for mean, dim in zip(made._means, dims, strict=True)
        ):
            raise state.error("means", "the mean of the vectors of each source", made._means)
        made._look_up_words(words)
        return made

    def used_words(self, vectors: PretrainedVectors) -> list[str]:
        """The words of the training texts, as vectors have them."""
        return find_used(list(self._number), vectors, self.tokenization, self.tables, self.oov)

    @property
    def n_columns(self) -> tuple[int, int]:
        """Numbers of sparse and of dense columns."""
        n_sparse = 0 if self._columns is None else self._columns.bounds[-1]
        return n_sparse, sum(map(len, self._means))

    def place(self, texts: Sequence[str]) -> PlacedTokens:
        """The tokens of texts, and their places."""
        return place_tokens(texts, self.tokenization, self.tables)

    def decompose_all(
        self, texts: Sequence[str], n_tokens: int
    ) -> tuple[PlacedTokens, Iterator[TokenDesign]]:
        """The tokens of texts, and their features as sums, in parts of about `n_tokens` tokens."""
        placed = self.place(texts)
        return placed, map(self.decompose, placed.split(n_tokens))

    def decompose(self, placed: PlacedTokens) -> TokenDesign:
        """The features of texts as sums over their tokens, except for those of contextual models.

        Parameters
        ----------
        placed : PlacedTokens, length n_texts

        Returns
        -------
        TokenDesign
        """
        tokens, token_ids = placed.tokens, placed.token_ids
        words = self._words(tokens)
        word = self.find_words(words)
        sparse = csr_array((len(token_ids.ids), 0), dtype=np.float64)
        if self._columns is not None:
            sparse = self._columns.spread(words, word, token_ids)
        times = count_in_text(token_ids, len(tokens))
        weights = (1 + np.log(times)) / times * self._term_weights[word[token_ids.ids]]
        pairs = zip(self.sources, self.blocks, strict=True)
        blocks = [block for source, block in pairs if isinstance(source, PretrainedVectors)]
        vectors = [
            TokenVectors.of(rows, weights, token_ids, block)
            for rows, block in zip(self._find_rows(tokens, word), blocks, strict=True)
        ]
        return TokenDesign(token_ids, sparse, tuple(vectors))

    @property
    def blocks(self) -> list[Block]:
        """The dense columns of each source."""
        bounds = pairwise(np.cumsum([0, *map(len, self._means)]).tolist())
        return [
            Block(slice(start, stop), mean, self._block_scale(source))
            for (start, stop), mean, source in zip(bounds, self._means, self.sources, strict=True)
        ]

    def ngram_columns(self) -> tuple[slice, NDArray[np.float64]]:
        """The columns of word n-grams, and the value of each in a text of this n-gram alone."""
        if self._columns is None:
            return slice(0, 0), np.zeros(0)
        n_words = self._columns.n_words if self._columns.ngram_range[0] == 1 else 0
        columns = slice(n_words, self._columns.n_word_columns)
        return columns, self._columns.alone[columns]

    def spell(self, column: int) -> str:
        """The words or characters of a sparse column."""
        return "" if self._columns is None else self._columns.name(column, list(self._number))

    @property
    def coefficient_scale(self) -> float:
        """The factor of coefficients of the columns: 1."""
        return 1.0

    def column_names(self) -> list[str]:
        """Names of the columns, the sparse ones first."""
        names: list[str] = []
        if self._columns is not None:
            words, n_words = list(self._number), self._columns.n_word_columns
            names = [
                f"{'words' if i < n_words else 'characters'}__{self._columns.name(i, words)}"
                for i in range(self._columns.bounds[-1])
            ]
        for i, mean in enumerate(self._means):
            name = f"pretrained{i}" if len(self._means) > 1 else "pretrained"
            names += [f"{name}__{j}" for j in range(len(mean))]
        return names

    @property
    def is_sum_of_tokens(self) -> bool:
        """True if the features of a text are the sum of those of its tokens, at fixed norms."""
        return len(self.tables) == len(self.sources)

    def _block_scale(self, source: Source) -> float:
        """The norm of the columns of one source."""
        if self.encoder_scale is None:
            return float(self.pretrained_scale / np.sqrt(len(self.sources)))
        if isinstance(source, ContextualModel):
            return float(self.encoder_scale / np.sqrt(len(self.sources) - len(self.tables)))
        return float(self.word_scale * self.pretrained_scale / np.sqrt(len(self.tables)))

    def __getstate__(self) -> dict[str, Any]:
        state = pack_state(self, "_term_weights")
        return {**state, "_number": self.vocabulary} if hasattr(self, "_number") else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        open_state(self, state, "_term_weights")
        if "_number" in state:
            self._number = {word: number for number, word in enumerate(state["_number"])}

    __copy__, __deepcopy__ = copy_attributes, deepcopy_attributes

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the training texts, length n_words."""
        return Vocabulary.from_arrays(*pack(self._number))

    @property
    def n_words(self) -> int:
        """The number of words of the vocabulary."""
        return len(self._number)

    @property
    def columns(self) -> TokenColumns | None:
        """The columns of tokens; None for frozen features."""
        return self._columns

    @property
    def term_weights(self) -> NDArray[np.float32]:
        """The weights of the words in the dense block, and last that of any other word."""
        return self._term_weights

    def _look_up_words(self, words: list[str]) -> None:
        self._looked_up = [
            PretrainedWords(source, words)
            if self.oov == "ignore" and source.tokenizer is None and not self._folds_case
            else None
            for source in self.tables
        ]

    @property
    def _folds_case(self) -> bool:
        return self.tokenization.folds_case(self.tables)

    @property
    def splits_texts(self) -> bool:
        """True unless sentence encoders alone read the texts."""
        return bool(self.tables) or self._columns is not None

    def _split(self, texts: Sequence[str]) -> tuple[list[str], TokenIds]:
        if self.splits_texts:
            return self.tokenization.split(texts, self.tables)
        # Contextual models split texts themselves.
        return [], TokenIds(np.empty(0, np.int32), np.zeros(len(texts) + 1, np.int64))

    def find_words(self, words: list[str]) -> NDArray[np.int64]:
        """Numbers of words in the vocabulary, or -1."""
        return np.array([self._number.get(w, -1) for w in words], dtype=int)

    def _words(self, tokens: list[str]) -> list[str]:
        """Tokens as the vocabulary spells them."""
        return [token.lower() for token in tokens] if self._folds_case else tokens

    def _find_scale(
        self, counts: csr_array, covered: NDArray[np.bool_], sample_weight: NDArray[np.floating]
    ) -> float:
        if self._pretrained_scale != "auto":
            return float(self._pretrained_scale)
        if self.token_unit == CHARACTER.name:
            return _LEAST_SCALE
        unseen = unseen_share(counts, covered, sample_weight)
        return float(np.clip(unseen / _FULL_SCALE_SHARE, _LEAST_SCALE, 1))

    def _pool(
        self,
        texts: Sequence[str],
        tokens: list[str],
        token_ids: TokenIds,
        word: NDArray[np.int64],
    ) -> list[NDArray[np.float32]]:
        """One block per source, row-normalised, each shape (n_texts, dim)."""
        if self.tables:
            times, index, pointer = count_distinct(token_ids, len(tokens))
            values = (1 + np.log(times)) * self._term_weights[word[index]]
        rows = iter(self._find_rows(tokens, word))
        return [
            normalize_rows(
                sum_rows(values, index, pointer, next(rows))
                if isinstance(source, PretrainedVectors)
                else source.encode(texts)
            )
            for source in self.sources
        ]

    def _find_rows(
        self, tokens: list[str], word: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float32]]:
        """The vectors of tokens in each table, zero if there is none: shape (n_tokens, dim)."""
        for source, words in zip(self.tables, self._looked_up, strict=True):
            if words is not None:
                position, vectors = words.look_up(tokens, word)
            else:
                position, vectors = source.look_up(tokens, fold_case=self._folds_case, oov=self.oov)
            # Position -1, a token without a vector, is the row of zeros at the end.
            zeros = np.zeros((1, source.dim), dtype=np.float32)
            yield np.concatenate([vectors, zeros])[position]

    def _assemble(
        self, sparse: csr_array | None, pooled: list[NDArray[np.float32]], n_texts: int
    ) -> Design:
        dense = [np.zeros((n_texts, 0), dtype=np.float32)]
        for block, mean, source in zip(pooled, self._means, self.sources, strict=True):
            # A text without a known word stays at zero: the vectors say nothing about it.
            centred = np.where(block.any(axis=1, keepdims=True), block - mean, 0)
            dense.append(normalize_rows(centred) * np.float32(self._block_scale(source)))
        if sparse is None or self._columns is None:
            return Design(csr_array(dense[0]), np.concatenate(dense, axis=1), (0,))
        return Design(sparse, np.concatenate(dense, axis=1), self._columns.bounds)
