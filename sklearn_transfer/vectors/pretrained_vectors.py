"""PretrainedVectors: words and a read-only matrix, shared and memory-mapped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .._utils.validation import check_texts
from .catalog import locate
from .formats import formats
from .formats.gensim_files import from_keyed_vectors, to_gensim
from .storage.opening import Opened, Origin
from .table import compression, lookup
from .table.lookup import OutOfVocabulary
from .table.subwords import open_subwords
from .table.table import Matrix, Table, check_finite
from .table.tokenizer import TableTokenizer
from .table.unknown import Subwords
from .table.vocabulary import Vocabulary, as_list_of_words

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
        listed = words if isinstance(words, Vocabulary) else as_list_of_words(words)
        if len(listed) != len(rows):
            raise ValueError(
                f"words and matrix must belong together: got {len(listed)} words and {len(rows)} "
                f"rows."
            )
        check_finite(rows, name or "matrix")
        vocabulary = listed if isinstance(listed, Vocabulary) else Vocabulary(listed)
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
        cls, table: Table, name: str | None = None, origin: Origin | None = None
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
            ``.model``, or Parquet (a column of words, and one of lists or many of numbers; extra
            ``parquet``). Or a folder: one that :meth:`save` wrote, of a Model2Vec model, of a
            sentence-transformers model whose only module is ``StaticEmbedding`` (beside
            ``Normalize``), of the package wordllama, of a spaCy pipeline or its ``vocab``. The
            content tells which. Or a name: see :func:`sklearn_transfer.load_pretrained`.
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
        MissingDependencyError
            If a library that reads it is not installed; the message names the extra.

        Notes
        -----
        A static model comes with its tokenizer, which splits texts where it is the only source, and
        gives what the library that wrote it gives with the mean of all tokens: one of Model2Vec
        leaves out the token for what is unknown, sentence-transformers does not. Where the model
        normalises its vectors of texts, ``PretrainedEmbeddingTransformer(norm="l2")`` does.
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
        """Write a file or folder for other programs.

        Parameters
        ----------
        path : str or path
            With the suffix ``.gz`` the text and binary formats are compressed.
        format : {"word2vec-text", "word2vec-binary", "glove", "gensim", "parquet", "folder", \
"model2vec", "sentence-transformers"}
            ``"parquet"`` has the columns ``word`` and ``vector``, a list of fixed size. The last
            two are folders that ``model2vec.StaticModel.from_pretrained`` and
            ``SentenceTransformer`` open (extra ``static``).

        Raises
        ------
        ValueError
            If the format is unknown, or cannot hold a word (which is named).
        FileExistsError
            If a folder is to be written over something that this package did not write.
        MissingDependencyError
            If ``"parquet"`` is asked for without the extra ``parquet``, or a folder of a static
            model without ``static``.

        Notes
        -----
        N-gram rows are kept by ``"folder"`` alone; shared rows, factors, float16 and int8 by
        ``"folder"`` and ``"model2vec"``, elsewhere the vectors become float32 (in Parquet float16
        stays).

        A table without a tokenizer gets one for the last two formats: whole words, lower-cased
        unless the table is cased, split as the estimators do by default. A word that the table does
        not have is left out by model2vec, and counts as zeros in sentence-transformers.
        """
        formats.write(self._table, Path(path), format)

    @property
    def words(self) -> Vocabulary:
        """The words, in their order."""
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
            self._cased = self._table.cased
        return self._cased

    def knows(
        self, words: Sequence[str], *, fold_case: bool = False, are_tokens: bool = False
    ) -> NDArray[np.bool_]:
        """Whether the table has a vector for a word: shape (n,). See :meth:`look_up`."""
        return lookup.knows(self._table, words, fold_case=fold_case, are_tokens=are_tokens)

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
            the table has no n-gram rows, these are fitted to its own words when they are first
            needed, and kept in the cache.
        are_tokens : bool, default=False
            The words are what the table's tokenizer gave, and are not split again.

        Returns
        -------
        index : ndarray of int64, shape (n,)
            The row in `vectors` of each word, -1 where it has none.
        vectors : ndarray of float32, shape (n_found, dim)

        Notes
        -----
        The fitted n-gram rows are a bag-of-subwords model (Zhao, Mudgal & Liang 2018) of 3 to 6
        characters. A table that was made from another, by :meth:`subset`, :meth:`reduce` or
        :meth:`astype`, has one of its own. A table with a tokenizer needs none: it splits unknown
        words itself, and "subword" is "ignore".
        """
        return lookup.look_up(
            self._table,
            words,
            fold_case=fold_case,
            oov=oov,
            are_tokens=are_tokens,
            subwords=self._find_subwords,
        )

    def _find_subwords(self) -> Subwords:
        """The n-gram rows that the table came with, or those that are fitted to its words."""
        if self.subwords is not None:
            return self.subwords
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
            words = compression.words_of(check_texts(texts, estimator="subset"), self.tokenizer)
        position = self.words.find(list(dict.fromkeys(as_list_of_words(words))))
        return self._wrap(self._table.take(position[position >= 0]), name=self.name)

    def reduce(self, n_components: int, *, n_removed: int = 0) -> PretrainedVectors:
        """Project the vectors on their principal components.

        Parameters
        ----------
        n_components : int
        n_removed : int, default=0
            How many of the first components are left out before, as all-but-the-top does: they
            hold how frequent a word is rather than what it means (Mu & Viswanath 2018, algorithm
            1, which takes dim / 100 of them).

        Returns
        -------
        PretrainedVectors
            In memory, float32, centred, of `n_components` dimensions: n-gram rows likewise. Words
            that share a row still do, unless the table has `scales`.

        Raises
        ------
        ValueError
            Unless ``1 <= n_components <= dim - n_removed`` and ``n_removed >= 0``.
        """
        return self._wrap(compression.reduce(self._table, n_components, n_removed), name=self.name)

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
        table = compression.cast(self._table, dtype, self.name or "matrix")
        return self if table is self._table else self._wrap(table, name=self.name)

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
        size = f"{len(self)} words x {self.dim}, {self.matrix.dtype}"
        return f"<PretrainedVectors{name}: {size}, {where}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> PretrainedVectors:
        return self

    def __copy__(self) -> PretrainedVectors:
        return self

    __sklearn_clone__ = __copy__

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is not None:
            return _reopen, (tuple(self._origin), self._name)
        return self._wrap, (self._table, self._name)


def _reopen(origin: tuple[Any, ...], name: str | None) -> PretrainedVectors:
    """Open the file that a pickle refers to, if it is still the same file."""
    expected = Origin(*origin)
    expected.check()
    return PretrainedVectors._open(expected, name)
