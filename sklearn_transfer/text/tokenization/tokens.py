"""Tokenization: texts to token ids, each distinct text once per process."""

from __future__ import annotations

import os
import pickle
import reprlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..._utils.hashing import hash_content
from ..._utils.locks import ThreadLock
from ..._utils.objects.memo import register_memo
from ..._utils.objects.named import by_name
from ..._utils.objects.state import State
from ..._utils.texts import TokenizedText
from ...vectors.pretrained_vectors import PretrainedVectors
from ...vectors.table.tokenizer import TableTokenizer
from ...vectors.table.vocabulary import ragged_arange, to_offsets
from .patterns import SplitAll, split_by_pattern
from .token_ids import TokenIds

TOKEN_PATTERN = r"(?u)\b\w+\b"

Lowercase = bool | Literal["auto"]
Splitter = Callable[[Any], Iterable[str]]
_Scalar = TypeVar("_Scalar", bound=np.generic)

# Variable with the number of megabytes that the tokens of texts may take between calls.
CACHE_MEGABYTES = "SKLEARN_TRANSFER_TOKENS_MB"
_DEFAULT_MEGABYTES = 256
_N_TOKENIZERS = 4
_INT_BYTES = sys.getsizeof(1 << 20)


class _TokenNumbers(dict[str, int]):
    """Token to id; a new token takes the next id."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def __missing__(self, token: str) -> int:
        self[token] = new = len(self)
        self.tokens.append(token)
        return new


class Tokenizer:
    """Split texts into tokens, with a cache of the texts that were split before.

    Parameters
    ----------
    split_all : callable
        ``split_all(texts)`` iterates over the tokens of each text. It must give the same for the
        same text.

    Notes
    -----
    The cache holds token ids by text. All estimators with the same tokenization share it: it does
    not depend on vectors or models, so that the folds and candidates of a search split each text
    once. Calls from several threads take turns: splitting holds Python's interpreter lock anyway.
    """

    def __init__(self, split_all: SplitAll) -> None:
        self._split_all = split_all
        self._lock = ThreadLock()
        self._clear()

    def clear(self) -> None:
        """Forget all texts."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._numbers = _TokenNumbers()
        self._entries: dict[str, int] = {}
        self._ids = np.empty(1024, dtype=np.int32)
        self._offsets = np.zeros(64, dtype=np.int64)
        self._string_bytes = 0

    def split_one(self, text: str, max_tokens: int | None = None) -> tuple[list[str], TokenIds]:
        """Split one text, as a call does, but without the cache: it costs more than splitting."""
        (tokens,) = self._split_all([text])
        number: dict[str, int] = {}
        ids = [number.setdefault(token, len(number)) for token in tokens[:max_tokens]]
        return list(number), TokenIds(np.array(ids, np.int32), np.array([0, len(ids)]))

    def __call__(
        self, texts: Sequence[str], max_tokens: int | None = None
    ) -> tuple[list[str], TokenIds]:
        """Split texts; those with more than `max_tokens` tokens are truncated.

        Returns the distinct tokens, in the order in which they first occur, and the tokens of each
        text as positions among them.
        """
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._entries]
            if new:
                self._remember(new)
            entries = np.fromiter(map(self._entries.__getitem__, texts), np.int64, len(texts))
            start, stop = self._offsets[entries], self._offsets[entries + 1]
            if max_tokens is not None:
                stop = np.minimum(stop, start + max_tokens)
            ids = self._ids[ragged_arange(start, stop - start)]
            ids, distinct = _renumber(ids, len(self._numbers))
            tokens = [self._numbers.tokens[i] for i in distinct]
        return tokens, TokenIds(ids, to_offsets(stop - start))

    @property
    def nbytes(self) -> int:
        """Size of the cache in bytes: strings, numbers and their tables."""
        tables = map(sys.getsizeof, (self._entries, self._numbers, self._numbers.tokens))
        integers = _INT_BYTES * (len(self._entries) + len(self._numbers))
        return self._string_bytes + sum(tables) + integers + self._ids.nbytes + self._offsets.nbytes

    def _remember(self, texts: list[str]) -> None:
        """Split new texts; the cache is as before if that fails."""
        lengths: list[int] = []

        def split() -> Iterator[Sequence[str]]:
            for words in self._split_all(texts):
                lengths.append(len(words))
                yield words

        n_tokens, n_texts = len(self._numbers), len(self._entries)
        number = map(self._numbers.__getitem__, chain.from_iterable(split()))
        ids = np.fromiter(number, np.int32)
        offsets = self._offsets[n_texts] + to_offsets(np.array(lengths))
        self._ids = _grown(self._ids, int(offsets[-1]))
        self._offsets = _grown(self._offsets, n_texts + len(offsets))
        self._ids[offsets[0] : offsets[-1]] = ids
        self._offsets[n_texts : n_texts + len(offsets)] = offsets
        self._entries.update(zip(texts, range(n_texts, n_texts + len(texts)), strict=True))
        for strings in (texts, self._numbers.tokens[n_tokens:]):
            self._string_bytes += sum(map(sys.getsizeof, strings))


def _grown(array: NDArray[_Scalar], size: int) -> NDArray[_Scalar]:
    """The array, or a copy at least twice as long where it has fewer than `size` elements."""
    if size <= len(array):
        return array
    return np.concatenate([array, np.zeros(max(size, 2 * len(array)) - len(array), array.dtype)])


def _renumber(ids: NDArray[np.int32], n_ids: int) -> tuple[NDArray[np.int32], list[int]]:
    """Number ids by first occurrence: ``distinct[new_ids[i]]`` equals ``ids[i]``."""
    if 10 * len(ids) < n_ids:  # a few texts among all that the process has seen
        number: dict[int, int] = {}
        new_ids = [number.setdefault(i, len(number)) for i in ids.tolist()]
        return np.array(new_ids, dtype=np.int32), list(number)
    # In an assignment with repeated indices the last one stays: the first occurrence, backwards.
    first_of = np.full(n_ids, -1, dtype=np.int64)
    first_of[ids[::-1]] = np.arange(len(ids) - 1, -1, -1)
    present = np.flatnonzero(first_of >= 0)
    distinct = present[np.argsort(first_of[present])]
    new = np.empty(n_ids, dtype=np.int32)
    new[distinct] = np.arange(len(distinct), dtype=np.int32)
    return new[ids], distinct.tolist()


def find_tokenizer(
    tokenizer: Splitter | TableTokenizer | None, token_pattern: str, *, lowercase: bool
) -> Tokenizer:
    """The tokenizer of these parameters, which is shared within the process.

    Parameters
    ----------
    tokenizer : callable, TableTokenizer or None
        Function from a text to its tokens; None splits by `token_pattern`.
    token_pattern : str
        Regular expression of a token, with at most one capturing group, which is then the token.
    lowercase : bool
        Lower-case the text before it is split; with a callable, the tokens after.

    Returns
    -------
    Tokenizer

    Raises
    ------
    ValueError
        If the pattern is not a regular expression or has more than one group.

    Examples
    --------
    >>> tokens, ids = find_tokenizer(None, TOKEN_PATTERN, lowercase=True)(["To be or not to be"])
    >>> tokens, ids.ids.tolist()
    (['to', 'be', 'or', 'not'], [0, 1, 2, 3, 0, 1])
    """
    try:
        key = _key(tokenizer)
    except (TypeError, pickle.PicklingError, AttributeError):  # a callable without an identity
        return _new_tokenizer(tokenizer, token_pattern, lowercase=lowercase)
    return _tokenizers.get(
        (key, token_pattern, lowercase),
        lambda: _new_tokenizer(tokenizer, token_pattern, lowercase=lowercase),
    )


def _key(tokenizer: Splitter | TableTokenizer | None) -> Hashable:
    """A key that callables have in common that split in the same way."""
    if isinstance(tokenizer, partial):
        arguments = (*tokenizer.args, *sorted(tokenizer.keywords.items()))
        return (partial, _key(tokenizer.func), len(tokenizer.args), *map(_key, arguments))
    try:
        hash(tokenizer)
    except TypeError:  # equal by value, and may change
        return (type(tokenizer), hash_content(pickle.dumps(tokenizer)))
    return (type(tokenizer), tokenizer)


class _Tokenizers:
    """The last tokenizers of the process, and the limit of what they hold together."""

    def __init__(self) -> None:
        self._lock = ThreadLock()
        self._recent: OrderedDict[Hashable, Tokenizer] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Tokenizer]) -> Tokenizer:
        with self._lock:
            tokenizer = self._recent.get(key)
            if tokenizer is None:
                tokenizer = self._recent[key] = make()
            self._recent.move_to_end(key)
            while len(self._recent) > _N_TOKENIZERS:
                self._recent.popitem(last=False)
        return tokenizer

    def limit(self) -> None:
        """Empty tokenizers that hold too much; together, those that were used least recently."""
        with self._lock:
            tokenizers = list(self._recent.values())
        sizes = [tokenizer.nbytes for tokenizer in tokenizers]
        limit = _max_bytes()
        excess = sum(sizes) - limit
        pairs = zip(tokenizers, sizes, strict=True)
        for tokenizer, size in sorted(pairs, key=lambda pair: pair[1] <= limit):
            if excess > 0:
                tokenizer.clear()
                excess -= size

    def clear(self) -> None:
        with self._lock:
            self._recent.clear()


_tokenizers = _Tokenizers()


def _max_bytes() -> int:
    megabytes = os.environ.get(CACHE_MEGABYTES) or str(_DEFAULT_MEGABYTES)
    if not megabytes.isdecimal():
        raise ValueError(
            f"The environment variable {CACHE_MEGABYTES} must be a whole number of megabytes, 0 or "
            f"more, got {megabytes!r}."
        )
    return int(megabytes) << 20


def _new_tokenizer(
    tokenizer: Splitter | TableTokenizer | None, token_pattern: str, *, lowercase: bool
) -> Tokenizer:
    if isinstance(tokenizer, TableTokenizer):
        split_all = tokenizer.split_all
        return Tokenizer(
            (lambda texts: split_all([t.lower() for t in texts])) if lowercase else split_all
        )
    if tokenizer is None:
        return Tokenizer(split_by_pattern(token_pattern, lowercase=lowercase))
    return Tokenizer(partial(map, _check_tokens(tokenizer, lowercase=lowercase)))


@register_memo
def clear_token_cache() -> None:
    """Forget all texts that this process has split."""
    _tokenizers.clear()


def _check_tokens(tokenizer: Splitter, *, lowercase: bool) -> Splitter:
    def split(text: str) -> list[str]:
        found = tokenizer(text.tokens if isinstance(text, TokenizedText) else text)
        if isinstance(found, str):
            raise TypeError(
                f"The tokenizer must return a list of tokens, got a single str: {found[:40]!r}. A "
                f"tokenizer that returns lists of tokens as they are needs lists of tokens as X."
            )
        tokens = list(found)
        for token in tokens:
            if not isinstance(token, str):
                raise TypeError(
                    f"The tokenizer must return strings, got {type(token).__name__}: "
                    f"{reprlib.repr(token)}. "
                    f"For spaCy: lambda text: [token.text for token in nlp.tokenizer(text)]."
                )
        return [token.lower() for token in tokens] if lowercase else tokens

    return split


@dataclass(frozen=True)
class Tokenization:
    """The parameters that say how texts are split into tokens.

    Attributes
    ----------
    tokenizer : callable or None
    token_pattern : str
    lowercase : bool or "auto"
        "auto" keeps the case of tokens if the pretrained vectors are cased.
    max_tokens : int or None, default=None
        Maximum number of tokens per text; longer texts are truncated.
    as_pretrained : bool, default=False
        Split texts by the tokenizer of the sources if all have the same one, and `tokenizer` and
        `token_pattern` have their defaults. Otherwise such sources give a word the mean of the
        vectors of its tokens.
    """

    tokenizer: Splitter | None
    token_pattern: str
    lowercase: Lowercase
    max_tokens: int | None = None
    as_pretrained: bool = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "tokenizer": by_name(self.tokenizer)}

    def to_state(self) -> dict[str, Any]:
        """Entries of a model file."""
        return dict(self.__dict__)

    @classmethod
    def from_state(cls, state: State) -> Tokenization:
        """The settings of these entries."""
        tokenizer, max_tokens = state["tokenizer"], None
        if not (tokenizer is None or callable(tokenizer)):
            raise state.error("tokenizer", "a callable or None", tokenizer)
        if state["max_tokens"] is not None:
            max_tokens = state.integer("max_tokens", 1, 2**62 - 1)
        made = cls(
            tokenizer,
            state.of("token_pattern", str),
            state.choice("lowercase", True, False, "auto"),  # noqa: FBT003 (values, no flags)
            max_tokens,
            state.of("as_pretrained", bool),
        )
        split_by_pattern(made.token_pattern, lowercase=False)  # an error for a bad pattern
        return made

    def table_tokenizer(self, sources: Sequence[PretrainedVectors]) -> TableTokenizer | None:
        """The tokenizer of the sources, if it splits the texts."""
        if not self.as_pretrained or self.tokenizer is not None:
            return None
        if self.token_pattern != TOKEN_PATTERN:
            return None
        tokenizers = {source.tokenizer for source in sources}
        return tokenizers.pop() if len(tokenizers) == 1 else None

    def folds_case(self, sources: Sequence[PretrainedVectors]) -> bool:
        """True if tokens keep their case, and are looked up in lower case as a fallback."""
        if self.lowercase != "auto" or self.table_tokenizer(sources) is not None:
            return False
        return any(source.cased for source in sources)

    def lowers_case(self, sources: Sequence[PretrainedVectors]) -> bool:
        """True if tokens are in lower case."""
        if self.lowercase != "auto":
            return self.lowercase
        return self.table_tokenizer(sources) is None and not self.folds_case(sources)

    def split(
        self, texts: Sequence[str], sources: Sequence[PretrainedVectors]
    ) -> tuple[list[str], TokenIds]:
        """The distinct tokens, and the tokens of each text as positions among them."""
        own = self.table_tokenizer(sources)
        tokenizer = self.tokenizer if own is None else own
        split = find_tokenizer(tokenizer, self.token_pattern, lowercase=self.lowers_case(sources))
        if len(texts) == 1 and isinstance(texts[0], str):
            return split.split_one(texts[0], self.max_tokens)
        found = split(texts, self.max_tokens)
        _tokenizers.limit()
        return found


def split_for_vectors(
    texts: Sequence[str], vectors: PretrainedVectors, tokenization: Tokenization
) -> list[list[str]]:
    """The tokens of each text, spelled as a table of vectors has them."""
    tokens, token_ids = tokenization.split(texts, [vectors])
    if tokenization.folds_case([vectors]):
        in_table = (vectors.words.find(tokens) >= 0).tolist()
        tokens = [
            t if is_there else t.lower() for t, is_there in zip(tokens, in_table, strict=True)
        ]
    words = np.array(tokens, dtype=object)[token_ids.ids]
    return [part.tolist() for part in np.split(words, token_ids.offsets[1:-1])]
