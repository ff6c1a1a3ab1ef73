"""PretrainedVectors: words and a read-only matrix, shared and memory-mapped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.sparse import csr_array

from .._validation import check_texts
from . import formats
from .catalog import locate
from .gensim_files import from_keyed_vectors, to_gensim
from .opening import Opened, Origin
from .subword_model import open_subwords
from .table import Matrix, Table, check_finite
from .tokenizer import TableTokenizer
from .unknown import Subwords, hashed_vectors
from .vocabulary import Vocabulary

OutOfVocabulary = Literal["ignore", "subword", "hash"]


_opened: Opened[PretrainedVectors] = Opened(n_recent=4)


class PretrainedVectors:
    """A table of pretrained word vectors.

    It never changes, so it is shared and not copied: :func:`copy.deepcopy` and
    :func:`sklearn.base.clone` give the same object, estimators that name the same file hold one
    object, and one that comes from a file is pickled as the file's path and fingerprint.

    Parameters
    ----------
    words : sequence of str, length n_words
        Distinct.
    matrix : array-like of shape (n_words, dim)
        Numbers; float32 and float16 are used as they are, others become float32.
    name : str, default=None
        For display.

    Attributes
    ----------
    words : Vocabulary, length n_words
        A sequence of str.
    matrix : ndarray of float32, float16 or int8, shape (n_rows, dim)
        Read-only; memory-mapped where it comes from a file that allows it.
    rows : ndarray of int32, shape (n_words,), or None
        The row of each word where words share rows; None: word ``i`` has row ``i``.
    scales : ndarray of float32, shape (n_words,), or None
        The vector of word ``i`` is ``scales[i] * matrix[rows[i]]``; None: 1.
    tokenizer : TableTokenizer or None
        What splits texts into the words, where these are pieces of words (Model2Vec and other
        distilled models).
    name : str or None
    dim : int
    cased : bool
        Whether the words tell upper from lower case (more than 1 % have an upper-case letter).
    subwords : Subwords or None
        The n-gram rows of a fastText model, if it came with such.
    path : str or None
        The file or folder that it was opened from.

    See Also
    --------
    PretrainedEmbeddingTransformer : Texts to features with such a table.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedVectors
    >>> vectors = PretrainedVectors(["cat", "dog"], [[1.0, 0.0], [0.8, 0.6]], name="pets")
    >>> vectors
    <PretrainedVectors 'pets': 2 words x 2, float32, in memory>
    >>> vectors["dog"]
    array([0.8, 0.6], dtype=float32)
    >>> "cow" in vectors, len(vectors), vectors[["dog", "cat"]].shape
    (False, 2, (2, 2))
    """

    __slots__ = ("__weakref__", "_cased", "_fitted", "_name", "_origin", "_table")

    _table: Table
    _name: str | None
    _origin: Origin | None
    _cased: bool | None
    _fitted: Subwords | None

    def __init__(self, words: Sequence[str], matrix: ArrayLike, *, name: str | None = None) -> None:
        rows = np.asarray(matrix)
        if rows.dtype not in (np.float32, np.float16):
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32)
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise ValueError(
                f"matrix must have shape (n_words, dim) with dim >= 1, got shape {rows.shape}."
            )
        if not isinstance(words, Vocabulary):
            words = _check_words(words)
        if len(words) != len(rows):
            raise ValueError(
                f"words and matrix must belong together: got {len(words)} words and "
                f"{len(rows)} rows."
            )
        check_finite(rows, name or "matrix")
        vocabulary = words if isinstance(words, Vocabulary) else Vocabulary(words)
        self._set(Table(vocabulary, np.ascontiguousarray(rows)), name=name)

    def _set(self, table: Table, *, name: str | None = None, origin: Origin | None = None) -> None:
        # A view of its own, so that the caller's array keeps its flags.
        matrix = table.matrix.view()
        matrix.flags.writeable = False
        self._table = replace(table, matrix=matrix)
        self._name, self._origin = name, origin
        self._cased = self._fitted = None

    @classmethod
    def _wrap(
        cls, table: Table, *, name: str | None = None, origin: Origin | None = None
    ) -> PretrainedVectors:
        vectors = cls.__new__(cls)
        vectors._set(table, name=name, origin=origin)
        return vectors

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        *,
        allow_pickle: bool = False,
        mmap: bool = True,
        limit: int | None = None,
    ) -> PretrainedVectors:
        """Open vectors by path or name; the same file is opened once in a process.

        A file of 4 MB or more that cannot be mapped as it stands is converted at the first opening,
        unless with a `limit`, and is mapped from the cache from then on: see
        :func:`sklearn_transfer.cache_info`. Repeated words are warned of when it is converted.

        Parameters
        ----------
        source : str or path
            A file in word2vec text or binary format, GloVe text, fastText ``.vec`` or ``.bin``
            (all but the last also compressed by gzip, bzip2 or zip), gensim ``.kv`` or
            ``.model``, or a folder that :meth:`save` wrote; the content tells which. Or a name: see
            :func:`sklearn_transfer.load_pretrained`.
        allow_pickle : bool, default=False
            Open gensim's own files. They are pickles: opening one runs whatever its author put
            inside, so do it only for a source that you trust.
        mmap : bool, default=True
            Map the matrix into memory where the format allows it, instead of reading it.
        limit : int, default=None
            Only the first words, the most frequent in most files.

        Returns
        -------
        PretrainedVectors

        Raises
        ------
        FileNotFoundError
            If nothing is there, with the places that were looked at.
        VectorFormatError
            If the file is damaged, of no known format, or a pickle without `allow_pickle`.
        """
        path = locate(source)
        origin = Origin(str(path), formats.fingerprint(path), allow_pickle, mmap, limit)
        name = source if isinstance(source, str) and not Path(source).exists() else path.name
        return cls._open(origin, name)

    @classmethod
    def _open(cls, origin: Origin, name: str | None) -> PretrainedVectors:
        return _opened.get(origin, lambda: cls._wrap(origin.read(), name=name, origin=origin))

    @classmethod
    def from_gensim(cls, model: Any, *, name: str | None = None) -> PretrainedVectors:
        """Wrap gensim vectors; their matrix is used, not copied.

        Parameters
        ----------
        model : gensim KeyedVectors, Word2Vec or FastText
        name : str, default=None

        Returns
        -------
        PretrainedVectors
        """
        return cls._wrap(from_keyed_vectors(model), name=name or type(model).__name__)

    def to_gensim(self) -> Any:
        """The same words and rows as a gensim ``KeyedVectors``."""
        return to_gensim(self._table)

    def save(self, folder: str | os.PathLike[str]) -> PretrainedVectors:
        """Write the fast form, a folder that opens memory-mapped in milliseconds, and open it.

        Parameters
        ----------
        folder : str or path
            New, empty, or written by an earlier `save`. It is replaced in one step.

        Returns
        -------
        PretrainedVectors
            The table as opened from the folder.
        """
        self.write(folder, format="folder")
        return type(self).load(Path(folder))

    def write(self, path: str | os.PathLike[str], *, format: str) -> None:
        """Write a file for other programs.

        Parameters
        ----------
        path : str or path
            With the suffix ``.gz`` the text and binary formats are compressed.
        format : {"word2vec-text", "word2vec-binary", "glove", "gensim", "folder"}

        Raises
        ------
        ValueError
            If the format is unknown, or cannot hold a word (which is named).
        """
        formats.write(self._table, Path(path), format)

    @property
    def words(self) -> Vocabulary:
        """The words, in the order of the rows."""
        return self._table.words

    @property
    def matrix(self) -> Matrix:
        """The vectors, read-only, shape (n_rows, dim)."""
        return self._table.matrix

    @property
    def rows(self) -> NDArray[np.int32] | None:
        """The row of each word, shape (n_words,), where words share rows."""
        return self._table.rows

    @property
    def scales(self) -> NDArray[np.float32] | None:
        """What the row of each word is multiplied by, shape (n_words,)."""
        return self._table.scales

    @property
    def tokenizer(self) -> TableTokenizer | None:
        """What splits texts into the words, where these are pieces of words."""
        return self._table.tokenizer

    @property
    def subwords(self) -> Subwords | None:
        """The n-gram rows of a fastText model."""
        return self._table.subwords

    @property
    def name(self) -> str | None:
        """The name that it was opened by."""
        return self._name

    @property
    def path(self) -> str | None:
        """The file or folder that it was opened from."""
        return self._origin.path if self._origin else None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._table.dim

    @property
    def cased(self) -> bool:
        """Whether the words tell upper from lower case, judged by 10,000 of them."""
        if self._cased is None:
            sample = self.words[:: max(1, len(self) // 10_000)]
            upper = sum(word != word.lower() for word in sample)
            self._cased = upper > 0.01 * len(sample)
        return self._cased

    def knows(
        self, words: Sequence[str], *, fold_case: bool = False, are_tokens: bool = False
    ) -> NDArray[np.bool_]:
        """Whether the table has a vector for a word: shape (n,). See :meth:`look_up`."""
        tokenizer = None if are_tokens else self.tokenizer
        if tokenizer is not None:
            return np.diff(self._pieces(tokenizer, words).indptr) > 0
        known: NDArray[np.bool_] = self.words.find(words, fold_case=fold_case) >= 0
        return known

    def look_up(
        self,
        words: Sequence[str],
        *,
        fold_case: bool = False,
        oov: OutOfVocabulary = "ignore",
        are_tokens: bool = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The vectors of many words.

        Parameters
        ----------
        words : sequence of str, length n
            Where the table has a tokenizer, each is split by it and takes the mean of its tokens'
            vectors.
        fold_case : bool, default=False
            Take the lower-cased form of words that the table does not have.
        oov : {"ignore", "subword", "hash"}, default="ignore"
            What becomes of words that the table does not have: nothing; the mean of their n-gram
            rows, zero where they have none; or a random vector that is the same everywhere. Where
            the table has no n-gram rows, these are fitted to its words when they are first needed:
            see Notes.
        are_tokens : bool, default=False
            The words are what the table's tokenizer gave, and are not split again.

        Returns
        -------
        index : ndarray of int64, shape (n,)
            The row in `vectors` of each word, -1 where it has none.
        vectors : ndarray of float32, shape (n_found, dim)

        Notes
        -----
        The n-gram rows of "subword" are those of the fastText model. To a table without such a
        bag-of-subwords model (Zhao, Mudgal & Liang 2018) of the n-grams of 3 to 6 characters is
        fitted, on its first 400,000 words, of how these differ from their mean: once a process, and
        where the table is larger than 1 MB once for all processes, which map it from the cache
        (:func:`sklearn_transfer.cache_info`).
        A table that was made from another, by :meth:`subset`, :meth:`reduce` or :meth:`astype`,
        has a model of its own.

        A table with a tokenizer needs none: it splits unknown words itself, and "subword" is
        "ignore".
        """
        tokenizer = None if are_tokens else self.tokenizer
        if tokenizer is None:
            position = self.words.find(words, fold_case=fold_case)
            found = position >= 0
            vectors = self._table.vectors(position[found])
        else:
            found, vectors = self._mean_of_pieces(tokenizer, words)
        index = np.where(found, np.cumsum(found) - 1, -1)
        if oov == "subword" and self.tokenizer is not None and self.subwords is None:
            oov = "ignore"
        if oov == "ignore" or found.all():
            return index, vectors
        unknown = np.flatnonzero(~found)
        strangers = [words[i] for i in unknown.tolist()]
        more = self._vectors_of_unknown(
            [word.lower() for word in strangers] if fold_case else strangers, oov
        )
        index[unknown] = len(vectors) + np.arange(len(unknown))
        return index, np.concatenate([vectors, more])

    def _pieces(self, tokenizer: TableTokenizer, words: Sequence[str]) -> csr_array:
        """The tokens of each word that the table has, as ones: shape (n, n_words)."""
        split = list(tokenizer.split_all(words))
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        position = self.words.find([token for tokens in split for token in tokens])
        known = position >= 0
        bounds = np.append(0, np.cumsum(known))[np.append(0, np.cumsum(lengths))]
        once = np.ones(np.count_nonzero(known), dtype=np.float32)
        return csr_array((once, position[known], bounds), shape=(len(words), len(self)))

    def _mean_of_pieces(
        self, tokenizer: TableTokenizer, words: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Whether a word has a token that the table knows, and the vectors of those that have."""
        pieces = self._pieces(tokenizer, words)
        lengths = np.diff(pieces.indptr)
        used, column = np.unique(pieces.indices, return_inverse=True)
        narrow = csr_array((pieces.data, column, pieces.indptr), shape=(len(words), len(used)))
        means: NDArray[np.float32] = narrow[lengths > 0] @ self._table.vectors(used)
        means /= lengths[lengths > 0].astype(np.float32)[:, None]
        return lengths > 0, means

    def _vectors_of_unknown(
        self, words: Sequence[str], oov: OutOfVocabulary
    ) -> NDArray[np.float32]:
        if oov == "hash":
            sample = self._table.vectors(slice(None, None, max(1, len(self) // 1000)))
            scale = float(np.sqrt(np.mean(sample**2))) if len(sample) else 1.0
            return hashed_vectors(words, self.dim, scale=scale)
        return (self.subwords or self._fit_subwords()).vectors(words)

    def _fit_subwords(self) -> Subwords:
        """The n-gram model of a table that came without one."""
        if self._fitted is None:
            origin = self._origin
            content = None if origin is None else f"{origin.fingerprint} {origin.limit}"
            self._fitted = open_subwords(self._table, self.name or "PretrainedVectors", content)
        return self._fitted

    def subset(
        self, words: Sequence[str] | None = None, *, texts: Iterable[str] | None = None
    ) -> PretrainedVectors:
        """A table of some of the words, in the order given; unknown and repeated ones are left out.

        Parameters
        ----------
        words : sequence of str, default=None
        texts : iterable of str, default=None
            In place of `words`: all that occur in these texts, split as the estimators do by
            default (by the table's own tokenizer, where it has one), as they stand and in
            lower case.

        Returns
        -------
        PretrainedVectors
            In memory. With ``oov="subword"`` its unknown words are predicted from its own words
            alone, unless it has n-gram rows.

        Raises
        ------
        ValueError
            Unless one of the two is given.
        """
        if (words is None) == (texts is None):
            raise ValueError("subset needs either words or texts, and not both.")
        if words is None:
            words = self._words_of(check_texts(texts, estimator="subset"))
        position = self.words.find(list(dict.fromkeys(_check_words(words))))
        return self._wrap(self._table.take(position[position >= 0]), name=self.name)

    def _words_of(self, texts: list[str]) -> list[str]:
        if self.tokenizer is not None:
            return list(dict.fromkeys(chain.from_iterable(self.tokenizer.split_all(texts))))
        found = dict.fromkeys(chain.from_iterable(map(re.compile(r"\w+").findall, texts)))
        return [*found, *(word.lower() for word in found)]

    def reduce(self, n_components: int) -> PretrainedVectors:
        """Project the vectors on their principal components.

        Parameters
        ----------
        n_components : int
            At most `dim`.

        Returns
        -------
        PretrainedVectors
            In memory, float32, shape (n_words, n_components), centred; n-gram rows likewise.
        """
        if not 1 <= n_components <= self.dim:
            raise ValueError(
                f"n_components must lie between 1 and dim={self.dim}, got {n_components}."
            )
        matrix = self._table.vectors(slice(None)).copy()
        mean = matrix.sum(axis=0, dtype=np.float64) / max(1, len(self))
        mean = mean.astype(np.float32)
        matrix -= mean
        _, axes = np.linalg.eigh((matrix.T @ matrix).astype(np.float64))
        axes = axes[:, ::-1][:, :n_components].astype(np.float32)
        subwords = self.subwords
        if subwords is not None:
            subwords = Subwords((subwords.matrix - mean) @ axes, subwords.min_n, subwords.max_n)
        table = Table(self.words, matrix @ axes, subwords, tokenizer=self.tokenizer)
        return self._wrap(table, name=self.name)

    def astype(self, dtype: DTypeLike) -> PretrainedVectors:
        """The table with a matrix of another type.

        Parameters
        ----------
        dtype : {"float32", "float16", "int8"}
            int8: each row is divided by the 127th part of its largest absolute value, which becomes
            a factor in `scales`, and rounded. Only the rows that are looked up become float32
            again.

        Returns
        -------
        PretrainedVectors
            In memory; the same object if the type is the same. N-gram rows stay as they are.

        Raises
        ------
        ValueError
            If the type is another, or cannot hold a value.
        """
        if np.dtype(dtype) not in (np.float32, np.float16, np.int8):
            raise ValueError(f"dtype must be 'float32', 'float16' or 'int8', got {dtype!r}.")
        if self.matrix.dtype == dtype:
            return self
        if np.dtype(dtype) == np.int8:
            return self._wrap(self._table.quantised(), name=self.name)
        table = self._table.expanded() if self.matrix.dtype == np.int8 else self._table
        with np.errstate(over="ignore"):
            matrix = table.matrix.astype(dtype)
        check_finite(matrix, f"{self.name or 'matrix'} as {np.dtype(dtype)}")
        return self._wrap(replace(table, matrix=matrix), name=self.name)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.words

    @overload
    def __getitem__(self, word: str) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, word: list[str]) -> NDArray[np.float32]: ...
    def __getitem__(self, word: str | list[str]) -> NDArray[np.float32]:
        """The vector of a word, shape (dim,), or of a list of words, (n, dim), as float32."""
        if not isinstance(word, str | list):
            # A KeyError also tells NumPy that this is no sequence of rows, so that a search can
            # hold tables among its candidates.
            raise KeyError(f"{word!r} is no word: index by a str, or a list of str.")
        wanted = [word] if isinstance(word, str) else word
        found = self.words.find(wanted)
        if (found < 0).any():
            missing = [w for w, row in zip(wanted, found, strict=True) if row < 0]
            raise KeyError(f"not among the words of {self!r}: {', '.join(map(repr, missing[:5]))}")
        vectors = self._table.vectors(found)
        return vectors[0] if isinstance(word, str) else vectors

    def __repr__(self) -> str:
        where = f"from {self.path}" if self.path else "in memory"
        name = f" {self.name!r}" if self.name else ""
        return (
            f"<PretrainedVectors{name}: {len(self)} words x {self.dim}, {self.matrix.dtype}, "
            f"{where}>"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> PretrainedVectors:
        return self

    def __copy__(self) -> PretrainedVectors:
        return self

    def __sklearn_clone__(self) -> PretrainedVectors:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is not None:
            return _reopen, (tuple(self._origin), self._name)
        return _rebuild, (self._table, self._name)


def _check_words(words: Sequence[str]) -> list[str]:
    if isinstance(words, str | set | frozenset):
        raise TypeError(
            f"words must be a sequence of str, in order, such as a list; got "
            f"{type(words).__name__}: {words!r:.60}"
        )
    words = list(words)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"words must be strings, got {type(word).__name__}: {word!r:.60}")
    return words


def _rebuild(table: Table, name: str | None) -> PretrainedVectors:
    return PretrainedVectors._wrap(table, name=name)


def _reopen(origin: tuple[Any, ...], name: str | None) -> PretrainedVectors:
    """Open the file that a pickle refers to, if it is still the same file."""
    expected = Origin(*origin)
    expected.check()
    return PretrainedVectors._open(expected, name)
